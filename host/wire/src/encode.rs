//! Rows of a result as PostgreSQL's messages have them.

pub(crate) mod moments;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, DecimalType, Field, FieldRef, Float32Type, Float64Type, Int64Type,
    SchemaRef, UInt64Type,
};
use arrow::error::ArrowError;
use bytes::{BufMut, BytesMut};
use pgwire::api::Type;
use pgwire::api::results::FieldFormat;
use pgwire::messages::data::DataRow;

use crate::{numeric, types};

/// Writes the value of a row; it is called for rows that have one.
type WriteValue = Box<dyn Fn(usize, &mut BytesMut) -> Result<(), ArrowError> + Send>;

/// A column's values in the form that a client wants.
struct Column {
    nulls: ArrayRef,
    write: WriteValue,
}

impl Column {
    /// Writes the length of a row's value and the value.
    fn put(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        if self.nulls.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let at = out.len();
        out.put_i32(0);
        (self.write)(row, out)?;
        let length = i32::try_from(out.len() - at - 4)
            .map_err(|_| ArrowError::ComputeError("a value has more than 2 GiB".to_owned()))?;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// The rows of a batch, whose columns are of a schema and in these formats.
///
/// # Errors
/// A value that PostgreSQL has no form for, such as a moment of the year 300,000.
pub(crate) fn rows(
    batch: &RecordBatch,
    schema: &SchemaRef,
    formats: &[FieldFormat],
) -> Result<Vec<DataRow>, ArrowError> {
    let fields = schema.fields().iter().zip(batch.columns()).zip(formats);
    let columns: Vec<Column> =
        fields.map(|((field, array), format)| column(field, array, *format)).collect::<Result<_, _>>()?;
    let count = i16::try_from(columns.len())
        .map_err(|_| ArrowError::ComputeError("a result has more than 32,767 columns".to_owned()))?;
    let row = |row| {
        let mut out = BytesMut::with_capacity(16 * columns.len());
        columns.iter().try_for_each(|column| column.put(row, &mut out))?;
        Ok(DataRow::new(out, count))
    };
    (0..batch.num_rows()).map(row).collect()
}

fn column(field: &FieldRef, array: &ArrayRef, format: FieldFormat) -> Result<Column, ArrowError> {
    if let DataType::Dictionary(_, value) = array.data_type() {
        let field = Arc::new(field.as_ref().clone().with_data_type(value.as_ref().clone()));
        return column(&field, &cast(array, value)?, format);
    }
    let kind = types::of_column(field.data_type());
    let write = match format {
        _ if kind == Type::JSONB => json(field, array, format)?,
        _ if types::element(&kind).is_some() => list(array, format)?,
        FieldFormat::Text => as_text(array)?,
        FieldFormat::Binary => as_binary(array, &kind)?,
    };
    Ok(Column { nulls: array.clone(), write })
}

/// Fails where a value has no place in the other type, instead of giving a null.
fn cast(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, kind, &CastOptions { safe: false, ..CastOptions::default() })
}

fn as_text(array: &ArrayRef) -> Result<WriteValue, ArrowError> {
    if let Some(texts) = decimals(array)? {
        return Ok(Box::new(move |row, out| put(out, texts(row).as_bytes())));
    }
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().clone();
            Box::new(move |row, out| put(out, if values.value(row) { b"t" } else { b"f" }))
        }
        kind if kind.is_integer() => {
            let values = cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
            Box::new(move |row, out| put(out, values.value(row).to_string().as_bytes()))
        }
        // As it prints it: a wider type would show digits that it doesn't have.
        DataType::Float16 | DataType::Float32 => {
            let values = cast(array, &DataType::Float32)?.as_primitive::<Float32Type>().clone();
            Box::new(move |row, out| {
                put(out, float(f64::from(values.value(row)), &values.value(row).to_string()).as_bytes())
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().clone();
            Box::new(move |row, out| put(out, float(values.value(row), &values.value(row).to_string()).as_bytes()))
        }
        kind if is_bytes(kind) => {
            let values = cast(array, &DataType::LargeBinary)?.as_binary::<i64>().clone();
            Box::new(move |row, out| {
                let digits: String = values.value(row).iter().map(|byte| format!("{byte:02x}")).collect();
                put(out, format!("\\x{digits}").as_bytes())
            })
        }
        kind if kind.is_temporal() => {
            let texts = moments::texts(array)?;
            Box::new(move |row, out| put(out, texts(row)?.as_bytes()))
        }
        _ => texts(array)?,
    })
}

fn as_binary(array: &ArrayRef, kind: &Type) -> Result<WriteValue, ArrowError> {
    if let Some(texts) = decimals(array)? {
        return Ok(Box::new(move |row, out| {
            numeric::write(&texts(row), out);
            Ok(())
        }));
    }
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().clone();
            Box::new(move |row, out| put(out, &[u8::from(values.value(row))]))
        }
        data_type if data_type.is_integer() => {
            let values = cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
            let width = match *kind {
                Type::INT2 => 2,
                Type::INT4 => 4,
                _ => 8,
            };
            Box::new(move |row, out| put(out, &values.value(row).to_be_bytes()[8 - width..]))
        }
        DataType::Float16 | DataType::Float32 => {
            let values = cast(array, &DataType::Float32)?.as_primitive::<Float32Type>().clone();
            Box::new(move |row, out| put(out, &values.value(row).to_be_bytes()))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().clone();
            Box::new(move |row, out| put(out, &values.value(row).to_be_bytes()))
        }
        data_type if is_bytes(data_type) => {
            let values = cast(array, &DataType::LargeBinary)?.as_binary::<i64>().clone();
            Box::new(move |row, out| put(out, values.value(row)))
        }
        data_type if data_type.is_temporal() => moments::binary(array)?,
        _ => texts(array)?,
    })
}

/// The texts of decimals, and of integers that have no type of their own; none for other types.
fn decimals(array: &ArrayRef) -> Result<Option<Box<dyn Fn(usize) -> String + Send>>, ArrowError> {
    fn of<T: DecimalType>(array: &ArrayRef, scale: i8) -> Box<dyn Fn(usize) -> String + Send>
    where
        T::Native: std::fmt::Display,
    {
        let values = array.as_primitive::<T>().clone();
        Box::new(move |row| numeric::text(&values.value(row).to_string(), scale))
    }
    Ok(Some(match array.data_type() {
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            of::<Decimal128Type>(&cast(array, &DataType::Decimal128(*precision, *scale))?, *scale)
        }
        DataType::Decimal128(_, scale) => of::<Decimal128Type>(array, *scale),
        DataType::Decimal256(_, scale) => of::<Decimal256Type>(array, *scale),
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>().clone();
            Box::new(move |row| values.value(row).to_string())
        }
        _ => return Ok(None),
    }))
}

fn texts(array: &ArrayRef) -> Result<WriteValue, ArrowError> {
    let values = cast(array, &DataType::LargeUtf8)?.as_string::<i64>().clone();
    Ok(Box::new(move |row, out| put(out, without_null(values.value(row)).as_bytes())))
}

/// U+0000, which PostgreSQL's texts can't hold and at which clients would cut them, is U+FFFD.
fn without_null(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}

fn json(field: &FieldRef, array: &ArrayRef, format: FieldFormat) -> Result<WriteValue, ArrowError> {
    let values = sluice_query::json_texts(field, array)?.as_string::<i32>().clone();
    let version: &[u8] = if format == FieldFormat::Binary { &[1] } else { &[] };
    Ok(Box::new(move |row, out| {
        out.put_slice(version);
        put(out, values.value(row).as_bytes())
    }))
}

/// Arrays of plain values, in one dimension that is counted from 1.
fn list(array: &ArrayRef, format: FieldFormat) -> Result<WriteValue, ArrowError> {
    let item = match array.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.data_type().clone(),
        other => return Err(ArrowError::CastError(format!("{other} is no list"))),
    };
    let field: FieldRef = Arc::new(Field::new("item", item, true));
    let lists = cast(array, &DataType::LargeList(field.clone()))?.as_list::<i64>().clone();
    let kind = types::of_column(field.data_type());
    let items = column(&field, lists.values(), format)?;
    Ok(Box::new(move |row, out| {
        let (from, to) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
        match format {
            FieldFormat::Text => text_list(&items, from..to, out),
            FieldFormat::Binary => binary_list(&items, &kind, from..to, out),
        }
    }))
}

fn binary_list(
    items: &Column,
    kind: &Type,
    range: std::ops::Range<usize>,
    out: &mut BytesMut,
) -> Result<(), ArrowError> {
    let has_nulls = range.clone().any(|row| items.nulls.is_null(row));
    out.put_i32(i32::from(!range.is_empty()));
    out.put_i32(i32::from(has_nulls));
    out.put_u32(kind.oid());
    if range.is_empty() {
        return Ok(());
    }
    out.put_i32(i32::try_from(range.len()).map_err(|error| ArrowError::ComputeError(error.to_string()))?);
    out.put_i32(1);
    range.into_iter().try_for_each(|row| items.put(row, out))
}

fn text_list(items: &Column, range: std::ops::Range<usize>, out: &mut BytesMut) -> Result<(), ArrowError> {
    out.put_u8(b'{');
    for (at, row) in range.enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        if items.nulls.is_null(row) {
            out.put_slice(b"NULL");
            continue;
        }
        let mut value = BytesMut::new();
        (items.write)(row, &mut value)?;
        let is_plain = !value.is_empty()
            && !value.eq_ignore_ascii_case(b"null")
            && value.iter().all(|byte| !b"{},\"\\ \t\n\r\x0b\x0c".contains(byte));
        if is_plain {
            out.put_slice(&value);
            continue;
        }
        out.put_u8(b'"');
        for byte in value {
            if byte == b'"' || byte == b'\\' {
                out.put_u8(b'\\');
            }
            out.put_u8(byte);
        }
        out.put_u8(b'"');
    }
    out.put_u8(b'}');
    Ok(())
}

fn float(value: f64, printed: &str) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => printed.to_owned(),
    }
}

fn is_bytes(kind: &DataType) -> bool {
    matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

#[expect(clippy::unnecessary_wraps, reason = "it ends the functions that write values")]
fn put(out: &mut BytesMut, bytes: &[u8]) -> Result<(), ArrowError> {
    out.put_slice(bytes);
    Ok(())
}
