//! Forgetting what tables were: the entries of their logs, which hold statistics of cells, and the files that no snapshot has.

use std::io;
use std::path::Path as DiskPath;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use deltalake::DeltaTableError;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};

use crate::error::Error;
use crate::lake::{Lake, TableRef};
use crate::maintain::{Maintained, Upkeep, checkpoint, vacuum};
use crate::table::Table;

impl Lake {
    /// Deletes all of a table that its newest snapshot doesn't need: earlier versions, and files that were never committed.
    /// Nobody may write it meanwhile. Returns how many files are gone.
    ///
    /// # Errors
    /// The store's failure; [`Error::Damaged`] if a file that the snapshot names isn't there.
    pub async fn forget_history(&self, table: &TableRef) -> Result<u64, Error> {
        let table = Table::open(self, &table.schema, &table.name).await?;
        let Some(version) = table.version() else { return Ok(0) };
        let mut done = Maintained::default();
        let upkeep = Upkeep { checkpoint_commits: 1, ..Upkeep::default() };
        checkpoint(&table, &upkeep, &mut done).await?;
        // Clocks of stores differ: everything is old.
        vacuum(&table, Utc::now() + TimeDelta::days(1), false, &mut done).await?;
        Ok(done.deleted_files + forget_log(&table, version).await?)
    }

    /// Deletes what killed processes had begun to write before a moment: on a local disk files that no list names. Returns how many.
    ///
    /// On S3 these are parts of uploads, which end by a rule of the bucket.
    ///
    /// # Errors
    /// A folder that can't be read, and a file that can't be deleted.
    pub async fn remove_partial_files(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let Some(root) = self.disk_path(&Path::default()) else { return Ok(0) };
        let path = root.display().to_string();
        let removed = tokio::task::spawn_blocking(move || remove_partial_files(&root, before.into())).await;
        removed.map_err(|source| Error::Worker { source })?.map_err(|source| Error::OpenFolder { path, source })
    }
}

fn remove_partial_files(folder: &DiskPath, before: SystemTime) -> io::Result<u64> {
    let mut removed = 0;
    let entries = match std::fs::read_dir(folder) {
        // Of an empty lake, or of a table that was just removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            removed += remove_partial_files(&entry.path(), before)?;
        } else if kind.is_file() && is_partial(&entry.file_name().to_string_lossy()) {
            // Its writer may end it meanwhile.
            let deleted = entry.metadata().and_then(|meta| meta.modified()).and_then(|modified| {
                if modified < before { std::fs::remove_file(entry.path()).map(|()| 1) } else { Ok(0) }
            });
            removed += match deleted {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                deleted => deleted?,
            };
        }
    }
    Ok(removed)
}

/// Whether a file is named as `object_store` names one that isn't written to its end: `part.parquet#1`.
fn is_partial(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Deletes what the log has of before a version, of which there is a checkpoint.
async fn forget_log(table: &Table, version: u64) -> Result<u64, Error> {
    let failed = |source| Error::store("clean the log of", table.name(), source);
    let store = table.store();
    let listed = store.list(Some(&Path::from("_delta_log"))).map_ok(|meta| meta.location);
    let all: Vec<Path> = listed.try_collect().await.map_err(failed)?;
    let has_checkpoint = all.iter().any(|path| {
        path.filename().is_some_and(|name| name.contains(".checkpoint") && version_of(name) == Some(version))
    });
    if !has_checkpoint {
        let error = DeltaTableError::generic(format!("there is no checkpoint of version {version}"));
        return Err(Error::table("clean the log of", table.name(), error));
    }
    let is_old = |path: &Path| match path.filename() {
        Some("_last_checkpoint") | None => false,
        Some(name) => version_of(name).is_none_or(|other| other < version),
    };
    let mut old: Vec<Path> = all.into_iter().filter(is_old).collect();
    old.sort_unstable();
    let count = old.len() as u64;
    let deleted = store.delete_stream(stream::iter(old.into_iter().map(Ok)).boxed()).map(|outcome| match outcome {
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(source) => Err(failed(source)),
    });
    deleted.try_collect::<()>().await?;
    Ok(count)
}

/// The version that an entry of the log begins with; none for what was being written.
fn version_of(name: &str) -> Option<u64> {
    let (version, _) = name.split_once('.')?;
    (version.len() == 20).then(|| version.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn files_that_were_never_written_to_their_end_go() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open_writable(folder.path().to_str().unwrap()).await.unwrap();
        let names =
            ["raw/bodies/ab/x.zst#1", "tables/a/b/month=2026-01/x.parquet#12", "raw/x.zst", "raw/a#b", "raw/1#"];
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "member-1").unwrap();
        }
        let is_there = || names.map(|name| folder.path().join(name).exists());
        let (hour, now) = (TimeDelta::hours(1), Utc::now());
        assert_eq!(lake.remove_partial_files(now - hour).await.unwrap(), 0, "they may be being written");
        assert_eq!(is_there(), [true; 5]);
        assert_eq!(lake.remove_partial_files(now + hour).await.unwrap(), 2);
        assert_eq!(is_there(), [false, false, true, true, true]);
    }
}
