//! What other systems have to know of a table to register it: its columns, and how its files are parted.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;

use crate::error::Error;
use crate::lake::{Lake, TableRef};
use crate::table::Table;

/// A table's columns and partitions, as its newest snapshot has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumns {
    /// All columns, those by which files are parted included.
    pub schema: SchemaRef,
    /// The columns that its files are parted by, in the order of the folders. They aren't in the files.
    pub partitioned_by: Vec<String>,
    /// The partitions that have files, each with the values of those columns.
    pub partitions: BTreeSet<BTreeMap<String, String>>,
}

impl Lake {
    /// The columns and partitions of a table.
    ///
    /// # Errors
    /// The store's failure, or a table that isn't there any more.
    pub async fn table_columns(&self, table: &TableRef) -> Result<TableColumns, Error> {
        let table = Table::open(self, &table.schema, &table.name).await?;
        let partitions = table.files().into_iter().map(|file| {
            let values = file.partitions.into_iter();
            values.filter_map(|(name, value)| Some((name, value?))).collect()
        });
        Ok(TableColumns {
            schema: table.schema()?,
            partitioned_by: table.partitioned_by(),
            partitions: partitions.collect(),
        })
    }
}
