//! What drivers ask of a server before anybody asks of the lake.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetSqlInfo, CommandGetTableTypes, SqlInfo, SqlSupportedCaseSensitivity,
    SqlSupportedTransaction,
};

use crate::CATALOG;

/// The type of tables.
pub(crate) const TABLE: &str = "TABLE";
/// The type of views, and of what is worked out.
pub(crate) const VIEW: &str = "VIEW";

/// What a driver may ask for at once: there are fewer than a hundred facts.
const MAX_FACTS: usize = 1_000;

/// Facts about the server, by Flight SQL's numbers.
///
/// # Errors
/// Facts that can't be held in columns.
pub(crate) fn facts() -> Result<SqlInfoData> {
    let mut facts = SqlInfoDataBuilder::new();
    texts(&mut facts);
    for (fact, value) in [
        (SqlInfo::FlightSqlServerReadOnly, true),
        (SqlInfo::FlightSqlServerSql, true),
        (SqlInfo::FlightSqlServerSubstrait, false),
        (SqlInfo::FlightSqlServerCancel, false),
        (SqlInfo::FlightSqlServerBulkIngestion, false),
        (SqlInfo::SqlDdlCatalog, false),
        (SqlInfo::SqlDdlSchema, false),
        (SqlInfo::SqlDdlTable, false),
        (SqlInfo::SqlAllTablesAreSelectable, true),
        (SqlInfo::SqlSupportsColumnAliasing, true),
        (SqlInfo::SqlNullPlusNullIsNull, true),
        (SqlInfo::SqlSupportsTableCorrelationNames, true),
        (SqlInfo::SqlSupportsDifferentTableCorrelationNames, false),
        (SqlInfo::SqlSupportsExpressionsInOrderBy, true),
        (SqlInfo::SqlSupportsOrderByUnrelated, true),
        (SqlInfo::SqlSupportsLikeEscapeClause, true),
        (SqlInfo::SqlSupportsNonNullableColumns, true),
        (SqlInfo::SqlCatalogAtStart, true),
        (SqlInfo::SqlSelectForUpdateSupported, false),
        (SqlInfo::SqlStoredProceduresSupported, false),
        (SqlInfo::SqlCorrelatedSubqueriesSupported, true),
        (SqlInfo::SqlTransactionsSupported, false),
        (SqlInfo::SqlBatchUpdatesSupported, false),
        (SqlInfo::SqlSavepointsSupported, false),
        (SqlInfo::SqlNamedParametersSupported, false),
    ] {
        facts.append(fact, value);
    }
    for (fact, value) in [
        (SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32),
        // Names that aren't quoted become lower case.
        (SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32),
        (SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32),
    ] {
        facts.append(fact, value);
    }
    for fact in [
        SqlInfo::SqlKeywords,
        SqlInfo::SqlNumericFunctions,
        SqlInfo::SqlStringFunctions,
        SqlInfo::SqlSystemFunctions,
        SqlInfo::SqlDatetimeFunctions,
    ] {
        facts.append(fact, Vec::<String>::new());
    }
    facts.build()
}

fn texts(facts: &mut SqlInfoDataBuilder) {
    for (fact, value) in [
        (SqlInfo::FlightSqlServerName, "Sluice"),
        (SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION")),
        (SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION),
        (SqlInfo::SqlIdentifierQuoteChar, "\""),
        (SqlInfo::SqlSearchStringEscape, "\\"),
        (SqlInfo::SqlExtraNameCharacters, ""),
        (SqlInfo::SqlSchemaTerm, "schema"),
        (SqlInfo::SqlProcedureTerm, "procedure"),
        (SqlInfo::SqlCatalogTerm, "catalog"),
    ] {
        facts.append(fact, value);
    }
}

/// The facts that a driver asks for; all if it names none.
///
/// # Errors
/// As [`facts`].
pub(crate) fn wanted(mut command: CommandGetSqlInfo, facts: &SqlInfoData) -> Result<RecordBatch> {
    command.info.sort_unstable();
    command.info.dedup();
    command.info.truncate(MAX_FACTS);
    command.into_builder(facts).build()
}

/// The one catalogue.
///
/// # Errors
/// None that is known.
pub(crate) fn catalogs(command: CommandGetCatalogs) -> Result<RecordBatch> {
    let mut catalogs = command.into_builder();
    catalogs.append(CATALOG);
    catalogs.build()
}

/// Types of tables.
///
/// # Errors
/// None that is known.
pub(crate) fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut types = command.into_builder();
    [TABLE, VIEW].iter().for_each(|name| types.append(name));
    types.build()
}

/// Types by ODBC's numbers: none is listed.
///
/// # Errors
/// None that is known.
pub(crate) fn type_facts() -> Result<RecordBatch> {
    XdbcTypeInfoDataBuilder::new().build()?.record_batch(None)
}

/// Primary keys: no table declares one.
pub(crate) fn primary_keys() -> RecordBatch {
    let mut fields = names(["catalog_name", "db_schema_name"], true);
    fields.extend(names(["table_name", "column_name"], false));
    fields.extend(names(["key_name"], true));
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    RecordBatch::new_empty(schema(fields))
}

/// Keys of other tables: no table declares one.
pub(crate) fn foreign_keys() -> RecordBatch {
    let mut fields = Vec::new();
    for side in ["pk", "fk"] {
        let named = |name: &str| format!("{side}_{name}");
        fields.extend(names([named("catalog_name"), named("db_schema_name")], true));
        fields.extend(names([named("table_name"), named("column_name")], false));
    }
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    fields.extend(names(["fk_key_name", "pk_key_name"], true));
    fields.extend(["update_rule", "delete_rule"].map(|name| Field::new(name, DataType::UInt8, false)));
    RecordBatch::new_empty(schema(fields))
}

fn names<const N: usize>(names: [impl Into<String>; N], may_be_null: bool) -> Vec<Field> {
    names.into_iter().map(|name| Field::new(name, DataType::Utf8, may_be_null)).collect()
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn drivers_get_the_facts_that_they_ask_for() {
        let facts = facts().unwrap();
        let count = |info: Vec<u32>| wanted(CommandGetSqlInfo { info }, &facts).unwrap().num_rows();
        assert_eq!(count(vec![SqlInfo::FlightSqlServerReadOnly as u32, 8, 8]), 2);
        assert_eq!(count((10_000..20_000).collect()), 0);
        assert!(count(Vec::new()) > 30);
        assert_eq!(table_types(CommandGetTableTypes {}).unwrap().num_rows(), 2);
        assert_eq!(catalogs(CommandGetCatalogs {}).unwrap().num_rows(), 1);
        assert_eq!((primary_keys().num_columns(), foreign_keys().num_columns()), (6, 13));
        assert_eq!(type_facts().unwrap().num_rows(), 0);
    }
}
