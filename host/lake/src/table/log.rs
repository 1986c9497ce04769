//! A table's log: its files, and commits that take files away.

use deltalake::DeltaTableError;
use deltalake::kernel::{Action, Add, LogicalFileView, Remove};
use deltalake::logstore::get_actions;
use futures::{StreamExt, TryStreamExt, stream};

use super::Table;
use crate::error::Error;

const READ_AHEAD: usize = 8;

impl Table {
    /// What distinguishes this table from another that was made in its place; none if it doesn't exist.
    pub(crate) fn id(&self) -> Option<&str> {
        self.state.as_ref().map(|state| state.metadata().id())
    }

    /// The snapshot's files as its log has them.
    pub(crate) fn adds(&self) -> Vec<Add> {
        let Some(state) = &self.state else { return Vec::new() };
        let log = state.log_data();
        let add = |file: LogicalFileView| Add {
            path: file.path().into_owned(),
            partition_values: file.partition_values_map(),
            size: file.size(),
            modification_time: file.modification_time(),
            data_change: true,
            stats: file.stats(),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        };
        log.iter().map(add).collect()
    }

    /// The files that brought new rows after a version; none if the log is no longer there, or if rows went.
    pub(crate) async fn added_since(&self, version: u64) -> Result<Option<Vec<Add>>, Error> {
        let newest = self.version().unwrap_or_default();
        let failed = |source: DeltaTableError| Error::table("read the log of", &self.name, source);
        let mut commits = stream::iter(version + 1..=newest)
            .map(|version| async move {
                let Some(text) = self.log.read_commit_entry(version).await? else { return Ok(None) };
                get_actions(version, &text).map(Some)
            })
            .buffered(READ_AHEAD);
        let mut added = Vec::new();
        while let Some(actions) = commits.try_next().await.map_err(failed)? {
            let Some(actions) = actions else { return Ok(None) };
            for action in actions {
                match action {
                    Action::Add(add) if add.data_change && add.deletion_vector.is_none() => added.push(add),
                    Action::Add(add) if add.data_change => return Ok(None),
                    Action::Remove(remove) if remove.data_change => return Ok(None),
                    _ => {}
                }
            }
        }
        Ok(Some(added))
    }

    /// The files that one commit brought new rows in; none if the log no longer has the commit. A commit that also takes rows
    /// away, such as a rollback, writes the rows of others again and brings none.
    pub(crate) async fn commit_added(&self, version: u64) -> Result<Option<Vec<Add>>, Error> {
        let failed = |source: DeltaTableError| Error::table("read the log of", &self.name, source);
        let Some(text) = self.log.read_commit_entry(version).await.map_err(failed)? else { return Ok(None) };
        let mut added = Vec::new();
        for action in get_actions(version, &text).map_err(failed)? {
            match action {
                Action::Add(add) if add.data_change => added.push(add),
                Action::Remove(remove) if remove.data_change => return Ok(Some(Vec::new())),
                _ => {}
            }
        }
        Ok(Some(added))
    }
}

/// Takes a file away whose rows are gone or in other files of the same commit.
pub(crate) fn remove(add: &Add) -> Remove {
    Remove {
        path: add.path.clone(),
        data_change: true,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(add.partition_values.clone()),
        size: Some(add.size),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}
