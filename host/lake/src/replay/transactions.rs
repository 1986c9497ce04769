//! Unified transactions: the lake's latest state beside the candidate's.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Schema, SchemaRef};

use super::Response;
use super::apply::Staged;
use super::diff::{Diff, texts};
use super::kept::{KeyShard, KeyStates, ReplayFinding};
use super::money::{Groups, MoneyColumns};
use sluice_model::{Change, Fact};

use crate::append::{Chosen, IncomingRow, Observed, Source};
use crate::error::Error;
use crate::lineage::{ConnectorRef, observed};
use crate::table::Table;
use crate::unified::{Keyed, UnifiedRows};

/// Differing rows in memory at which they are compared in full.
pub(super) const FLUSH_ROWS: usize = 32 * 1024;
/// Their bytes at which they are.
pub(super) const FLUSH_BYTES: usize = 64 << 20;

/// The table of versions beside the candidate's rows.
pub(super) struct TransactionSide {
    pub(super) table: Table,
    pub(super) staged: Staged,
    pub(super) groups: Groups,
    latest: KeyStates,
    rows: UnifiedRows,
    bytes: usize,
}

impl TransactionSide {
    pub(super) fn new(table: Table) -> Self {
        Self {
            table,
            staged: Staged::default(),
            groups: Groups::default(),
            latest: KeyStates::default(),
            rows: UnifiedRows::default(),
            bytes: 0,
        }
    }

    pub(super) async fn begin(&mut self, network: &str, part: KeyShard) -> Result<(), Error> {
        self.staged.compare(&self.table);
        self.latest = KeyStates::facts(&self.table, Fact::Transactions, network, part, &mut self.groups).await?;
        Ok(())
    }

    /// Judges a response's transactions, and keeps those that differ.
    pub(super) fn add(&mut self, response: &Response<'_>, rows: &RecordBatch, keyed: &Keyed) -> Result<(), Error> {
        let Response { origin, connector, part, number } = *response;
        let seen = observed(origin);
        let mut differing: Vec<u32> = Vec::new();
        // Equal rows of a key count once.
        for row in (0..keyed.keys.len()).rev() {
            let (key, content) = (keyed.keys[row], keyed.contents[row]);
            if part.holds(key) && self.latest.compare_row(key, content, seen, keyed.months[row], number) {
                differing.push(u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        if !differing.is_empty() {
            differing.reverse();
            let some = keyed.some(&differing);
            let taken = take_record_batch(rows, &UInt32Array::from(differing));
            let taken = taken.map_err(|source| Error::rows(self.table.name(), source))?;
            self.bytes += taken.get_array_memory_size();
            self.rows.push(0, origin.clone(), connector, taken, some)?;
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.rows() >= FLUSH_ROWS || self.bytes >= FLUSH_BYTES
    }

    /// Compares the rows that differ in full and, to `write`, puts them into files that no snapshot has yet.
    pub(super) async fn flush(&mut self, diff: &mut Diff, write: bool) -> Result<(), Error> {
        if self.rows.rows() == 0 {
            return Ok(());
        }
        self.rows.make_incoming();
        let chosen: Vec<Chosen> = self.rows.incoming().rows.iter().filter_map(|row| self.latest.choose(*row)).collect();
        if write {
            self.table.create_if_missing(&self.rows.table_spec()).await?;
        }
        let schema = self.staged.schema(&self.table)?;
        let shaped = self.rows.shape(self.table.name(), &schema, &chosen)?;
        self.count(diff, &chosen, &shaped.rows).await?;
        if write {
            let adds = self.table.write_files(&shaped.rows, Some("transaction_key")).await?;
            self.staged.add(&shaped.rows.schema(), shaped.new_fields, adds);
        }
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Records the money of what was chosen, and the fields in which it differs from what is there.
    async fn count(&mut self, diff: &mut Diff, chosen: &[Chosen], after: &RecordBatch) -> Result<(), Error> {
        let name = self.table.name();
        let money = MoneyColumns::of(Fact::Transactions, &self.table, after)?;
        let (accounts, ids) = (texts(name, after, "account")?, texts(name, after, "transaction_id")?);
        // File and row of what is there, and the row of what comes instead: the last of a key.
        let mut places: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for (row, change) in (0..).zip(chosen) {
            let Some(kept) = self.latest.rows.get_mut(&change.key) else { continue };
            let at = row as usize;
            kept.money[1] = self.groups.place(money.as_ref(), at);
            if kept.is_there() {
                places.insert((kept.file, kept.row), row);
            } else {
                diff.added.note(accounts.value(at), ids.value(at));
            }
        }
        let differences = (&mut diff.changed, &mut diff.fields);
        self.latest.compare_fields(&self.table, Fact::Transactions, places, (chosen, after), differences).await
    }

    /// Finds the transactions that come from these responses and that the candidate doesn't give.
    pub(super) async fn end(
        &mut self,
        diff: &mut Diff,
        mapped: &HashSet<Observed>,
        connector: &ConnectorRef,
        write: bool,
    ) -> Result<(), Error> {
        self.flush(diff, write).await?;
        let mut gone: Vec<(u32, u32)> = Vec::new();
        for kept in self.latest.rows.values() {
            let [before, after] = kept.money;
            match kept.found {
                ReplayFinding::Judged if !kept.is_there() => {
                    diff.added.count += 1;
                    self.groups.count(None, Some(after));
                }
                ReplayFinding::Judged if kept.current != kept.content => {
                    diff.changed.count += 1;
                    diff.count_fields(kept.fields);
                    self.groups.count(Some(before), Some(after));
                }
                ReplayFinding::Judged => self.groups.count(Some(before), Some(before)),
                _ if kept.is_gone(mapped) => {
                    self.groups.count(Some(before), None);
                    gone.push((kept.file, kept.row));
                }
                ReplayFinding::Older => {
                    diff.outside += 1;
                    continue;
                }
                ReplayFinding::Nothing => continue,
            }
            diff.compared += 1;
        }
        diff.removed.count += gone.len() as u64;
        gone.sort_unstable();
        for places in gone.chunk_by(|a, b| a.0 == b.0) {
            for places in places.chunks(FLUSH_ROWS) {
                if !write && !diff.removed.wants_more() {
                    break;
                }
                let rows: Vec<u32> = places.iter().map(|(_, row)| *row).collect();
                for batch in self.latest.read(&self.table, places[0].0, &rows).await? {
                    let name = self.table.name();
                    let (accounts, ids) = (texts(name, &batch, "account")?, texts(name, &batch, "transaction_id")?);
                    for row in 0..batch.num_rows() {
                        diff.removed.note(accounts.value(row), ids.value(row));
                    }
                    if write {
                        self.remove(&batch, connector).await?;
                    }
                }
            }
        }
        self.latest = KeyStates::default();
        Ok(())
    }

    /// Writes tombstones of transactions that the candidate doesn't give.
    async fn remove(&mut self, before: &RecordBatch, connector: &ConnectorRef) -> Result<(), Error> {
        let schema = self.staged.schema(&self.table)?;
        let rows = super::apply::removals((&self.table, Fact::Transactions), &schema, before, connector, &self.latest)?;
        let adds = self.table.write_files(&rows, Some("transaction_key")).await?;
        self.staged.add(&schema, Vec::new(), adds);
        Ok(())
    }
}

impl KeyStates {
    /// A row that differs, as the version that it becomes.
    pub(super) fn choose(&mut self, row: IncomingRow) -> Option<Chosen> {
        let kept = self.rows.get_mut(&row.key)?;
        kept.version += 1;
        let (version, month, change) = (kept.version, kept.month, Change::MappingChange);
        let IncomingRow { key, content, source, row, .. } = row;
        Some(Chosen { key, content, source, row, version, month, change })
    }
}

impl Staged {
    /// The table's columns with those of the rows that wait.
    pub(super) fn schema(&self, table: &Table) -> Result<SchemaRef, Error> {
        match &self.schema {
            Some(schema) => Ok(schema.clone()),
            None if table.version().is_none() => Ok(Arc::new(Schema::empty())),
            None => table.schema(),
        }
    }
}
