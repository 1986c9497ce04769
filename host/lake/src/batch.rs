//! What was gathered of many runs and waits to be written, and the writers of its tables.
//!
//! Tables are written side by side, each in one commit. No commit spans tables: after a crash between two of them the
//! run that is resumed adds the same responses again, finds what is there and adds what is missing. What a slice
//! covers is noted only when all of its rows are durable.

mod flushed;
mod part;
mod vanish;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::Field;
use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};
use sluice_model::{Fact, Step};
use tokio::time::Instant;

pub(crate) use flushed::Flushed;
use part::{TablePart, Target};

use crate::append::{Appender, RunNumber};
use crate::error::Error;
use crate::facts::FactRows;
use crate::follow::Followers;
use crate::lake::Lake;
use crate::latest::LatestState;
use crate::meta::{ColumnPlace, CoverageRow, REJECTS, RejectRows};
use crate::native::{NativeResponse, NativeRows};
use crate::options::CommitterOptions;
use crate::prepare::Prepared;
use crate::table::Fence;
use crate::unified::UnifiedRows;

/// Tables that are written at once: each holds a compressor per column, and there are few cores.
const TABLES_AT_ONCE: usize = 3;

/// Prefixes of keys that are kept of files that this process wrote, for each key that is: 8 bytes instead of 64 and more.
const PREFIXES_PER_KEY: usize = 4;

/// The SQL schema and the name of a native table.
type TableName = (String, String);

/// Mapped responses of many runs that wait to be written.
#[derive(Default)]
pub(crate) struct Batch {
    native: BTreeMap<TableName, NativeRows>,
    unified: UnifiedRows,
    facts: BTreeMap<Fact, FactRows>,
    rejects: RejectRows,
    coverage: Vec<(RunNumber, CoverageRow)>,
    fences: BTreeMap<RunNumber, Option<Fence>>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    /// Takes a response of a run.
    pub(crate) fn add(&mut self, run: RunNumber, fence: Option<&Fence>, prepared: Prepared) -> Result<(), Error> {
        self.fences.entry(run).or_insert_with(|| fence.cloned());
        self.bytes += prepared.bytes();
        let Prepared { origin, connector, native, notes, records, declared, transactions, facts, rejects, .. } =
            prepared;
        if let Some((rows, keyed)) = transactions {
            self.rows += rows.num_rows();
            self.unified.push(run, origin.clone(), &connector, rows, keyed)?;
        }
        for batch in facts {
            self.rows += batch.rows.num_rows();
            let rows = self.facts.entry(batch.fact).or_insert_with_key(|fact| FactRows::new(*fact));
            rows.push(run, origin.clone(), &connector, batch);
        }
        self.rejects.add(run, origin.clone(), &connector, rejects);
        if native.rows > 0 {
            self.rows += native.rows;
            let slice = &origin.slice;
            let table = (slice.network.replace('-', "_"), slice.stream.clone());
            let connector_digest = connector.digest.to_hex();
            let response =
                NativeResponse { run, origin, connector_digest, batch: native, notes, keyed: records, records: None };
            self.native.entry(table).or_default().push(response, declared);
        }
        Ok(())
    }

    /// Takes a response that could not be mapped at all, with the reason.
    pub(crate) fn reject(&mut self, run: RunNumber, fence: Option<&Fence>, rejected: Rejected) {
        self.fences.entry(run).or_insert_with(|| fence.cloned());
        let Rejected { origin, connector, reason } = rejected;
        self.rejects.add_whole(run, origin, &connector, &reason);
    }

    /// Takes what a slice covers: its responses were all taken before.
    pub(crate) fn cover(&mut self, run: RunNumber, fence: Option<&Fence>, row: CoverageRow) {
        self.fences.entry(run).or_insert_with(|| fence.cloned());
        self.coverage.push((run, row));
    }

    /// Forgets what slices of a run cover: some of their rows could not be written.
    pub(crate) fn uncover(&mut self, run: RunNumber) {
        self.coverage.retain(|(of, _)| *of != run);
    }

    /// The runs that have something in it.
    pub(crate) fn runs(&self) -> impl Iterator<Item = RunNumber> + '_ {
        self.fences.keys().copied()
    }

    /// Whether it is large enough to be written.
    pub(crate) fn is_full(&self, options: &CommitterOptions) -> bool {
        self.rows >= options.flush_rows || self.bytes >= options.flush_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fences.is_empty()
    }
}

/// A response that could not be mapped at all.
pub(crate) struct Rejected {
    pub(crate) origin: std::sync::Arc<sluice_model::RawObject>,
    pub(crate) connector: crate::lineage::ConnectorRef,
    pub(crate) reason: String,
}

/// The writers of all tables: of each the snapshot, and what is known of its keys.
pub(crate) struct Writers {
    lake: Lake,
    options: CommitterOptions,
    unified: Option<Appender>,
    /// With the flush that used each last.
    native: BTreeMap<TableName, (u64, Appender)>,
    /// The same.
    facts: BTreeMap<Fact, (u64, Appender)>,
    rejects: Option<Appender>,
    followers: Option<Followers>,
    /// What `meta.columns` holds, once it was read.
    columns: Option<HashSet<ColumnPlace>>,
    flushes: u64,
    /// Since when followers lack what was written.
    behind_since: Option<Instant>,
}

impl Writers {
    pub(crate) fn new(lake: Lake, options: CommitterOptions) -> Self {
        Self {
            lake,
            options,
            native: BTreeMap::new(),
            unified: None,
            facts: BTreeMap::new(),
            rejects: None,
            followers: None,
            columns: None,
            flushes: 0,
            behind_since: None,
        }
    }

    /// When followers are to be brought up to date at the latest.
    pub(crate) fn follow_at(&self) -> Option<Instant> {
        self.behind_since.map(|since| since + self.options.max_lag)
    }

    /// Writes what was gathered. After an error the writers must be opened again: what they hold may be in the tables.
    pub(crate) async fn flush(&mut self, batch: Batch) -> Result<Flushed, Error> {
        self.flushes += 1;
        self.behind_since.get_or_insert_with(Instant::now);
        let fences: Vec<(RunNumber, Fence)> =
            batch.fences.iter().filter_map(|(run, fence)| Some((*run, fence.clone()?))).collect();
        let Batch { native, unified, facts, rejects, coverage, .. } = batch;
        let (open_versions, open_rejects) = (self.unified.take(), self.rejects.take());
        let versions = self.part(open_versions, Target::versions(Fact::Transactions), unified, &fences);
        let rejected = Target::of("meta", "rejects", REJECTS, Step::RejectsCommitted);
        let rejected = self.part(open_rejects, rejected, rejects, &fences);
        let natives: Vec<_> = native.into_iter().map(|(table, rows)| self.native_part(table, rows, &fences)).collect();
        let natives = stream::iter(natives).buffer_unordered(TABLES_AT_ONCE).collect::<Vec<_>>();
        let facts: Vec<_> = facts.into_iter().map(|(fact, rows)| self.fact_part(fact, rows, &fences)).collect();
        let facts = stream::iter(facts).buffer_unordered(TABLES_AT_ONCE).collect::<Vec<_>>();
        // One kind after the other: together they would be twice as many tables at once.
        let others = async { (natives.await, facts.await) };
        let (versions, rejected, (natives, facts)) = tokio::try_join!(versions, rejected, others.map(Ok))?;
        let mut flushed = Flushed::default();
        for (runs, part) in natives {
            let Some((table, part)) = flushed.written(runs, part) else { continue };
            self.note_columns(&table, &part).await?;
            flushed.take(part.appended, |counts| &mut counts.native_written);
            self.native.insert(table, (self.flushes, part.appender));
        }
        self.lake.passed(Step::ColumnsNoted);
        if let Some(part) = versions {
            part.appended.older.iter().for_each(|run| flushed.counts.entry(*run).or_default().older += 1);
            flushed.take_versions(part.appended);
            self.unified = Some(part.appender);
        }
        for (runs, part) in facts {
            let Some((fact, part)) = flushed.written(runs, part) else { continue };
            flushed.take(part.appended, |counts| &mut counts.new_facts);
            self.facts.insert(fact, (self.flushes, part.appender));
        }
        if let Some(part) = rejected {
            flushed.failed.extend(part.appended.fenced);
            self.rejects = Some(part.appender);
        }
        self.note_coverage(coverage, &fences, &mut flushed).await?;
        self.bound();
        Ok(flushed)
    }

    /// Notes a native table's new columns in `meta.columns`. What a crash kept from being noted is noted by the next
    /// run that reads the same.
    async fn note_columns(&mut self, table: &TableName, part: &TablePart<NativeRows>) -> Result<(), Error> {
        let fields = &part.appended.fields;
        if fields.is_empty() {
            return Ok(());
        }
        let noted = match &mut self.columns {
            Some(noted) => noted,
            unread => unread.insert(self.lake.noted_columns().await?),
        };
        let (schema, name) = table;
        let place = |field: &Field| (schema.clone(), name.clone(), field.name().clone());
        let new: Vec<Field> = fields.iter().filter(|field| !noted.contains(&place(field))).cloned().collect();
        noted.extend(new.iter().map(place));
        let described = part.rows.describe(&new, &part.appended.chosen, part.appended.beyond.example.as_deref());
        self.lake.append_columns(schema, name, &described).await
    }

    /// Notes what slices cover whose rows are durable now.
    async fn note_coverage(
        &mut self,
        coverage: Vec<(RunNumber, CoverageRow)>,
        fences: &[(RunNumber, Fence)],
        flushed: &mut Flushed,
    ) -> Result<(), Error> {
        let mut by_run: BTreeMap<RunNumber, Vec<CoverageRow>> = BTreeMap::new();
        for (run, row) in coverage.into_iter().filter(|(run, _)| !flushed.failed.contains_key(run)) {
            by_run.entry(run).or_default().push(row);
        }
        let (lake, noted) = (&self.lake, by_run.into_iter());
        let noted = noted.map(|(run, rows)| async move {
            let fence = fences.iter().find(|(of, _)| *of == run).map(|(_, fence)| fence.clone());
            (run, lake.append_coverage_under(&rows, fence).await)
        });
        for (run, noted) in join_all(noted).await {
            match noted {
                Ok(()) => {}
                Err(error @ Error::Fenced { .. }) => _ = flushed.failed.insert(run, error),
                Err(error) => return Err(error),
            }
        }
        self.lake.passed(Step::CoverageNoted);
        Ok(())
    }

    /// Brings what follows the tables up to date: the latest state, the folded coverage.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Error> {
        self.followers().await?.catch_up().await?;
        self.behind_since = None;
        self.lake.passed(Step::LatestCaughtUp);
        Ok(())
    }

    pub(crate) async fn latest(&mut self) -> Result<&mut LatestState, Error> {
        Ok(&mut self.followers().await?.latest)
    }

    async fn followers(&mut self) -> Result<&mut Followers, Error> {
        Ok(match &mut self.followers {
            Some(open) => open,
            unread => unread.insert(Followers::open(&self.lake).await?),
        })
    }

    /// Forgets the keys of the tables used longest ago, until the rest is within its limit. Of those used at once it forgets
    /// the largest, so that as many as can be keep theirs. The same of the prefixes of keys that were written.
    fn bound(&mut self) {
        let versions = self.unified.as_ref().map_or(0, Appender::keys);
        let mut left = self.options.all_keys.saturating_sub(versions);
        let mut others: Vec<&mut (u64, Appender)> = self.native.values_mut().chain(self.facts.values_mut()).collect();
        others.sort_by_key(|(used, appender)| (Reverse(*used), appender.keys()));
        for (_, appender) in &mut others {
            match left.checked_sub(appender.keys()) {
                Some(rest) => left = rest,
                None => appender.forget(),
            }
        }
        let mut left = self.options.all_keys.saturating_mul(PREFIXES_PER_KEY);
        let others = others.into_iter().map(|(_, appender)| appender);
        for appender in self.unified.iter_mut().chain(others).chain(&mut self.rejects) {
            match left.checked_sub(appender.key_prefixes()) {
                Some(rest) => left = rest,
                None => appender.forget_key_prefixes(),
            }
        }
    }

    /// How many keys are kept of all tables that are bounded together.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        let others = self.native.values().chain(self.facts.values()).map(|(_, appender)| appender);
        self.unified.iter().chain(others).map(Appender::keys).sum()
    }
}
