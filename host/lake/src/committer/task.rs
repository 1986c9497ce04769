//! The task behind the committer: gathers what runs hand over, and writes one flush at a time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::deadline::{is_past, until};
use super::{HeldMemory, Message, Reply};
use crate::append::RunNumber;
use crate::batch::{Batch, Flushed, Writers};
use crate::error::Error;
use crate::lake::Lake;
use crate::ledger::RunBook;
use crate::options::CommitterOptions;
use crate::prepare::Prepared;

/// A run that hands over rows.
struct OpenRun {
    book: RunBook,
    failure: Arc<OnceLock<Arc<Error>>>,
}

/// Runs that end, with who waits for it.
type Ending = Vec<(OpenRun, Reply)>;

/// A flush under way.
type Flushing = JoinHandle<(Writers, Ending, Result<Flushed, Error>)>;

/// The task that writes the tables.
pub(super) struct Task {
    lake: Lake,
    options: CommitterOptions,
    runs: HashMap<RunNumber, OpenRun>,
    batch: Batch,
    held: Vec<HeldMemory>,
    /// When the oldest of the batch came.
    since: Option<Instant>,
    ending: Ending,
    writers: Option<Writers>,
    flushing: Option<(HashSet<RunNumber>, Flushing)>,
}

impl Task {
    pub(super) fn new(lake: Lake, options: CommitterOptions) -> Self {
        let writers = Some(Writers::new(lake.clone(), options.clone()));
        Self {
            lake,
            options,
            runs: HashMap::new(),
            batch: Batch::default(),
            held: Vec::new(),
            since: None,
            ending: Vec::new(),
            writers,
            flushing: None,
        }
    }

    pub(super) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut open = true;
        while open || self.flushing.is_some() {
            self.start_flush();
            let deadline = self.deadline().filter(|_| self.flushing.is_none());
            tokio::select! {
                message = messages.recv(), if open => match message {
                    Some(message) => self.take(message),
                    None => open = false,
                },
                done = flushed(&mut self.flushing), if self.flushing.is_some() => self.flushed(done),
                () = until(deadline), if deadline.is_some() => {}
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Begin(number, fence, failure) => {
                self.runs.insert(number, OpenRun { book: RunBook::new(number, fence), failure });
            }
            Message::Add { run, prepared, known, held } => self.add(run, *prepared, known, held),
            Message::Number { run, mut prepared, held } => {
                if let Some((book, _)) = self.living(run)
                    && let Err(error) = book.number(&mut prepared)
                {
                    self.fail(run, &Arc::new(error));
                }
                drop(held);
            }
            Message::Reject(run, rejected) => {
                if let Some(open) = self.living(run) {
                    let (book, batch) = open;
                    book.reject(batch, rejected);
                }
            }
            Message::WindowRead { run, slice, read_at, confirm_after } => {
                if let Some((book, _)) = self.living(run) {
                    book.seen.read_whole(&slice, read_at, confirm_after);
                }
            }
            Message::Covered(run, row) => {
                if let Some((book, batch)) = self.living(run) {
                    batch.cover(book.number, book.fence.as_ref(), row);
                }
            }
            Message::Finish(run, reply) => {
                if let Some(run) = self.runs.remove(&run) {
                    self.ending.push((run, reply));
                }
            }
            Message::Abandon(run) => _ = self.runs.remove(&run),
        }
        if self.since.is_none() && !self.batch.is_empty() {
            self.since = Some(Instant::now());
        }
    }

    fn add(&mut self, run: RunNumber, prepared: Prepared, known: bool, held: HeldMemory) {
        let Some((book, batch)) = self.living(run) else { return };
        let origin = prepared.origin().clone();
        book.begin_if_other(&origin);
        if book.seen.knows(&origin.slice.network).is_none() {
            book.seen.set_known(&origin.slice.network, known);
        }
        match book.add(batch, prepared) {
            Ok(()) => self.held.push(held),
            Err(error) => self.fail(run, &Arc::new(error)),
        }
    }

    /// A run that goes on, and the batch.
    fn living(&mut self, run: RunNumber) -> Option<(&mut RunBook, &mut Batch)> {
        let run = self.runs.get_mut(&run).filter(|run| run.failure.get().is_none())?;
        Some((&mut run.book, &mut self.batch))
    }

    /// Ends a run whose rows could not be written: what it sends later is dropped.
    fn fail(&mut self, run: RunNumber, error: &Arc<Error>) {
        self.batch.uncover(run);
        if let Some(open) = self.open_run(run) {
            let _ = open.failure.set(error.clone());
        }
    }

    /// A run that isn't over, or waits for its end.
    fn open_run(&mut self, run: RunNumber) -> Option<&mut OpenRun> {
        let ending = self.ending.iter_mut().map(|(open, _)| open).find(|open| open.book.number == run);
        self.runs.get_mut(&run).or(ending)
    }

    /// When something is to be written at the latest, though no run ends and the batch isn't full.
    fn deadline(&self) -> Option<Instant> {
        let rows = self.since.map(|since| since + self.options.max_wait);
        let follow = self.writers.as_ref().and_then(Writers::follow_at);
        [rows, follow].into_iter().flatten().min()
    }

    /// Begins to write what was gathered, if that is due and nothing is being written.
    fn start_flush(&mut self) {
        let is_due = !self.ending.is_empty() || self.batch.is_full(&self.options) || is_past(self.deadline());
        if !is_due || self.flushing.is_some() {
            return;
        }
        let Some(mut writers) = self.writers.take() else { return };
        let (batch, ending) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.ending));
        let held = std::mem::take(&mut self.held);
        self.since = None;
        let runs = batch.runs().collect();
        let flush = async move {
            let mut ending = ending;
            let flushed = write(&mut writers, batch, &mut ending).await;
            drop(held);
            (writers, ending, flushed)
        };
        self.flushing = Some((runs, tokio::spawn(flush)));
    }

    fn flushed(&mut self, done: Result<(Writers, Ending, Result<Flushed, Error>), Error>) {
        let (runs, _) = self.flushing.take().unzip();
        let fresh = || Writers::new(self.lake.clone(), self.options.clone());
        let (writers, ending, flushed) = match done {
            Ok((writers, ending, Ok(flushed))) => (writers, ending, Ok(flushed)),
            Ok((_, ending, Err(error))) => (fresh(), ending, Err(error)),
            // The task panicked: its callers find their channels closed.
            Err(error) => (fresh(), Vec::new(), Err(error)),
        };
        self.writers = Some(writers);
        match flushed {
            Ok(flushed) => self.answer_runs(ending, flushed),
            Err(error) => {
                let error = Arc::new(error);
                if ending.is_empty() && runs.as_ref().is_none_or(HashSet::is_empty) {
                    tracing::warn!(%error, "tables that follow others are behind until a run ends");
                }
                runs.into_iter().flatten().for_each(|run| self.fail(run, &error));
                for (_, reply) in ending {
                    let _ = reply.send(Err(Error::Shared(error.clone())));
                }
            }
        }
    }

    /// Counts what was new, and answers the runs that end.
    fn answer_runs(&mut self, ending: Ending, mut flushed: Flushed) {
        for (run, counts) in &flushed.counts {
            if let Some(open) = self.open_run(*run) {
                open.book.counts += *counts;
            }
        }
        for (mut run, reply) in ending {
            let number = run.book.number;
            run.book.counts += flushed.counts.get(&number).copied().unwrap_or_default();
            let outcome = match (run.failure.get(), flushed.failed.remove(&number)) {
                (Some(error), _) => Err(Error::Shared(error.clone())),
                (None, Some(error)) => Err(error),
                (None, None) => Ok(run.book.counts),
            };
            // Who was cancelled doesn't wait.
            let _ = reply.send(outcome);
        }
        for (run, error) in flushed.failed {
            self.fail(run, &Arc::new(error));
        }
    }
}

/// Writes what was gathered; then what vanished from the windows of the runs that end; then the latest
/// state, if a run ends or it is too far behind.
async fn write(writers: &mut Writers, batch: Batch, ending: &mut Ending) -> Result<Flushed, Error> {
    let mut flushed = if batch.is_empty() { Flushed::default() } else { writers.flush(batch).await? };
    let mut streams = Vec::new();
    let mut fences = Vec::new();
    for (OpenRun { book, failure }, _) in ending.iter_mut() {
        let lives = failure.get().is_none() && !flushed.failed.contains_key(&book.number);
        if lives && book.seen.is_waiting() {
            streams.extend(book.seen.take(book.number));
            fences.extend(book.fences());
        }
    }
    flushed.merge(writers.mark_vanished(&streams, &fences).await?);
    if !ending.is_empty() || is_past(writers.follow_at()) {
        writers.catch_up().await?;
    }
    Ok(flushed)
}

async fn flushed(
    flushing: &mut Option<(HashSet<RunNumber>, Flushing)>,
) -> Result<(Writers, Ending, Result<Flushed, Error>), Error> {
    match flushing {
        Some((_, task)) => task.await.map_err(|source| Error::Worker { source }),
        None => std::future::pending().await,
    }
}
