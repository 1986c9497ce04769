//! Columns of the lake as PostgreSQL has them.

use arrow::datatypes::{DataType, Field};

/// A column's type. Amounts stay exact, and a type that PostgreSQL has no equal of is text.
pub(super) fn column_type(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Timestamp(..) => "timestamptz",
        DataType::Date32 => "date",
        DataType::Decimal128(precision, scale) => return format!("numeric({precision}, {scale})"),
        DataType::Boolean => "boolean",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float64 => "double precision",
        DataType::Binary => "bytea",
        DataType::Map(..) => "jsonb",
        _ => "text",
    };
    name.to_owned()
}

/// A column's definition. Those that a later version adds are null in earlier rows, so all may be.
pub(super) fn definition(field: &Field) -> String {
    format!("{} {}", quoted(field.name()), column_type(field.data_type()))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
