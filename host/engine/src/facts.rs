//! A guest's payments, programmes, aggregates and items as record batches in the schemas of [`sluice_model::unified::Fact`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, RecordBatch, new_null_array};
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use sluice_model::unified::{ColumnKind, Fact, GivenBy, Presence, UnifiedColumn};
use sluice_model::{Reject, TimezoneBasis};

use crate::call::quoted;
use crate::columns::{self, Checked};
use crate::contract::wire;
use crate::currency;
use crate::times::{Times, Zone};
use crate::transactions::ids;

/// The batches of an answer by their kind.
///
/// # Errors
/// A kind of fact that this host has no table for, or that comes twice.
pub(crate) fn by_kind(facts: Vec<wire::Batch>) -> Checked<BTreeMap<Fact, wire::Batch>> {
    let mut batches = BTreeMap::new();
    for batch in facts {
        let Some(fact) = Fact::named(&batch.fact) else {
            return Err(format!("this host has no table for facts of the kind {}", quoted(&batch.fact)));
        };
        if batches.insert(fact, batch).is_some() {
            return Err(format!("it gives two batches of {}", fact.name()));
        }
    }
    Ok(batches)
}

/// Refuses an answer in which a record got lost: nothing is dropped in silence, a fact or a reject says where it went. An answer
/// with a batch of transactions isn't checked: one without rows says that records are left out.
///
/// # Errors
/// The first record that neither of the batches nor a reject names.
pub(crate) fn check_lost(
    batches: &BTreeMap<Fact, wire::Batch>,
    rejects: &[Reject],
    records: usize,
    stream: &str,
) -> Checked<()> {
    let mut is_named = vec![false; records];
    let of_facts = batches.values().flat_map(|batch| batch.records.iter().copied());
    for record in of_facts.chain(rejects.iter().map(|reject| reject.record_index)) {
        if let Some(is_named) = is_named.get_mut(record as usize) {
            *is_named = true;
        }
    }
    match is_named.iter().position(|is_named| !is_named) {
        Some(_) if batches.is_empty() => Err(format!("no transactions, though `{stream}` has them")),
        Some(record) => Err(format!("record {record} of `{stream}` has neither a fact nor a reject")),
        None => Ok(()),
    }
}

/// The record batch of a kind that came from so many records. `reporting`: the zone of the account's reporting days, where the
/// operator sets it; it counts where the connector only assumes one, since days come as the network counts them.
///
/// # Errors
/// Which column breaks which rule of the contract.
pub(crate) fn batch(
    fact: Fact,
    wire: wire::Batch,
    records: usize,
    max_rows: usize,
    reporting: Option<Tz>,
) -> Checked<RecordBatch> {
    let rows = wire.records.len();
    if rows > max_rows {
        return Err(format!("{rows} {}, {max_rows} are allowed", fact.name()));
    }
    let mut batch = Batch { fact, rows, arrays: HashMap::new() };
    batch.keep("record_index", columns::indices(wire.records, records))?;
    let mut zone = batch.zone(&wire.timezone, wire.timezone_basis, reporting)?;
    for column in wire.columns {
        batch.take(column, &mut zone)?;
    }
    in_order(fact, rows, batch.arrays)
}

/// The batch of a kind in the schema's order, with what the guest may leave out.
///
/// # Errors
/// A required column that is missing.
pub(crate) fn in_order(fact: Fact, rows: usize, mut arrays: HashMap<&'static str, ArrayRef>) -> Checked<RecordBatch> {
    let failed = |column: &str, what: &str| format!("{}.{column}: {what}", fact.name());
    for column in fact.columns().iter().filter(|column| column.given_by == GivenBy::Connector) {
        match column.presence {
            Presence::Nullable => {}
            _ if arrays.contains_key(column.name) => {}
            Presence::Implied(word) => {
                let implied = columns::constant(word, rows).map_err(|what| failed(column.name, &what))?;
                arrays.insert(column.name, implied);
            }
            Presence::Required => return Err(failed(column.name, "it is missing")),
        }
    }
    let schema = fact.mapped_schema();
    // Most columns that are missing are texts, and share one array.
    let no_text = new_null_array(&DataType::Utf8, rows);
    let arrays = schema.fields().iter().map(|field| {
        arrays.remove(field.name().as_str()).unwrap_or_else(|| match field.data_type() {
            DataType::Utf8 => Arc::clone(&no_text),
            other => new_null_array(other, rows),
        })
    });
    let arrays = arrays.collect();
    RecordBatch::try_new(schema, arrays).map_err(|error| format!("{}: {error}", fact.name()))
}

/// Columns by name, as far as the guest gave them.
struct Batch {
    fact: Fact,
    rows: usize,
    arrays: HashMap<&'static str, ArrayRef>,
}

impl Batch {
    fn check<T>(&self, column: &str, checked: Checked<T>) -> Checked<T> {
        checked.map_err(|what| format!("{}.{column}: {what}", self.fact.name()))
    }

    fn keep(&mut self, column: &'static str, array: Checked<impl Array + 'static>) -> Checked<()> {
        self.keep_ref(column, array.map(|array| Arc::new(array) as ArrayRef))
    }

    fn keep_ref(&mut self, column: &'static str, array: Checked<ArrayRef>) -> Checked<()> {
        let array = self.check(column, array)?;
        self.arrays.insert(column, array);
        Ok(())
    }

    /// The zone of days and local times, which the rows name.
    fn zone(&mut self, stated: &str, basis: wire::TimezoneBasis, reporting: Option<Tz>) -> Checked<Zone> {
        let mut zone = self.check("timezone", Zone::new(stated))?;
        let mut name = stated;
        let mut basis = TimezoneBasis::NAMES.get(basis as usize).copied().unwrap_or_default();
        let is_assumed = basis == TimezoneBasis::Assumed.name() || basis == TimezoneBasis::AssumedUtc.name();
        if let Some(reporting) = reporting.filter(|reporting| is_assumed && reporting.name() != stated) {
            zone = Zone::of(reporting);
            (name, basis) = (reporting.name(), TimezoneBasis::Operator.name());
        }
        self.keep_ref("network_timezone", columns::constant(name, self.rows))?;
        self.keep_ref("timezone_basis", columns::constant(basis, self.rows))?;
        Ok(zone)
    }

    /// Takes a column in the schema's type.
    fn take(&mut self, wire::Column { name, values }: wire::Column, zone: &mut Zone) -> Checked<()> {
        let fact = self.fact;
        let known = fact.mapped_column(&name).filter(|column| column.given_by == GivenBy::Connector);
        let column = known.ok_or_else(|| format!("{} have no column {}", fact.name(), quoted(&name)))?;
        if self.arrays.contains_key(column.name) {
            return self.check(column.name, Err("it comes twice".to_owned()));
        }
        let rows = self.rows;
        match (column.kind, values) {
            (ColumnKind::Text, wire::Values::Text(text)) => self.keep(column.name, columns::text(text, rows))?,
            (ColumnKind::Id, wire::Values::Text(text)) => {
                self.keep(column.name, columns::text(text, rows).and_then(ids))?;
            }
            (ColumnKind::Currency, wire::Values::Text(text)) => self.currencies(column, text)?,
            (ColumnKind::Money, wire::Values::Money(money)) => self.keep(column.name, columns::money(money, rows))?,
            (ColumnKind::Int64, wire::Values::Money(money)) => self.keep(column.name, columns::whole(money, rows))?,
            (ColumnKind::Flag, wire::Values::Flag(flags)) => self.keep(column.name, columns::boolean(flags, rows))?,
            (ColumnKind::Enum(names), wire::Values::Words(words)) => {
                let words = columns::words(words, rows, names).map(|(_, array)| array);
                self.keep_ref(column.name, words)?;
            }
            (ColumnKind::Time, wire::Values::Time(times)) => {
                self.keep(column.name, zone.times(times, rows).and_then(Times::array))?;
            }
            (ColumnKind::Day, wire::Values::Time(times)) => self.keep(column.name, days(zone, times, rows))?,
            (kind, _) => return self.check(column.name, Err(format!("its values are no {}", kind.type_name()))),
        }
        let has_nulls = self.arrays.get(column.name).is_some_and(|array| array.null_count() > 0);
        if has_nulls && !column.nullable() { self.check(column.name, Err("it has nulls".to_owned())) } else { Ok(()) }
    }

    fn currencies(&mut self, column: &'static UnifiedColumn, text: wire::TextColumnResult) -> Checked<()> {
        let currencies = self.check(column.name, currency::currencies(text, self.rows))?;
        let raw = self.fact.mapped_column(&format!("{}_raw", column.name));
        if let (Some(written), Some(raw)) = (currencies.written, raw) {
            self.keep(raw.name, Ok(written))?;
        }
        self.keep(column.name, Ok(currencies.codes))
    }
}

/// The calendar days of moments, as the network counts them.
fn days(zone: &mut Zone, times: wire::TimeColumn, rows: usize) -> Checked<Date32Array> {
    let times = zone.times(times, rows)?;
    let days = zone.days(&times.instants);
    Date32Array::try_new(days.into(), times.valid).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use arrow::array::AsArray;
    use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type};

    use super::*;

    /// 2026-01-01.
    const NEW_YEAR: i64 = 1_767_225_600_000_000;

    fn text(values: &[&str]) -> wire::Values {
        let mut column = wire::TextColumnResult { offsets: vec![0], bytes: vec![], valid: vec![] };
        for value in values {
            column.bytes.extend_from_slice(value.as_bytes());
            column.offsets.push(u32::try_from(column.bytes.len()).unwrap());
        }
        wire::Values::Text(column)
    }

    fn money(values: &[i64]) -> wire::Values {
        wire::Values::Money(wire::MoneyColumn { values: values.to_vec(), valid: vec![] })
    }

    fn date(values: &[i64]) -> wire::Values {
        let bases = vec![wire::TimeBasis::Date as u8; values.len()];
        wire::Values::Time(wire::TimeColumn { values: values.to_vec(), bases, valid: vec![] })
    }

    fn of(fact: &str, columns: Vec<(&str, wire::Values)>) -> wire::Batch {
        let columns = columns.into_iter().map(|(name, values)| wire::Column { name: name.to_owned(), values });
        wire::Batch {
            fact: fact.to_owned(),
            records: vec![0],
            timezone: "Europe/Stockholm".to_owned(),
            timezone_basis: wire::TimezoneBasis::Assumed,
            columns: columns.collect(),
        }
    }

    fn taken(wire: wire::Batch) -> Checked<RecordBatch> {
        batch(Fact::named(&wire.fact).unwrap(), wire, 1, 10, None)
    }

    #[test]
    fn a_kind_comes_once_and_is_known() {
        assert!(by_kind(vec![]).unwrap().is_empty());
        let kinds = by_kind(vec![of("payments", vec![]), of("transactions", vec![])]).unwrap();
        assert_eq!(kinds.into_keys().collect::<Vec<_>>(), [Fact::Transactions, Fact::Payments]);
        let twice = by_kind(vec![of("payments", vec![]), of("payments", vec![])]);
        assert_eq!(twice.unwrap_err(), "it gives two batches of payments");
        let unknown = by_kind(vec![of("coupons", vec![])]);
        assert_eq!(unknown.unwrap_err(), "this host has no table for facts of the kind \"coupons\"");
    }

    #[test]
    fn a_record_that_no_fact_and_no_reject_names_is_lost() {
        let payments = || BTreeMap::from([(Fact::Payments, of("payments", vec![]))]);
        let reject = |record_index| Reject { record_index, reason: "no date".to_owned() };
        assert_eq!(check_lost(&payments(), &[], 1, "list"), Ok(()), "a page of nothing but payments");
        assert_eq!(check_lost(&payments(), &[reject(1)], 2, "list"), Ok(()));
        assert_eq!(check_lost(&BTreeMap::new(), &[reject(0)], 1, "list"), Ok(()));
        let lost = |batches, rejects: &[Reject]| check_lost(&batches, rejects, 2, "list").unwrap_err();
        let reason = "record 1 of `list` has neither a fact nor a reject";
        assert_eq!(lost(payments(), &[]), reason);
        assert_eq!(lost(payments(), &[reject(0), reject(0)]), reason);
        assert_eq!(lost(BTreeMap::new(), &[reject(0), reject(0)]), "no transactions, though `list` has them");
    }

    #[test]
    fn a_payment_has_the_schemas_columns() {
        let columns =
            vec![("payment_id", text(&["9"])), ("amount", money(&[12_500_000])), ("currency", text(&["eur"]))];
        let rows = taken(of("payments", columns)).unwrap();
        assert_eq!(rows.schema(), Fact::Payments.mapped_schema());
        let cell = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
        assert_eq!(["currency", "currency_raw", "payment_status"].map(cell), ["EUR", "eur", "unknown"]);
        assert_eq!(rows.column_by_name("amount").unwrap().as_primitive::<Decimal128Type>().value(0), 12_500_000);
        assert!(rows.column_by_name("paid_at").unwrap().is_null(0));
    }

    #[test]
    fn days_are_the_networks_and_counts_are_whole() {
        let with = |clicks: i64| {
            let columns =
                vec![("aggregate_id", text(&["a"])), ("day", date(&[NEW_YEAR])), ("clicks", money(&[clicks]))];
            of("aggregates", columns)
        };
        let rows = taken(with(7_000_000)).unwrap();
        let new_year = i32::try_from(NEW_YEAR / 86_400_000_000).unwrap();
        assert_eq!(rows.column_by_name("day").unwrap().as_primitive::<Date32Type>().value(0), new_year);
        assert_eq!(rows.column_by_name("clicks").unwrap().as_primitive::<Int64Type>().value(0), 7);
        let elsewhere = batch(Fact::Aggregates, with(0), 1, 10, Some(chrono_tz::America::New_York)).unwrap();
        assert_eq!(elsewhere.column_by_name("day").unwrap().as_primitive::<Date32Type>().value(0), new_year);
        let zone = elsewhere.column_by_name("network_timezone").unwrap().as_string::<i32>().value(0);
        assert_eq!(zone, "America/New_York", "the connector only assumes a zone");
        let same = batch(Fact::Aggregates, with(0), 1, 10, Some(chrono_tz::Europe::Stockholm)).unwrap();
        let basis = same.column_by_name("timezone_basis").unwrap().as_string::<i32>().value(0);
        assert_eq!(basis, "assumed", "as of transactions: the operator sets no other zone");
        let reason = "aggregates.clicks: row 0 is 1500000 millionths, which is no whole number";
        assert_eq!(taken(with(1_500_000)).unwrap_err(), reason);
    }

    #[test]
    fn what_the_schema_does_not_have_is_refused_by_name() {
        let refused = |columns| taken(of("payments", columns)).expect_err("it is malformed");
        assert_eq!(refused(vec![]), "payments.payment_id: it is missing");
        assert_eq!(refused(vec![("clicks", money(&[0]))]), "payments have no column \"clicks\"");
        assert_eq!(refused(vec![("currency_raw", text(&["x"]))]), "payments have no column \"currency_raw\"");
        assert_eq!(refused(vec![("amount", text(&["1"]))]), "payments.amount: its values are no decimal(18, 6)");
        let twice = vec![("payment_id", text(&["1"])), ("payment_id", text(&["1"]))];
        assert_eq!(refused(twice), "payments.payment_id: it comes twice");
        let empty = refused(vec![("payment_id", text(&[""]))]);
        assert_eq!(empty, "payments.payment_id: row 0 is empty or longer than 1024 bytes");
    }
}
