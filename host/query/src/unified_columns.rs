//! `meta.unified_columns`: the schema of the unified layer as SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result as PlanResult;
use sluice_model::unified::{TRANSACTION_COLUMNS, UnifiedColumn};

/// Its columns, and what each means.
pub(crate) const COLUMNS: &[(&str, &str)] = &[
    ("table_name", "The table in the schema `unified` that has the column; its views have it too."),
    ("name", "The column."),
    ("type", "Its type."),
    ("nullable", "Whether rows may have none."),
    ("group", "What it is about: `key`, `core`, `lifecycle`, `money`, `attribution`, `version` or `lineage`."),
    ("given_by", "Who gives its values: `connector`, `engine` or `lake`."),
    ("documentation", "What it means."),
];

/// The table.
pub(crate) fn table() -> PlanResult<Arc<dyn TableProvider>> {
    let text = |of: fn(&UnifiedColumn) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(TRANSACTION_COLUMNS.iter().map(of)))
    };
    let nullable = TRANSACTION_COLUMNS.iter().map(|column| Some(column.nullable()));
    let columns: [ArrayRef; 7] = [
        text(|_| "transaction_versions".to_owned()),
        text(|column| column.name.to_owned()),
        text(|column| column.kind.type_name()),
        Arc::new(nullable.collect::<BooleanArray>()),
        text(|column| column.group.name().to_owned()),
        text(|column| column.given_by.name().to_owned()),
        text(UnifiedColumn::description),
    ];
    let rows = RecordBatch::try_from_iter(COLUMNS.iter().map(|(name, _)| *name).zip(columns))?;
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}
