//! Facts of a kind that is no transaction: the lake's latest state beside the candidate's.

use std::collections::{BTreeMap, HashSet};

use arrow::array::RecordBatch;
use sluice_model::Fact;

use super::Response;
use super::apply::{Staged, removals};
use super::diff::{Diff, FactDiff, texts};
use super::kept::{KeyShard, KeyStates, ReplayFinding};
use super::money::{Groups, MoneyColumns};
use super::transactions::{FLUSH_BYTES, FLUSH_ROWS};
use crate::append::{Chosen, Observed, Source};
use crate::error::Error;
use crate::facts::{FactBatch, FactRows};
use crate::lake::Lake;
use crate::lineage::{ConnectorRef, observed};
use crate::table::Table;

/// A kind's table of versions beside the candidate's facts.
pub(super) struct FactSide {
    pub(super) table: Table,
    pub(super) staged: Staged,
    pub(super) groups: Groups,
    fact: Fact,
    latest: KeyStates,
    rows: FactRows,
    waiting: usize,
    bytes: usize,
}

impl FactSide {
    pub(super) async fn open(lake: &Lake, fact: Fact) -> Result<Self, Error> {
        Ok(Self {
            table: Table::open(lake, "unified", fact.versions()).await?,
            staged: Staged::default(),
            groups: Groups::default(),
            fact,
            latest: KeyStates::default(),
            rows: FactRows::new(fact),
            waiting: 0,
            bytes: 0,
        })
    }

    pub(super) async fn begin(&mut self, network: &str, part: KeyShard) -> Result<(), Error> {
        self.staged.compare(&self.table);
        self.latest = KeyStates::facts(&self.table, self.fact, network, part, &mut self.groups).await?;
        Ok(())
    }

    /// Judges a response's facts, and keeps those that differ.
    pub(super) fn add(&mut self, response: &Response<'_>, batch: &FactBatch) -> Result<(), Error> {
        let Response { origin, connector, part, number } = *response;
        let seen = observed(origin);
        let mut differing: Vec<u32> = Vec::new();
        // Equal rows of a key count once.
        for row in (0..batch.len()).rev() {
            let (key, content, month) = batch.keyed_row(row);
            if part.holds(key) && self.latest.compare_row(key, content, seen, month, number) {
                differing.push(u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        if !differing.is_empty() {
            differing.reverse();
            let some = batch.some(&differing)?;
            self.waiting += differing.len();
            self.bytes += some.bytes();
            self.rows.push(0, origin.clone(), connector, some);
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting >= FLUSH_ROWS || self.bytes >= FLUSH_BYTES
    }

    /// Compares the facts that differ in full and, to `write`, puts them into files that no snapshot has yet.
    pub(super) async fn flush(&mut self, diff: &mut Diff, write: bool) -> Result<(), Error> {
        if self.waiting == 0 {
            return Ok(());
        }
        self.rows.make_incoming();
        let chosen: Vec<Chosen> = self.rows.incoming().rows.iter().filter_map(|row| self.latest.choose(*row)).collect();
        if write {
            self.table.create_if_missing(&self.rows.table_spec()).await?;
        }
        let schema = self.staged.schema(&self.table)?;
        let shaped = self.rows.shape(self.table.name(), &schema, &chosen)?;
        self.count(diff.facts.entry(self.fact).or_default(), &chosen, &shaped.rows).await?;
        if write {
            let adds = self.table.write_files(&shaped.rows, Some(self.fact.key())).await?;
            self.staged.add(&shaped.rows.schema(), shaped.new_fields, adds);
        }
        self.rows = FactRows::new(self.fact);
        (self.waiting, self.bytes) = (0, 0);
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
            if kept.is_live() {
                places.insert((kept.file, kept.row), row);
            } else {
                diff.added.note(accounts.value(at), ids.value(at));
            }
        }
        let differences = (&mut diff.changed, &mut diff.fields);
        self.latest.compare_fields(&self.table, self.fact, places, (chosen, after), differences).await
    }

    /// Finds the facts that come from these responses and that the candidate doesn't give. To `write`, each gets a version that
    /// takes it back.
    pub(super) async fn end(
        &mut self,
        diff: &mut Diff,
        mapped: &HashSet<Observed>,
        connector: &ConnectorRef,
        write: bool,
    ) -> Result<(), Error> {
        self.flush(diff, write).await?;
        if self.latest.rows.is_empty() {
            return Ok(());
        }
        let diff = diff.facts.entry(self.fact).or_default();
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
                // One that was taken back is as good as none.
                ReplayFinding::Judged if !kept.is_live() => {
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
