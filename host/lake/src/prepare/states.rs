//! What a response reports of each transaction, in as few numbers as tell whether another one reports something else.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType, UInt32Type};

use super::Prepared;
use crate::hash::hash;

/// What a response reports of a transaction to which the network gives an id.
#[derive(Clone, Copy, Debug)]
pub struct TransactionState<'a> {
    /// Names the transaction, the same in all responses.
    pub key: u128,
    /// The network's id.
    pub id: &'a str,
    /// A hash of all that is reported.
    pub content: u128,
    /// A hash of the amounts, with their currencies, and of what counts of them.
    pub money: u64,
    /// The commission, in millionths.
    pub commission: Option<i128>,
    /// The record's place in the response.
    pub record: u32,
    /// When the network changed it last, microseconds since 1970.
    pub modified_at: Option<i64>,
}

impl Prepared {
    /// The transactions of the response. Rows without an id are left out: they are distinguished by their number.
    pub fn states(&self) -> Vec<TransactionState<'_>> {
        let Some((rows, keyed)) = &self.transactions else { return Vec::new() };
        let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let money =
            |name: &str| rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Decimal128Type>());
        let Some(ids) = text("transaction_id") else { return Vec::new() };
        let bases = text("id_basis");
        let amounts = ["commission_amount", "sale_amount", "commission_effective"].map(money);
        let currencies = ["commission_currency", "sale_currency"].map(text);
        let modified = rows.column_by_name("modified_at");
        let modified = modified.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let places = rows.column_by_name("record_index").and_then(|column| column.as_primitive_opt::<UInt32Type>());
        let has_id = |row: &usize| bases.is_none_or(|bases| bases.value(*row) != "row-hash");
        let mut scratch = Vec::with_capacity(128);
        let state = |row: usize| {
            let amounts =
                amounts.map(|column| column.filter(|cells| cells.is_valid(row)).map(|cells| cells.value(row)));
            let codes =
                currencies.map(|column| column.filter(|cells| cells.is_valid(row)).map(|cells| cells.value(row)));
            scratch.clear();
            for amount in amounts {
                scratch.push(u8::from(amount.is_some()));
                scratch.extend(amount.unwrap_or_default().to_le_bytes());
            }
            for code in codes {
                scratch.push(u8::from(code.is_some()));
                scratch.extend(code.unwrap_or_default().as_bytes());
                scratch.push(0);
            }
            TransactionState {
                key: keyed.keys[row],
                id: ids.value(row),
                content: keyed.contents[row],
                // Truncation is meant: 64 bits tell two states of one transaction apart.
                money: hash(&scratch) as u64,
                commission: amounts[0],
                record: places.map_or(0, |places| places.value(row)),
                modified_at: modified.filter(|times| times.is_valid(row)).map(|times| times.value(row)),
            }
        };
        (0..rows.num_rows()).filter(has_id).map(state).collect()
    }
}
