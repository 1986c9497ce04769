//! Rows as JSON, as `expected.json` has them.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value, json};
use sluice_model::{Fact, Mapped};

/// What mapping a response gave: transactions, rejects and unknown status words, and facts of the other kinds that it gave.
pub fn mapped_rows(mapped: &Mapped) -> Value {
    let transactions = mapped.transactions.as_ref().map(batch_rows).unwrap_or_default();
    let rejects: Vec<Value> = mapped.rejects.iter().map(|reject| json!([reject.record_index, reject.reason])).collect();
    let mut rows =
        json!({"transactions": transactions, "rejects": rejects, "unknown_statuses": mapped.unknown_statuses});
    for (fact, batch) in &mapped.facts {
        rows[fact.name()] = batch_rows(batch).into();
    }
    rows
}

/// How many rows of all kinds [`mapped_rows`] has of an answer that was played.
pub(crate) fn row_count(answer: &Value) -> usize {
    Fact::ALL.into_iter().map(|fact| answer["mapped"][fact.name()].as_array().map_or(0, Vec::len)).sum()
}

/// The rows of all kinds that mapping a response gave.
pub(crate) fn all_rows(mapped: &Mapped) -> Vec<Value> {
    mapped.transactions.iter().chain(mapped.facts.values()).flat_map(batch_rows).collect()
}

/// Rows as objects of texts, nulls left out.
pub fn batch_rows(batch: &RecordBatch) -> Vec<Value> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let row = |at: usize| {
        let mut row = Map::new();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if column.is_null(at) {
                continue;
            }
            if let Ok(formatter) = ArrayFormatter::try_new(column, &options) {
                row.insert(field.name().clone(), formatter.value(at).to_string().into());
            }
        }
        Value::Object(row)
    };
    (0..batch.num_rows()).map(row).collect()
}
