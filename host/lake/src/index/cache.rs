//! Which partitions an index keeps in memory, and what it knows of files' keys without reading them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use object_store::path::Path;
use parquet::bloom_filter::Sbbf;

use super::Partition;

/// Bytes of filters and prefixes kept from one flush to the next: those of some 8 to 16 million keys.
const FILTER_BYTES: usize = 64 << 20;

/// A partition, and what was read of it.
struct CachedPartition {
    place: Partition,
    cached: bool,
    /// Files that were read whole.
    read: HashSet<Path>,
    /// Files of which rows are in memory.
    sources: HashSet<Path>,
    /// Keys in memory.
    keys: usize,
    /// When it was last needed.
    used: u64,
}

/// All partitions that were met, by number.
pub(super) struct Partitions {
    most_keys: usize,
    all: Vec<CachedPartition>,
    numbers: HashMap<Partition, u32>,
    clock: u64,
}

impl Partitions {
    pub(super) fn new(most_keys: usize) -> Self {
        Self { most_keys, all: Vec::new(), numbers: HashMap::new(), clock: 0 }
    }

    pub(super) fn most_keys(&self) -> usize {
        self.most_keys
    }

    pub(super) fn number(&mut self, place: &Partition) -> u32 {
        if let Some(number) = self.numbers.get(place) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let (place, read, sources) = (place.clone(), HashSet::new(), HashSet::new());
        self.numbers.insert(place.clone(), number);
        self.all.push(CachedPartition { place, cached: false, read, sources, keys: 0, used: 0 });
        number
    }

    pub(super) fn place(&self, number: u32) -> &Partition {
        &self.all[number as usize].place
    }

    pub(super) fn is_cached(&self, number: u32) -> bool {
        self.all[number as usize].cached
    }

    /// Whether a file's rows are all in memory.
    pub(super) fn is_read(&self, number: u32, path: &Path) -> bool {
        let partition = &self.all[number as usize];
        partition.cached && partition.read.contains(path)
    }

    /// Takes note that all rows of a file are in memory.
    pub(super) fn read_whole(&mut self, number: u32, path: Path) {
        let partition = &mut self.all[number as usize];
        partition.sources.insert(path.clone());
        partition.read.insert(path);
    }

    /// Takes note that rows of a file are in memory.
    pub(super) fn note_source(&mut self, number: u32, path: &Path) {
        self.all[number as usize].sources.insert(path.clone());
    }

    /// Records further keys in memory.
    pub(super) fn grew(&mut self, number: u32, keys: usize) {
        self.all[number as usize].keys += keys;
    }

    /// Cached partitions of which a file with rows in memory isn't there any more.
    pub(super) fn without_sources(&self, there: &HashSet<&Path>) -> HashSet<u32> {
        let gone = |partition: &CachedPartition| !partition.sources.iter().all(|path| there.contains(path));
        (0..).zip(&self.all).filter(|(_, partition)| partition.cached && gone(partition)).map(|(at, _)| at).collect()
    }

    /// Caches those of the needed partitions that fit, and gives those to evict. `unread` has the rows of each that
    /// are to be read.
    pub(super) fn choose_cached(&mut self, needed: &[u32], unread: &HashMap<u32, usize>) -> HashSet<u32> {
        self.clock += 1;
        let rows = |partition: &CachedPartition, number: u32| {
            let known = if partition.cached { partition.keys } else { 0 };
            let unread = unread.get(&number).copied().unwrap_or_default();
            (known + 2 * unread, known + unread)
        };
        let mut kept = 0;
        let mut evicted = HashSet::new();
        // The small ones first, so that as many as can be are in memory. What must be read counts twice: of two that are about
        // as large, and of which one has room, each would be read in turn.
        let mut sorted: Vec<((usize, usize), u32)> =
            needed.iter().map(|number| (rows(&self.all[*number as usize], *number), *number)).collect();
        sorted.sort_unstable();
        for ((_, rows), number) in sorted {
            let partition = &mut self.all[number as usize];
            partition.used = self.clock;
            let fits = kept + rows <= self.most_keys;
            if fits {
                kept += rows;
                partition.cached = true;
            } else if partition.cached {
                evicted.insert(number);
            }
        }
        let mut others: Vec<(u64, u32)> = (0..)
            .zip(&self.all)
            .filter(|(_, partition)| partition.cached && partition.used < self.clock)
            .map(|(number, partition)| (partition.used, number))
            .collect();
        // The ones used last stay as long as there is room.
        others.sort_unstable_by_key(|(used, number)| (std::cmp::Reverse(*used), *number));
        for (_, number) in others {
            let keys = self.all[number as usize].keys;
            if kept + keys <= self.most_keys {
                kept += keys;
            } else {
                evicted.insert(number);
            }
        }
        evicted
    }

    pub(super) fn evict(&mut self, number: u32) {
        let partition = &mut self.all[number as usize];
        partition.cached = false;
        partition.keys = 0;
        partition.read = HashSet::new();
        partition.sources = HashSet::new();
    }
}

/// What is known of a file's keys without reading them.
pub(super) enum FileKeys {
    /// Filters over them, one per row group.
    Filters(Vec<Sbbf>),
    /// The prefixes of all of them and perhaps of others, rising: this process wrote the file.
    Prefixes(Arc<[u64]>),
    /// Nothing: the file lacks a filter.
    Unknown,
}

impl FileKeys {
    fn bytes(&self) -> usize {
        let held = match self {
            Self::Filters(filters) => 32 * filters.iter().map(Sbbf::num_blocks).sum::<usize>(),
            Self::Prefixes(prefixes) => 8 * prefixes.len(),
            Self::Unknown => 0,
        };
        held + 128
    }

    /// How many prefixes they are.
    fn key_prefixes(&self) -> usize {
        if let Self::Prefixes(prefixes) = self { prefixes.len() } else { 0 }
    }
}

/// What is known of files' keys, within a limit.
#[derive(Default)]
pub(super) struct FilterCache {
    files: HashMap<Path, FileKeys>,
}

impl FilterCache {
    pub(super) fn get(&self, path: &Path) -> Option<&FileKeys> {
        self.files.get(path)
    }

    pub(super) fn insert(&mut self, path: Path, keys: FileKeys) {
        self.files.insert(path, keys);
    }

    /// How many prefixes of keys it holds.
    pub(super) fn key_prefixes(&self) -> usize {
        self.files.values().map(FileKeys::key_prefixes).sum()
    }

    /// Forgets files that aren't there any more.
    pub(super) fn keep_only(&mut self, there: &HashSet<&Path>) {
        self.files.retain(|path, _| there.contains(path));
    }

    /// Forgets the prefixes of keys. The files' own filters take their place when they are asked next.
    pub(super) fn forget_key_prefixes(&mut self) {
        self.files.retain(|_, keys| !matches!(keys, FileKeys::Prefixes(_)));
    }

    /// Forgets all of them once there are too many.
    pub(super) fn bound(&mut self) {
        if self.files.values().map(FileKeys::bytes).sum::<usize>() > FILTER_BYTES {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_stays_unless_it_is_twice_as_large() {
        for (in_memory, unread, stays) in [(6, 5, true), (9, 5, true), (9, 4, false)] {
            let mut partitions = Partitions::new(10);
            let [one, other] = [1, 2].map(|month| partitions.number(&("awin".to_owned(), month)));
            assert!(partitions.choose_cached(&[one], &HashMap::new()).is_empty());
            partitions.grew(one, in_memory);
            let evicted = partitions.choose_cached(&[one, other], &HashMap::from([(other, unread)]));
            assert_eq!((evicted.contains(&one), partitions.is_cached(other)), (!stays, !stays), "{in_memory} {unread}");
        }
    }
}
