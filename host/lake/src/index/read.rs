//! Reading rows of data files into an index.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::cache::FileKeys;
use super::keys::parse_hex;
use super::{IndexColumns, KeyIndex, LatestRow, Questions, keep_latest};
use crate::error::Error;
use crate::hash::request_ordinal;
use crate::scan::{read_columns, read_filters};
use crate::table::Table;

const READ_AHEAD: usize = 8;

impl KeyIndex {
    /// Reads all rows of files.
    pub(super) async fn read_whole(&mut self, table: &Table, files: Vec<(Path, u32)>) -> Result<(), Error> {
        let names = names(self.columns);
        let names = &names;
        let mut read = stream::iter(files)
            .map(|(path, home)| async move {
                let batches = read_columns(table.store(), &path, names).await;
                batches.map(|batches| (path.clone(), home, batches)).map_err(|source| unreadable(table, &path, source))
            })
            .buffered(READ_AHEAD);
        while let Some((path, home, batches)) = read.try_next().await? {
            let (latest, mut keys) = (&mut self.latest, 0);
            for batch in &batches {
                let take = |key, row| keys += usize::from(keep_latest(latest, key, row));
                each_row(table, self.columns, batch, home, |_| true, take)?;
            }
            self.partitions.grew(home, keys);
            self.partitions.read_whole(home, path);
        }
        Ok(())
    }

    /// Reads what files hold of the keys for which they are searched.
    pub(super) async fn read_searched(
        &mut self,
        table: &Table,
        files: Vec<(Path, u32)>,
        questions: &Questions,
    ) -> Result<(), Error> {
        let columns = self.columns;
        let names = names(columns);
        let names = &names;
        let mut read = stream::iter(files)
            .map(|(path, home)| async move {
                let failed = |source| unreadable(table, &path, source);
                let keys = read_columns(table.store(), &path, &[columns.key]).await.map_err(failed)?;
                if !any_key(table, columns, &keys, home, questions)? {
                    return Ok((path, home, Vec::new()));
                }
                let batches = read_columns(table.store(), &path, names).await.map_err(failed)?;
                Ok::<_, Error>((path, home, batches))
            })
            .buffered(READ_AHEAD);
        while let Some((path, home, batches)) = read.try_next().await? {
            let mut found = Vec::new();
            for batch in &batches {
                let wants = |key| questions.wants(home, key);
                each_row(table, columns, batch, home, wants, |key, row| found.push((key, row)))?;
            }
            if self.partitions.is_cached(home) {
                self.partitions.note_source(home, &path);
            }
            found.into_iter().for_each(|(key, row)| self.insert(key, row));
        }
        Ok(())
    }

    /// The files that may hold a key for which they are searched, by their filters or by the keys that were written.
    pub(super) async fn suspects(
        &mut self,
        table: &Table,
        files: &[(Path, u32)],
        questions: &Questions,
    ) -> Result<Vec<(Path, u32)>, Error> {
        let asks = |home: u32| !questions.homeless.keys.is_empty() || questions.at_home.contains_key(&home);
        let asked: Vec<(Path, u32)> = files.iter().filter(|(_, home)| asks(*home)).cloned().collect();
        let unknown: Vec<Path> =
            asked.iter().filter(|(path, _)| self.filters.get(path).is_none()).map(|(path, _)| path.clone()).collect();
        let column = self.columns.key;
        let mut read = stream::iter(unknown)
            .map(|path| async move {
                let filters = read_filters(table.store(), &path, column).await;
                filters.map(|filters| (path.clone(), filters)).map_err(|source| unreadable(table, &path, source))
            })
            .buffer_unordered(READ_AHEAD);
        while let Some((path, filters)) = read.try_next().await? {
            self.filters.insert(path, filters.map_or(FileKeys::Unknown, FileKeys::Filters));
        }
        let suspected = |(path, home): &(Path, u32)| {
            let known = self.filters.get(path);
            known.is_none_or(|known| questions.may_be_in(*home, known))
        };
        Ok(asked.into_iter().filter(suspected).collect())
    }
}

/// The columns that make a row of an index.
fn names(columns: IndexColumns) -> Vec<&'static str> {
    let mut names = vec![columns.key, columns.content, columns.observed_at, columns.request];
    names.extend(columns.version);
    names
}

fn any_key(
    table: &Table,
    columns: IndexColumns,
    batches: &[RecordBatch],
    home: u32,
    questions: &Questions,
) -> Result<bool, Error> {
    for batch in batches {
        if keys_of(table, batch, columns.key)?.iter().any(|key| questions.wants(home, *key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives each row of a batch whose key is wanted.
fn each_row(
    table: &Table,
    columns: IndexColumns,
    batch: &RecordBatch,
    home: u32,
    wants: impl Fn(u128) -> bool,
    mut take: impl FnMut(u128, LatestRow),
) -> Result<(), Error> {
    let keys = keys_of(table, batch, columns.key)?;
    let contents = column(table, batch, columns.content)?
        .as_binary_opt::<i32>()
        .ok_or_else(|| wrong(table, columns.content, "binary"))?;
    let observed = column(table, batch, columns.observed_at)?
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| wrong(table, columns.observed_at, "a timestamp"))?;
    let requests = column(table, batch, columns.request)?
        .as_string_opt::<i32>()
        .ok_or_else(|| wrong(table, columns.request, "text"))?;
    let versions = match columns.version {
        Some(name) => Some(
            column(table, batch, name)?
                .as_primitive_opt::<Int32Type>()
                .ok_or_else(|| wrong(table, name, "an integer"))?,
        ),
        None => None,
    };
    for (row, key) in keys.into_iter().enumerate().filter(|(_, key)| wants(*key)) {
        let latest = LatestRow {
            content: number(contents.value(row)).ok_or_else(|| wrong(table, columns.content, "16 bytes long"))?,
            version: versions.map_or(0, |versions| versions.value(row)),
            observed_at: observed.value(row),
            request: request_ordinal(requests.value(row)),
            home,
        };
        take(key, latest);
    }
    Ok(())
}

pub(crate) fn keys_of(table: &Table, batch: &RecordBatch, name: &str) -> Result<Vec<u128>, Error> {
    let keys = column(table, batch, name)?;
    let bad = || wrong(table, name, "128 bits wide");
    if let Some(keys) = keys.as_binary_opt::<i32>() {
        return keys.iter().map(|key| key.and_then(number).ok_or_else(bad)).collect();
    }
    let keys = keys.as_string_opt::<i32>().ok_or_else(bad)?;
    keys.iter().map(|key| key.and_then(parse_hex).ok_or_else(bad)).collect()
}

fn number(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

pub(crate) fn column<'a>(table: &Table, batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, Error> {
    batch.column_by_name(name).map(AsRef::as_ref).ok_or_else(|| wrong(table, name, "in every file"))
}

pub(crate) fn wrong(table: &Table, column: &str, expected: &str) -> Error {
    Error::Column {
        table: table.name().to_owned(),
        column: column.to_owned(),
        found: "something else".to_owned(),
        expected: expected.to_owned(),
    }
}

pub(crate) fn unreadable(table: &Table, path: &Path, source: parquet::errors::ParquetError) -> Error {
    Error::DataFile { table: table.name().to_owned(), path: path.to_string(), source }
}
