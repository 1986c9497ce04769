//! A table of versions beside the candidate's facts: what is the same of transactions and of other facts.

use std::collections::{BTreeMap, HashSet};

use arrow::array::RecordBatch;
use sluice_model::{Change, Fact};

use super::apply::{Staged, removals};
use super::diff::{FactDiff, texts};
use super::kept::{KeyShard, KeyStates, ReplayFinding};
use super::money::{Groups, MoneyColumns};
use crate::append::{Chosen, IncomingRow, Observed, Source};
use crate::error::Error;
use crate::lineage::ConnectorRef;
use crate::table::Table;

/// Differing rows in memory at which they are compared in full.
pub(super) const FLUSH_ROWS: usize = 32 * 1024;
/// Their bytes at which they are.
pub(super) const FLUSH_BYTES: usize = 64 << 20;

/// A kind's table of versions, and what the replay found of its keys.
pub(super) struct VersionSide {
    pub(super) fact: Fact,
    pub(super) table: Table,
    pub(super) staged: Staged,
    pub(super) groups: Groups,
    pub(super) latest: KeyStates,
}

impl VersionSide {
    pub(super) fn new(fact: Fact, table: Table) -> Self {
        let (staged, groups, latest) = (Staged::default(), Groups::default(), KeyStates::default());
        Self { fact, table, staged, groups, latest }
    }

    pub(super) async fn begin(&mut self, network: &str, part: KeyShard) -> Result<(), Error> {
        self.staged.compare(&self.table);
        self.latest = KeyStates::facts(&self.table, self.fact, network, part, &mut self.groups).await?;
        Ok(())
    }

    /// Compares rows that differ in full and, to `write`, puts them into files that no snapshot has yet.
    pub(super) async fn compare(&mut self, diff: &mut FactDiff, rows: &impl Source, write: bool) -> Result<(), Error> {
        let chosen: Vec<Chosen> = rows.incoming().rows.iter().filter_map(|row| self.latest.choose(*row)).collect();
        if write {
            self.table.create_if_missing(&rows.table_spec()).await?;
        }
        let schema = self.staged.schema(&self.table)?;
        let shaped = rows.shape(self.table.name(), &schema, &chosen)?;
        self.count(diff, &chosen, &shaped.rows).await?;
        if write {
            let adds = self.table.write_files(&shaped.rows, Some(self.fact.key())).await?;
            self.staged.add(&shaped.rows.schema(), shaped.new_fields, adds);
        }
        Ok(())
    }

    /// Records the money of what was chosen, and the fields in which it differs from what is there.
    async fn count(&mut self, diff: &mut FactDiff, chosen: &[Chosen], after: &RecordBatch) -> Result<(), Error> {
        let name = self.table.name();
        let money = MoneyColumns::of(self.fact, &self.table, after)?;
        let (accounts, ids) = (texts(name, after, "account")?, texts(name, after, self.fact.id())?);
        // File and row of what is there, and the row of what comes instead: the last of a key.
        let mut places: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for (row, change) in (0..).zip(chosen) {
            let Some(kept) = self.latest.rows.get_mut(&change.key) else { continue };
            let at = row as usize;
            kept.money[1] = self.groups.place(money.as_ref(), at);
            if kept.is_shown(self.fact) {
                places.insert((kept.file, kept.row), row);
            } else {
                diff.added.note(accounts.value(at), ids.value(at));
            }
        }
        let differences = (&mut diff.changed, &mut diff.fields);
        self.latest.compare_fields(&self.table, self.fact, places, (chosen, after), differences).await
    }

    /// Finds the facts that come from these responses and that the candidate doesn't give, and ends the pass. To `write`, each
    /// gets a version that takes it back.
    pub(super) async fn end(
        &mut self,
        diff: &mut FactDiff,
        mapped: &HashSet<Observed>,
        connector: &ConnectorRef,
        write: bool,
    ) -> Result<(), Error> {
        let gone = self.count_found(diff, mapped);
        self.remove(diff, &gone, connector, write).await?;
        self.latest = KeyStates::default();
        Ok(())
    }

    /// Counts what was found of each key. Returns the places of what is gone, in their order.
    fn count_found(&mut self, diff: &mut FactDiff, mapped: &HashSet<Observed>) -> Vec<(u32, u32)> {
        let mut gone: Vec<(u32, u32)> = Vec::new();
        for kept in self.latest.rows.values() {
            let [before, after] = kept.money;
            match kept.found {
                ReplayFinding::Judged if !kept.is_shown(self.fact) => {
                    diff.added.count += 1;
                    self.groups.count(None, Some(after));
                }
                ReplayFinding::Judged if kept.current != kept.content => {
                    diff.changed.count += 1;
                    diff.count_fields(self.fact, kept.fields);
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
        gone
    }

    /// Names what is gone and, to `write`, puts tombstones of it into files.
    async fn remove(
        &mut self,
        diff: &mut FactDiff,
        gone: &[(u32, u32)],
        connector: &ConnectorRef,
        write: bool,
    ) -> Result<(), Error> {
        for places in gone.chunk_by(|a, b| a.0 == b.0) {
            for places in places.chunks(FLUSH_ROWS) {
                if !write && !diff.removed.wants_more() {
                    break;
                }
                let rows: Vec<u32> = places.iter().map(|(_, row)| *row).collect();
                for batch in self.latest.read(&self.table, places[0].0, &rows).await? {
                    let name = self.table.name();
                    let (accounts, ids) = (texts(name, &batch, "account")?, texts(name, &batch, self.fact.id())?);
                    (0..batch.num_rows()).for_each(|row| diff.removed.note(accounts.value(row), ids.value(row)));
                    if write {
                        let schema = self.staged.schema(&self.table)?;
                        let rows = removals((&self.table, self.fact), &schema, &batch, connector, &self.latest)?;
                        let adds = self.table.write_files(&rows, Some(self.fact.key())).await?;
                        self.staged.add(&schema, Vec::new(), adds);
                    }
                }
            }
        }
        Ok(())
    }
}

impl KeyStates {
    /// A row that differs, as the version that it becomes.
    fn choose(&mut self, row: IncomingRow) -> Option<Chosen> {
        let kept = self.rows.get_mut(&row.key)?;
        kept.version += 1;
        let (version, month, change) = (kept.version, kept.month, Change::MappingChange);
        let IncomingRow { key, content, source, row, .. } = row;
        Some(Chosen { key, content, source, row, version, month, change })
    }
}
