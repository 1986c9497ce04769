//! Forgetting what tables were: the entries of their logs, which hold statistics of cells, and the files that no snapshot has.

use chrono::{TimeDelta, Utc};
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
