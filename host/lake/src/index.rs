//! What a table holds of a key: the hash and version of its latest row, without SQL and without reading everything.
//!
//! All rows of a key stay in the month of its first one, so that finding one of them is finding all. The months that
//! a run touches are read once per run; a refresh reads only the files that are new. Keys that aren't in these may
//! live in another month: for them the other files are asked by their Bloom filters, and only a file that may hold
//! one is read. So the cost follows the window that was read, not the history. What this run wrote itself it needn't
//! read back: it remembers the keys.

mod keys;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use parquet::bloom_filter::Sbbf;

use crate::error::Error;
use crate::hash::ordinal;
use crate::month;
use crate::scan::{read_columns, read_filters};
use crate::table::{DataFile, Table};

pub(crate) use keys::{FilterKeys, KeyMap, KeySet, digits};
use keys::{Written, halves, spelt};

const READ_AHEAD: usize = 8;
/// Keys in memory above which a flush starts with a fresh index: a backfill of years must not keep them all. Tests have
/// few keys, and shall come here too.
const MANY_KEYS: usize = if cfg!(test) { 4 } else { 128 * 1024 };

/// Keys written by this run that are remembered, 8 bytes each; the rest is asked by filters like any file.
const KEYS_REMEMBERED: usize = if cfg!(test) { 16 } else { 2 << 20 };

/// The latest row of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latest {
    /// Hash of its content.
    pub(crate) content: u128,
    /// Its version, from 1; 0 in tables without versions.
    pub(crate) version: i32,
    /// When it was observed, microseconds since 1970.
    pub(crate) observed_at: i64,
    /// The request that it came from, see [`ordinal`].
    pub(crate) request: u128,
    /// The month that the key lives in, see [`crate::month`].
    pub(crate) month: i32,
}

impl Latest {
    /// What makes one row later than another.
    fn rank(&self) -> (i32, i64, u128) {
        (self.version, self.observed_at, self.request)
    }
}

/// The columns that an index reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexColumns {
    /// 16 bytes, or 32 hexadecimal digits.
    pub(crate) key: &'static str,
    pub(crate) content: &'static str,
    pub(crate) version: Option<&'static str>,
    pub(crate) observed_at: &'static str,
    pub(crate) request: &'static str,
    /// The partition column that keys never leave.
    pub(crate) scope: Option<&'static str>,
    /// The partition column that keys rarely leave.
    pub(crate) month: Option<&'static str>,
}

/// Scope and month of a partition.
pub(crate) type Place = (String, i32);

/// The latest rows by key, as far as they were needed.
pub(crate) struct KeyIndex {
    columns: IndexColumns,
    latest: KeyMap<Latest>,
    version: Option<u64>,
    files: Vec<(DataFile, Place)>,
    loaded: HashSet<Path>,
    filters: HashMap<Path, Option<Arc<Vec<Sbbf>>>>,
    asked: HashSet<Path>,
    written: VecDeque<Written>,
    needed: usize,
}

impl KeyIndex {
    pub(crate) fn new(columns: IndexColumns) -> Self {
        Self {
            columns,
            latest: KeyMap::default(),
            version: None,
            files: Vec::new(),
            loaded: HashSet::new(),
            filters: HashMap::new(),
            asked: HashSet::new(),
            written: VecDeque::new(),
            needed: 0,
        }
    }

    /// Whether the table counts versions.
    pub(crate) fn versioned(&self) -> bool {
        self.columns.version.is_some()
    }

    pub(crate) fn get(&self, key: u128) -> Option<Latest> {
        self.latest.get(&key).copied()
    }

    /// Other keys come now: what other months said of the last ones tells nothing of these.
    pub(crate) fn begin(&mut self) {
        self.asked.clear();
        if self.latest.len() > MANY_KEYS.max(2 * self.needed) {
            self.latest = KeyMap::default();
            self.loaded.clear();
            self.needed = 0;
        }
    }

    /// Takes note of a row that was committed.
    pub(crate) fn insert(&mut self, key: u128, row: Latest) {
        let latest = self.latest.entry(key).or_insert(row);
        if row.rank() > latest.rank() {
            *latest = row;
        }
    }

    /// Takes note of files that were committed, and of all keys in them, which were inserted.
    pub(crate) fn wrote(&mut self, paths: Vec<Path>, keys: impl Iterator<Item = u128>) {
        self.loaded.extend(paths.iter().cloned());
        self.written.push_back(Written { paths, keys: halves(keys) });
        let mut remembered: usize = self.written.iter().map(|written| written.keys.len()).sum();
        while remembered > KEYS_REMEMBERED
            && let Some(forgotten) = self.written.pop_front()
        {
            remembered -= forgotten.keys.len();
        }
    }

    /// What this run wrote into a file.
    fn written(&self, path: &Path) -> Option<&Written> {
        self.written.iter().find(|written| written.paths.contains(path))
    }

    /// Makes the index know all that the snapshot holds of `keys`, which belong to `places`.
    pub(crate) async fn cover(
        &mut self,
        table: &Table,
        places: &HashSet<Place>,
        keys: impl Iterator<Item = u128>,
    ) -> Result<(), Error> {
        if self.version != table.version() {
            self.files = table.files().into_iter().map(|file| self.place(file)).collect();
            self.version = table.version();
        }
        let fresh = self.latest.is_empty();
        let touched: Vec<Path> = self
            .files
            .iter()
            .filter(|(file, place)| places.contains(place) && !self.loaded.contains(&file.path))
            .filter(|(file, _)| self.written(&file.path).is_none())
            .map(|(file, _)| file.path.clone())
            .collect();
        self.load(table, touched, None).await?;
        if fresh {
            self.needed = self.latest.len();
        }
        let scopes: HashSet<&str> = places.iter().map(|(scope, _)| scope.as_str()).collect();
        let others: Vec<Path> = self
            .files
            .iter()
            .filter(|(file, (scope, _))| scopes.contains(scope.as_str()) && !self.loaded.contains(&file.path))
            .filter(|(file, _)| !self.asked.contains(&file.path))
            .map(|(file, _)| file.path.clone())
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let unseen: KeySet = keys.filter(|key| !self.latest.contains_key(key)).collect();
        if !unseen.is_empty() {
            let suspects = self.suspects(table, &others, &unseen).await?;
            self.load(table, suspects, Some(&unseen)).await?;
        }
        self.asked.extend(others);
        Ok(())
    }

    fn place(&self, file: DataFile) -> (DataFile, Place) {
        let value = |column: Option<&str>| {
            column.and_then(|name| file.partitions.get(name).cloned().flatten()).unwrap_or_default()
        };
        let place = (value(self.columns.scope), month::code(&value(self.columns.month)));
        (file, place)
    }

    /// The files that may hold one of `keys`.
    async fn suspects(&mut self, table: &Table, files: &[Path], keys: &KeySet) -> Result<Vec<Path>, Error> {
        let column = self.columns.key;
        let is_unknown = |path: &&Path| !self.filters.contains_key(*path) && self.written(path).is_none();
        let unknown: Vec<Path> = files.iter().filter(is_unknown).cloned().collect();
        let read: Vec<(Path, Option<Vec<Sbbf>>)> = stream::iter(unknown)
            .map(|path| async move {
                let filters = read_filters(table.store(), &path, column).await;
                filters.map(|filters| (path.clone(), filters)).map_err(|source| unreadable(table, &path, source))
            })
            .buffer_unordered(READ_AHEAD)
            .try_collect()
            .await?;
        self.filters.extend(read.into_iter().map(|(path, filters)| (path, filters.map(Arc::new))));
        let halves = halves(keys.iter().copied());
        let keys = FilterKeys::of(column, keys.iter().copied());
        let suspected = |path: &&Path| match (self.written(path), self.filters.get(*path)) {
            (Some(written), _) => written.may_hold(&halves),
            (None, Some(Some(filters))) => keys.may_be_in(filters),
            (None, _) => true,
        };
        Ok(files.iter().filter(suspected).cloned().collect())
    }

    /// Reads the rows of files, all or those of some keys.
    async fn load(&mut self, table: &Table, paths: Vec<Path>, only: Option<&KeySet>) -> Result<(), Error> {
        let columns = self.columns;
        let mut names = vec![columns.key, columns.content, columns.observed_at, columns.request];
        names.extend(columns.version);
        let names = &names;
        let months: HashMap<Path, i32> =
            self.files.iter().map(|(file, (_, month))| (file.path.clone(), *month)).collect();
        let mut read = stream::iter(paths)
            .map(|path| (months.get(&path).copied().unwrap_or(month::NONE), path))
            .map(|(month, path)| async move {
                if let Some(only) = only {
                    let keys = read_columns(table.store(), &path, &[columns.key]).await;
                    let keys = keys.map_err(|source| unreadable(table, &path, source))?;
                    if !any_key(table, columns, &keys, only)? {
                        return Ok((path, month, Vec::new()));
                    }
                }
                let batches = read_columns(table.store(), &path, names).await;
                batches.map(|batches| (path.clone(), month, batches)).map_err(|source| unreadable(table, &path, source))
            })
            .buffer_unordered(READ_AHEAD);
        while let Some((path, month, batches)) = read.try_next().await? {
            for batch in &batches {
                self.take_rows(table, batch, month, only)?;
            }
            if only.is_none() {
                self.loaded.insert(path);
            }
        }
        Ok(())
    }

    fn take_rows(
        &mut self,
        table: &Table,
        batch: &RecordBatch,
        month: i32,
        only: Option<&KeySet>,
    ) -> Result<(), Error> {
        let columns = self.columns;
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
        for (row, key) in keys.into_iter().enumerate() {
            if only.is_some_and(|only| !only.contains(&key)) {
                continue;
            }
            let latest = Latest {
                content: number(contents.value(row)).ok_or_else(|| wrong(table, columns.content, "16 bytes long"))?,
                version: versions.map_or(0, |versions| versions.value(row)),
                observed_at: observed.value(row),
                request: ordinal(requests.value(row)),
                month,
            };
            self.insert(key, latest);
        }
        Ok(())
    }
}

fn any_key(table: &Table, columns: IndexColumns, batches: &[RecordBatch], keys: &KeySet) -> Result<bool, Error> {
    for batch in batches {
        if keys_of(table, batch, columns.key)?.iter().any(|key| keys.contains(key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn keys_of(table: &Table, batch: &RecordBatch, name: &str) -> Result<Vec<u128>, Error> {
    let keys = column(table, batch, name)?;
    let bad = || wrong(table, name, "128 bits wide");
    if let Some(keys) = keys.as_binary_opt::<i32>() {
        return keys.iter().map(|key| key.and_then(number).ok_or_else(bad)).collect();
    }
    let keys = keys.as_string_opt::<i32>().ok_or_else(bad)?;
    keys.iter().map(|key| key.and_then(spelt).ok_or_else(bad)).collect()
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
