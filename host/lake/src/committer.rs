//! The committer: one task per process that writes the tables, for all runs.
//!
//! Runs hand over prepared responses through [`RunWriter`]. The committer gathers those of all runs by rows, bytes and
//! time, and writes what was gathered while it gathers the next: one commit per table, whatever is due at once. A run
//! that ends waits for the commit that makes it durable; those that end meanwhile share the next one.

mod deadline;
mod task;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{RawObject, Slice};
use tokio::sync::{mpsc, oneshot};

use crate::append::RunNumber;
use crate::batch::Rejected;
use crate::counts::Counts;
use crate::error::Error;
use crate::lake::Lake;
use crate::lineage::ConnectorRef;
use crate::meta::CoverageRow;
use crate::options::CommitterOptions;
use crate::prepare::Prepared;
use crate::table::Fence;

use task::Task;

/// What is kept until rows are durable: a reservation of memory.
pub type HeldMemory = Box<dyn Send + Sync>;

/// Hands runs' rows to the task that writes the tables. Cheap to clone; the task ends with the last one.
#[derive(Clone)]
pub struct Committer {
    shared: Arc<Shared>,
}

struct Shared {
    lake: Lake,
    messages: mpsc::UnboundedSender<Message>,
    next_run: AtomicU32,
    /// Networks of which the table of versions has rows.
    known: Mutex<HashSet<String>>,
}

/// A run's way into the tables. One that is dropped before [`RunWriter::finish`] has its run unfinished: what of it was
/// committed stays, and the run that resumes it adds the rest.
pub struct RunWriter {
    shared: Arc<Shared>,
    number: RunNumber,
    failure: Arc<OnceLock<Arc<Error>>>,
}

/// What runs say, in this order for each slice: its responses, that its window was read, what it covers.
enum Message {
    Begin(RunNumber, Option<Fence>, Arc<OnceLock<Arc<Error>>>),
    Add { run: RunNumber, prepared: Box<Prepared>, known: bool, held: HeldMemory },
    Number { run: RunNumber, prepared: Box<Prepared>, held: HeldMemory },
    Reject(RunNumber, Rejected),
    WindowRead { run: RunNumber, slice: Slice, read_at: DateTime<Utc>, confirm_after: TimeDelta },
    Covered(RunNumber, CoverageRow),
    Finish(RunNumber, Reply),
    Abandon(RunNumber),
}

type Reply = oneshot::Sender<Result<Counts, Error>>;

impl Lake {
    /// Starts the task that writes the tables. Must be called within a tokio runtime.
    pub fn committer(&self, options: CommitterOptions) -> Committer {
        #[expect(clippy::disallowed_methods, reason = "rows hold their share of the memory budget; `Drop` sends too")]
        let (messages, received) = mpsc::unbounded_channel();
        let known = Mutex::new(HashSet::new());
        let shared = Shared { lake: self.clone(), messages, next_run: AtomicU32::new(0), known };
        tokio::spawn(Task::new(self.clone(), options).run(received));
        Committer { shared: Arc::new(shared) }
    }
}

impl Committer {
    /// The way into the tables of a run that holds a lease.
    pub fn run(&self, fence: Option<Fence>) -> RunWriter {
        let number = self.shared.next_run.fetch_add(1, Ordering::Relaxed);
        let failure = Arc::new(OnceLock::new());
        self.shared.send(Message::Begin(number, fence, failure.clone()));
        RunWriter { shared: self.shared.clone(), number, failure }
    }
}

impl Shared {
    /// A task that has stopped is found out by who waits for an answer.
    fn send(&self, message: Message) {
        let _ = self.messages.send(message);
    }

    /// Whether there were versions of a network's transactions when this was asked first, or later.
    async fn knows(&self, network: &str) -> Result<bool, Error> {
        let known =
            |known: &Mutex<HashSet<String>>| known.lock().unwrap_or_else(PoisonError::into_inner).contains(network);
        if known(&self.known) {
            return Ok(true);
        }
        let knows = self.lake.knows_network(network).await?;
        if knows {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(network.to_owned());
        }
        Ok(knows)
    }
}

impl RunWriter {
    /// Hands over a response. `held` is dropped when its rows are durable, or given up.
    ///
    /// # Errors
    /// Why rows of this run could not be written; it then fails.
    pub async fn add(&self, prepared: Prepared, held: HeldMemory) -> Result<(), Error> {
        self.check()?;
        let network = &prepared.origin.slice.network;
        let known = self.knows(network).await?;
        self.shared.send(Message::Add { run: self.number, prepared: Box::new(prepared), known, held });
        Ok(())
    }

    /// Takes note of a response that is in the tables already: rows without an id of responses that come after it are numbered
    /// after its own. `held` is dropped once that is done.
    pub fn number(&self, prepared: Prepared, held: HeldMemory) {
        self.shared.send(Message::Number { run: self.number, prepared: Box::new(prepared), held });
    }

    /// Hands over a response that could not be mapped at all, with the reason.
    pub fn reject(&self, origin: Arc<RawObject>, connector: &ConnectorRef, reason: &str) {
        let rejected = Rejected { origin, connector: connector.clone(), reason: reason.to_owned() };
        self.shared.send(Message::Reject(self.number, rejected));
    }

    /// Says that a slice of a stream with complete windows was read whole, without error or doubt: what the latest state
    /// holds there and no answer of the run did is missing when the run ends, and is marked as vanished if another run
    /// missed it too, at least `confirm_after` before.
    pub fn window_read(&self, slice: &Slice, read_at: DateTime<Utc>, confirm_after: TimeDelta) {
        self.shared.send(Message::WindowRead { run: self.number, slice: slice.clone(), read_at, confirm_after });
    }

    /// Says what a slice covers, all of whose responses were handed over. It is noted once they are durable.
    pub fn covered(&self, row: CoverageRow) {
        self.shared.send(Message::Covered(self.number, row));
    }

    /// Waits until all that was handed over is durable, and returns what was new of it.
    ///
    /// # Errors
    /// Why it could not be written. What was committed stays.
    pub async fn finish(&self) -> Result<Counts, Error> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        self.shared.send(Message::Finish(self.number, reply));
        answer.await.unwrap_or(Err(Error::Stopped))
    }

    fn check(&self) -> Result<(), Error> {
        match self.failure.get() {
            Some(error) => Err(Error::Shared(error.clone())),
            None => Ok(()),
        }
    }

    async fn knows(&self, network: &str) -> Result<bool, Error> {
        self.shared.knows(network).await
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        self.shared.send(Message::Abandon(self.number));
    }
}
