//! Types of the lake as those of PostgreSQL.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldFormat, FieldInfo};

/// The type that a column is sent as. What is nested and no array of plain values is `jsonb`.
pub(crate) fn of_column(kind: &DataType) -> Type {
    match kind {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        DataType::Int64 | DataType::UInt32 => Type::INT8,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::UInt64 => Type::NUMERIC,
        kind if kind.is_decimal() => Type::NUMERIC,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Type::BYTEA,
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Time32(_) | DataType::Time64(_) => Type::TIME,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => Type::INTERVAL,
        DataType::Dictionary(_, value) => of_column(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            of_list(item.data_type())
        }
        kind if kind.is_nested() => Type::JSONB,
        _ => Type::TEXT,
    }
}

fn of_list(item: &DataType) -> Type {
    let item = of_column(item);
    ARRAYS.iter().find(|(element, _)| *element == item).map_or(Type::JSONB, |(_, array)| array.clone())
}

pub(crate) fn element(array: &Type) -> Option<Type> {
    ARRAYS.iter().find(|(_, known)| known == array).map(|(element, _)| element.clone())
}

/// Types of values and of arrays of them.
const ARRAYS: [(Type, Type); 13] = [
    (Type::BOOL, Type::BOOL_ARRAY),
    (Type::INT2, Type::INT2_ARRAY),
    (Type::INT4, Type::INT4_ARRAY),
    (Type::INT8, Type::INT8_ARRAY),
    (Type::FLOAT4, Type::FLOAT4_ARRAY),
    (Type::FLOAT8, Type::FLOAT8_ARRAY),
    (Type::NUMERIC, Type::NUMERIC_ARRAY),
    (Type::TEXT, Type::TEXT_ARRAY),
    (Type::VARCHAR, Type::VARCHAR_ARRAY),
    (Type::DATE, Type::DATE_ARRAY),
    (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
    (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
    (Type::OID, Type::OID_ARRAY),
];

/// A column's description.
pub(crate) fn describe(field: &Field, format: FieldFormat) -> FieldInfo {
    let kind = of_column(field.data_type());
    let size = match kind {
        Type::BOOL => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL => 16,
        _ => -1,
    };
    let modifier = match field.data_type() {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            u8::try_from(*scale).map_or(-1, |scale| (i32::from(*precision) << 16 | i32::from(scale)) + 4)
        }
        _ => -1,
    };
    FieldInfo::new(field.name().clone(), None, None, kind, format).with_type_size(size).with_type_modifier(modifier)
}

/// The format of each of so many columns; none if the client states those of another number.
pub(crate) fn formats(format: &Format, columns: usize) -> Option<Vec<FieldFormat>> {
    match format {
        Format::UnifiedText => Some(vec![FieldFormat::Text; columns]),
        Format::UnifiedBinary => Some(vec![FieldFormat::Binary; columns]),
        Format::Individual(codes) if codes.len() == columns => {
            Some(codes.iter().map(|code| FieldFormat::from(*code)).collect())
        }
        Format::Individual(_) => None,
    }
}

/// The lake's type of a parameter that a client states; none if it leaves that to the query.
pub(crate) fn of_parameter(kind: &Type) -> Option<DataType> {
    Some(match *kind {
        Type::BOOL => DataType::Boolean,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 | Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => DataType::Decimal128(38, 0),
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR | Type::JSON | Type::JSONB | Type::UUID => {
            DataType::Utf8
        }
        Type::UNKNOWN => return None,
        ref array => {
            let item = of_parameter(&element(array)?)?;
            DataType::List(Arc::new(Field::new("item", item, true)))
        }
    })
}
