//! Versions of transactions as CloudEvents 1.0.

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};

use crate::changes::json_rows;
use crate::failure::Failure;

/// What the types of events begin with; the change follows.
const TYPE: &str = "sluice.transaction.";
/// The type of the event that a feed can't go on where it was.
const RESET: &str = "sluice.feed.reset";

/// An event for each row of `unified.transaction_versions`. Amounts are texts, so that no reader makes floats of them.
///
/// # Errors
/// Rows that can't be JSON.
pub(super) fn of_versions(batches: &[RecordBatch]) -> Result<Vec<Value>, Failure> {
    let batches = batches.iter().map(with_texts).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<Value> = serde_json::from_str(&json_rows(&batches)?).map_err(Failure::failed)?;
    Ok(rows.into_iter().map(of_version).collect())
}

fn of_version(row: Value) -> Value {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let key = text("transaction_key");
    json!({
        "specversion": "1.0",
        "id": format!("{key}/{}", row["version"]),
        "source": format!("/sluice/{}/{}", text("network"), text("stream")),
        "type": format!("{TYPE}{}", text("change")),
        "subject": key,
        "time": text("observed_at"),
        "datacontenttype": "application/json",
        "data": row,
    })
}

/// The event that a receiver has to read `unified.transactions` anew.
pub(super) fn reset(from: &str, to: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": format!("{from}/{to}"),
        "source": "/sluice",
        "type": RESET,
        "time": chrono::Utc::now().to_rfc3339(),
        "datacontenttype": "application/json",
        "data": {"reason": "the log no longer reaches back, or tables were rebuilt: read unified.transactions anew"},
    })
}

/// The batch with its decimals as texts.
fn with_texts(batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match field.data_type() {
            DataType::Decimal128(..) | DataType::Decimal256(..) => {
                fields.push(Field::new(field.name(), DataType::Utf8, field.is_nullable()));
                columns.push(cast(column, &DataType::Utf8).map_err(Failure::failed)?);
            }
            _ => {
                fields.push(field.as_ref().clone());
                columns.push(column.clone());
            }
        }
    }
    RecordBatch::try_new(Schema::new(fields).into(), columns).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Int32Array, StringArray};

    use super::*;

    #[test]
    fn a_version_is_an_event_with_exact_amounts() {
        let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let amount = Decimal128Array::from(vec![123_456_789_012_345_678]).with_precision_and_scale(18, 6).unwrap();
        let batch = RecordBatch::try_from_iter([
            ("transaction_key", text("00ab")),
            ("network", text("awin")),
            ("stream", text("transactions")),
            ("version", Arc::new(Int32Array::from(vec![2])) as ArrayRef),
            ("change", text("network-change")),
            ("commission_amount", Arc::new(amount) as ArrayRef),
        ]);
        let events = of_versions(&[batch.unwrap()]).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["id"], "00ab/2");
        assert_eq!(events[0]["source"], "/sluice/awin/transactions");
        assert_eq!(events[0]["type"], "sluice.transaction.network-change");
        assert_eq!(events[0]["data"]["commission_amount"], "123456789012.345678");
        assert!(of_versions(&[]).unwrap().is_empty());
    }
}
