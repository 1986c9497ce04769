//! What is gone: transactions that windows which were read whole no longer hold.
//!
//! A false `vanished` is worse than a late one: it takes money out of every sum until the transaction reappears. So a
//! transaction is judged only where nothing excludes it, see [`RunObservations::take`] and [`find`], and only a
//! second read without it decides: what the first one found missing is in `meta.absent` until then, see [`absent`].

mod absent;
mod rows;
mod windows;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Axis, RawObject, Slice};

use crate::append::RunNumber;
use crate::lineage::ConnectorRef;

pub(crate) use absent::{Absences, StreamAbsences};
pub(crate) use rows::VanishedRows;
pub(crate) use windows::{AbsenceFinding, SeenKeys, StreamRead, find};

/// Transactions of one run of which the ledger remembers that they were there; of more, none is judged.
const MOST_KEYS: usize = 4_000_000;

/// Network, account and stream.
type StreamId = (String, String, String);

/// What the run whose answers come now saw of its streams.
#[derive(Default)]
pub(crate) struct RunObservations {
    run_id: String,
    /// Runs whose answers came before those of another: should more of them come, they are known only in part.
    left: HashSet<String>,
    /// Whether the table of versions had rows of a network when its first answer came.
    known: HashMap<String, bool>,
    /// Slices of which a response could not be mapped at all.
    unmapped: HashSet<String>,
    streams: HashMap<StreamId, StreamSeen>,
    keys: usize,
}

struct StreamSeen {
    connector: ConnectorRef,
    /// The lower halves of the keys; none if not all of them are known.
    keys: Option<Arc<Vec<u64>>>,
    /// When the last of its responses was received.
    last_at: i64,
    /// Whether responses came that `meta.absent` doesn't know.
    is_news: bool,
    slices: HashMap<String, SliceSeen>,
    windows: Vec<WholeWindow>,
}

struct SliceSeen {
    /// When its first request was sent.
    sent_at: DateTime<Utc>,
    rejected: bool,
    transactions: usize,
}

/// A window that was read whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WholeWindow {
    pub(crate) since: i64,
    pub(crate) until: i64,
    /// When its first request was sent: what others saw of a transaction later isn't judged by it.
    pub(crate) sent_at: i64,
    pub(crate) read_at: i64,
    /// How much later than the first read without a transaction another one must be, microseconds.
    pub(crate) confirm_after: i64,
    /// Whether no transaction was in its responses.
    pub(crate) is_empty: bool,
}

impl StreamSeen {
    fn new(connector: &ConnectorRef) -> Self {
        let (connector, keys) = (connector.clone(), Some(Arc::default()));
        Self { connector, keys, last_at: i64::MIN, is_news: false, slices: HashMap::new(), windows: Vec::new() }
    }

    /// Forgets what it saw, and that it saw all.
    fn forget(&mut self) {
        self.keys = None;
        self.slices.clear();
        self.windows.clear();
    }
}

impl RunObservations {
    /// Whether an answer is of the run whose answers came last.
    pub(crate) fn is_of_this_run(&self, origin: &RawObject) -> bool {
        self.run_id == origin.run_id
    }

    /// Another run's answers come.
    pub(crate) fn begin(&mut self, run_id: &str) {
        let before = std::mem::replace(&mut self.run_id, run_id.to_owned());
        self.left.insert(before);
        self.known.clear();
        // Of what the run before did not report, it is known only that something may have been seen.
        self.streams.retain(|_, seen| seen.is_news);
        self.streams.values_mut().for_each(StreamSeen::forget);
        self.keys = 0;
    }

    /// Whether rows of a network were there before the run; none if nobody looked yet.
    pub(crate) fn knows(&self, network: &str) -> Option<bool> {
        self.known.get(network).copied()
    }

    pub(crate) fn set_known(&mut self, network: &str, known: bool) {
        self.known.insert(network.to_owned(), known);
    }

    /// Records an answer: the keys of its transactions, and whether one of its records was rejected.
    ///
    /// Where nothing was before nothing can vanish, so first reads cost no memory.
    pub(crate) fn note(
        &mut self,
        origin: &RawObject,
        connector: &ConnectorRef,
        keys: impl Iterator<Item = u128>,
        rejected: bool,
    ) {
        let Slice { network, account, stream, .. } = &origin.slice;
        if self.knows(network) != Some(true) {
            return;
        }
        if self.keys > MOST_KEYS && self.left.insert(self.run_id.clone()) {
            tracing::info!(network, run_id = self.run_id, "too much was read at once to say what vanished");
            self.streams.values_mut().for_each(StreamSeen::forget);
        }
        let id = (network.clone(), account.clone(), stream.clone());
        let seen = self.streams.entry(id).or_insert_with(|| StreamSeen::new(connector));
        seen.is_news = true;
        seen.last_at = seen.last_at.max(origin.received_at.timestamp_micros());
        if self.left.contains(&self.run_id) {
            seen.forget();
        }
        let Some(known) = &mut seen.keys else { return };
        let known = Arc::make_mut(known);
        let before = known.len();
        // Truncation is meant: a key that another one hides is judged late, not falsely.
        known.extend(keys.map(|key| key as u64));
        let transactions = known.len() - before;
        self.keys += transactions;
        let slice = seen.slices.entry(origin.slice.id());
        let slice = slice.or_insert(SliceSeen { sent_at: origin.sent_at, rejected: false, transactions: 0 });
        slice.sent_at = slice.sent_at.min(origin.sent_at);
        slice.rejected |= rejected;
        slice.transactions += transactions;
    }

    /// Records a response that could not be mapped at all.
    pub(crate) fn note_unmapped(&mut self, slice: &Slice) {
        self.unmapped.insert(slice.id());
    }

    /// Takes note that all answers of a slice are in the ledger. What is missing from them has vanished if it was
    /// missing from another run's `confirm_after` before.
    pub(crate) fn read_whole(&mut self, slice: &Slice, read_at: DateTime<Utc>, confirm_after: TimeDelta) {
        // On other axes transactions leave a window without vanishing: they are modified or paid once more.
        if slice.axis != Axis::Transaction || self.unmapped.contains(&slice.id()) {
            return;
        }
        let id = (slice.network.clone(), slice.account.clone(), slice.stream.clone());
        let Some(seen) = self.streams.get_mut(&id) else { return };
        // A record that was rejected may be any transaction.
        let Some(answers) = seen.slices.get(&slice.id()).filter(|slice| !slice.rejected) else { return };
        seen.windows.push(WholeWindow {
            since: slice.window.since.timestamp_micros(),
            until: slice.window.until.timestamp_micros(),
            sent_at: answers.sent_at.timestamp_micros(),
            read_at: read_at.timestamp_micros(),
            confirm_after: confirm_after.num_microseconds().unwrap_or(i64::MAX),
            is_empty: answers.transactions == 0,
        });
    }

    /// Whether there is something to judge, or something that was seen again.
    pub(crate) fn is_waiting(&self) -> bool {
        self.streams.values().any(|stream| stream.is_news || !stream.windows.is_empty())
    }

    /// What the run read of each stream since this was asked last: the windows that wait to be judged, and the keys of
    /// all transactions that it saw.
    ///
    /// A stream of which the run saw no transaction at all isn't judged: an empty answer is how many APIs fail.
    pub(crate) fn take(&mut self, run: RunNumber) -> Vec<StreamRead> {
        let run_id = &self.run_id;
        let waiting = self.streams.iter_mut().filter(|(_, seen)| seen.is_news || !seen.windows.is_empty());
        let read = waiting.map(|((network, account, stream), seen)| {
            seen.is_news = false;
            let mut windows = std::mem::take(&mut seen.windows);
            let keys = match &mut seen.keys {
                Some(keys) => {
                    let sorted = Arc::make_mut(keys);
                    sorted.sort_unstable();
                    sorted.dedup();
                    SeenKeys::Keys(keys.clone())
                }
                None => SeenKeys::Anything,
            };
            if !matches!(&keys, SeenKeys::Keys(keys) if !keys.is_empty()) {
                windows.clear();
            }
            StreamRead {
                run,
                network: network.clone(),
                account: account.clone(),
                stream: stream.clone(),
                run_id: run_id.clone(),
                connector: seen.connector.clone(),
                seen: keys,
                last_at: seen.last_at,
                windows,
            }
        });
        read.filter(|stream| !matches!(&stream.seen, SeenKeys::Keys(keys) if keys.is_empty())).collect()
    }
}
