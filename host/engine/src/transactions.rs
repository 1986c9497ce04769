//! A guest's transactions as a record batch in the schema of `sluice_model::mapped_transactions_schema`. The columns
//! and their kinds are in [`sluice_model::unified`].

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, RecordBatch, StringArray};
use arrow::datatypes::Decimal128Type;
use chrono_tz::Tz;
use sluice_model::unified::{ColumnKind, Fact, GivenBy, UnifiedColumn, mapped_column};
use sluice_model::{TimeBasis, TimezoneBasis, ValidationStatus, money_type};

use crate::call::quoted;
use crate::columns::{self, Checked};
use crate::contract::wire;
use crate::currency::{self, is_no_money};
use crate::facts;
use crate::times::Zone;

/// The kind of fact that unified transactions are.
pub(crate) const TRANSACTIONS: &str = Fact::Transactions.name();

/// Longest id, in bytes.
const MAX_ID: usize = 1_024;

/// The record batch of transactions that came from so many records. `reporting`: the zone of the account's reporting days,
/// where the operator sets it.
///
/// # Errors
/// Which column breaks which rule of the contract.
pub(crate) fn batch(wire: wire::Batch, records: usize, max_rows: usize, reporting: Option<Tz>) -> Checked<RecordBatch> {
    let rows = wire.records.len();
    if rows > max_rows {
        return Err(format!("{rows} transactions, {max_rows} are allowed"));
    }
    let mut batch = Batch { rows, arrays: HashMap::new(), validation: Vec::new() };
    batch.keep("record_index", columns::indices(wire.records, records))?;
    let mut zones = batch.zones(&wire.timezone, wire.timezone_basis, reporting)?;
    for column in wire.columns {
        batch.take(column, &mut zones)?;
    }
    batch.commission_effective()?;
    facts::in_order(Fact::Transactions, rows, batch.arrays)
}

/// The zones of an answer.
struct Zones {
    /// Of local times.
    local: Zone,
    /// Of reporting days, where it is another one.
    days: Option<Zone>,
}

/// Columns by name, as far as the guest gave them.
struct Batch {
    rows: usize,
    arrays: HashMap<&'static str, ArrayRef>,
    /// Ordinals of `validation_status`.
    validation: Vec<u8>,
}

impl Batch {
    fn check<T>(&self, column: &str, checked: Checked<T>) -> Checked<T> {
        checked.map_err(|what| format!("{TRANSACTIONS}.{column}: {what}"))
    }

    fn keep(&mut self, column: &'static str, array: Checked<impl Array + 'static>) -> Checked<()> {
        self.keep_ref(column, array.map(|array| Arc::new(array) as ArrayRef))
    }

    fn keep_ref(&mut self, column: &'static str, array: Checked<ArrayRef>) -> Checked<()> {
        let array = self.check(column, array)?;
        self.arrays.insert(column, array);
        Ok(())
    }

    /// The zones of an answer, which its rows name. A zone that the operator says is that of reporting days, and of local
    /// times too where the connector only assumes theirs.
    fn zones(&mut self, stated: &str, basis: wire::TimezoneBasis, reporting: Option<Tz>) -> Checked<Zones> {
        let given = TimezoneBasis::NAMES.get(basis as usize).copied().unwrap_or_default();
        let mut zones = Zones { local: self.check("timezone", Zone::new(stated))?, days: None };
        let (mut name, mut basis) = (stated, given);
        if let Some(reporting) = reporting.filter(|zone| zone.name() != stated) {
            (name, basis) = (reporting.name(), TimezoneBasis::Operator.name());
            let zone = Zone::of(reporting);
            if given == TimezoneBasis::Assumed.name() || given == TimezoneBasis::AssumedUtc.name() {
                zones.local = zone;
            } else {
                zones.days = Some(zone);
            }
        }
        self.keep_ref("network_timezone", columns::constant(name, self.rows))?;
        self.keep_ref("timezone_basis", columns::constant(basis, self.rows))?;
        Ok(zones)
    }

    /// Takes a column in the schema's type.
    fn take(&mut self, wire::Column { name, values }: wire::Column, zones: &mut Zones) -> Checked<()> {
        let known = mapped_column(&name).filter(|column| column.given_by == GivenBy::Connector);
        let column = known.ok_or_else(|| format!("{TRANSACTIONS} have no column {}", quoted(&name)))?;
        if self.arrays.contains_key(column.name) {
            return self.check(column.name, Err("it comes twice".to_owned()));
        }
        let rows = self.rows;
        match (column.kind, values) {
            (ColumnKind::Text, wire::Values::Text(text)) => self.keep(column.name, columns::text(text, rows))?,
            (ColumnKind::Id, wire::Values::Text(text)) => {
                self.keep(column.name, columns::text(text, rows).and_then(ids))?;
            }
            (ColumnKind::Currency, wire::Values::Text(text)) => {
                let currencies = self.check(column.name, currency::currencies(text, rows))?;
                if let (Some(written), Some(raw)) = (currencies.written, mapped_column(&format!("{name}_raw"))) {
                    self.keep(raw.name, Ok(written))?;
                }
                self.keep(column.name, Ok(currencies.codes))?;
            }
            (ColumnKind::Money, wire::Values::Money(money)) => self.keep(column.name, columns::money(money, rows))?,
            (ColumnKind::Flag, wire::Values::Flag(flags)) => self.keep(column.name, columns::boolean(flags, rows))?,
            (ColumnKind::Enum(names), wire::Values::Words(words)) => self.words(column, words, names)?,
            (ColumnKind::Time, wire::Values::Time(times)) => self.times(column, times, zones)?,
            (ColumnKind::Pairs, wire::Values::Pairs(pairs)) => {
                self.keep(column.name, columns::map(pairs, rows, &column.kind.data_type()))?;
            }
            (kind, _) => return self.check(column.name, Err(format!("its values are no {}", kind.type_name()))),
        }
        let has_nulls = self.arrays.get(column.name).is_some_and(|array| array.null_count() > 0);
        if has_nulls && !column.nullable() { self.check(column.name, Err("it has nulls".to_owned())) } else { Ok(()) }
    }

    fn words(&mut self, column: &UnifiedColumn, words: wire::ByteColumn, names: &[&str]) -> Checked<()> {
        let (ordinals, array) = self.check(column.name, columns::words(words, self.rows, names))?;
        self.arrays.insert(column.name, array);
        if column.name == "validation_status" {
            self.validation = ordinals;
        }
        Ok(())
    }

    /// Instants; of the moment of the transaction also what follows from it.
    fn times(&mut self, column: &UnifiedColumn, wire: wire::TimeColumn, zones: &mut Zones) -> Checked<()> {
        let times = self.check(column.name, zones.local.times(wire, self.rows))?;
        if column.name == "transacted_at" {
            let bases = times.bases.iter().map(|&basis| basis as usize);
            self.keep_ref("time_basis", columns::names(bases, TimeBasis::NAMES))?;
            let zone = zones.days.as_mut().unwrap_or(&mut zones.local);
            self.keep("transaction_day", Ok(Date32Array::new(zone.days(&times.instants).into(), None)))?;
        }
        self.keep(column.name, times.array())
    }

    /// What of the commission counts: nothing of a declined one, nor of points and the like, else all, with its sign.
    fn commission_effective(&mut self) -> Checked<()> {
        let amounts = self.arrays.get("commission_amount").and_then(|array| array.as_primitive_opt::<Decimal128Type>());
        let declined = ValidationStatus::Declined as u8;
        let [code, written] = ["commission_currency", "commission_currency_raw"].map(|name| self.arrays.get(name));
        let counts = |row: usize, amounts: &Decimal128Array| {
            amounts.is_valid(row)
                && !is_no_money(code, written, row)
                && self.validation.get(row).is_none_or(|ordinal| *ordinal != declined)
        };
        let effective: Vec<i128> = match amounts {
            None => vec![0; self.rows],
            Some(amounts) => {
                let amount = |row| if counts(row, amounts) { amounts.value(row) } else { 0 };
                (0..self.rows).map(amount).collect()
            }
        };
        let effective = Decimal128Array::new(effective.into(), None).with_data_type(money_type());
        self.keep("commission_effective", Ok(effective))
    }
}

/// Texts that name rows.
pub(crate) fn ids(ids: StringArray) -> Checked<StringArray> {
    // What a null covers is no id.
    let is_id = |row: usize, length: usize| ids.is_null(row) || (1..=MAX_ID).contains(&length);
    let lengths = ids.offsets().windows(2).map(|pair| (pair[1] - pair[0]) as usize);
    match lengths.enumerate().find(|(row, length)| !is_id(*row, *length)) {
        Some((row, _)) => Err(format!("row {row} is empty or longer than {MAX_ID} bytes")),
        None => Ok(ids),
    }
}

#[cfg(test)]
mod tests;
