//! Items of transactions that are rejected: their amounts would be in the tables without what they are a part of.

use std::collections::HashSet;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use sluice_model::{Fact, RawObject, Reject, transaction_keys};

use crate::error::Error;
use crate::versions::{record_index, table_name, texts};

/// Facts without the items of transactions of these keys. Records that gave such items and aren't rejected already are now.
pub(super) fn without_orphans(
    origin: &RawObject,
    fact: Fact,
    rows: RecordBatch,
    rejected: &HashSet<u128>,
    rejects: &mut Vec<Reject>,
) -> Result<RecordBatch, Error> {
    if fact != Fact::Items || rejected.is_empty() {
        return Ok(rows);
    }
    let (ids, places) = (texts(fact, &rows, Fact::Transactions.id())?, record_index(fact, &rows)?);
    let slice = &origin.slice;
    let mut key_of = transaction_keys(&slice.network, &slice.account, &slice.stream);
    let mut records: HashSet<u32> = rejects.iter().map(|reject| reject.record_index).collect();
    let mut kept = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let is_orphan = rejected.contains(&key_of(ids.value(row)));
        kept.push(!is_orphan);
        let record_index = places.value(row);
        if is_orphan && records.insert(record_index) {
            let id: String = ids.value(row).chars().take(100).collect();
            let reason = format!("its items are a part of transaction `{id}`, which is rejected");
            rejects.push(Reject { record_index, reason });
        }
    }
    filter_record_batch(&rows, &BooleanArray::from(kept)).map_err(|source| Error::rows(&table_name(fact), source))
}
