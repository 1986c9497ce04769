//! Values of parameters, decoded.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::{FlightError, Result as FlightResult};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{TryStreamExt, stream};
use prost::Message;
use sluice_query::{Error, ParameterValue};

/// The values of one row, in the order of their parameters. None without a message.
///
/// # Errors
/// Messages that can't be decoded; no row or several; a value of a type that no parameter has.
pub(crate) async fn values(messages: &[String]) -> Result<Vec<ParameterValue>, Error> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let decoded: Vec<FlightResult<FlightData>> = messages.iter().map(|message| decode(message)).collect();
    let batches: Vec<RecordBatch> =
        FlightRecordBatchStream::new_from_flight_data(stream::iter(decoded)).try_collect().await.map_err(wrong)?;
    let mut batches = batches.into_iter().filter(|batch| batch.num_rows() > 0);
    match (batches.next(), batches.next()) {
        (Some(row), None) if row.num_rows() == 1 => {
            row.columns().iter().enumerate().map(|(at, column)| value(at + 1, column)).collect()
        }
        _ => Err(Error::Unsupported { what: "a statement with several rows of values, or none".to_owned() }),
    }
}

fn decode(message: &str) -> FlightResult<FlightData> {
    let bytes = STANDARD.decode(message).map_err(|error| FlightError::DecodeError(error.to_string()))?;
    Ok(FlightData::decode(bytes.as_slice())?)
}

fn wrong(error: FlightError) -> Error {
    Error::Parameter { number: 1, reason: format!("the values can't be read: {error}") }
}

/// The value in the first row of a column, as text.
fn value(number: usize, column: &ArrayRef) -> Result<ParameterValue, Error> {
    let kind = column.data_type();
    if column.is_null(0) || *kind == DataType::Null {
        return Ok(ParameterValue::Null);
    }
    if kind.is_nested() {
        return Err(Error::Unsupported { what: format!("a parameter of the type {kind}") });
    }
    let wrong = |error: arrow::error::ArrowError| Error::Parameter { number, reason: error.to_string() };
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(wrong)?;
    let text = formatter.value(0).try_to_string().map_err(wrong)?;
    let is_bytes =
        matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_));
    Ok(ParameterValue::Text(if is_bytes { format!("\\x{text}") } else { text }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{BinaryArray, BooleanArray, Date32Array, Decimal128Array, NullArray, StringArray};
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::StreamExt;

    use super::*;

    async fn sent(columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let messages = FlightDataEncoderBuilder::new().build(stream::iter([Ok(batch)]));
        messages.map(|message| STANDARD.encode(message.unwrap().encode_to_vec())).collect().await
    }

    #[tokio::test]
    async fn values_keep_every_digit() {
        let amount = Decimal128Array::from(vec![-(10_i128.pow(38) - 1)]).with_precision_and_scale(38, 6).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("1", Arc::new(amount)),
            ("2", Arc::new(StringArray::from(vec!["a' OR '1'='1"]))),
            ("3", Arc::new(BooleanArray::from(vec![true]))),
            ("4", Arc::new(Date32Array::from(vec![-1]))),
            ("5", Arc::new(BinaryArray::from(vec![[0_u8, 255].as_slice()]))),
            ("6", Arc::new(NullArray::new(1))),
        ];
        let found = values(&sent(columns).await).await.unwrap();
        let text = |text: &str| ParameterValue::Text(text.to_owned());
        let expected = [
            text("-99999999999999999999999999999999.999999"),
            text("a' OR '1'='1"),
            text("true"),
            text("1969-12-31"),
            text("\\x00ff"),
            ParameterValue::Null,
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn several_rows_and_what_is_no_message_are_refused() {
        let two: Vec<(&str, ArrayRef)> = vec![("1", Arc::new(StringArray::from(vec!["a", "b"])))];
        assert!(matches!(values(&sent(two).await).await, Err(Error::Unsupported { .. })));
        assert!(values(&["!".to_owned()]).await.is_err());
        assert!(values(&[STANDARD.encode("abc")]).await.is_err());
        assert!(values(&[]).await.unwrap().is_empty());
    }
}
