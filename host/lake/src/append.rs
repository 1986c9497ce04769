//! Appending what is new: choose the rows, write them, commit, and choose again if another writer was first.

mod access;
mod choice;
mod memory;

use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, SchemaRef};
use deltalake::kernel::Transaction;
use object_store::path::Path;
use serde::Serialize;
use sluice_model::{Change, RawObject, Step};
use uuid::Uuid;

pub(crate) use access::has_incoming;
use choice::{Choice, Homes};

use crate::error::Error;
use crate::hash::VANISHED;
use crate::index::{IndexColumns, KeyIndex, LatestRow, key_prefix};
use crate::lake::Lake;
use crate::lineage::observed;
use crate::table::{Fence, Proposal, Table, TableSpec, commit_with};

/// A row that may have to be appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncomingRow {
    pub(crate) key: u128,
    pub(crate) content: u128,
    /// Which response, in the order of observation.
    pub(crate) source: u32,
    /// Which row of it.
    pub(crate) row: u32,
    pub(crate) month: i32,
}

/// Rows that may have to be appended, and the responses that they came from.
#[derive(Default)]
pub(crate) struct Incoming {
    pub(crate) rows: Vec<IncomingRow>,
    /// The run that each response came with, and when it was observed: rising by what is plausible now.
    pub(crate) responses: Vec<(RunNumber, Observed)>,
}

impl Incoming {
    /// No rows yet of these responses, which come in the order of observation.
    pub(crate) fn of<'a>(responses: impl Iterator<Item = (RunNumber, &'a RawObject)>) -> Self {
        let responses = responses.map(|(run, origin)| (run, observed(origin))).collect();
        Self { rows: Vec::new(), responses }
    }

    /// Sorts the rows by key, response and place.
    pub(crate) fn sort(&mut self) {
        self.rows.sort_unstable_by_key(|row| (row.key, row.source, row.row));
    }

    /// Leaves out the rows of some runs.
    pub(crate) fn leave_out(&mut self, runs: &HashSet<RunNumber>) {
        let Self { rows, responses } = self;
        rows.retain(|row| !runs.contains(&responses[row.source as usize].0));
    }

    /// The run that a response came with.
    pub(crate) fn run(&self, source: u32) -> RunNumber {
        self.responses[source as usize].0
    }

    /// When a response was observed.
    pub(crate) fn observed(&self, source: u32) -> Observed {
        self.responses[source as usize].1
    }

    /// When the responses of these rows were observed, as a column.
    pub(crate) fn observed_at(&self, chosen: &[Chosen]) -> ArrayRef {
        let times = chosen.iter().map(|row| self.observed(row.source).at);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    }
}

/// When a response was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Observed {
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// The request, see [`crate::hash::request_ordinal`].
    pub(crate) request: u128,
}

/// How far ahead of this host's clock an observation may be: clocks of several hosts differ.
const CLOCK_TOLERANCE_MICROS: i64 = 5 * 60 * 1_000_000;

impl Observed {
    /// The moment by which observations are ordered at `now`, microseconds since 1970. One that lies in the future was
    /// made by a clock that was ahead: it is older than all that are plausible, so that it can't block later ones.
    pub(crate) fn plausible(self, now: i64) -> Self {
        let ahead = self.at > now.saturating_add(CLOCK_TOLERANCE_MICROS);
        Self { at: if ahead { i64::MIN.saturating_add(self.at) } else { self.at }, ..self }
    }
}

/// A row to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) key: u128,
    pub(crate) content: u128,
    pub(crate) source: u32,
    pub(crate) row: u32,
    pub(crate) version: i32,
    /// The month of the key's home partition.
    pub(crate) month: i32,
    pub(crate) change: Change,
}

impl Chosen {
    /// A candidate as if it were chosen.
    pub(crate) fn of(candidate: &IncomingRow) -> Self {
        let IncomingRow { key, content, source, row, month } = *candidate;
        Self { key, content, source, row, version: 0, month, change: Change::FirstSeen }
    }

    /// A row of a response, for tests of what is done by place alone.
    #[cfg(test)]
    pub(crate) fn at(source: u32, row: u32) -> Self {
        Self::of(&IncomingRow { key: 0, content: 0, source, row, month: 0 })
    }
}

/// New versions of unified transactions by their cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Causes {
    /// Transactions that are new.
    pub first_seen: u64,
    /// Rows that are new and correct others.
    pub corrections: u64,
    /// The network reports something else.
    pub changed: u64,
    /// The network reports the same, and more of who sent the customer.
    pub late_attribution: u64,
    /// The same response is mapped differently.
    pub remapped: u64,
    /// A window that was read whole no longer holds them.
    pub vanished: u64,
    /// Vanished transactions that are reported again.
    pub reappeared: u64,
    /// Of those that were known before and haven't vanished, the ones without a commission now, whether they had one
    /// or not.
    #[serde(skip)]
    pub without_amount: u64,
}

impl AddAssign for Causes {
    fn add_assign(&mut self, more: Self) {
        self.first_seen += more.first_seen;
        self.corrections += more.corrections;
        self.changed += more.changed;
        self.late_attribution += more.late_attribution;
        self.remapped += more.remapped;
        self.vanished += more.vanished;
        self.reappeared += more.reappeared;
        self.without_amount += more.without_amount;
    }
}

impl Causes {
    /// Counts one version.
    pub(crate) fn count(&mut self, change: Change) {
        *match change {
            Change::FirstSeen => &mut self.first_seen,
            Change::Correction => &mut self.corrections,
            Change::NetworkChange => &mut self.changed,
            Change::LateAttribution => &mut self.late_attribution,
            Change::MappingChange => &mut self.remapped,
            Change::Vanished => &mut self.vanished,
            Change::Reappeared => &mut self.reappeared,
        } += 1;
    }
}

/// Rows in the shape of their table.
pub(crate) struct Shaped {
    /// The table's columns, then new ones.
    pub(crate) rows: RecordBatch,
    /// The new columns.
    pub(crate) new_fields: Vec<Field>,
    /// What has no column of its own.
    pub(crate) beyond: Beyond,
}

/// Rows with fields that got no column, because their table has as many as it may.
#[derive(Debug, Default)]
pub(crate) struct Beyond {
    /// How many rows of each run.
    pub(crate) by_run: HashMap<RunNumber, u64>,
    /// Such fields of one row.
    pub(crate) example: Option<String>,
}

impl Beyond {
    pub(crate) fn merge(&mut self, more: Self) {
        for (run, rows) in more.by_run {
            *self.by_run.entry(run).or_default() += rows;
        }
        self.example = self.example.take().or(more.example);
    }
}

/// The rows of a flush.
pub(crate) trait Source: Send + Sync {
    /// All rows.
    fn incoming(&self) -> &Incoming;
    /// The same, to be sorted and thinned out.
    fn incoming_mut(&mut self) -> &mut Incoming;
    /// The scope of each response's keys.
    fn scope(&self, source: u32) -> &str;
    /// Why a row is to be appended when `known` is the latest one of its key; none if it has nothing new.
    fn change(&self, known: Option<&LatestRow>, row: &IncomingRow, now: i64) -> Option<Change> {
        match known {
            None => Some(Change::FirstSeen),
            Some(known) => change_of_known(known, row, self.incoming().observed(row.source), now),
        }
    }
    /// Whether a row is of a transaction without a commission.
    fn lacks_amount(&self, _row: &Chosen) -> bool {
        false
    }
    /// The chosen rows in parts, each of which fits into one batch.
    fn parts<'a>(&self, _schema: &SchemaRef, chosen: &'a [Chosen]) -> Vec<&'a [Chosen]> {
        vec![chosen]
    }
    /// What the table is made with, if it isn't there.
    fn table_spec(&self) -> TableSpec;
    /// The chosen rows in the shape of the table.
    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error>;
}

/// Names a run among those whose rows are gathered together.
pub(crate) type RunNumber = u32;

/// What an append did.
#[derive(Default)]
pub(crate) struct Appended {
    pub(crate) chosen: Vec<Chosen>,
    /// How many rows of each run were appended.
    pub(crate) by_run: HashMap<RunNumber, u64>,
    /// Why, for each run.
    pub(crate) causes: HashMap<RunNumber, Causes>,
    /// Rows that say something else than the latest one of their key, and are older, with the run of each.
    pub(crate) older: Vec<RunNumber>,
    /// The table's columns as they now are.
    pub(crate) fields: Vec<Field>,
    /// What of the rows has no column of its own.
    pub(crate) beyond: Beyond,
    /// Runs whose lease was taken over, and why: nothing of them was appended.
    pub(crate) fenced: Vec<(RunNumber, Error)>,
}

/// A table that rows are appended to if they are new, with what is known of its keys.
pub(crate) struct Appender {
    table: Table,
    index: KeyIndex,
    key: &'static str,
    application: String,
    flushes: i64,
    passed: fn(Step),
}

impl Appender {
    pub(crate) async fn open(
        lake: &Lake,
        schema: &str,
        name: &str,
        columns: IndexColumns,
        most_keys: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            table: Table::open(lake, schema, name).await?,
            index: KeyIndex::new(columns, most_keys),
            key: columns.key,
            // Of this process alone: a run that crashed and the one that resumes it are distinguished.
            application: format!("sluice/{}", Uuid::now_v7().simple()),
            flushes: 0,
            passed: lake.watcher(),
        })
    }

    /// Appends the rows of `source` that are new. `fences` has the lease of each run that has one.
    pub(crate) async fn append(
        &mut self,
        source: &mut impl Source,
        fences: &[(RunNumber, Fence)],
    ) -> Result<Appended, Error> {
        if source.incoming().rows.is_empty() {
            return Ok(Appended::default());
        }
        source.incoming_mut().sort();
        self.flushes += 1;
        self.index.begin();
        self.table.refresh().await?;
        // Before anything is chosen: another writer may make the table meanwhile, and fill it.
        self.table.create_if_missing(&source.table_spec()).await?;
        let Self { table, index, key, application, flushes, passed } = self;
        let now = chrono::Utc::now();
        let transaction = Transaction::new_with_last_update(&*application, *flushes, Some(now.timestamp_millis()));
        let mut choice = Choice {
            index,
            source,
            fences: fences.to_vec(),
            transaction,
            key,
            now: now.timestamp_micros(),
            schema: None,
            passed: *passed,
            appended: Appended::default(),
        };
        let committed = commit_with(table, &mut choice).await;
        let Choice { appended, .. } = choice;
        match committed? {
            Some(proposal) => Ok(self.finish(proposal, appended, source)),
            None => {
                let fields = self.table.schema()?.fields().iter().map(|field| field.as_ref().clone()).collect();
                Ok(Appended { fields, ..appended })
            }
        }
    }

    fn finish(&mut self, done: Proposal, mut appended: Appended, source: &impl Source) -> Appended {
        let incoming = source.incoming();
        let (mut homes, mut prefixes) = (Homes::default(), HashMap::<u32, Vec<u64>>::new());
        for rows in appended.chosen.chunk_by(|one, next| (one.month, one.source) == (next.month, next.source)) {
            let Chosen { month, source: response, .. } = rows[0];
            let (seen, run) = (incoming.observed(response), incoming.run(response));
            let home = homes.of(&mut self.index, source, response, month);
            let prefixes = prefixes.entry(home).or_default();
            *appended.by_run.entry(run).or_default() += rows.len() as u64;
            let causes = appended.causes.entry(run).or_default();
            for row in rows {
                let Chosen { key, content, version, change, .. } = *row;
                self.index.keep(key, LatestRow { content, request: seen.request, observed_at: seen.at, version, home });
                prefixes.push(key_prefix(key));
                causes.count(change);
                // A version of a transaction that was there before, and is.
                let is_later = !matches!(change, Change::FirstSeen | Change::Correction | Change::Vanished);
                causes.without_amount += u64::from(is_later && source.lacks_amount(row));
            }
        }
        let files = done.adds.into_iter().filter_map(|add| Some((Path::parse(&add.path).ok()?, add.partition_values)));
        self.index.wrote(files, prefixes);
        let columns = done.new_fields.len();
        tracing::info!(table = self.table.name(), rows = appended.chosen.len(), columns, "appended");
        appended
    }
}

/// What a row that was observed at `seen` changes of its key's latest one.
///
/// A response that is older than what the table knows of the key changes nothing, so that building old responses
/// again, in any order, adds nothing. What is newer than a tombstone makes its key reappear.
pub(crate) fn change_of_known(known: &LatestRow, row: &IncomingRow, seen: Observed, now: i64) -> Option<Change> {
    if known.content == row.content || is_older(known, seen, now) {
        return None;
    }
    let same_response = (known.observed_at, known.request) == (seen.at, seen.request);
    Some(match known.content {
        _ if same_response => Change::MappingChange,
        VANISHED => Change::Reappeared,
        _ => Change::NetworkChange,
    })
}

/// Whether what was observed at `seen` is older than the latest row of its key.
fn is_older(known: &LatestRow, seen: Observed, now: i64) -> bool {
    let before = Observed { at: known.observed_at, request: known.request };
    seen.plausible(now) < before.plausible(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_of_the_future_is_older_than_all_others() {
        let at = |at| Observed { at, request: 0 };
        let day = 86_400_000_000;
        let now = 20_000 * day;
        let ahead = at(now + 400 * day).plausible(now);
        assert!(ahead < at(0).plausible(now) && ahead < at(now).plausible(now));
        assert!(ahead < at(now + 401 * day).plausible(now), "two of the future keep their order");
        assert_eq!(at(now + 60_000_000).plausible(now), at(now + 60_000_000), "clocks differ by a minute");
    }
}
