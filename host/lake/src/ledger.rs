//! What a run saw and counted while its rows are gathered with those of others, and a ledger of one run alone.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Layout, Mapped, RawObject, Slice};

use crate::append::RunNumber;
use crate::batch::{Batch, Flushed, Rejected, Writers};
use crate::counts::Counts;
use crate::error::Error;
use crate::lake::Lake;
use crate::lineage::ConnectorRef;
use crate::options::CommitterOptions;
use crate::ordinals::Ordinals;
use crate::prepare::Prepared;
use crate::table::Fence;
use crate::vanished::RunObservations;

/// What is kept of a run while its rows are gathered with those of others.
pub(crate) struct RunBook {
    pub(crate) number: RunNumber,
    pub(crate) fence: Option<Fence>,
    pub(crate) seen: RunObservations,
    pub(crate) ordinals: Ordinals,
    pub(crate) counts: Counts,
}

impl RunBook {
    pub(crate) fn new(number: RunNumber, fence: Option<Fence>) -> Self {
        let (seen, ordinals) = (RunObservations::default(), Ordinals::default());
        Self { number, fence, seen, ordinals, counts: Counts::default() }
    }

    /// Records a response, and adds its rows to the others.
    pub(crate) fn add(&mut self, batch: &mut Batch, mut prepared: Prepared) -> Result<(), Error> {
        self.ordinals.number(&mut prepared)?;
        self.counts.native_rows += prepared.native.rows as u64;
        self.counts.transactions += prepared.rows() as u64;
        self.counts.facts += prepared.fact_rows() as u64;
        self.counts.rejects += prepared.rejects();
        self.counts.notes.note(&prepared.notes);
        let has_rejects = prepared.rejects() > 0;
        self.seen.note(&prepared.origin, &prepared.connector, prepared.reported(), has_rejects);
        batch.add(self.number, self.fence.as_ref(), prepared)
    }

    /// Records a response that is in the tables already: rows without an id of later ones are numbered after its own.
    pub(crate) fn number(&mut self, prepared: &mut Prepared) -> Result<(), Error> {
        self.begin_if_other(&prepared.origin().clone());
        self.ordinals.number(prepared)
    }

    /// The same as [`RunBook::begin`] if a response is of another run.
    pub(crate) fn begin_if_other(&mut self, origin: &RawObject) {
        if !self.seen.is_of_this_run(origin) {
            self.begin(&origin.run_id);
        }
    }

    /// The responses of another run come.
    pub(crate) fn begin(&mut self, run_id: &str) {
        self.seen.begin(run_id);
        self.ordinals.clear();
    }

    /// Takes a response that could not be mapped at all.
    pub(crate) fn reject(&mut self, batch: &mut Batch, rejected: Rejected) {
        self.counts.rejects += 1;
        self.seen.note_unmapped(&rejected.origin.slice);
        batch.reject(self.number, self.fence.as_ref(), rejected);
    }

    /// The run's lease, as writers take it.
    pub(crate) fn fences(&self) -> Vec<(RunNumber, Fence)> {
        self.fence.iter().map(|fence| (self.number, fence.clone())).collect()
    }
}

/// Gathers one run's mapped responses and commits them, alone. What isn't committed when it is dropped is in raw.
///
/// A service has a [`crate::Committer`] instead, which writes what all of its runs give.
pub struct Ledger {
    lake: Lake,
    options: CommitterOptions,
    batch: Batch,
    writers: Writers,
    book: RunBook,
}

impl Lake {
    /// A ledger for mapped responses.
    pub fn ledger(&self) -> Ledger {
        self.ledger_with(CommitterOptions::default())
    }

    /// A ledger that gathers and keeps as much as `options` say.
    pub fn ledger_with(&self, options: CommitterOptions) -> Ledger {
        self.ledger_under(options, None)
    }

    /// The same under a lease: its commits fail once another process has taken it over.
    pub fn ledger_under(&self, options: CommitterOptions, fence: Option<Fence>) -> Ledger {
        Ledger {
            lake: self.clone(),
            batch: Batch::default(),
            writers: Writers::new(self.clone(), options.clone()),
            book: RunBook::new(0, fence),
            options,
        }
    }
}

impl Ledger {
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
        self.add_prepared(Prepared::of(origin, layout, connector.clone(), mapped)?).await
    }

    /// Takes a response that was made ready.
    pub async fn add_prepared(&mut self, prepared: Prepared) -> Result<(), Error> {
        self.start_observing(&prepared.origin).await?;
        self.book.add(&mut self.batch, prepared)?;
        if self.batch.is_full(&self.options) {
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes note that a slice of a stream with complete windows was read whole, without error or doubt: what the latest
    /// state holds there and no answer of its run did is missing when the ledger commits, and is marked as vanished if
    /// another run missed it too, at least `confirm_after` before.
    ///
    /// All answers of the slice must have been added to this ledger before, those too that an interrupted run left in
    /// raw. Nothing happens for a slice on another axis than the transaction's, or with a rejected record.
    pub fn window_read(&mut self, slice: &Slice, read_at: DateTime<Utc>, confirm_after: TimeDelta) {
        self.book.seen.read_whole(slice, read_at, confirm_after);
    }

    /// Takes a response that could not be mapped at all, with the reason.
    pub fn reject(&mut self, origin: Arc<RawObject>, connector: &ConnectorRef, reason: &str) {
        let rejected = Rejected { origin, connector: connector.clone(), reason: reason.to_owned() };
        self.book.reject(&mut self.batch, rejected);
    }

    /// Commits what has gathered, and returns what the whole ledger did so far.
    pub async fn commit(&mut self) -> Result<Counts, Error> {
        self.flush().await?;
        self.mark_vanished().await?;
        self.writers.catch_up().await?;
        Ok(self.book.counts)
    }

    /// Prepares to record what the run of an answer observes.
    async fn start_observing(&mut self, origin: &RawObject) -> Result<(), Error> {
        if !self.book.seen.is_of_this_run(origin) {
            self.mark_vanished().await?;
            self.book.begin(&origin.run_id);
        }
        let network = &origin.slice.network;
        if self.book.seen.knows(network).is_none() {
            let known = self.writers.latest().await?.knows(network).await?;
            self.book.seen.set_known(network, known);
        }
        Ok(())
    }

    async fn mark_vanished(&mut self) -> Result<(), Error> {
        if !self.book.seen.is_waiting() {
            return Ok(());
        }
        self.flush().await?;
        let streams = self.book.seen.take(self.book.number);
        let judged = self.writers.mark_vanished(&streams, &self.book.fences()).await?;
        self.count(judged)
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        match self.writers.flush(std::mem::take(&mut self.batch)).await {
            Ok(flushed) => self.count(flushed),
            Err(error) => {
                self.writers = Writers::new(self.lake.clone(), self.options.clone());
                Err(error)
            }
        }
    }

    fn count(&mut self, mut flushed: Flushed) -> Result<(), Error> {
        if let Some(counts) = flushed.counts.get(&self.book.number) {
            self.book.counts += *counts;
        }
        flushed.failed.remove(&self.book.number).map_or(Ok(()), Err)
    }
}
