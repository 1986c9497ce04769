//! Unified transactions: the lake's latest state beside the candidate's.

use std::collections::HashSet;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use sluice_model::Fact;

use super::Response;
use super::diff::FactDiff;
use super::versions::{FLUSH_BYTES, FLUSH_ROWS, VersionSide};
use crate::append::Observed;
use crate::error::Error;
use crate::lineage::ConnectorRef;
use crate::table::Table;
use crate::unified::{Keyed, UnifiedRows};

/// The table of versions beside the candidate's rows.
pub(super) struct TransactionSide {
    pub(super) versions: VersionSide,
    rows: UnifiedRows,
    bytes: usize,
}

impl TransactionSide {
    pub(super) fn new(table: Table) -> Self {
        Self { versions: VersionSide::new(Fact::Transactions, table), rows: UnifiedRows::default(), bytes: 0 }
    }

    /// Judges a response's transactions, and keeps those that differ.
    pub(super) fn add(&mut self, response: &Response<'_>, rows: &RecordBatch, keyed: &Keyed) -> Result<(), Error> {
        let VersionSide { table, latest, .. } = &mut self.versions;
        let Keyed { keys, contents, months, .. } = keyed;
        let differing = latest.compare_rows(response, keys.len(), |row| (keys[row], contents[row], months[row]));
        if !differing.is_empty() {
            let some = keyed.some(&differing);
            let taken = take_record_batch(rows, &UInt32Array::from(differing));
            let taken = taken.map_err(|source| Error::rows(table.name(), source))?;
            self.bytes += taken.get_array_memory_size();
            self.rows.push(0, response.origin.clone(), response.connector, taken, some)?;
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.rows() >= FLUSH_ROWS || self.bytes >= FLUSH_BYTES
    }

    /// Compares what waits in full, see [`VersionSide::compare`].
    pub(super) async fn flush(&mut self, diff: &mut FactDiff, write: bool) -> Result<(), Error> {
        if self.rows.rows() == 0 {
            return Ok(());
        }
        self.rows.make_incoming();
        self.versions.compare(diff, &self.rows, write).await?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Ends a pass, see [`VersionSide::end`].
    pub(super) async fn end(
        &mut self,
        diff: &mut FactDiff,
        mapped: &HashSet<Observed>,
        connector: &ConnectorRef,
        write: bool,
    ) -> Result<(), Error> {
        self.flush(diff, write).await?;
        self.versions.end(diff, mapped, connector, write).await
    }
}
