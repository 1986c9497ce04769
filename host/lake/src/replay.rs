//! Replay: what a candidate makes of raw objects, beside what the lake holds of them.
//!
//! Responses come oldest first. Of each key only those count that aren't older than the lake's latest row: an older one
//! was superseded already, and a row that is newer than all of them comes from a response outside the selection, or
//! is of a transaction that vanished, and stays what it is. What the candidate gives of the rest is compared with the
//! latest row: the last of it is what the transaction would be.
//!
//! Memory is bounded by the keys of a pass ([`MAX_KEYS`], about 400 bytes each with the native record's) and one
//! flush of differing rows. A network with more rows takes several passes over its raw objects, each for the keys of
//! one part. What is kept of a response whatever the pass is its identity, and that of each reject.

mod apply;
mod diff;
mod facts;
mod kept;
mod money;
mod native;
mod rejects;
mod rollback;
mod transactions;
mod versions;

pub use self::apply::Replayed;
use self::apply::StagedTable;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use sluice_model::{Fact, Layout, Mapped, RawObject, Step};

pub use self::diff::{Diff, FactDiff, FieldDiff, FieldExample, NativeDiff, RejectExample, Rejects, Rows};
use self::facts::FactSide;
use self::kept::{KeyShard, row_count};
pub use self::money::{Money, MoneyKey};
use self::native::{NativeSide, Reading};
use self::rejects::RejectSide;
pub use self::rollback::RolledBack;
use self::transactions::TransactionSide;
use crate::append::Observed;
use crate::error::Error;
use crate::lake::Lake;
use crate::lineage::{ConnectorRef, observed};
use crate::options::COLUMNS_PER_TABLE;
use crate::ordinals::Ordinals;
use crate::prepare::Prepared;
use crate::table::{Fence, Table};

/// Rows in the lake that a pass takes on.
const MAX_KEYS: u64 = 1_000_000;

/// A replay under way: for each pass [`Replay::begin`], all responses oldest first, [`Replay::end`]; then
/// [`Replay::finish`].
pub struct Replay {
    lake: Lake,
    connector: ConnectorRef,
    /// The run whose versions these will be; none: they are only compared.
    run_id: Option<String>,
    /// The lease under which it is committed.
    fence: Option<Fence>,
    columns_per_table: usize,
    passes: u32,
    part: KeyShard,
    transactions: TransactionSide,
    facts: BTreeMap<Fact, FactSide>,
    native: BTreeMap<String, NativeSide>,
    rejects: RejectSide,
    /// The responses that were mapped in this pass.
    mapped: HashSet<Observed>,
    /// How many they are.
    responses: u32,
    ordinals: Ordinals,
    diff: Diff,
}

/// A response of a pass.
#[derive(Clone, Copy)]
struct Response<'a> {
    origin: &'a Arc<RawObject>,
    connector: &'a ConnectorRef,
    part: KeyShard,
    /// From 1.
    number: u32,
}

impl<'a> Response<'a> {
    fn of(origin: &'a Arc<RawObject>, connector: &'a ConnectorRef, part: KeyShard, number: u32) -> Self {
        Self { origin, connector, part, number }
    }
}

impl Lake {
    /// A replay of a network's responses by a candidate. With a run, what differs is put into files, and
    /// [`Replayed::commit`] commits it, under the lease of `fence`.
    pub async fn replay(
        &self,
        connector: ConnectorRef,
        run_id: Option<&str>,
        fence: Option<Fence>,
    ) -> Result<Replay, Error> {
        let network = connector.name.clone();
        let unified = Table::open(self, "unified", "transaction_versions").await?;
        let mut native_rows = 0;
        for table in self.tables().await?.iter().filter(|table| table.schema == schema_of(&network)) {
            native_rows += row_count(&Table::open(self, &table.schema, &table.name).await?, &network);
        }
        let (mut facts, mut fact_rows) = (BTreeMap::new(), 0);
        for fact in Fact::OTHERS {
            let side = FactSide::open(self, fact).await?;
            fact_rows += row_count(&side.versions.table, &network);
            facts.insert(fact, side);
        }
        let rows = native_rows.max(row_count(&unified, &network)).max(fact_rows);
        let passes = u32::try_from(rows.div_ceil(MAX_KEYS)).unwrap_or(u32::MAX).max(1);
        Ok(Replay {
            lake: self.clone(),
            run_id: run_id.map(str::to_owned),
            fence,
            columns_per_table: COLUMNS_PER_TABLE,
            passes,
            part: KeyShard { part: 0, of: passes },
            transactions: TransactionSide::new(unified),
            facts,
            native: BTreeMap::new(),
            rejects: RejectSide::open(self, &network).await?,
            mapped: HashSet::new(),
            responses: 0,
            ordinals: Ordinals::default(),
            diff: Diff::default(),
            connector,
        })
    }
}

/// The SQL schema of a network's native tables.
fn schema_of(network: &str) -> String {
    network.replace('-', "_")
}

impl Replay {
    /// How often all responses have to be gone through.
    pub fn passes(&self) -> u32 {
        self.passes
    }

    /// Gives fields of native tables as many columns, see [`crate::CommitterOptions::columns_per_table`].
    #[must_use]
    pub fn with_columns_per_table(mut self, columns: usize) -> Self {
        self.columns_per_table = columns;
        self
    }

    /// Takes smaller parts than memory needs.
    #[cfg(test)]
    pub(crate) fn in_passes(mut self, passes: u32) -> Self {
        self.passes = passes;
        self
    }

    /// Begins a pass, from 0.
    pub async fn begin(&mut self, pass: u32) -> Result<(), Error> {
        self.part = KeyShard { part: pass, of: self.passes };
        self.mapped.clear();
        self.responses = 0;
        self.ordinals.clear();
        self.transactions.versions.begin(&self.connector.name, self.part).await?;
        for side in self.facts.values_mut() {
            side.versions.begin(&self.connector.name, self.part).await?;
        }
        for side in self.native.values_mut() {
            side.begin(self.part).await?;
        }
        Ok(())
    }

    /// Takes a response as the candidate maps it.
    pub async fn add(&mut self, origin: Arc<RawObject>, layout: &Layout, mapped: Mapped) -> Result<(), Error> {
        self.mapped.insert(observed(&origin));
        self.responses += 1;
        if self.part.part == 0 {
            self.diff.responses += 1;
            for word in &mapped.unknown_statuses {
                *self.diff.unknown_statuses.entry(word.clone()).or_default() += 1;
            }
        }
        let mut prepared = Prepared::of(origin, layout, self.connector.clone(), mapped)?;
        self.ordinals.number(&mut prepared)?;
        let Prepared { origin, native, notes, records, declared, transactions, facts, rejects, .. } = prepared;
        let response = Response::of(&origin, &self.connector, self.part, self.responses);
        if self.part.part == 0 {
            self.rejects.mapped(&origin, &self.connector, &rejects);
        }
        if let Some((rows, keyed)) = transactions {
            self.transactions.add(&response, &rows, &keyed)?;
        }
        for batch in &facts {
            let Some(side) = self.facts.get_mut(&batch.fact) else { continue };
            side.add(&response, batch)?;
            if side.is_full() {
                side.flush(&mut self.diff, self.run_id.is_some()).await?;
            }
        }
        if native.rows > 0 {
            let stream = origin.slice.stream.clone();
            if !self.native.contains_key(&stream) {
                let schema = schema_of(&self.connector.name);
                let mut side = NativeSide::open(&self.lake, &schema, &stream, self.part).await?;
                side.limit_columns(self.columns_per_table);
                self.native.insert(stream.clone(), side);
            }
            if let Some(side) = self.native.get_mut(&stream) {
                side.add(&response, Reading { declared, batch: native, notes, keyed: records }, self.run_id.is_some())?;
                if side.is_full() {
                    side.flush().await?;
                }
            }
        }
        if self.transactions.is_full() {
            self.transactions.flush(&mut self.diff.transactions, self.run_id.is_some()).await?;
        }
        Ok(())
    }

    /// Records a response that the candidate can't map at all. Its facts aren't compared.
    pub fn reject(&mut self, origin: &Arc<RawObject>, reason: &str) {
        if self.part.part == 0 {
            self.diff.responses += 1;
            self.rejects.failed(origin, &self.connector, reason);
        }
    }

    /// Ends a pass.
    pub async fn end(&mut self) -> Result<(), Error> {
        let write = self.run_id.is_some();
        self.transactions.end(&mut self.diff.transactions, &self.mapped, &self.connector, write).await?;
        for side in self.facts.values_mut() {
            side.end(&mut self.diff, &self.mapped, &self.connector, write).await?;
        }
        for side in self.native.values_mut() {
            // Before the pass is forgotten: what waits goes into the months that it found for the keys.
            side.flush().await?;
            side.end(&self.mapped);
        }
        Ok(())
    }

    /// What would change, and what waits to be committed.
    pub async fn finish(self) -> Result<Replayed, Error> {
        let Self { lake, connector, run_id, fence, mut diff, mut transactions, mut facts, native, mut rejects, .. } =
            self;
        if run_id.is_some() {
            rejects.flush().await?;
        }
        let groups = std::mem::take(&mut transactions.versions.groups);
        (diff.transactions.money, diff.transactions.moved) = groups.finish();
        for (fact, found) in &mut diff.facts {
            let Some(side) = facts.get_mut(fact) else { continue };
            (found.money, found.moved) = std::mem::take(&mut side.versions.groups).finish();
        }
        diff.drop_equal_fields();
        diff.native = native.iter().map(|(stream, side)| (stream.clone(), side.diff)).collect();
        (diff.new_rejects, diff.gone_rejects) = rejects.compared();
        let mut waiting: VecDeque<StagedTable> =
            native.into_values().map(|side| StagedTable::of(side.table, side.staged, "_key")).collect();
        let versions = facts.into_values().map(|side| side.versions).filter(|versions| !versions.staged.is_empty());
        let versions = std::iter::once(transactions.versions).chain(versions);
        waiting.extend(versions.map(|side| StagedTable::of(side.table, side.staged, side.fact.key())));
        let rejects_again = std::mem::take(&mut rejects.reopened);
        waiting.push_back(StagedTable::of(rejects.table, rejects.staged, "_key"));
        let schema = schema_of(&connector.name);
        lake.passed(Step::FilesWritten);
        Ok(Replayed { diff, lake, schema, network: connector.name, run_id, fence, waiting, reopened: rejects_again })
    }
}
