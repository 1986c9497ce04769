//! Files of the latest state: copied as they stand, or written without what is superseded.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};
use uuid::Uuid;

use super::keys::versions_of;
use super::merge::Merge;
use super::path_of;
use crate::error::Error;
use crate::index::{keys_of, unreadable};
use crate::scan::stream_rows;
use crate::table::Table;
use crate::unified::INDEX;

/// Rows of a file that is rewritten.
const FILE_ROWS: usize = 128 * 1024;

impl Merge<'_, '_> {
    /// Copies a file of the table of versions, under a name of its own.
    pub(super) async fn copy(&self, add: &Add) -> Result<Add, Error> {
        let from = path_of(add);
        let name = format!("part-00000-{}-c000.zstd.parquet", Uuid::new_v4());
        let folder = add.path.rsplit_once('/').map(|(folder, _)| folder);
        let path = folder.map_or_else(|| name.clone(), |folder| format!("{folder}/{name}"));
        let add = Add { path, modification_time: chrono::Utc::now().timestamp_millis(), ..add.clone() };
        let (source, target) = (self.place("transaction_versions", &from), self.place("transactions", &path_of(&add)));
        let store = self.lake.store();
        let failed = |source| Error::store("copy", self.lake.display(&target), source);
        match store.copy(&source, &target).await {
            Ok(()) => {}
            Err(error @ StoreError::NotFound { .. }) => return Err(failed(error)),
            // A file system without hard links, or a store without copies.
            Err(_) => {
                let bytes = self.lake.get(&source).await?;
                store.put(&target, bytes.into()).await.map_err(failed)?;
            }
        }
        Ok(add)
    }

    fn place(&self, table: &str, path: &Path) -> Path {
        let table = self.lake.tables_folder().join("unified").join(table);
        table.parts().chain(path.parts()).collect()
    }

    /// Writes what a file holds and nothing supersedes as files of the latest state.
    pub(super) async fn rewrite(
        &self,
        table: &Table,
        add: &Add,
        is_superseded: impl Fn(u128, i32) -> bool + Send,
        written: &mut Vec<Add>,
    ) -> Result<(), Error> {
        let path = path_of(add);
        let failed = |source| unreadable(table, &path, source);
        let schema = self.schema()?;
        let mut batches = stream_rows(table.store(), &path).await.map_err(failed)?;
        let (mut kept, mut rows): (Vec<RecordBatch>, usize) = (Vec::new(), 0);
        loop {
            let batch = batches.try_next().await.map_err(failed)?;
            let last = batch.is_none();
            if let Some(batch) = batch {
                let keys = keys_of(table, &batch, INDEX.key)?.into_iter().zip(versions_of(table, &batch)?);
                let mask: BooleanArray = keys.map(|(key, version)| Some(!is_superseded(key, version))).collect();
                let batch = filter_record_batch(&batch, &mask).map_err(|source| Error::rows(table.name(), source))?;
                rows += batch.num_rows();
                kept.push(lay_out(table.name(), &batch, &schema, &add.partition_values)?);
            }
            if rows >= FILE_ROWS || (last && rows > 0) {
                let batch = concat_batches(&schema, &kept).map_err(|source| Error::rows(self.latest.name(), source))?;
                written.extend(self.latest.write_files(&batch, Some(INDEX.key)).await?);
                (kept, rows) = (Vec::new(), 0);
            }
            if last {
                return Ok(());
            }
        }
    }
}

/// A file's rows under the table's columns: those of its partition are in its folder's name, those that came to the
/// table later are null.
pub(crate) fn lay_out(
    table: &str,
    rows: &RecordBatch,
    schema: &SchemaRef,
    partition: &HashMap<String, Option<String>>,
) -> Result<RecordBatch, Error> {
    let count = rows.num_rows();
    let arrays = schema.fields().iter().map(|field| -> Result<ArrayRef, Error> {
        let Some(column) = rows.column_by_name(field.name()) else {
            return Ok(match partition.get(field.name()).and_then(Option::as_deref) {
                Some(value) => Arc::new(StringArray::from(vec![value; count])),
                None => new_null_array(field.data_type(), count),
            });
        };
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        // Other writers name the entries of maps otherwise; any other difference could lose something.
        if !column.data_type().equals_datatype(field.data_type()) {
            return Err(Error::Column {
                table: table.to_owned(),
                column: field.name().clone(),
                found: column.data_type().to_string(),
                expected: field.data_type().to_string(),
            });
        }
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(column, field.data_type(), &strict).map_err(|source| Error::rows(table, source))
    });
    let arrays = arrays.collect::<Result<Vec<_>, Error>>()?;
    RecordBatch::try_new(schema.clone(), arrays).map_err(|source| Error::rows(table, source))
}
