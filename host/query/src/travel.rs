//! Tables as they were: which versions of a Delta table there are, when each was committed, and whether its files are.
//!
//! A commit's moment is the one that it states, not its file's time: a lake that was copied keeps its history.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use deltalake::DeltaTableError;
use deltalake::kernel::Snapshot;
use deltalake::logstore::LogStoreRef;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use serde_json::Value;

use crate::error::Error;

/// Files whose existence is checked at once.
const CHECKS_AT_ONCE: usize = 16;

/// Which state of a table to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// That of this version.
    Version(u64),
    /// That of the newest version committed by this moment.
    Moment(DateTime<Utc>),
}

impl std::fmt::Display for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "at version {version}"),
            Self::Moment(moment) => write!(f, "as of {}", rfc3339(*moment)),
        }
    }
}

/// The table's snapshot as it was.
///
/// # Errors
/// [`Error::NoVersion`] for one that never was or whose files are gone, with what can be read instead.
pub(crate) async fn snapshot_at(table: &str, log: &LogStoreRef, pin: Pin) -> Result<Snapshot, Error> {
    let failed = |source| Error::Open { table: table.to_owned(), source: Arc::new(source) };
    let history = History::read(log).await.map_err(failed)?;
    let newest = Snapshot::try_new(log.as_ref(), None).await.map_err(failed)?;
    let version = match pin {
        Pin::Version(version) => Some(version).filter(|version| history.holds(*version)),
        Pin::Moment(moment) => history.newest_by(log, moment).await.map_err(failed)?,
    };
    let live = paths(log, &newest).await.map_err(failed)?;
    if let Some(version) = version {
        let old = Snapshot::try_new(log.as_ref(), Some(version)).await.map_err(failed)?;
        if has_its_files(log, &old, &live).await.map_err(failed)? {
            return Ok(old);
        }
    }
    let range = history.readable(log, &live).await.map_err(failed)?;
    Err(Error::NoVersion { table: table.to_owned(), wanted: pin.to_string(), removed: version.is_some(), range })
}

/// What the log's folder holds.
struct History {
    /// Versions whose commit is there, rising without a gap, from the first that can be put together.
    versions: Vec<u64>,
}

impl History {
    async fn read(log: &LogStoreRef) -> Result<Self, DeltaTableError> {
        let listed: Vec<_> = log.object_store(None).list(Some(log.log_path())).try_collect().await?;
        let names = listed.iter().filter_map(|meta| meta.location.filename());
        Ok(Self { versions: readable_log(names) })
    }

    fn holds(&self, version: u64) -> bool {
        self.versions.binary_search(&version).is_ok()
    }

    /// The newest version that was committed by `moment`.
    async fn newest_by(&self, log: &LogStoreRef, moment: DateTime<Utc>) -> Result<Option<u64>, DeltaTableError> {
        let (mut low, mut high) = (0, self.versions.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let committed = committed_at(log, self.versions[middle]).await?;
            if committed.is_some_and(|committed| committed <= moment) { low = middle + 1 } else { high = middle }
        }
        Ok(low.checked_sub(1).map(|at| self.versions[at]))
    }

    /// From the oldest version whose files are all there to the newest, in words.
    ///
    /// Files go in the order in which they left the table, so from some version on all have theirs.
    async fn readable(&self, log: &LogStoreRef, live: &HashSet<Path>) -> Result<Option<String>, DeltaTableError> {
        let Some(&newest) = self.versions.last() else { return Ok(None) };
        let (mut low, mut high) = (0, self.versions.len() - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            let old = Snapshot::try_new(log.as_ref(), Some(self.versions[middle])).await?;
            if has_its_files(log, &old, live).await? { high = middle } else { low = middle + 1 }
        }
        let oldest = self.versions[low];
        let when = [committed_at(log, oldest).await?, committed_at(log, newest).await?];
        Ok(Some(match when {
            [Some(since), Some(until)] => {
                format!("versions {oldest} to {newest}, from {} to {}", rfc3339(since), rfc3339(until))
            }
            _ => format!("versions {oldest} to {newest}"),
        }))
    }
}

/// The versions of a log that can be put together and whose commit is there, from the names of its files.
fn readable_log<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let mut commits: BTreeMap<u64, ()> = BTreeMap::new();
    let mut first_checkpoint: Option<u64> = None;
    for name in names {
        let Some((digits, rest)) = name.split_once('.') else { continue };
        let Some(version) = digits.parse::<u64>().ok().filter(|_| digits.len() == 20) else { continue };
        match rest {
            "json" => _ = commits.insert(version, ()),
            // Of whatever kind: one file, several, or one with files beside it.
            _ if rest.starts_with("checkpoint.") => {
                first_checkpoint = Some(first_checkpoint.map_or(version, |first| first.min(version)));
            }
            _ => {}
        }
    }
    let first = if commits.contains_key(&0) { Some(0) } else { first_checkpoint };
    first.map(|first| commits.range(first..).map(|(version, ())| *version).collect()).unwrap_or_default()
}

/// When a version was committed, by the time in its commit.
async fn committed_at(log: &LogStoreRef, version: u64) -> Result<Option<DateTime<Utc>>, DeltaTableError> {
    let Some(commit) = log.read_commit_entry(version).await? else { return Ok(None) };
    let actions = commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let stated = actions.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).find_map(|action| {
        let info = action.get("commitInfo")?;
        info.get("inCommitTimestamp").or_else(|| info.get("timestamp"))?.as_i64()
    });
    Ok(stated.and_then(DateTime::from_timestamp_millis))
}

async fn paths(log: &LogStoreRef, snapshot: &Snapshot) -> Result<HashSet<Path>, DeltaTableError> {
    snapshot.file_views(log.as_ref(), None).map_ok(|file| file.object_store_path()).try_collect().await
}

/// Whether all files of a snapshot are there. Those that are live need no check.
async fn has_its_files(log: &LogStoreRef, old: &Snapshot, live: &HashSet<Path>) -> Result<bool, DeltaTableError> {
    let left: Vec<Path> = paths(log, old).await?.into_iter().filter(|path| !live.contains(path)).collect();
    let store = log.object_store(None);
    let mut looks = stream::iter(left)
        .map(|path| {
            let store = store.clone();
            async move {
                match store.head(&path).await {
                    Ok(_) => Ok(true),
                    Err(StoreError::NotFound { .. }) => Ok(false),
                    Err(error) => Err(DeltaTableError::from(error)),
                }
            }
        })
        .buffer_unordered(CHECKS_AT_ONCE);
    while let Some(there) = looks.try_next().await? {
        if !there {
            return Ok(false);
        }
    }
    Ok(true)
}

fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(names: &[&str]) -> Vec<u64> {
        readable_log(names.iter().copied())
    }

    #[test]
    fn a_log_without_its_beginning_begins_at_a_checkpoint() {
        let commits = |from: u64| (from..6).map(|version| format!("{version:020}.json")).collect::<Vec<_>>();
        let all = commits(0);
        let names: Vec<&str> = all.iter().map(String::as_str).chain(["_last_checkpoint"]).collect();
        assert_eq!(versions(&names), [0, 1, 2, 3, 4, 5]);
        let cut = commits(2);
        let checkpoint = "00000000000000000004.checkpoint.parquet";
        let names: Vec<&str> = cut.iter().map(String::as_str).chain([checkpoint, "00000000000000000003.crc"]).collect();
        assert_eq!(versions(&names), [4, 5], "2 and 3 lack what came before");
        assert!(versions(&names[..4]).is_empty());
        let parts = "00000000000000000004.checkpoint.0000000001.0000000002.parquet";
        assert_eq!(versions(&[parts, "00000000000000000005.json"]), [5]);
    }
}
