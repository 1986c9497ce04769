//! A guest's transactions as a record batch in the schema of `sluice_model::mapped_transactions_schema`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::DataType;
use sluice_model::{
    IdBasis, PaymentStatus, TimeBasis, TimezoneBasis, TransactionKind, ValidationStatus, mapped_transactions_schema,
    money_type,
};

use crate::columns::{self, Checked};
use crate::contract::wire;
use crate::times::Zone;

/// Longest transaction id, in bytes.
const MAX_ID: usize = 1_024;

/// The record batch of transactions that came from so many records.
///
/// # Errors
/// Which column breaks which rule of the contract.
pub(crate) fn batch(wire: wire::Transactions, records: usize, max_rows: usize) -> Checked<RecordBatch> {
    let rows = wire.records.len();
    if rows > max_rows {
        return Err(format!("{rows} transactions, {max_rows} are allowed"));
    }
    let mut batch = Batch { rows, arrays: HashMap::new() };
    batch.keep("record_index", columns::indices(wire.records, records))?;
    let id = batch.check("transaction_id", columns::text(wire.transaction_id, rows).and_then(ids))?;
    batch.keep("transaction_id", Ok(id))?;
    batch.id_basis(wire.id_basis)?;
    let validation = batch.words("validation_status", wire.validation_status, ValidationStatus::NAMES)?;
    batch.words("kind", wire.kind, TransactionKind::NAMES)?;
    batch.words("payment_status", wire.payment_status, PaymentStatus::NAMES)?;
    if let Some(column) = wire.is_locked {
        batch.keep("is_locked", columns::boolean(column, rows))?;
    }
    batch.texts([
        ("status_raw", wire.status_raw),
        ("payment_status_raw", wire.payment_status_raw),
        ("reason_raw", wire.reason_raw),
        ("parent_transaction_id", wire.parent_transaction_id),
        ("group_key", wire.group_key),
        ("order_id", wire.order_id),
        ("advertiser_id", wire.advertiser_id),
        ("advertiser_name", wire.advertiser_name),
        ("site_id", wire.site_id),
        ("site_name", wire.site_name),
        ("amounts_reported", wire.amounts_reported),
        ("click_id", wire.click_id),
        ("voucher_code", wire.voucher_code),
        ("device", wire.device),
        ("customer_country", wire.customer_country),
        ("commission_group", wire.commission_group),
        ("payment_id", wire.payment_id),
    ])?;
    let mut zone = batch.check("timezone", Zone::new(&wire.timezone))?;
    batch.keep_ref("network_timezone", columns::constant(&wire.timezone, rows))?;
    let basis = name(TimezoneBasis::NAMES, wire.timezone_basis as usize);
    batch.keep_ref("timezone_basis", columns::constant(basis, rows))?;
    batch.transacted_at(wire.transacted_at, &mut zone)?;
    batch.times(
        &mut zone,
        [
            ("clicked_at", wire.clicked_at),
            ("recorded_at", wire.recorded_at),
            ("modified_at", wire.modified_at),
            ("validated_at", wire.validated_at),
            ("reversed_at", wire.reversed_at),
            ("locks_at", wire.locks_at),
            ("payable_at", wire.payable_at),
            ("paid_at", wire.paid_at),
        ],
    )?;
    batch.commission(wire.commission_amount, &validation)?;
    batch.moneys([
        ("sale_amount", wire.sale_amount),
        ("original_sale_amount", wire.original_sale_amount),
        ("original_commission_amount", wire.original_commission_amount),
    ])?;
    batch.currencies([("sale_currency", wire.sale_currency), ("commission_currency", wire.commission_currency)])?;
    batch.sub_ids(wire.sub_ids)?;
    batch.finish()
}

/// Columns by name, as far as the guest gave them.
struct Batch {
    rows: usize,
    arrays: HashMap<&'static str, ArrayRef>,
}

type Optional<T, const N: usize> = [(&'static str, Option<T>); N];

impl Batch {
    fn check<T>(&self, column: &str, checked: Checked<T>) -> Checked<T> {
        checked.map_err(|what| format!("transactions.{column}: {what}"))
    }

    fn keep(&mut self, column: &'static str, array: Checked<impl Array + 'static>) -> Checked<()> {
        self.keep_ref(column, array.map(|array| Arc::new(array) as ArrayRef))
    }

    fn keep_ref(&mut self, column: &'static str, array: Checked<ArrayRef>) -> Checked<()> {
        let array = self.check(column, array)?;
        self.arrays.insert(column, array);
        Ok(())
    }

    /// Where ids come from: from the network, unless the guest says otherwise.
    fn id_basis(&mut self, wire: Option<wire::ByteColumn>) -> Checked<()> {
        match wire {
            None => self.keep_ref("id_basis", columns::constant(IdBasis::Native.name(), self.rows)),
            Some(column) => self.words("id_basis", column, IdBasis::NAMES).map(drop),
        }
    }

    /// Keeps an enum's column and gives its ordinals.
    fn words(&mut self, column: &'static str, wire: wire::ByteColumn, names: &[&str]) -> Checked<Vec<u8>> {
        let ordinals = self.check(column, columns::ordinals(wire, self.rows, names.len()))?;
        self.keep_ref(column, columns::names(ordinals.iter().map(|&ordinal| usize::from(ordinal)), names))?;
        Ok(ordinals)
    }

    fn texts<const N: usize>(&mut self, wire: Optional<wire::TextColumnResult, N>) -> Checked<()> {
        given(wire).try_for_each(|(name, column)| self.keep(name, columns::text(column, self.rows)))
    }

    fn currencies<const N: usize>(&mut self, wire: Optional<wire::TextColumnResult, N>) -> Checked<()> {
        given(wire).try_for_each(|(name, column)| self.keep(name, columns::currency(column, self.rows)))
    }

    fn moneys<const N: usize>(&mut self, wire: Optional<wire::MoneyColumn, N>) -> Checked<()> {
        given(wire).try_for_each(|(name, column)| self.keep(name, columns::money(column, self.rows)))
    }

    fn times<const N: usize>(&mut self, zone: &mut Zone, wire: Optional<wire::TimeColumn, N>) -> Checked<()> {
        given(wire).try_for_each(|(name, column)| {
            let times = zone.times(column, self.rows);
            self.keep(name, times.and_then(|times| times.array()))
        })
    }

    /// The moment of the transaction, which no row is without, and what follows from it.
    fn transacted_at(&mut self, wire: wire::TimeColumn, zone: &mut Zone) -> Checked<()> {
        let times = self.check("transacted_at", zone.times(wire, self.rows))?;
        if times.valid.is_some() {
            return Err("transactions.transacted_at: it has nulls".to_owned());
        }
        let bases = times.bases.iter().map(|&basis| basis as usize);
        self.keep_ref("time_basis", columns::names(bases, TimeBasis::NAMES))?;
        self.keep("transaction_day", Ok(Date32Array::new(zone.days(&times.instants).into(), None)))?;
        self.keep("transacted_at", times.array())
    }

    /// The commission, and what of it counts: nothing of a declined one, else all, with its sign.
    fn commission(&mut self, wire: Option<wire::MoneyColumn>, validation: &[u8]) -> Checked<()> {
        let amounts = wire.map(|column| columns::money(column, self.rows)).transpose();
        let amounts = self.check("commission_amount", amounts)?;
        let declined = ValidationStatus::Declined as u8;
        let effective = |row: usize, amounts: &Decimal128Array| {
            if validation[row] == declined || amounts.is_null(row) { 0 } else { amounts.value(row) }
        };
        let effective: Vec<i128> = match &amounts {
            None => vec![0; self.rows],
            Some(amounts) => (0..self.rows).map(|row| effective(row, amounts)).collect(),
        };
        let effective = Decimal128Array::new(effective.into(), None).with_data_type(money_type());
        self.keep("commission_effective", Ok(effective))?;
        amounts.map_or(Ok(()), |amounts| self.keep("commission_amount", Ok(amounts)))
    }

    fn sub_ids(&mut self, wire: Option<wire::MapColumn>) -> Checked<()> {
        let Some(column) = wire else { return Ok(()) };
        let schema = mapped_transactions_schema();
        let field = schema.field_with_name("sub_ids").map_err(|error| error.to_string())?;
        self.keep("sub_ids", columns::map(column, self.rows, field.data_type()))
    }

    /// The batch in the schema's order; a column that the guest didn't give is null in all rows.
    fn finish(mut self) -> Checked<RecordBatch> {
        let schema = mapped_transactions_schema();
        // Most columns that are missing are texts, and share one array.
        let no_text = new_null_array(&DataType::Utf8, self.rows);
        let arrays = schema.fields().iter().map(|field| {
            self.arrays.remove(field.name().as_str()).unwrap_or_else(|| match field.data_type() {
                DataType::Utf8 => Arc::clone(&no_text),
                other => new_null_array(other, self.rows),
            })
        });
        let arrays = arrays.collect();
        RecordBatch::try_new(schema, arrays).map_err(|error| format!("transactions: {error}"))
    }
}

fn given<T, const N: usize>(wire: Optional<T, N>) -> impl Iterator<Item = (&'static str, T)> {
    wire.into_iter().filter_map(|(name, column)| Some((name, column?)))
}

fn ids(ids: StringArray) -> Checked<StringArray> {
    if ids.null_count() > 0 {
        return Err("it has nulls".to_owned());
    }
    match ids.offsets().windows(2).position(|pair| !(1..=MAX_ID).contains(&((pair[1] - pair[0]) as usize))) {
        Some(row) => Err(format!("row {row} is empty or longer than {MAX_ID} bytes")),
        None => Ok(ids),
    }
}

fn name<'a>(names: &[&'a str], ordinal: usize) -> &'a str {
    names.get(ordinal).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
