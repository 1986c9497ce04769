//! Appending what is new: choose the rows, write them, commit, and choose again if another writer was first.

use std::collections::HashSet;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use deltalake::kernel::{Add, Transaction};
use object_store::path::Path;
use sluice_model::Step;
use uuid::Uuid;

use crate::error::Error;
use crate::index::{IndexColumns, KeyIndex, Latest, Place};
use crate::lake::Lake;
use crate::table::{Commit, Design, Table};

const MAX_ATTEMPTS: u32 = 60;

/// A row that may have to be appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) key: u128,
    pub(crate) content: u128,
    /// Which response, in the order of observation.
    pub(crate) source: u32,
    /// Which row of it.
    pub(crate) row: u32,
    pub(crate) month: i32,
}

/// When a response was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Observed {
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// The request, see [`crate::hash::ordinal`].
    pub(crate) request: u128,
}

/// A row to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) key: u128,
    pub(crate) content: u128,
    pub(crate) source: u32,
    pub(crate) row: u32,
    pub(crate) version: i32,
    /// The month that the key lives in.
    pub(crate) month: i32,
    pub(crate) change: Change,
}

impl Chosen {
    /// A candidate as if it were chosen.
    pub(crate) fn of(candidate: &Candidate) -> Self {
        let Candidate { key, content, source, row, month } = *candidate;
        Self { key, content, source, row, version: 0, month, change: Change::FirstSeen }
    }
}

/// Why there is a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The key is new.
    FirstSeen,
    /// The key is new, and so the network corrects another row.
    Correction,
    /// A later response says something else.
    Network,
    /// A later response says the same, and more of who sent the customer.
    LateAttribution,
    /// The same response is read differently.
    Mapping,
    /// A window that was read whole no longer holds it.
    Vanished,
    /// A later response has it again.
    Reappeared,
}

impl Change {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstSeen => "first-seen",
            Self::Correction => "correction",
            Self::Network => "network-change",
            Self::LateAttribution => "late-attribution",
            Self::Mapping => "mapping-change",
            Self::Vanished => "vanished",
            Self::Reappeared => "reappeared",
        }
    }
}

/// Rows in the shape of their table.
pub(crate) struct Shaped {
    /// The table's columns, then new ones.
    pub(crate) rows: RecordBatch,
    /// The new columns.
    pub(crate) new_fields: Vec<Field>,
}

/// The rows of a flush.
pub(crate) trait Source {
    /// All rows.
    fn candidates(&self) -> &[Candidate];
    /// Sorts them by key, response and place.
    fn sort(&mut self);
    /// When each response was observed, rising.
    fn observed(&self) -> &[Observed];
    /// The scope of each response's keys.
    fn scope(&self, source: u32) -> &str;
    /// Why a row is to be appended when `known` is the latest one of its key; none if it says nothing new.
    fn change(&self, known: Option<&Latest>, row: &Candidate) -> Option<Change> {
        match known {
            None => Some(Change::FirstSeen),
            Some(known) => change_of_known(known, row, self.observed()[row.source as usize]),
        }
    }
    /// What the table is made with, if it isn't there.
    fn design(&self) -> Design;
    /// The chosen rows in the shape of the table.
    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error>;
}

/// What an append did.
#[derive(Default)]
pub(crate) struct Appended {
    pub(crate) chosen: Vec<Chosen>,
    /// The table's columns as they now are.
    pub(crate) fields: Vec<Field>,
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

struct Prepared {
    chosen: Vec<Chosen>,
    schema: SchemaRef,
    new_fields: Vec<Field>,
    adds: Vec<Add>,
}

impl Appender {
    pub(crate) async fn open(
        lake: &Lake,
        schema: &str,
        name: &str,
        columns: IndexColumns,
        run_id: &str,
    ) -> Result<Self, Error> {
        Ok(Self {
            table: Table::open(lake, schema, name).await?,
            index: KeyIndex::new(columns),
            key: columns.key,
            // The run's id alone would be shared by a run that crashed and the one that goes on with it.
            application: format!("sluice/{run_id}/{}", Uuid::now_v7().simple()),
            flushes: 0,
            passed: lake.watcher(),
        })
    }

    /// Appends the rows of `source` that are new.
    pub(crate) async fn append(&mut self, source: &mut impl Source) -> Result<Appended, Error> {
        if source.candidates().is_empty() {
            return Ok(Appended::default());
        }
        source.sort();
        let places = places(source);
        self.flushes += 1;
        self.index.begin();
        let mut prepared: Option<Prepared> = None;
        // Before anything is chosen: another writer may make the table meanwhile, and fill it.
        self.table.ensure(&source.design()).await?;
        for attempt in 0..=MAX_ATTEMPTS {
            // A commit may be done though it looks as if it weren't.
            if self.is_done().await? {
                return Ok(self.finish(prepared, source));
            }
            if attempt == MAX_ATTEMPTS {
                break;
            }
            let keys: Vec<u128> = source.candidates().iter().map(|row| row.key).collect();
            self.index.cover(&self.table, &places, keys.into_iter()).await?;
            prepared = self.prepare(prepared, source).await?;
            let Some(ready) = &prepared else {
                let fields = self.table.schema()?.fields().iter().map(|field| field.as_ref().clone()).collect();
                return Ok(Appended { chosen: Vec::new(), fields });
            };
            (self.passed)(Step::FilesWritten);
            let now = chrono::Utc::now().timestamp_millis();
            let transaction = Transaction::new_with_last_update(&self.application, self.flushes, Some(now));
            match self.table.commit(ready.adds.clone(), &ready.new_fields, Some(transaction)).await {
                Ok(Commit::Done) => return Ok(self.finish(prepared, source)),
                Ok(Commit::Conflict) => {
                    tracing::debug!(table = self.table.name(), attempt, "another writer was first");
                    wait_a_moment(attempt).await;
                }
                Err(error) => match self.is_done().await {
                    Ok(true) => return Ok(self.finish(prepared, source)),
                    _ => return Err(error),
                },
            }
        }
        if let Some(ready) = prepared {
            self.table.discard_files(&ready.adds).await;
        }
        Err(Error::Conflict { table: self.table.name().to_owned(), attempts: MAX_ATTEMPTS })
    }

    /// Whether the newest snapshot has this flush.
    async fn is_done(&mut self) -> Result<bool, Error> {
        self.table.refresh().await?;
        Ok(self.table.transaction(&self.application).await? >= Some(self.flushes))
    }

    /// Writes the files that a commit needs; none if there is nothing new. What an earlier attempt wrote is used
    /// again if the other writer changed nothing that matters.
    async fn prepare(&mut self, earlier: Option<Prepared>, source: &impl Source) -> Result<Option<Prepared>, Error> {
        let mut chosen = choose(source, &self.index);
        // By partition, and there in the order of the responses: so rows are copied in runs, and alike lie together.
        chosen.sort_unstable_by_key(|row| (row.month, row.source, row.row));
        if let Some(earlier) = earlier {
            if earlier.chosen == chosen && earlier.schema == self.table.schema()? {
                return Ok(Some(earlier));
            }
            self.table.discard_files(&earlier.adds).await;
        }
        if chosen.is_empty() {
            return Ok(None);
        }
        let schema = self.table.schema()?;
        let shaped = source.shape(self.table.name(), &schema, &chosen)?;
        let adds = self.table.write_files(&shaped.rows, Some(self.key)).await?;
        Ok(Some(Prepared { chosen, schema, new_fields: shaped.new_fields, adds }))
    }

    fn finish(&mut self, prepared: Option<Prepared>, source: &impl Source) -> Appended {
        let Some(done) = prepared else { return Appended::default() };
        let observed = source.observed();
        for row in &done.chosen {
            let seen = observed[row.source as usize];
            let latest = Latest {
                content: row.content,
                version: row.version,
                observed_at: seen.at,
                request: seen.request,
                month: row.month,
            };
            self.index.insert(row.key, latest);
        }
        let paths = done.adds.iter().filter_map(|add| Path::parse(&add.path).ok()).collect();
        self.index.wrote(paths, done.chosen.iter().map(|row| row.key));
        let columns = done.new_fields.len();
        tracing::info!(table = self.table.name(), rows = done.chosen.len(), columns, "appended");
        let known = done.schema.fields().iter().map(|field| field.as_ref().clone());
        Appended { chosen: done.chosen, fields: known.chain(done.new_fields).collect() }
    }
}

fn places(source: &impl Source) -> HashSet<Place> {
    let mut found: HashSet<(u32, i32)> = HashSet::new();
    found.extend(source.candidates().iter().map(|row| (row.source, row.month)));
    found.into_iter().map(|(response, month)| (source.scope(response).to_owned(), month)).collect()
}

/// Sorts candidates as [`Source::sort`] says.
pub(crate) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_unstable_by_key(|row| (row.key, row.source, row.row));
}

/// What a row that was observed at `seen` changes of its key's latest one.
///
/// A response that is older than what the table knows of the key changes nothing, so that building old responses
/// again, in any order, adds nothing.
pub(crate) fn change_of_known(known: &Latest, row: &Candidate, seen: Observed) -> Option<Change> {
    let before = Observed { at: known.observed_at, request: known.request };
    if known.content == row.content || seen < before {
        return None;
    }
    Some(if seen == before { Change::Mapping } else { Change::Network })
}

/// Chooses the rows that say something new of their key.
///
/// Rows come sorted by key, response and place. Of several rows of a key in one response the last counts.
fn choose(source: &impl Source, index: &KeyIndex) -> Vec<Chosen> {
    let versioned = i32::from(index.versioned());
    let observed = source.observed();
    let mut chosen = Vec::new();
    for rows in source.candidates().chunk_by(|a, b| a.key == b.key) {
        let mut latest = index.get(rows[0].key);
        for same_response in rows.chunk_by(|a, b| a.source == b.source) {
            let Some(row) = same_response.last() else { continue };
            let Some(change) = source.change(latest.as_ref(), row) else { continue };
            let (version, month) = match latest {
                None => (versioned, row.month),
                Some(known) => (known.version + versioned, known.month),
            };
            let seen = observed[row.source as usize];
            let Candidate { key, content, source, row, .. } = *row;
            latest = Some(Latest { content, version, observed_at: seen.at, request: seen.request, month });
            chosen.push(Chosen { key, content, source, row, version, month, change });
        }
    }
    chosen
}

/// Waits a little longer at each attempt, and not in step with other writers.
pub(crate) async fn wait_a_moment(attempt: u32) {
    let (_, random) = Uuid::now_v7().as_u64_pair();
    let most_ms = 10_u64 << attempt.min(5);
    tokio::time::sleep(Duration::from_millis(random % most_ms + 1)).await;
}
