//! Content hashes of mapped transactions: one half for what was sold, one for who sent the customer.
//!
//! The upper half is a hash of the core columns. The lower half is the sum of the hashes of single attribution cells,
//! so that a new row shows, without the old one's cells, whether some of its own only arrived since: then the old
//! sum is that of some of the new cells.

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, MapArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, Int64Type, TimeUnit, TimestampMicrosecondType};
use sluice_model::Fact;
use sluice_model::unified::Group;

use super::{hash, push_text, tag};
use crate::error::Error;

/// The content hash of tombstones: of a transaction that its network no longer reports, and of a fact that a replay took back.
pub(crate) const VANISHED: u128 = 0;

/// Attribution cells of a row of which all subsets are tried.
const MAX_CELLS: usize = 12;

/// The columns of mapped transactions, ready to be hashed.
pub(crate) struct TransactionCells<'a> {
    rows: usize,
    core: Vec<([u8; 8], Cells<'a>)>,
    attribution: Vec<([u8; 8], Cells<'a>)>,
}

impl<'a> TransactionCells<'a> {
    /// All columns of a kind of facts but `record_index`, in its order. Only transactions have attribution.
    pub(crate) fn of(fact: Fact, rows: &'a RecordBatch) -> Result<Self, Error> {
        let (mut core, mut attribution) = (Vec::with_capacity(rows.num_columns()), Vec::new());
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            let Some(known) = fact.mapped_column(field.name()) else { continue };
            let half = if known.group == Group::Attribution { &mut attribution } else { &mut core };
            let cells = Cells::of(field, column)?;
            // Many columns are of other networks.
            if column.null_count() < rows.num_rows() {
                half.push((tag(known.name), cells));
            }
        }
        Ok(Self { rows: rows.num_rows(), core, attribution })
    }

    /// The content hash of each row: nulls left out, each value under its column's name.
    pub(crate) fn hashes(&self) -> Vec<u128> {
        let mut scratch = Vec::with_capacity(1024);
        let hashes = (0..self.rows).map(|row| {
            scratch.clear();
            self.core.iter().for_each(|(tag, cells)| cells.push(&mut scratch, tag, row));
            // Truncation is meant: 64 bits distinguish two contents of one transaction.
            let core = hash(&scratch) as u64;
            let mut sum = 0_u64;
            self.each_attribution(&mut scratch, row, |cell| sum = sum.wrapping_add(cell));
            u128::from(core) << 64 | u128::from(sum)
        });
        hashes.collect()
    }

    /// Whether a row's attribution is that of content `known`, and some that it didn't have.
    pub(crate) fn arrived(&self, row: usize, known: u128) -> bool {
        // Truncation is meant: the lower half.
        let known_sum = known as u64;
        let mut cells = Vec::new();
        self.each_attribution(&mut Vec::with_capacity(256), row, |cell| cells.push(cell));
        if cells.len() > MAX_CELLS {
            return false;
        }
        let all = (1_u32 << cells.len()) - 1;
        let sum = |subset: u32| {
            let chosen = cells.iter().enumerate().filter(|(place, _)| subset & (1 << place) != 0);
            chosen.fold(0_u64, |sum, (_, cell)| sum.wrapping_add(*cell))
        };
        (0..all).any(|subset| sum(subset) == known_sum)
    }

    fn each_attribution(&self, scratch: &mut Vec<u8>, row: usize, mut each: impl FnMut(u64)) {
        for (tag, cells) in &self.attribution {
            match cells {
                Cells::Pairs(cells, keys, values) => {
                    let offsets = cells.value_offsets();
                    let pairs = offsets[row] as usize..offsets[row + 1] as usize;
                    for pair in pairs.filter(|_| cells.is_valid(row)) {
                        scratch.clear();
                        push_text(scratch, tag, keys.value(pair));
                        if values.is_valid(pair) {
                            push_text(scratch, tag, values.value(pair));
                        }
                        each(hash(scratch) as u64);
                    }
                }
                _ => {
                    scratch.clear();
                    cells.push(scratch, tag, row);
                    if !scratch.is_empty() {
                        each(hash(scratch) as u64);
                    }
                }
            }
        }
    }
}

/// The content hash of each row of a kind of facts.
pub(crate) fn content_hashes(fact: Fact, rows: &RecordBatch) -> Result<Vec<u128>, Error> {
    Ok(TransactionCells::of(fact, rows)?.hashes())
}

/// Whether two contents differ in nothing but attribution.
pub(crate) fn same_core(one: u128, other: u128) -> bool {
    one >> 64 == other >> 64
}

enum Cells<'a> {
    Text(&'a StringArray),
    Time(&'a TimestampMicrosecondArray),
    Money(&'a Decimal128Array),
    Flag(&'a BooleanArray),
    Day(&'a Date32Array),
    Number(&'a Int64Array),
    Pairs(&'a MapArray, &'a StringArray, &'a StringArray),
}

impl<'a> Cells<'a> {
    fn of(field: &Field, column: &'a dyn Array) -> Result<Self, Error> {
        let cells = match field.data_type() {
            DataType::Utf8 => column.as_string_opt().map(Cells::Text),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                column.as_primitive_opt::<TimestampMicrosecondType>().map(Cells::Time)
            }
            DataType::Decimal128(..) => column.as_primitive_opt::<Decimal128Type>().map(Cells::Money),
            DataType::Boolean => column.as_boolean_opt().map(Cells::Flag),
            DataType::Date32 => column.as_primitive_opt::<Date32Type>().map(Cells::Day),
            DataType::Int64 => column.as_primitive_opt::<Int64Type>().map(Cells::Number),
            DataType::Map(..) => column
                .as_map_opt()
                .and_then(|map| Some(Cells::Pairs(map, map.keys().as_string_opt()?, map.values().as_string_opt()?))),
            _ => None,
        };
        cells.ok_or_else(|| Error::Column {
            table: "unified.transaction_versions".to_owned(),
            column: field.name().clone(),
            found: field.data_type().to_string(),
            expected: "of a type that a content hash knows".to_owned(),
        })
    }

    /// The cell of a row under the tag of its column; nothing if it is null.
    fn push(&self, scratch: &mut Vec<u8>, tag: &[u8; 8], row: usize) {
        match self {
            Self::Text(cells) if cells.is_valid(row) => push_text(scratch, tag, cells.value(row)),
            Self::Time(cells) if cells.is_valid(row) => push_fixed(scratch, tag, &cells.value(row).to_le_bytes()),
            Self::Money(cells) if cells.is_valid(row) => push_fixed(scratch, tag, &cells.value(row).to_le_bytes()),
            Self::Flag(cells) if cells.is_valid(row) => push_fixed(scratch, tag, &[u8::from(cells.value(row))]),
            Self::Number(cells) if cells.is_valid(row) => push_fixed(scratch, tag, &cells.value(row).to_le_bytes()),
            Self::Day(cells) if cells.is_valid(row) => push_fixed(scratch, tag, &cells.value(row).to_le_bytes()),
            // Null, or pairs: each of these is hashed on its own.
            _ => {}
        }
    }
}

fn push_fixed(scratch: &mut Vec<u8>, tag: &[u8; 8], bytes: &[u8]) {
    scratch.extend_from_slice(tag);
    scratch.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::Arc;

    use arrow::array::ArrayRef;

    use super::*;

    /// One row: order, sub-ids, status.
    fn row(order: Option<&str>, sub_ids: &[(&str, &str)], status: &str) -> RecordBatch {
        RecordBatch::try_from_iter([
            ("order_id", Arc::new(StringArray::from(vec![order])) as ArrayRef),
            ("sub_ids", Arc::new(crate::tests::pairs(sub_ids))),
            ("validation_status", Arc::new(StringArray::from(vec![status]))),
        ])
        .unwrap()
    }

    fn content(rows: &RecordBatch) -> u128 {
        content_hashes(Fact::Transactions, rows).unwrap()[0]
    }

    fn arrived(before: &RecordBatch, after: &RecordBatch) -> bool {
        let cells = TransactionCells::of(Fact::Transactions, after).unwrap();
        same_core(content(before), content(after)) && cells.arrived(0, content(before))
    }

    #[test]
    fn attribution_that_is_new_arrived() {
        let bare = row(None, &[], "pending");
        let one = row(None, &[("u1", "a")], "pending");
        let all = row(Some("o1"), &[("u2", "b"), ("u1", "a")], "pending");
        assert!(arrived(&bare, &one));
        assert!(arrived(&bare, &all));
        assert!(arrived(&one, &all));
    }

    #[test]
    fn attribution_that_left_or_changed_did_not_arrive() {
        let one = row(None, &[("u1", "a")], "pending");
        assert!(!arrived(&one, &row(None, &[], "pending")));
        assert!(!arrived(&one, &row(Some("o1"), &[("u1", "b")], "pending")));
        assert!(!arrived(&one, &row(Some("o1"), &[("u1", "a")], "approved")));
        assert!(!arrived(&one, &one), "nothing arrived");
    }

    /// The mapped columns of the first release.
    const FIRST_COLUMNS: &str = "transaction_id id_basis parent_transaction_id group_key order_id kind advertiser_id \
        advertiser_name site_id site_name clicked_at transacted_at recorded_at modified_at validated_at reversed_at \
        locks_at payable_at paid_at time_basis transaction_day network_timezone timezone_basis validation_status \
        is_locked payment_status status_raw payment_status_raw reason_raw sale_amount sale_currency commission_amount \
        commission_currency commission_effective amounts_reported original_sale_amount original_commission_amount \
        sub_ids click_id voucher_code device customer_country commission_group payment_id";

    /// A value that follows from the column's name, for columns of the first release; null for later ones.
    fn cell(field: &Field) -> ArrayRef {
        let name = field.name().as_str();
        if !FIRST_COLUMNS.split_whitespace().any(|first| first == name) {
            return arrow::array::new_null_array(field.data_type(), 1);
        }
        let number = name.len() as i64;
        match field.data_type() {
            DataType::Utf8 => Arc::new(StringArray::from(vec![format!("of {name}")])),
            DataType::Timestamp(..) => Arc::new(TimestampMicrosecondArray::from(vec![number]).with_timezone("UTC")),
            DataType::Decimal128(..) => {
                let amount = Decimal128Array::from(vec![i128::from(number)]);
                Arc::new(amount.with_data_type(field.data_type().clone()))
            }
            DataType::Boolean => Arc::new(BooleanArray::from(vec![true])),
            DataType::Date32 => Arc::new(Date32Array::from(vec![number as i32])),
            DataType::Map(..) => row(None, &[("u1", "a"), ("u2", "b")], "pending").column(1).clone(),
            other => panic!("no value of {other}"),
        }
    }

    /// History may not change: what the first release wrote has the hash that it had, whatever columns came since.
    #[test]
    fn rows_of_the_first_release_keep_their_hash() {
        let schema = sluice_model::mapped_transactions_schema();
        let columns = schema.fields().iter().map(|field| (field.name().as_str(), cell(field)));
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(format!("{:032x}", content(&rows)), "0eb3d5ff09494c3b822b6625f7271e75");
    }

    #[test]
    fn the_order_of_sub_ids_does_not_count() {
        let there = row(None, &[("u1", "a"), ("u2", "b")], "pending");
        let back = row(None, &[("u2", "b"), ("u1", "a")], "pending");
        assert_eq!(content(&there), content(&back));
        assert_ne!(content(&there), content(&row(None, &[("u1", "b"), ("u2", "a")], "pending")));
    }
}
