//! Compaction: the small files of a partition become one.

use std::collections::{BTreeMap, HashSet};

use deltalake::kernel::Add;
use deltalake::protocol::DeltaOperation;
use object_store::path::Path;

use super::{Maintained, Upkeep};
use crate::error::Error;
use crate::table::{DataFile, Proposal, Table, TableChange, commit_with};

/// Merges what is small, one bin after another, each in a commit of its own: what is done stays done.
pub(super) async fn compact(table: &mut Table, upkeep: &Upkeep, done: &mut Maintained) -> Result<(), Error> {
    for bin in bins(table.files(), upkeep.target_bytes, upkeep.min_files) {
        let written = if upkeep.dry_run { 1 } else { merge(table, &bin, upkeep.target_bytes).await? };
        if written > 0 {
            done.merged_files += bin.len() as u64;
            done.merged_into += written;
            done.merged_bytes += bin.iter().map(|file| file.bytes).sum::<u64>();
        }
    }
    Ok(())
}

/// Which files to merge: small ones of a partition, in the order in which they were written, so that what lay together
/// is contiguous again.
fn bins(files: Vec<DataFile>, target_bytes: u64, min_files: usize) -> Vec<Vec<DataFile>> {
    let mut partitions: BTreeMap<Vec<(String, Option<String>)>, Vec<DataFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.bytes < target_bytes / 2) {
        let mut partition: Vec<_> = file.partitions.clone().into_iter().collect();
        partition.sort();
        partitions.entry(partition).or_default().push(file);
    }
    let mut bins = Vec::new();
    for mut small in partitions.into_values() {
        small.sort_by(|a, b| (a.written_at, &a.path).cmp(&(b.written_at, &b.path)));
        let (mut bin, mut bytes) = (Vec::new(), 0);
        for file in small {
            if bytes + file.bytes > target_bytes {
                bins.push(std::mem::take(&mut bin));
                bytes = 0;
            }
            bytes += file.bytes;
            bin.push(file);
        }
        bins.push(bin);
    }
    bins.retain(|bin| bin.len() >= min_files.max(2));
    bins
}

/// Replaces files by one or a few, and returns how many; none if another upkeep was first.
async fn merge(table: &mut Table, bin: &[DataFile], target_bytes: u64) -> Result<u64, Error> {
    let mut adds = table.rewrite(bin).await?;
    adds.iter_mut().for_each(|add| add.data_change = false);
    let into = adds.len() as u64;
    if commit_with(table, &mut Merge { bin, adds, target_bytes }).await?.is_none() {
        return Ok(0);
    }
    tracing::info!(table = table.name(), files = bin.len(), into, "merged");
    Ok(into)
}

struct Merge<'a> {
    bin: &'a [DataFile],
    adds: Vec<Add>,
    target_bytes: u64,
}

impl TableChange for Merge<'_> {
    async fn propose(&mut self, table: &mut Table, _: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        if !holds_all(table, self.bin) {
            table.discard_files(&self.adds).await;
            return Ok(None);
        }
        let target_size = i64::try_from(self.target_bytes).unwrap_or(i64::MAX);
        let operation = Some(DeltaOperation::Optimize { predicate: None, target_size });
        let removes = self.bin.iter().map(|file| file.removal(false)).collect();
        Ok(Some(Proposal { removes, adds: self.adds.clone(), operation, ..Proposal::default() }))
    }
}

fn holds_all(table: &Table, bin: &[DataFile]) -> bool {
    let there: HashSet<Path> = table.files().into_iter().map(|file| file.path).collect();
    bin.iter().all(|file| there.contains(&file.path))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn file(month: &str, name: &str, bytes: u64, written_at: i64) -> DataFile {
        DataFile {
            path: Path::from(format!("month={month}/{name}")),
            partitions: HashMap::from([("month".to_owned(), Some(month.to_owned()))]),
            stats: None,
            bytes,
            rows: 1,
            written_at,
        }
    }

    #[test]
    fn small_files_of_one_partition_are_binned_in_order() {
        let mut files: Vec<DataFile> = (0..6).map(|n| file("01", &format!("{n}"), 30, 10 - n)).collect();
        files.push(file("01", "large", 60, 0));
        files.extend((0..3).map(|n| file("02", &format!("{n}"), 1, n)));
        let names = |bins: Vec<Vec<DataFile>>| -> Vec<Vec<String>> {
            let name = |file: &DataFile| file.path.to_string();
            bins.iter().map(|bin| bin.iter().map(name).collect()).collect()
        };
        let found = names(bins(files.clone(), 100, 3));
        assert_eq!(
            found,
            [
                ["month=01/5", "month=01/4", "month=01/3"],
                ["month=01/2", "month=01/1", "month=01/0"],
                ["month=02/0", "month=02/1", "month=02/2"]
            ]
        );
        assert!(bins(files, 100, 4).is_empty(), "it doesn't pay");
        assert!(bins(vec![file("01", "alone", 1, 0)], 100, 0).is_empty(), "one file stays as it is");
    }
}
