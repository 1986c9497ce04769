//! The table's log: checkpoints, so that a reader reads one file instead of many, and an end to what is old.

use chrono::{DateTime, Utc};
use deltalake::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::{Maintained, Upkeep};
use crate::error::Error;
use crate::table::Table;

/// Writes a checkpoint if there were many commits since the last one.
pub(crate) async fn checkpoint(table: &Table, upkeep: &Upkeep, done: &mut Maintained) -> Result<(), Error> {
    let Some(version) = table.version() else { return Ok(()) };
    let commits = match last_checkpoint(table).await? {
        Some(last) => version.saturating_sub(last),
        None => version + 1,
    };
    if commits < upkeep.checkpoint_commits.max(1) {
        return Ok(());
    }
    done.checkpoint = true;
    if upkeep.dry_run {
        return Ok(());
    }
    let failed = |source: DeltaTableError| Error::table("write a checkpoint of", table.name(), source);
    let mut current = DeltaTable::new(table.log().clone());
    current.load().await.map_err(failed)?;
    create_checkpoint(&current, None).await.map_err(failed)
}

/// Deletes entries of the log that are older than `cutoff` and summed up in a checkpoint.
pub(super) async fn clean(
    table: &Table,
    cutoff: DateTime<Utc>,
    dry_run: bool,
    done: &mut Maintained,
) -> Result<(), Error> {
    let (Some(version), false) = (table.version(), dry_run) else { return Ok(()) };
    let failed = |source: DeltaTableError| Error::table("clean the log of", table.name(), source);
    let deleted = cleanup_expired_logs_for(version, table.log().as_ref(), cutoff.timestamp_millis(), None).await;
    done.deleted_log_files += deleted.map_err(failed)? as u64;
    Ok(())
}

async fn last_checkpoint(table: &Table) -> Result<Option<u64>, Error> {
    let failed = |source| Error::store("list", format!("the log of {}", table.name()), source);
    let listed = table.store().list(Some(&Path::from("_delta_log")));
    let versions = listed.map_ok(|meta| checkpoint_version(meta.location.filename().unwrap_or_default()));
    let versions: Vec<Option<u64>> = versions.try_collect().await.map_err(failed)?;
    Ok(versions.into_iter().flatten().max())
}

fn checkpoint_version(name: &str) -> Option<u64> {
    let (version, rest) = name.split_once('.')?;
    (version.len() == 20 && rest.starts_with("checkpoint")).then(|| version.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checkpoints_are_checkpoints() {
        assert_eq!(checkpoint_version("00000000000000000017.checkpoint.parquet"), Some(17));
        assert_eq!(checkpoint_version("00000000000000000017.json"), None);
        assert_eq!(checkpoint_version("_last_checkpoint"), None);
    }
}
