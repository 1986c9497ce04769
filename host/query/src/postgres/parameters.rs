//! Values of parameters, as expressions of exactly their type.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::sql::sqlparser::ast::{Array, Expr, Value};

use super::statement::call;
use crate::error::Error;

/// The value of a parameter, each part in PostgreSQL's form of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterValue {
    /// None.
    Null,
    /// One value: `t`, `12`, `1.50`, `2026-01-31`, `2026-01-31 12:00:00+00`; bytes are `\x` and hexadecimal digits.
    Text(String),
    /// Those of an array.
    List(Vec<Option<String>>),
}

/// Digits of the widest decimal.
const MAX_DIGITS: usize = 76;

/// An expression of a parameter's type with its value.
///
/// # Errors
/// A value that isn't of the type.
pub(super) fn literal(number: usize, value: &ParameterValue, kind: &DataType) -> Result<Expr, Error> {
    let wrong = || Error::Parameter { number, reason: format!("its value is no {}", name(kind)) };
    match (value, kind) {
        (ParameterValue::Null, _) => Ok(cast(constant(Value::Null), kind)),
        (ParameterValue::Text(text), _) => scalar(text, kind).ok_or_else(wrong),
        (ParameterValue::List(values), DataType::List(item)) => {
            let of_item = |value: &Option<String>| match value {
                None => Some(cast(constant(Value::Null), item.data_type())),
                Some(text) => scalar(text, item.data_type()),
            };
            let elem = values.iter().map(of_item).collect::<Option<Vec<Expr>>>().ok_or_else(wrong)?;
            let array = Expr::Array(Array { elem, named: true });
            Ok(if values.is_empty() { cast(array, kind) } else { array })
        }
        (ParameterValue::List(_), _) => Err(wrong()),
    }
}

fn scalar(text: &str, kind: &DataType) -> Option<Expr> {
    let text = if matches!(kind, DataType::Utf8) { text } else { text.trim() };
    Some(match kind {
        DataType::Boolean => constant(Value::Boolean(match text.to_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "yes" | "y" => true,
            "f" | "false" | "0" | "off" | "no" | "n" => false,
            _ => return None,
        })),
        DataType::Int64 => constant(Value::Number(text.parse::<i64>().ok()?.to_string(), false)),
        DataType::Float64 => {
            text.parse::<f64>().ok()?;
            cast(string(text), kind)
        }
        DataType::Decimal128(..) => decimal(text)?,
        DataType::Binary => {
            let digits = text.strip_prefix("\\x")?;
            let is_hex = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| constant(Value::HexStringLiteral(digits.to_owned())))?
        }
        DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) => cast(string(text), kind),
        _ => string(text),
    })
}

/// A decimal with as many places as it is written with.
fn decimal(text: &str) -> Option<Expr> {
    let (digits, scale) = plain(text)?;
    let precision = digits.trim_start_matches('-').len().max(scale).max(1);
    let scale_of_type = i8::try_from(scale).ok()?;
    let kind = match u8::try_from(precision).ok()? {
        precision @ ..=38 => DataType::Decimal128(precision, scale_of_type),
        precision if usize::from(precision) <= MAX_DIGITS => DataType::Decimal256(precision, scale_of_type),
        _ => return None,
    };
    let sign = if digits.starts_with('-') { "-" } else { "" };
    let padded = format!("{:0>width$}", digits.trim_start_matches('-'), width = scale + 1);
    let (whole, places) = padded.split_at(padded.len() - scale);
    let written = if places.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{places}") };
    Some(cast(string(&written), &kind))
}

/// The digits of a number with its sign, and how many of them are places: `-1.5E1` is `-15` and 0.
fn plain(text: &str) -> Option<(String, usize)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, places) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut digits = format!("{whole}{places}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let scale = i32::try_from(places.len()).ok()?.checked_sub(exponent)?;
    if scale.unsigned_abs() as usize > MAX_DIGITS {
        return None;
    }
    if scale < 0 {
        digits.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
    }
    let digits = digits.trim_start_matches('0');
    Some((format!("{sign}{}", if digits.is_empty() { "0" } else { digits }), scale.max(0).unsigned_abs() as usize))
}

/// The type by which values of a column's type are sent.
pub(super) fn normal(kind: &DataType) -> DataType {
    match kind {
        DataType::Boolean => DataType::Boolean,
        kind if kind.is_integer() => DataType::Int64,
        kind if kind.is_floating() => DataType::Float64,
        kind if kind.is_decimal() => DataType::Decimal128(38, 0),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => moment(),
        DataType::Dictionary(_, value) => normal(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(Field::new("item", normal(item.data_type()), true)))
        }
        _ => DataType::Utf8,
    }
}

/// A moment in UTC.
pub(super) fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn cast(value: Expr, kind: &DataType) -> Expr {
    call("arrow_cast", vec![value, string(&kind.to_string())])
}

fn string(text: &str) -> Expr {
    constant(Value::SingleQuotedString(text.to_owned()))
}

fn constant(value: Value) -> Expr {
    Expr::Value(value.with_empty_span())
}

/// What people call a type.
fn name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "boolean",
        DataType::Int64 => "integer of 64 bits",
        DataType::Float64 => "number",
        DataType::Decimal128(..) => "decimal of at most 76 digits",
        DataType::Binary => "bytes",
        DataType::Date32 => "date",
        DataType::Time64(_) => "time",
        DataType::Timestamp(..) => "moment",
        DataType::List(_) => "array of its type",
        _ => "text",
    }
}
