//! Tables that SQL can name before the first run wrote them.
//!
//! The lake makes them when it first writes to them; until then these stand in, empty, with the same columns.

use arrow::datatypes::SchemaRef;
use sluice_lake::SYSTEM_TABLES;
use sluice_model::Fact;

/// Schema, name and columns of each.
pub(crate) fn fixed_tables() -> impl Iterator<Item = (&'static str, &'static str, SchemaRef)> {
    let system = SYSTEM_TABLES.iter().map(|table| ("meta", table.name, table.schema()));
    let unified = Fact::ALL.into_iter().map(|fact| ("unified", fact.versions(), fact.versions_schema()));
    unified.chain(system)
}
