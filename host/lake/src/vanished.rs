//! What is gone: transactions that a window which was read whole no longer holds.
//!
//! A false `vanished` is worse than a late one: it takes money out of every sum until the transaction reappears. So a
//! transaction is judged only where nothing speaks against it, see [`RunObservations::windows`] and [`find`].

mod rows;
mod windows;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sluice_model::{Axis, RawObject, Slice};

use crate::append::RunNumber;
use crate::ledger::ConnectorRef;

pub(crate) use rows::VanishedRows;
pub(crate) use windows::{Windows, find};

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
    /// The lower key_prefixes of the keys.
    keys: Vec<u64>,
    slices: HashMap<String, SliceSeen>,
    windows: Vec<WholeWindow>,
}

struct SliceSeen {
    /// When its first request was sent.
    sent_at: DateTime<Utc>,
    rejected: bool,
}

/// A window that was read whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WholeWindow {
    pub(crate) since: i64,
    pub(crate) until: i64,
    /// When its first request was sent: what others saw of a transaction later isn't judged by it.
    pub(crate) sent_at: i64,
    pub(crate) read_at: i64,
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
        self.streams.clear();
        self.keys = 0;
    }

    /// Whether rows of a network were there before the run; none if nobody looked yet.
    pub(crate) fn knows(&self, network: &str) -> Option<bool> {
        self.known.get(network).copied()
    }

    pub(crate) fn set_known(&mut self, network: &str, known: bool) {
        self.known.insert(network.to_owned(), known);
    }

    /// Takes note of an answer: the keys of its transactions, and whether one of its records was rejected.
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
        if self.knows(network) != Some(true) || self.left.contains(&self.run_id) {
            return;
        }
        if self.keys > MOST_KEYS {
            tracing::info!(network, run_id = self.run_id, "too much was read at once to say what vanished");
            self.left.insert(self.run_id.clone());
            self.streams.clear();
            return;
        }
        let id = (network.clone(), account.clone(), stream.clone());
        let seen = self.streams.entry(id).or_insert_with(|| StreamSeen {
            connector: connector.clone(),
            keys: Vec::new(),
            slices: HashMap::new(),
            windows: Vec::new(),
        });
        // Truncation is meant: a key that another one hides is judged late, not falsely.
        let before = seen.keys.len();
        seen.keys.extend(keys.map(|key| key as u64));
        self.keys += seen.keys.len() - before;
        let slice =
            seen.slices.entry(origin.slice.id()).or_insert(SliceSeen { sent_at: origin.sent_at, rejected: false });
        slice.sent_at = slice.sent_at.min(origin.sent_at);
        slice.rejected |= rejected;
    }

    /// Takes note of a response that could not be mapped at all.
    pub(crate) fn note_unmapped(&mut self, slice: &Slice) {
        self.unmapped.insert(slice.id());
    }

    /// Takes note that all answers of a slice are in the ledger.
    pub(crate) fn read_whole(&mut self, slice: &Slice, read_at: DateTime<Utc>) {
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
        });
    }

    /// Whether there is something to judge.
    pub(crate) fn is_waiting(&self) -> bool {
        self.streams.values().any(|stream| !stream.windows.is_empty())
    }

    /// The windows that wait to be judged, by stream, with the keys that the run saw there.
    ///
    /// A stream of which the run saw no transaction at all isn't judged: an empty answer is how many APIs fail.
    pub(crate) fn windows(&mut self, run: RunNumber) -> Vec<Windows> {
        let run_id = self.run_id.clone();
        let waiting = self.streams.iter_mut().filter(|(_, seen)| !seen.windows.is_empty());
        let windows = waiting.map(|((network, account, stream), seen)| {
            seen.keys.sort_unstable();
            seen.keys.dedup();
            Windows {
                run,
                network: network.clone(),
                account: account.clone(),
                stream: stream.clone(),
                run_id: run_id.clone(),
                connector: seen.connector.clone(),
                seen: seen.keys.clone(),
                windows: std::mem::take(&mut seen.windows),
            }
        });
        windows.filter(|windows| !windows.seen.is_empty()).collect()
    }
}
