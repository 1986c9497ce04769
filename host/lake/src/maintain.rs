//! Upkeep: few files instead of many, and nothing kept longer than somebody may need it.
//!
//! Everything here is safe beside writers. Compaction commits like they do, on the snapshot that it read or on a later
//! one that still has its files, and declares that it changed no data. Files are deleted only after the retention: those
//! that no snapshot younger than it names, and those that were written and never committed. The order matters: what
//! compaction sets free today is deleted by a later upkeep.

mod compact;
mod log;
mod vacuum;

use chrono::{DateTime, TimeDelta, Utc};
pub(crate) use log::checkpoint;
use serde::Serialize;
pub(crate) use vacuum::vacuum;

use crate::error::Error;
use crate::lake::{Lake, TableRef};
use crate::table::Table;

/// What upkeep may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// How large data files are to become.
    pub target_bytes: u64,
    /// From how many small files of a partition on it pays to make one of them.
    pub min_files: usize,
    /// How long data files stay after the last snapshot that named them; as far back the table can be read as it was.
    pub keep: TimeDelta,
    /// How long the log's entries stay; no shorter than `keep`.
    pub keep_log: TimeDelta,
    /// From how many commits on they are summed up in a checkpoint.
    pub checkpoint_commits: u64,
    /// Changes nothing, and returns what it would do.
    pub dry_run: bool,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            target_bytes: 64 << 20,
            min_files: 4,
            keep: TimeDelta::days(7),
            keep_log: TimeDelta::days(30),
            checkpoint_commits: 20,
            dry_run: false,
        }
    }
}

/// What upkeep did to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Maintained {
    /// Files of the table before.
    pub files: u64,
    /// Small files that were merged.
    pub merged_files: u64,
    /// Files that they were merged into; none known before it is done.
    pub merged_into: u64,
    /// Bytes of the small files.
    pub merged_bytes: u64,
    /// Whether a checkpoint was written.
    pub checkpoint: bool,
    /// Data files that were deleted.
    pub deleted_files: u64,
    /// The sum of their sizes.
    pub deleted_bytes: u64,
    /// Entries of the log that were deleted.
    pub deleted_log_files: u64,
}

impl Lake {
    /// Maintains a table: compacts, writes a checkpoint, deletes what no snapshot needs at `now`.
    ///
    /// # Errors
    /// The store's failure. What was done before it stays done, and nothing is half done.
    pub async fn maintain(&self, table: &TableRef, upkeep: &Upkeep, now: DateTime<Utc>) -> Result<Maintained, Error> {
        let mut table = Table::open(self, &table.schema, &table.name).await?;
        let mut done = Maintained { files: table.files().len() as u64, ..Maintained::default() };
        if table.version().is_none() {
            return Ok(done);
        }
        compact::compact(&mut table, upkeep, &mut done).await?;
        table.refresh().await?;
        checkpoint(&table, upkeep, &mut done).await?;
        vacuum(&table, now - upkeep.keep, upkeep.dry_run, &mut done).await?;
        log::clean(&table, now - upkeep.keep.max(upkeep.keep_log), upkeep.dry_run, &mut done).await?;
        Ok(done)
    }
}
