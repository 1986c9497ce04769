//! Rows in the text format of PostgreSQL's COPY.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Datelike, Timelike};

/// What PostgreSQL's texts can't hold, U+0000, becomes this.
const REPLACEMENT: &str = "\u{fffd}";

/// Appends a batch's rows, columns parted by tabs.
pub(super) fn append(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let others = FormatOptions::default();
    let columns = batch.columns().iter().map(|column| Cells::of(column, &others)).collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        for (place, cells) in columns.iter().enumerate() {
            if place > 0 {
                out.push(b'\t');
            }
            cells.append(row, out)?;
        }
        out.push(b'\n');
    }
    Ok(())
}

/// A column, with what writes its other types.
struct Cells<'a> {
    column: &'a ArrayRef,
    other: Option<ArrayFormatter<'a>>,
}

impl<'a> Cells<'a> {
    fn of(column: &'a ArrayRef, options: &FormatOptions<'a>) -> Result<Self, ArrowError> {
        let is_known = matches!(
            column.data_type(),
            DataType::Utf8
                | DataType::Timestamp(..)
                | DataType::Date32
                | DataType::Decimal128(..)
                | DataType::Boolean
                | DataType::Int32
                | DataType::Int64
                | DataType::Float64
                | DataType::Binary
                | DataType::Map(..)
        );
        let other = if is_known { None } else { Some(ArrayFormatter::try_new(column.as_ref(), options)?) };
        Ok(Self { column, other })
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let column = self.column;
        if column.is_null(row) {
            out.extend_from_slice(b"\\N");
            return Ok(());
        }
        if let Some(other) = &self.other {
            append_text(&other.value(row).to_string(), out);
            return Ok(());
        }
        match column.data_type() {
            DataType::Utf8 => append_text(column.as_string::<i32>().value(row), out),
            DataType::Timestamp(..) => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                let moment = DateTime::from_timestamp_micros(micros)
                    .ok_or_else(|| ArrowError::CastError(format!("{micros} µs are no moment")))?;
                write!(
                    out,
                    "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00",
                    moment.year(),
                    moment.month(),
                    moment.day(),
                    moment.hour(),
                    moment.minute(),
                    moment.second(),
                    moment.timestamp_subsec_micros()
                )?;
            }
            DataType::Date32 => {
                let day = column.as_primitive::<Date32Type>().value_as_date(row);
                let day = day.ok_or_else(|| ArrowError::CastError("a day out of range".to_owned()))?;
                write!(out, "{:04}-{:02}-{:02}", day.year(), day.month(), day.day())?;
            }
            DataType::Decimal128(..) => {
                out.extend_from_slice(column.as_primitive::<Decimal128Type>().value_as_string(row).as_bytes());
            }
            DataType::Boolean => out.push(if column.as_boolean().value(row) { b't' } else { b'f' }),
            DataType::Int32 => write!(out, "{}", column.as_primitive::<Int32Type>().value(row))?,
            DataType::Int64 => write!(out, "{}", column.as_primitive::<Int64Type>().value(row))?,
            DataType::Float64 => write!(out, "{}", column.as_primitive::<Float64Type>().value(row))?,
            DataType::Binary => {
                out.extend_from_slice(b"\\\\x");
                column.as_binary::<i32>().value(row).iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
            }
            _ => append_text(&pairs(column.as_map(), row)?, out),
        }
        Ok(())
    }
}

/// A row's pairs as a JSON object.
fn pairs(map: &MapArray, row: usize) -> Result<String, ArrowError> {
    let entries = map.value(row);
    let wrong = || ArrowError::CastError("a map that isn't of texts".to_owned());
    let names = entries.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
    let values = entries.column(1).as_string_opt::<i32>().ok_or_else(wrong)?;
    let text = |text: &str| text.replace('\0', REPLACEMENT);
    let object: serde_json::Map<String, serde_json::Value> = (0..entries.len())
        .map(|at| {
            let value = values.is_valid(at).then(|| text(values.value(at)));
            (text(names.value(at)), value.map_or(serde_json::Value::Null, serde_json::Value::String))
        })
        .collect();
    Ok(serde_json::Value::Object(object).to_string())
}

fn append_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0 => out.extend_from_slice(REPLACEMENT.as_bytes()),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, ListArray, MapBuilder,
        StringArray, StringBuilder, TimestampMicrosecondArray,
    };

    use super::*;

    fn copied(column: ArrayRef) -> String {
        let batch = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap();
        let mut out = Vec::new();
        append(&batch, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_copy_reads_them() {
        let texts = StringArray::from(vec![Some("a\tb\\n\nc\r"), None, Some("\0x"), Some("\\N"), Some("")]);
        assert_eq!(copied(Arc::new(texts)), "a\\tb\\\\n\\nc\\r\n\\N\n\u{fffd}x\n\\\\N\n\n");
        let money = Decimal128Array::from(vec![-1, 123_456_789_012_345_678, 0]);
        let money = money.with_precision_and_scale(18, 6).unwrap();
        assert_eq!(copied(Arc::new(money)), "-0.000001\n123456789012.345678\n0.000000\n");
        let wide = Decimal128Array::from(vec![99_999_999_999_999_999_999_999_999_999_999_999_999_i128]);
        let wide = wide.with_precision_and_scale(38, 6).unwrap();
        assert_eq!(copied(Arc::new(wide)), "99999999999999999999999999999999.999999\n");
        let times = TimestampMicrosecondArray::from(vec![1_767_225_600_000_001, -1]).with_timezone("UTC");
        assert_eq!(copied(Arc::new(times)), "2026-01-01 00:00:00.000001+00\n1969-12-31 23:59:59.999999+00\n");
        assert_eq!(copied(Arc::new(Date32Array::from(vec![20_454]))), "2026-01-01\n");
        assert_eq!(copied(Arc::new(BooleanArray::from(vec![true, false]))), "t\nf\n");
        assert_eq!(copied(Arc::new(Int32Array::from(vec![-7]))), "-7\n");
        assert_eq!(copied(Arc::new(Float64Array::from(vec![0.1, f64::INFINITY]))), "0.1\ninf\n");
        assert_eq!(copied(Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"]))), "\\\\x00ff\n");
    }

    #[test]
    fn pairs_are_json_and_types_without_an_equal_are_text() {
        let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        map.keys().append_value("clickRef\"");
        map.values().append_value("a\\b\0\\u0000");
        map.keys().append_value("epi");
        map.values().append_null();
        map.append(true).unwrap();
        let expected = "{\"clickRef\\\\\"\":\"a\\\\\\\\b\u{fffd}\\\\\\\\u0000\",\"epi\":null}\n";
        assert_eq!(copied(Arc::new(map.finish())), expected);
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])]);
        assert_eq!(copied(Arc::new(list)), "[1, 2]\n");
    }
}
