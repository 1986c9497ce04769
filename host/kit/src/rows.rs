//! Rows as JSON, as `expected.json` has them.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value, json};
use sluice_model::Mapped;

/// What mapping a response gave: transactions, rejects and unknown status words.
pub fn mapped_rows(mapped: &Mapped) -> Value {
    let transactions = mapped.transactions.as_ref().map(batch_rows).unwrap_or_default();
    let rejects: Vec<Value> = mapped.rejects.iter().map(|reject| json!([reject.record_index, reject.reason])).collect();
    json!({"transactions": transactions, "rejects": rejects, "unknown_statuses": mapped.unknown_statuses})
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
