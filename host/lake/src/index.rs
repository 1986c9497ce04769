//! What a table holds of a key: the hash and version of its latest row, without SQL and without reading everything.
//!
//! All rows of a key stay in the partition of its first one, its *home*, so that finding one of them is finding all.
//! What [`KeyIndex::cover`] promises, and why it holds:
//!
//! 1. Rows in memory belong to partitions that are *cached*, or were found for the keys of this flush (*strays*).
//! 2. Every file of a cached partition that the flush's rows belong to is read whole.
//! 3. Every other file of these partitions, and then every file of the others of the same scope, is searched for each key
//!    that has no known home yet, and for each key whose home is the file's partition. Its Bloom filter may answer no, or
//!    the prefixes of the keys that this process wrote into it: a key whose prefix isn't among them isn't in the file, for
//!    files are never changed. Else its keys are read.
//! 4. A file that is neither read whole nor searched for a key is of another partition than the key's home, which was known
//!    or found before, and so holds no row of it.
//! 5. A partition is evicted whole, never in part, and so is one of which a file has left the table: a compaction or
//!    a rollback took it, and what was read of it may be wrong.
//!
//! So the cost follows the windows that were read, not the history; and memory has a limit, since what doesn't fit is
//! searched by key.

mod cache;
mod keys;
mod read;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use object_store::path::Path;

use crate::error::Error;
use crate::month;
use crate::table::{DataFile, Table};

use cache::{FileKeys, FilterCache, Partitions};
use keys::share_any;
pub(crate) use keys::{FilterKeys, KeyMap, KeySet, key_prefix, parse_hex, to_hex};
pub(crate) use read::{column, keys_of, unreadable, wrong};

/// The latest row of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LatestRow {
    /// Hash of its content.
    pub(crate) content: u128,
    /// The request that it came from, see [`crate::hash::request_ordinal`].
    pub(crate) request: u128,
    /// When it was observed, microseconds since 1970.
    pub(crate) observed_at: i64,
    /// Its version, from 1; 0 in tables without versions.
    pub(crate) version: i32,
    /// The key's home partition, by its number in the index.
    pub(crate) home: u32,
}

impl LatestRow {
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

/// How many times as many rows as it has there may be room for in memory after an eviction.
const KEPT_ROOM: usize = 3;

/// Scope and month of a partition.
pub(crate) type Partition = (String, i32);

/// Keys of a flush for which files are searched.
struct Asked {
    column: &'static str,
    keys: KeySet,
    /// Their prefixes, rising.
    prefixes: Vec<u64>,
    /// Made for the first file that has a filter.
    filter: OnceLock<FilterKeys>,
}

impl Asked {
    fn of(column: &'static str, keys: &[u128]) -> Self {
        let mut prefixes: Vec<u64> = keys.iter().map(|key| key_prefix(*key)).collect();
        prefixes.sort_unstable();
        Self { column, keys: keys.iter().copied().collect(), prefixes, filter: OnceLock::new() }
    }

    /// Whether a file may hold one of them.
    fn may_be_in(&self, known: &FileKeys) -> bool {
        match known {
            FileKeys::Prefixes(prefixes) => share_any(&self.prefixes, prefixes),
            FileKeys::Filters(filters) => {
                let filter = self.filter.get_or_init(|| FilterKeys::of(self.column, self.keys.iter().copied()));
                filter.may_be_in(filters)
            }
            FileKeys::Unknown => !self.keys.is_empty(),
        }
    }
}

/// The keys for which files outside of the cache are searched.
struct Questions {
    /// Keys without a known home: any file may hold them.
    homeless: Asked,
    /// Keys by their home.
    at_home: HashMap<u32, Asked>,
}

impl Questions {
    fn wants(&self, home: u32, key: u128) -> bool {
        self.homeless.keys.contains(&key) || self.at_home.get(&home).is_some_and(|asked| asked.keys.contains(&key))
    }

    /// Whether a file of a partition may hold a key for which it is searched.
    fn may_be_in(&self, home: u32, known: &FileKeys) -> bool {
        self.homeless.may_be_in(known) || self.at_home.get(&home).is_some_and(|asked| asked.may_be_in(known))
    }
}

/// The latest rows by key, as far as they were needed and fit.
pub(crate) struct KeyIndex {
    columns: IndexColumns,
    /// Rows of cached partitions.
    latest: KeyMap<LatestRow>,
    partitions: Partitions,
    /// Rows of this flush's keys in partitions that aren't cached.
    strays: KeyMap<LatestRow>,
    /// Files that were searched for the keys of this flush.
    asked: HashSet<Path>,
    filters: FilterCache,
    version: Option<u64>,
    files: Vec<(DataFile, u32)>,
}

impl KeyIndex {
    /// An index that keeps at most about `most_keys` keys from one flush to the next.
    pub(crate) fn new(columns: IndexColumns, most_keys: usize) -> Self {
        Self {
            columns,
            latest: KeyMap::default(),
            partitions: Partitions::new(most_keys),
            strays: KeyMap::default(),
            asked: HashSet::new(),
            filters: FilterCache::default(),
            version: None,
            files: Vec::new(),
        }
    }

    /// Whether the table counts versions.
    pub(crate) fn versioned(&self) -> bool {
        self.columns.version.is_some()
    }

    pub(crate) fn get(&self, key: u128) -> Option<LatestRow> {
        self.latest.get(&key).or_else(|| self.strays.get(&key)).copied()
    }

    /// The month of a partition.
    pub(crate) fn month(&self, home: u32) -> i32 {
        self.partitions.place(home).1
    }

    /// The number by which rows name a partition, given when it is first asked for.
    pub(crate) fn number(&mut self, place: &Partition) -> u32 {
        self.partitions.number(place)
    }

    /// How many keys it keeps.
    pub(crate) fn keys(&self) -> usize {
        self.latest.len()
    }

    /// How many prefixes of keys it keeps of files that this process wrote.
    pub(crate) fn key_prefixes(&self) -> usize {
        self.filters.key_prefixes()
    }

    /// Forgets these prefixes.
    pub(crate) fn forget_key_prefixes(&mut self) {
        self.filters.forget_key_prefixes();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.columns, self.partitions.most_keys());
    }

    /// The keys of another flush come.
    pub(crate) fn begin(&mut self) {
        self.asked.clear();
        self.strays = KeyMap::default();
        self.filters.bound();
    }

    /// Records a row that was committed, if its partition is cached: the next flush searches for those of others.
    pub(crate) fn keep(&mut self, key: u128, row: LatestRow) {
        if self.partitions.is_cached(row.home) && keep_latest(&mut self.latest, key, row) {
            self.partitions.grew(row.home, 1);
        }
    }

    /// Records a row that was read.
    fn insert(&mut self, key: u128, row: LatestRow) {
        if self.partitions.is_cached(row.home) {
            self.keep(key, row);
        } else {
            keep_latest(&mut self.strays, key, row);
        }
    }

    /// Records files that were committed, of which all rows were inserted, and the prefixes of their keys by home.
    pub(crate) fn wrote(
        &mut self,
        files: impl Iterator<Item = (Path, HashMap<String, Option<String>>)>,
        prefixes: HashMap<u32, Vec<u64>>,
    ) {
        let rising = |(home, mut prefixes): (u32, Vec<u64>)| {
            prefixes.sort_unstable();
            let prefixes: Arc<[u64]> = prefixes.into();
            (home, prefixes)
        };
        let prefixes: HashMap<u32, Arc<[u64]>> = prefixes.into_iter().map(rising).collect();
        for (path, values) in files {
            let home = self.home_of(&values);
            if let Some(prefixes) = prefixes.get(&home) {
                self.filters.insert(path.clone(), FileKeys::Prefixes(prefixes.clone()));
            }
            if self.partitions.is_cached(home) {
                self.partitions.read_whole(home, path);
            }
        }
    }

    /// Makes the index know all that the snapshot holds of `keys`, which belong to `places`.
    pub(crate) async fn cover(
        &mut self,
        table: &Table,
        places: &HashSet<Partition>,
        keys: &[u128],
    ) -> Result<(), Error> {
        self.follow(table);
        self.choose_cached(places);
        let whole: Vec<(Path, u32)> =
            self.unread(|partitions, home| partitions.is_cached(home) && places.contains(partitions.place(home)));
        self.read_whole(table, whole).await?;
        // Nearly all known keys have their home where their rows belong: only the others are searched everywhere.
        let here = self.unread(|partitions, home| places.contains(partitions.place(home)));
        self.ask(table, here, keys).await?;
        let scopes: HashSet<&str> = places.iter().map(|(scope, _)| scope.as_str()).collect();
        let elsewhere = self.unread(|partitions, home| {
            let place = partitions.place(home);
            scopes.contains(place.0.as_str()) && !places.contains(place)
        });
        self.ask(table, elsewhere, keys).await
    }

    /// Searches files that weren't searched yet for the keys of a flush.
    async fn ask(&mut self, table: &Table, mut files: Vec<(Path, u32)>, keys: &[u128]) -> Result<(), Error> {
        files.retain(|(path, _)| !self.asked.contains(path));
        let questions = self.questions(&files, keys);
        let suspects = self.suspects(table, &files, &questions).await?;
        self.read_searched(table, suspects, &questions).await?;
        self.asked.extend(files.into_iter().map(|(path, _)| path));
        Ok(())
    }

    /// Records the snapshot's files; evicts partitions of which a file is gone.
    fn follow(&mut self, table: &Table) {
        if self.version == table.version() {
            return;
        }
        self.version = table.version();
        self.files = table
            .files()
            .into_iter()
            .map(|file| (self.home_of(&file.partitions), file))
            .map(|(home, file)| (file, home))
            .collect();
        let there: HashSet<&Path> = self.files.iter().map(|(file, _)| &file.path).collect();
        if !self.asked.iter().all(|path| there.contains(path)) {
            self.asked.clear();
            self.strays.clear();
        }
        self.filters.keep_only(&there);
        let changed = self.partitions.without_sources(&there);
        self.evict(&changed);
    }

    fn home_of(&mut self, values: &HashMap<String, Option<String>>) -> u32 {
        let value =
            |column: Option<&str>| column.and_then(|name| values.get(name).cloned().flatten()).unwrap_or_default();
        let place = (value(self.columns.scope), month::code(&value(self.columns.month)));
        self.partitions.number(&place)
    }

    /// Decides which of the partitions that are needed now are kept in memory, and evicts those used longest ago.
    fn choose_cached(&mut self, places: &HashSet<Partition>) {
        let needed: Vec<u32> = places.iter().map(|place| self.partitions.number(place)).collect();
        let mut unread: HashMap<u32, usize> = HashMap::new();
        for (file, home) in &self.files {
            if !self.partitions.is_read(*home, &file.path) {
                *unread.entry(*home).or_default() += file.rows;
            }
        }
        let evicted = self.partitions.choose_cached(&needed, &unread);
        self.evict(&evicted);
    }

    fn evict(&mut self, homes: &HashSet<u32>) {
        if homes.is_empty() {
            return;
        }
        // What was found may be in rows that are evicted.
        self.asked.clear();
        self.latest.retain(|_, row| !homes.contains(&row.home));
        // Rows of other partitions take the place: to make it small and large again would place all rows anew twice.
        if self.latest.len() < self.latest.capacity() / KEPT_ROOM {
            self.latest.shrink_to_fit();
        }
        homes.iter().for_each(|home| self.partitions.evict(*home));
    }

    /// Files that aren't read whole, of the partitions for which `wanted` holds, in the order in which they were written.
    fn unread(&self, wanted: impl Fn(&Partitions, u32) -> bool) -> Vec<(Path, u32)> {
        let files = self
            .files
            .iter()
            .filter(|(file, home)| wanted(&self.partitions, *home) && !self.partitions.is_read(*home, &file.path));
        let mut files: Vec<&(DataFile, u32)> = files.collect();
        files.sort_by_key(|(file, _)| file.written_at);
        files.into_iter().map(|(file, home)| (file.path.clone(), *home)).collect()
    }

    /// The keys of a flush for which files are searched.
    fn questions(&self, files: &[(Path, u32)], keys: &[u128]) -> Questions {
        let column = self.columns.key;
        let homes: HashSet<u32> = files.iter().map(|(_, home)| *home).collect();
        let (mut homeless, mut at_home) = (Vec::new(), HashMap::<u32, Vec<u128>>::new());
        for key in keys.iter().filter(|_| !files.is_empty()) {
            match self.get(*key) {
                None => homeless.push(*key),
                Some(row) if homes.contains(&row.home) => at_home.entry(row.home).or_default().push(*key),
                Some(_) => {}
            }
        }
        let at_home = at_home.into_iter().map(|(home, keys)| (home, Asked::of(column, &keys))).collect();
        Questions { homeless: Asked::of(column, &homeless), at_home }
    }
}

/// Keeps the later of two rows of a key, and returns whether the key is new.
fn keep_latest(rows: &mut KeyMap<LatestRow>, key: u128, row: LatestRow) -> bool {
    match rows.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(row);
            true
        }
        Entry::Occupied(mut known) => {
            // Of two that are as late, in a table without versions, the one that was written later counts.
            if row.rank() >= known.get().rank() {
                known.insert(row);
            }
            false
        }
    }
}
