//! Records whose key was repaired while they were read: under it they would be new transactions beside the right ones.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use sluice_model::{Fact, NativeBatch, Notes, Reject};

use crate::error::Error;
use crate::versions::{record_index, table_name, texts};

/// The records whose key has a replaced character, each with the reason to reject it.
pub(super) fn repaired_keys(native: &NativeBatch, key: &[String], notes: &Notes) -> BTreeMap<usize, String> {
    if notes.is_empty() {
        return BTreeMap::new();
    }
    let columns: Vec<_> = native.columns.iter().filter(|column| key.contains(&column.path)).collect();
    let noted = (0..native.rows).filter(|record| notes.has_replaced(*record));
    let repaired = noted.filter_map(|record| {
        let column = columns.iter().find(|column| is_replaced(&column.text, record))?;
        Some((record, reason(&format!("`{}`", column.path), column.text.value(record))))
    });
    repaired.collect()
}

/// The facts whose ids are as the network gave them. The records of the others are added to those that are rejected.
pub(super) fn without_repaired(
    fact: Fact,
    rows: RecordBatch,
    notes: &Notes,
    repaired: &mut BTreeMap<usize, String>,
) -> Result<RecordBatch, Error> {
    if notes.is_empty() {
        return Ok(rows);
    }
    let (ids, places) = (texts(fact, &rows, fact.id())?, record_index(fact, &rows)?);
    for row in (0..rows.num_rows()).filter(|row| is_replaced(ids, *row)) {
        let record = places.value(row) as usize;
        if notes.has_replaced(record) {
            repaired.entry(record).or_insert_with(|| reason("the id", ids.value(row)));
        }
    }
    if repaired.is_empty() {
        return Ok(rows);
    }
    let kept: BooleanArray =
        places.values().iter().map(|record| Some(!repaired.contains_key(&(*record as usize)))).collect();
    filter_record_batch(&rows, &kept).map_err(|source| Error::rows(&table_name(fact), source))
}

/// Adds the rejects of records that aren't rejected already.
pub(super) fn reject_repaired(repaired: BTreeMap<usize, String>, rejects: &mut Vec<Reject>) {
    if repaired.is_empty() {
        return;
    }
    let rejected: HashSet<u32> = rejects.iter().map(|reject| reject.record_index).collect();
    for (record, reason) in repaired {
        let Ok(record_index) = u32::try_from(record) else { continue };
        if !rejected.contains(&record_index) {
            rejects.push(Reject { record_index, reason });
        }
    }
}

fn is_replaced(texts: &StringArray, at: usize) -> bool {
    at < texts.len() && texts.is_valid(at) && texts.value(at).contains(char::REPLACEMENT_CHARACTER)
}

fn reason(what: &str, text: &str) -> String {
    let shown: String = text.chars().take(100).collect();
    format!("{what} identifies the record, and characters of it can't be read: `{shown}`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::{Kinds, NativeColumn, NoteCount, NoteKind, RecordSet};

    use super::*;

    fn native(ids: &[&str]) -> NativeBatch {
        let text = StringArray::from(ids.to_vec());
        let column = NativeColumn { path: "id".to_owned(), text, kinds: Kinds::TEXT };
        NativeBatch { rows: ids.len(), columns: vec![column] }
    }

    /// Notes of a response of which characters of one record were replaced, but in which no record is noted.
    fn notes(replaced: usize) -> Notes {
        let count = NoteCount { kind: NoteKind::Nul, values: 1, record: Some(replaced), path: "id".to_owned() };
        let mut records = RecordSet::default();
        records.insert(replaced);
        Notes::new(vec![count], Vec::new(), records)
    }

    #[test]
    fn a_repaired_key_is_a_reject_that_names_it() {
        let (native, key) = (native(&["1", "1\u{fffd}2", "3\u{fffd}"]), ["id".to_owned()]);
        let found = repaired_keys(&native, &key, &notes(1));
        let reason = "`id` identifies the record, and characters of it can't be read: `1\u{fffd}2`";
        assert_eq!(found, BTreeMap::from([(1, reason.to_owned())]), "the network itself wrote the third so");
        assert!(repaired_keys(&native, &[], &notes(1)).is_empty());
        assert!(repaired_keys(&native, &key, &notes(0)).is_empty(), "left out behind the end");
        assert!(repaired_keys(&native, &key, &Notes::default()).is_empty());
        let mut rejects = vec![Reject { record_index: 1, reason: "no date".to_owned() }];
        reject_repaired(found, &mut rejects);
        assert_eq!(rejects.len(), 1, "it is one already");
    }
}
