//! Keys and versions of files, held or read again as often as they are needed, and filters over keys.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use deltalake::kernel::Add;
use futures::TryStreamExt;
use parquet::bloom_filter::Sbbf;

use super::path_of;
use crate::error::Error;
use crate::index::{column, keys_of, to_hex, unreadable, wrong};
use crate::scan::{read_filters, stream_columns};
use crate::table::Table;
use crate::unified::INDEX;

const VERSION: &str = "version";
/// Rows whose key and version are held, 32 bytes each.
const ROWS_HELD: usize = 512 << 10;
/// Bytes of filters that are held.
const FILTER_BYTES: usize = 32 << 20;

/// Key and version of the rows of a table's files.
pub(super) struct KeyVersions<'a> {
    pub(super) table: &'a Table,
    held: HashMap<String, Arc<[(u128, i32)]>>,
    room: usize,
}

impl<'a> KeyVersions<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        Self { table, held: HashMap::new(), room: ROWS_HELD }
    }

    /// Those of all rows of a file.
    pub(super) async fn read(&mut self, add: &Add) -> Result<Arc<[(u128, i32)]>, Error> {
        if let Some(held) = self.held.get(&add.path) {
            return Ok(held.clone());
        }
        let rows: Arc<[_]> = key_versions(self.table, add).await?.into();
        if rows.len() <= self.room {
            self.room -= rows.len();
            self.held.insert(add.path.clone(), rows.clone());
        }
        Ok(rows)
    }
}

/// Key and version of all rows of a file.
pub(super) async fn key_versions(table: &Table, add: &Add) -> Result<Vec<(u128, i32)>, Error> {
    let path = path_of(add);
    let failed = |source| unreadable(table, &path, source);
    let names = [INDEX.key, VERSION];
    let mut batches = stream_columns(table.store(), &path, &names).await.map_err(failed)?;
    let mut rows = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(failed)? {
        rows.extend(keys_of(table, &batch, INDEX.key)?.into_iter().zip(versions_of(table, &batch)?));
    }
    Ok(rows)
}

pub(super) fn versions_of(table: &Table, rows: &RecordBatch) -> Result<Vec<i32>, Error> {
    let versions = column(table, rows, VERSION)?.as_primitive_opt::<Int32Type>();
    versions.map(|versions| versions.values().to_vec()).ok_or_else(|| wrong(table, VERSION, "an integer"))
}

/// The filters over the keys of files that were checked.
pub(super) struct Filters {
    held: HashMap<String, Arc<[Sbbf]>>,
    bytes: usize,
    most_bytes: usize,
}

impl Default for Filters {
    fn default() -> Self {
        Self::of(FILTER_BYTES)
    }
}

impl Filters {
    /// None yet, and at most so many bytes of them at once.
    pub(super) fn of(most_bytes: usize) -> Self {
        Self { held: HashMap::new(), bytes: 0, most_bytes }
    }

    /// Whether a file may hold one of `keys`; for most that don't, the filters decide and no key is read.
    pub(super) async fn may_hold(&mut self, table: &Table, add: &Add, keys: &[u128]) -> Result<bool, Error> {
        if keys.is_empty() {
            return Ok(false);
        }
        let Some(filters) = self.of_file(table, add).await? else { return Ok(true) };
        let may_be = |key: &u128| filters.iter().any(|filter| filter.check(&to_hex(*key)[..]));
        Ok(keys.iter().any(may_be))
    }

    /// A file's filters; none if it lacks one.
    async fn of_file(&mut self, table: &Table, add: &Add) -> Result<Option<Arc<[Sbbf]>>, Error> {
        if let Some(held) = self.held.get(&add.path) {
            return Ok(Some(held.clone()));
        }
        let path = path_of(add);
        let read = read_filters(table.store(), &path, INDEX.key).await;
        let Some(read) = read.map_err(|source| unreadable(table, &path, source))? else { return Ok(None) };
        let bytes: usize = read.iter().map(|filter| filter.num_blocks() * 32).sum();
        let filters: Arc<[Sbbf]> = read.into();
        if self.bytes + bytes > self.most_bytes {
            self.held.clear();
            self.bytes = 0;
        }
        if bytes <= self.most_bytes {
            self.bytes += bytes;
            self.held.insert(add.path.clone(), filters.clone());
        }
        Ok(Some(filters))
    }
}
