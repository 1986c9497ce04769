//! Whether a connector gives the same answer twice, as a replay in ten years must get it.
//!
//! Inside the sandbox a guest can't do otherwise: every call has a fresh memory, a clock that doesn't advance and one
//! seed. The check detects a fault of the sandbox before the lake has rows that can't be reproduced.

use arrow::array::{Array, RecordBatch};
use sluice_model::{Fact, Mapped};

/// Where two answers to the same bytes differ first; nothing if they don't.
pub(crate) fn difference(first: &Mapped, second: &Mapped) -> Option<String> {
    native(first, second)
        .or_else(|| transactions(first, second))
        .or_else(|| facts(first, second))
        .or_else(|| (first.rejects != second.rejects).then(|| "the rejects".to_owned()))
        .or_else(|| (first.unknown_statuses != second.unknown_statuses).then(|| "the unknown status words".to_owned()))
        .or_else(|| (first.total != second.total).then(|| "the total".to_owned()))
}

fn native(first: &Mapped, second: &Mapped) -> Option<String> {
    let (first, second) = (&first.native, &second.native);
    if first.rows != second.rows || first.columns.len() != second.columns.len() {
        let size = |rows: usize, columns: usize| format!("{rows} records of {columns} columns");
        return Some(format!(
            "native records: {} and {}",
            size(first.rows, first.columns.len()),
            size(second.rows, second.columns.len())
        ));
    }
    first.columns.iter().zip(&second.columns).find_map(|(first, second)| {
        if first.path != second.path || first.kinds != second.kinds {
            return Some(format!("native column {:?}: {:?} beside it", first.path, second.path));
        }
        let row = differing_row(&first.text, &second.text)?;
        Some(format!("native column {:?}, row {row}", first.path))
    })
}

fn transactions(first: &Mapped, second: &Mapped) -> Option<String> {
    let (first, second) = match (&first.transactions, &second.transactions) {
        (Some(first), Some(second)) => (first, second),
        (None, None) => return None,
        _ => return Some("transactions: once there are some and once none".to_owned()),
    };
    rows(Fact::Transactions, first, second)
}

fn facts(first: &Mapped, second: &Mapped) -> Option<String> {
    Fact::OTHERS.into_iter().find_map(|fact| match (first.facts.get(&fact), second.facts.get(&fact)) {
        (Some(first), Some(second)) => rows(fact, first, second),
        (None, None) => None,
        _ => Some(format!("{}: once there are some and once none", fact.name())),
    })
}

/// Where rows of a kind differ first.
fn rows(fact: Fact, first: &RecordBatch, second: &RecordBatch) -> Option<String> {
    let name = fact.name();
    if first.num_rows() != second.num_rows() {
        return Some(format!("{name}: {} rows and {}", first.num_rows(), second.num_rows()));
    }
    let fields = first.schema_ref().fields();
    fields.iter().zip(first.columns().iter().zip(second.columns())).find_map(|(field, (first, second))| {
        let row = differing_row(first, second)?;
        Some(format!("{name}.{}, row {row}", field.name()))
    })
}

/// The first row in which two arrays of one length differ. The value under a null is no content.
fn differing_row(first: &dyn Array, second: &dyn Array) -> Option<usize> {
    let (first, second) = (first.to_data(), second.to_data());
    if first == second {
        return None;
    }
    Some((0..first.len()).find(|&row| first.slice(row, 1) != second.slice(row, 1)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use sluice_model::{Kinds, NativeBatch, NativeColumn, Reject};

    use super::*;

    fn batch(ids: Vec<Option<&str>>, amounts: Vec<i64>) -> RecordBatch {
        let ids: ArrayRef = Arc::new(StringArray::from(ids));
        let amounts: ArrayRef = Arc::new(Int64Array::from(amounts));
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("amount", amounts, true)]).unwrap()
    }

    fn answer() -> Mapped {
        let text = StringArray::from(vec![Some("x"), None]);
        let column = NativeColumn { path: "a".to_owned(), text, kinds: Kinds::TEXT };
        Mapped {
            native: NativeBatch { rows: 2, columns: vec![column] },
            transactions: Some(batch(vec![Some("1"), None], vec![5, 6])),
            facts: BTreeMap::from([(Fact::Payments, batch(vec![Some("p")], vec![7]))]),
            rejects: vec![Reject { record_index: 1, reason: "no date".to_owned() }],
            unknown_statuses: vec!["odd".to_owned()],
            total: Some(2),
            findings: sluice_model::BodyFindings::default(),
        }
    }

    fn difference_after(change: impl FnOnce(&mut Mapped)) -> Option<String> {
        let mut other = answer();
        change(&mut other);
        difference(&answer(), &other)
    }

    #[test]
    fn the_same_answer_has_no_difference() {
        assert_eq!(difference_after(|_| {}), None);
    }

    #[test]
    fn every_part_of_an_answer_counts() {
        let column = |text: Vec<Option<&str>>| {
            vec![NativeColumn { path: "a".to_owned(), text: text.into(), kinds: Kinds::TEXT }]
        };
        let differs =
            |words: &str, change: fn(&mut Mapped)| assert_eq!(difference_after(change).as_deref(), Some(words));
        assert_eq!(
            difference_after(|other| other.native.columns = column(vec![Some("x"), Some("")])).as_deref(),
            Some("native column \"a\", row 1")
        );
        differs("native column \"a\": \"b\" beside it", |other| other.native.columns[0].path = "b".to_owned());
        differs("native records: 2 records of 1 columns and 3 records of 1 columns", |other| other.native.rows = 3);
        differs("transactions: once there are some and once none", |other| other.transactions = None);
        differs("transactions: 2 rows and 1", |other| other.transactions = Some(batch(vec![None], vec![1])));
        differs("transactions.amount, row 1", |other| {
            other.transactions = Some(batch(vec![Some("1"), None], vec![5, 7]));
        });
        differs("payments: once there are some and once none", |other| other.facts.clear());
        differs("payments.amount, row 0", |other| {
            other.facts.insert(Fact::Payments, batch(vec![Some("p")], vec![8]));
        });
        differs("the rejects", |other| other.rejects.clear());
        differs("the unknown status words", |other| other.unknown_statuses.clear());
        differs("the total", |other| other.total = None);
    }
}
