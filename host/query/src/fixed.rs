//! Tables that SQL can name before the first run wrote them.
//!
//! The lake makes them when it first writes to them; until then these stand in, empty, with the same columns.

use arrow::datatypes::SchemaRef;
use sluice_lake::SYSTEM_TABLES;
use sluice_model::unified::transaction_versions_schema;

/// Schema, name and columns of each.
pub(crate) fn fixed_tables() -> impl Iterator<Item = (&'static str, &'static str, SchemaRef)> {
    let system = SYSTEM_TABLES.iter().map(|table| ("meta", table.name, table.schema()));
    std::iter::once(("unified", "transaction_versions", transaction_versions_schema())).chain(system)
}
