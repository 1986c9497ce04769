//! The ledger: gathers mapped responses of many slices, and commits what is new of them in few large commits.
//!
//! No commit spans tables. A flush commits native tables first, then unified transactions, then rejects; after a
//! crash between, the next build of the same raw objects finds what is there and adds what is missing. The latest
//! state of the unified transactions is brought up to date when the ledger commits, whoever wrote the versions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::Field;
use chrono::{DateTime, Utc};
use sluice_model::{Digest, Layout, Mapped, RawObject, Slice, Step};

use crate::append::Appender;
use crate::error::Error;
use crate::lake::Lake;
use crate::latest::LatestState;
use crate::meta::{ColumnPlace, REJECTS, RejectRows};
use crate::month;
use crate::native::{self, NativeRows};
use crate::unified::{self, UnifiedRows};
use crate::vanished::{self, Seen};

/// Rows in memory at which the ledger flushes.
const FLUSH_ROWS: usize = 48 * 1024;
/// Bytes in memory at which the ledger flushes.
const FLUSH_BYTES: usize = 34 << 20;

/// The connector that mapped something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorRef {
    /// Its network id.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its component's digest.
    pub digest: Digest,
}

/// What went through a ledger, and what was new of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were mapped.
    pub native_rows: u64,
    /// Records that were new or had changed.
    pub native_written: u64,
    /// Unified transactions that were mapped.
    pub transactions: u64,
    /// Unified transactions that were new or had changed.
    pub new_versions: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
}

/// Gathers a run's mapped responses and commits them. What isn't committed when it is dropped is in raw.
pub struct Ledger {
    lake: Lake,
    run_id: String,
    native: BTreeMap<(String, String), (Option<Appender>, NativeRows)>,
    unified: (Option<Appender>, UnifiedRows),
    rejects: (Option<Appender>, RejectRows),
    latest: Option<LatestState>,
    seen: Seen,
    /// What `meta.columns` holds, once it was read.
    columns: Option<HashSet<ColumnPlace>>,
    bytes: usize,
    counts: Counts,
}

impl Ledger {
    pub(crate) fn new(lake: Lake, run_id: &str) -> Self {
        Self {
            lake,
            run_id: run_id.to_owned(),
            native: BTreeMap::new(),
            unified: (None, UnifiedRows::default()),
            rejects: (None, RejectRows::default()),
            latest: None,
            seen: Seen::default(),
            columns: None,
            bytes: 0,
            counts: Counts::default(),
        }
    }

    /// Takes a mapped response. It flushes by itself when much has gathered, so memory is bounded.
    ///
    /// Responses may come in any order; within a flush they count in the order in which they were received.
    pub async fn add(
        &mut self,
        origin: Arc<RawObject>,
        layout: &Layout,
        connector: &ConnectorRef,
        mapped: Mapped,
    ) -> Result<(), Error> {
        self.watch(&origin).await?;
        self.counts.native_rows += mapped.native.rows as u64;
        self.counts.rejects += mapped.rejects.len() as u64;
        self.bytes += mapped.native.columns.iter().map(|column| column.text.get_array_memory_size()).sum::<usize>();
        let mut months = vec![month::NONE; mapped.native.rows];
        let mut keys: &[u128] = &[];
        if let Some(rows) = mapped.transactions.filter(|rows| rows.num_rows() > 0) {
            self.counts.transactions += rows.num_rows() as u64;
            self.bytes += rows.get_array_memory_size();
            months = self.unified.1.add(origin.clone(), connector, rows, mapped.native.rows)?;
            keys = self.unified.1.last_keys();
        }
        self.seen.note(&origin, connector, keys, !mapped.rejects.is_empty());
        self.rejects.1.add(origin.clone(), connector, mapped.rejects);
        if mapped.native.rows > 0 {
            let slice = &origin.slice;
            let table = (slice.network.replace('-', "_"), slice.stream.clone());
            let rows = &mut self.native.entry(table).or_default().1;
            rows.add(origin, layout, connector.digest.to_hex(), mapped.native, months);
        }
        if self.rows() >= FLUSH_ROWS || self.bytes >= FLUSH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes note that a slice of a stream with complete windows was read whole, without error: what the latest state
    /// holds there and no answer of its run did is marked as vanished when the ledger commits.
    ///
    /// All answers of the slice must have been added to this ledger before, those too that a run which was broken off
    /// left in raw. Nothing happens for a slice on another axis than the transaction's, or with a rejected record.
    pub fn window_read(&mut self, slice: &Slice, read_at: DateTime<Utc>) {
        self.seen.read_whole(slice, read_at);
    }

    /// Takes a response that could not be mapped at all, with the reason.
    pub fn reject(&mut self, origin: Arc<RawObject>, connector: &ConnectorRef, reason: &str) {
        self.counts.rejects += 1;
        self.seen.note_unmapped(&origin.slice);
        self.rejects.1.add_whole(origin, connector, reason);
    }

    /// Commits what has gathered, and says what the whole ledger did so far.
    pub async fn commit(&mut self) -> Result<Counts, Error> {
        self.flush().await?;
        self.judge().await?;
        self.latest().await?.catch_up().await?;
        self.lake.passed(Step::LatestCaughtUp);
        Ok(self.counts)
    }

    async fn latest(&mut self) -> Result<&mut LatestState, Error> {
        Ok(match &mut self.latest {
            Some(open) => open,
            unread => unread.insert(LatestState::open(&self.lake).await?),
        })
    }

    /// Makes ready to take note of what the run of an answer sees.
    async fn watch(&mut self, origin: &RawObject) -> Result<(), Error> {
        if !self.seen.is_of_this_run(origin) {
            self.judge().await?;
            self.seen.begin(&origin.run_id);
        }
        let network = &origin.slice.network;
        if self.seen.knows(network).is_none() {
            let known = self.latest().await?.knows(network).await?;
            self.seen.set_known(network, known);
        }
        Ok(())
    }

    /// Appends a version that says so for each transaction that windows which were read whole no longer hold.
    async fn judge(&mut self) -> Result<(), Error> {
        if !self.seen.is_waiting() {
            return Ok(());
        }
        self.flush().await?;
        self.latest().await?.catch_up().await?;
        let streams = self.seen.windows();
        for mut gone in vanished::find(&streams, self.latest().await?.table()).await? {
            let appended = self.versions().await?.append(&mut gone).await?;
            self.counts.new_versions += appended.chosen.len() as u64;
        }
        Ok(())
    }

    async fn versions(&mut self) -> Result<&mut Appender, Error> {
        Ok(match &mut self.unified.0 {
            Some(open) => open,
            unread => {
                let table = Appender::open(&self.lake, "unified", "transaction_versions", unified::INDEX, &self.run_id);
                unread.insert(table.await?)
            }
        })
    }

    fn rows(&self) -> usize {
        self.native.values().map(|(_, rows)| rows.rows()).sum::<usize>() + self.unified.1.rows()
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        let tables: Vec<(String, String)> = self.native.keys().cloned().collect();
        for table in tables {
            self.flush_native(&table).await?;
        }
        self.lake.passed(Step::ColumnsNoted);
        self.flush_unified().await?;
        self.lake.passed(Step::UnifiedCommitted);
        self.flush_rejects().await?;
        self.lake.passed(Step::RejectsCommitted);
        self.bytes = 0;
        Ok(())
    }

    async fn flush_native(&mut self, table: &(String, String)) -> Result<(), Error> {
        let Some((appender, rows)) = self.native.get_mut(table) else { return Ok(()) };
        if rows.rows() == 0 {
            return Ok(());
        }
        let (schema, name) = table;
        let appender = match appender {
            Some(open) => open,
            None => appender.insert(Appender::open(&self.lake, schema, name, native::INDEX, &self.run_id).await?),
        };
        rows.settle();
        let appended = appender.append(rows).await?;
        self.counts.native_written += appended.chosen.len() as u64;
        self.lake.passed(Step::NativeCommitted);
        if !appended.fields.is_empty() {
            // What a crash kept from being noted is noted by the next run that reads the same.
            let noted = match &mut self.columns {
                Some(noted) => noted,
                unread => unread.insert(self.lake.noted_columns().await?),
            };
            let place = |field: &Field| (schema.clone(), name.clone(), field.name().clone());
            let new: Vec<Field> = appended.fields.into_iter().filter(|field| !noted.contains(&place(field))).collect();
            noted.extend(new.iter().map(place));
            let described = rows.describe(&new, &appended.chosen);
            self.lake.append_columns(schema, name, &described).await?;
        }
        rows.clear();
        Ok(())
    }

    async fn flush_unified(&mut self) -> Result<(), Error> {
        if self.unified.1.rows() == 0 {
            return Ok(());
        }
        self.versions().await?;
        let (Some(appender), rows) = (&mut self.unified.0, &mut self.unified.1) else { return Ok(()) };
        rows.settle();
        let appended = appender.append(rows).await?;
        self.counts.new_versions += appended.chosen.len() as u64;
        rows.clear();
        Ok(())
    }

    async fn flush_rejects(&mut self) -> Result<(), Error> {
        let (appender, rows) = &mut self.rejects;
        if rows.is_empty() {
            return Ok(());
        }
        let appender = match appender {
            Some(open) => open,
            None => appender.insert(Appender::open(&self.lake, "meta", "rejects", REJECTS, &self.run_id).await?),
        };
        rows.settle();
        appender.append(rows).await?;
        rows.clear();
        Ok(())
    }
}
