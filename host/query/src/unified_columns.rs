//! `meta.unified_columns`: the schema of the unified layer as SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result as PlanResult;
use sluice_model::Fact;
use sluice_model::unified::UnifiedColumn;

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

pub(crate) fn table() -> PlanResult<Arc<dyn TableProvider>> {
    let of_tables = Fact::ALL.into_iter().flat_map(|fact| fact.columns().iter().map(move |column| (fact, column)));
    // Arrays are made of as many values as are known beforehand.
    let all: Vec<(Fact, &UnifiedColumn)> = of_tables.collect();
    let text = |of: fn(&UnifiedColumn) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(all.iter().map(|(_, column)| of(column))))
    };
    let columns: [ArrayRef; 7] = [
        Arc::new(StringArray::from_iter_values(all.iter().map(|(fact, _)| fact.versions()))),
        text(|column| column.name.to_owned()),
        text(|column| column.kind.type_name()),
        Arc::new(all.iter().map(|(_, column)| Some(column.nullable())).collect::<BooleanArray>()),
        text(|column| column.group.name().to_owned()),
        text(|column| column.given_by.name().to_owned()),
        text(UnifiedColumn::description),
    ];
    let rows = RecordBatch::try_from_iter(COLUMNS.iter().map(|(name, _)| *name).zip(columns))?;
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}
