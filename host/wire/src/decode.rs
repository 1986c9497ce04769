//! Values of parameters, from the text and binary forms of PostgreSQL's protocol.

use pgwire::api::Type;
use pgwire::api::results::FieldFormat;
use sluice_query::ParameterValue;

use crate::encode::moments::{day_since_2000, moment_since_2000, time_of_day};
use crate::{numeric, types};

/// The value of a parameter; none if the bytes aren't one of its type.
pub(crate) fn value(bytes: Option<&[u8]>, kind: &Type, format: FieldFormat) -> Option<ParameterValue> {
    let Some(bytes) = bytes else { return Some(ParameterValue::Null) };
    Some(match (types::element(kind), format) {
        (None, FieldFormat::Text) => ParameterValue::Text(text(bytes)?),
        (None, FieldFormat::Binary) => ParameterValue::Text(scalar(bytes, kind)?),
        (Some(_), FieldFormat::Text) => ParameterValue::List(text_list(&text(bytes)?)?),
        (Some(item), FieldFormat::Binary) => ParameterValue::List(binary_list(bytes, &item)?),
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn scalar(bytes: &[u8], kind: &Type) -> Option<String> {
    Some(match *kind {
        Type::BOOL => match bytes {
            [0] => "f".to_owned(),
            [1] => "t".to_owned(),
            _ => return None,
        },
        Type::INT2 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::INT4 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::INT8 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::OID => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::FLOAT4 => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::FLOAT8 => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::NUMERIC => numeric::read(bytes)?,
        Type::BYTEA => format!("\\x{}", hexadecimal(bytes)),
        Type::DATE => day_since_2000(i32::from_be_bytes(bytes.try_into().ok()?))?,
        Type::TIME => time_of_day(i64::from_be_bytes(bytes.try_into().ok()?))?,
        Type::TIMESTAMP => moment_since_2000(i64::from_be_bytes(bytes.try_into().ok()?), "")?,
        Type::TIMESTAMPTZ => moment_since_2000(i64::from_be_bytes(bytes.try_into().ok()?), "+00:00")?,
        Type::UUID => {
            let digits = hexadecimal(<&[u8; 16]>::try_from(bytes).ok()?);
            [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
        }
        Type::JSONB => text(bytes.strip_prefix(&[1])?)?,
        _ => text(bytes)?,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An array of one dimension, or an empty one.
fn binary_list(bytes: &[u8], item: &Type) -> Option<Vec<Option<String>>> {
    let mut rest = bytes;
    let mut word = || -> Option<i32> {
        let (word, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        Some(i32::from_be_bytes(*word))
    };
    let (dimensions, _has_nulls, _type) = (word()?, word()?, word()?);
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let (count, _from) = (usize::try_from(word()?).ok()?, word()?);
    // Each takes four bytes at the least.
    if dimensions != 1 || count > bytes.len() / 4 {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        values.push(match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => None,
            Ok(length) => {
                let (value, after) = rest.split_at_checked(length)?;
                rest = after;
                Some(scalar(value, item)?)
            }
        });
    }
    rest.is_empty().then_some(values)
}

/// `{a,"b, c",NULL}`: of one dimension.
fn text_list(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut values = Vec::new();
    if inner.trim().is_empty() {
        return Some(values);
    }
    let mut characters = inner.chars().peekable();
    loop {
        let (mut value, mut quoted, mut kept) = (String::new(), false, 0);
        loop {
            match characters.next() {
                None | Some(',') => break,
                Some('"') if !quoted && value.trim().is_empty() => {
                    quoted = true;
                    value.clear();
                    loop {
                        match characters.next()? {
                            '"' => break,
                            '\\' => value.push(characters.next()?),
                            other => value.push(other),
                        }
                    }
                    kept = value.len();
                }
                Some('\\') => {
                    value.push(characters.next()?);
                    kept = value.len();
                }
                Some('{' | '}' | '"') => return None,
                Some(other) if quoted && !other.is_whitespace() => return None,
                Some(other) if quoted => _ = other,
                Some(other) => {
                    value.push(other);
                    if !other.is_whitespace() {
                        kept = value.len();
                    }
                }
            }
        }
        value.truncate(kept);
        let value = if quoted { value } else { value.trim_start().to_owned() };
        values.push((quoted || !value.eq_ignore_ascii_case("null")).then_some(value));
        if characters.peek().is_none() && !inner.ends_with(',') {
            return Some(values);
        }
        characters.peek()?;
    }
}
