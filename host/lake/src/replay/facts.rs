//! Facts of a kind that is no transaction: the lake's latest state beside the candidate's.

use std::collections::HashSet;

use sluice_model::Fact;

use super::Response;
use super::diff::Diff;
use super::versions::{FLUSH_BYTES, FLUSH_ROWS, VersionSide};
use crate::append::Observed;
use crate::error::Error;
use crate::facts::{FactBatch, FactRows};
use crate::lake::Lake;
use crate::lineage::ConnectorRef;
use crate::table::Table;

/// A kind's table of versions beside the candidate's facts.
pub(super) struct FactSide {
    pub(super) versions: VersionSide,
    rows: FactRows,
    waiting: usize,
    bytes: usize,
}

impl FactSide {
    pub(super) async fn open(lake: &Lake, fact: Fact) -> Result<Self, Error> {
        let table = Table::open(lake, "unified", fact.versions()).await?;
        Ok(Self { versions: VersionSide::new(fact, table), rows: FactRows::new(fact), waiting: 0, bytes: 0 })
    }

    /// Judges a response's facts, and keeps those that differ.
    pub(super) fn add(&mut self, response: &Response<'_>, batch: &FactBatch) -> Result<(), Error> {
        let differing = self.versions.latest.compare_rows(response, batch.len(), |row| batch.keyed_row(row));
        if !differing.is_empty() {
            let some = batch.some(&differing)?;
            self.waiting += differing.len();
            self.bytes += some.bytes();
            self.rows.push(0, response.origin.clone(), response.connector, some);
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting >= FLUSH_ROWS || self.bytes >= FLUSH_BYTES
    }

    /// Compares what waits in full, see [`VersionSide::compare`].
    pub(super) async fn flush(&mut self, diff: &mut Diff, write: bool) -> Result<(), Error> {
        if self.waiting == 0 {
            return Ok(());
        }
        let fact = self.versions.fact;
        self.rows.make_incoming();
        self.versions.compare(diff.facts.entry(fact).or_default(), &self.rows, write).await?;
        self.rows = FactRows::new(fact);
        (self.waiting, self.bytes) = (0, 0);
        Ok(())
    }

    /// Ends a pass, see [`VersionSide::end`].
    pub(super) async fn end(
        &mut self,
        diff: &mut Diff,
        mapped: &HashSet<Observed>,
        connector: &ConnectorRef,
        write: bool,
    ) -> Result<(), Error> {
        self.flush(diff, write).await?;
        if self.versions.latest.rows.is_empty() {
            return Ok(());
        }
        let diff = diff.facts.entry(self.versions.fact).or_default();
        self.versions.end(diff, mapped, connector, write).await
    }
}
