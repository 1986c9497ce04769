//! The schema `information_schema` as PostgreSQL has it: tables and columns by PostgreSQL's names of types. The lake has no
//! constraints, so their tables are empty.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::TableType;

use super::PG_CATALOG;
use crate::CATALOG;
use crate::catalogue::Lake;

/// Its name.
pub(super) const INFORMATION_SCHEMA: &str = "information_schema";

const SCHEMATA: &[&str] = &["catalog_name", "schema_name", "schema_owner"];
const TABLES: &[&str] = &["table_catalog", "table_schema", "table_name", "table_type"];
const VIEWS: &[&str] = &["table_catalog", "table_schema", "table_name", "view_definition"];
/// Columns of texts in `columns`; further ones are numbers.
const COLUMNS: &[&str] = &[
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "column_default",
    "is_nullable",
    "data_type",
    "udt_catalog",
    "udt_schema",
    "udt_name",
    "is_identity",
    "identity_generation",
    "is_generated",
    "is_updatable",
];
const COLUMN_NUMBERS: &[&str] =
    &["ordinal_position", "character_maximum_length", "numeric_precision", "numeric_scale", "datetime_precision"];
/// The columns that name a constraint, and a table.
const CONSTRAINT: &[&str] = &["constraint_catalog", "constraint_schema", "constraint_name"];
const TABLE: &[&str] = &["table_catalog", "table_schema", "table_name"];
/// Tables without a row, and their columns in groups.
const EMPTY: &[(&str, &[&[&str]])] = &[
    ("table_constraints", &[CONSTRAINT, TABLE, &["constraint_type"]]),
    ("key_column_usage", &[CONSTRAINT, TABLE, &["column_name", "ordinal_position", "position_in_unique_constraint"]]),
    ("constraint_column_usage", &[TABLE, &["column_name"], CONSTRAINT]),
    (
        "referential_constraints",
        &[
            CONSTRAINT,
            &["unique_constraint_catalog", "unique_constraint_schema", "unique_constraint_name"],
            &["match_option", "update_rule", "delete_rule"],
        ],
    ),
    (
        "routines",
        &[
            &["specific_catalog", "specific_schema", "specific_name"],
            &["routine_schema", "routine_name", "routine_type", "data_type"],
        ],
    ),
    ("sequences", &[&["sequence_catalog", "sequence_schema", "sequence_name", "data_type"]]),
    ("triggers", &[&["trigger_schema", "trigger_name", "event_object_schema", "event_object_table"]]),
];

/// The schema, as a query sees it.
#[derive(Debug)]
pub(super) struct InformationSchema(pub(super) Arc<Lake>);

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        let own = ["columns", "schemata", "tables", "views"].into_iter();
        own.chain(EMPTY.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        let batch = match name {
            "schemata" => texts(SCHEMATA, self.schemata())?,
            "tables" => texts(
                TABLES,
                self.tables(|_| true, |kind| if kind == TableType::View { "VIEW" } else { "BASE TABLE" }),
            )?,
            "views" => texts(VIEWS, self.tables(|kind| kind == TableType::View, |_| ""))?,
            "columns" => self.columns().await?,
            name => match EMPTY.iter().find(|(known, _)| *known == name) {
                Some((_, columns)) => texts(&columns.concat(), Vec::new())?,
                None => return Ok(None),
            },
        };
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

type Row = Vec<Option<String>>;

impl InformationSchema {
    fn schemata(&self) -> Vec<Row> {
        let others = [INFORMATION_SCHEMA, PG_CATALOG].map(str::to_owned);
        let schemas = self.0.schema_names().into_iter().chain(others);
        schemas.map(|schema| vec![some(CATALOG), Some(schema), some("sluice")]).collect()
    }

    fn tables(&self, wanted: impl Fn(TableType) -> bool, last: impl Fn(TableType) -> &'static str) -> Vec<Row> {
        let mut rows = Vec::new();
        for schema in self.0.schema_names() {
            for table in self.0.table_names(&schema) {
                if let Some(kind) = self.0.table_type(&schema, &table).filter(|kind| wanted(*kind)) {
                    rows.push(vec![some(CATALOG), some(&schema), Some(table), some(last(kind))]);
                }
            }
        }
        rows
    }

    async fn columns(&self) -> PlanResult<RecordBatch> {
        let (mut rows, mut numbers) = (Vec::new(), Vec::new());
        for schema in self.0.schema_names() {
            for table in self.0.table_names(&schema) {
                let Some(provider) = self.0.open(&schema, &table).await? else { continue };
                for (at, field) in provider.schema().fields().iter().enumerate() {
                    let (name, udt) = type_names(field.data_type());
                    let nullable = if field.is_nullable() { "YES" } else { "NO" };
                    rows.push(vec![
                        some(CATALOG),
                        some(&schema),
                        some(&table),
                        some(field.name()),
                        None,
                        some(nullable),
                        some(name),
                        some(CATALOG),
                        some(PG_CATALOG),
                        Some(udt),
                        some("NO"),
                        None,
                        some("NEVER"),
                        some("NO"),
                    ]);
                    numbers.push(numbers_of(at, field.data_type()));
                }
            }
        }
        let texts = texts(COLUMNS, rows)?;
        let mut fields: Vec<Field> = texts.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut arrays = texts.columns().to_vec();
        for (at, name) in COLUMN_NUMBERS.iter().enumerate() {
            fields.push(Field::new(*name, DataType::Int32, true));
            arrays.push(Arc::new(numbers.iter().map(|row| row[at]).collect::<Int32Array>()));
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A table of texts.
fn texts(names: &[&str], rows: Vec<Row>) -> PlanResult<RecordBatch> {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let column =
        |at: usize| -> ArrayRef { Arc::new(rows.iter().map(|row| row[at].as_deref()).collect::<StringArray>()) };
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), (0..names.len()).map(column).collect())?)
}

/// Position, length, precision and scale, and places of seconds.
fn numbers_of(at: usize, kind: &DataType) -> [Option<i32>; 5] {
    let position = i32::try_from(at + 1).ok();
    let (precision, scale) = match kind {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => (Some(16), Some(0)),
        DataType::Int32 | DataType::UInt16 => (Some(32), Some(0)),
        DataType::Int64 | DataType::UInt32 => (Some(64), Some(0)),
        DataType::Float32 => (Some(24), None),
        DataType::Float64 => (Some(53), None),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (Some(i32::from(*precision)), Some(i32::from(*scale))),
        _ => (None, None),
    };
    let seconds = matches!(kind, DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_)).then_some(6);
    [position, None, precision, scale, seconds]
}

/// PostgreSQL's name of a type, and its name in `pg_type`: the types in which the wire sends columns.
pub(crate) fn type_names(kind: &DataType) -> (&'static str, String) {
    let (name, udt) = match kind {
        DataType::Boolean => ("boolean", "bool"),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ("smallint", "int2"),
        DataType::Int32 | DataType::UInt16 => ("integer", "int4"),
        DataType::Int64 | DataType::UInt32 => ("bigint", "int8"),
        DataType::Float16 | DataType::Float32 => ("real", "float4"),
        DataType::Float64 => ("double precision", "float8"),
        DataType::UInt64 => ("numeric", "numeric"),
        kind if kind.is_decimal() => ("numeric", "numeric"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ("bytea", "bytea")
        }
        DataType::Date32 | DataType::Date64 => ("date", "date"),
        DataType::Time32(_) | DataType::Time64(_) => ("time without time zone", "time"),
        DataType::Timestamp(_, None) => ("timestamp without time zone", "timestamp"),
        DataType::Timestamp(_, Some(_)) => ("timestamp with time zone", "timestamptz"),
        DataType::Interval(_) | DataType::Duration(_) => ("interval", "interval"),
        DataType::Dictionary(_, value) => return type_names(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
            if !item.data_type().is_nested() =>
        {
            return ("ARRAY", format!("_{}", type_names(item.data_type()).1));
        }
        kind if kind.is_nested() => ("jsonb", "jsonb"),
        _ => ("text", "text"),
    };
    (name, udt.to_owned())
}
