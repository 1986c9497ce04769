//! Live counters of what this process is doing. The runtime counts; the command line draws them.
//!
//! Counters are atomics; only the name of the stage and the waits are behind a lock, which is taken a few times a second
//! at most per account.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is counted as done in a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Nothing: a stage of unknown length.
    #[default]
    Nothing,
    /// Slices of a run.
    Slices,
    /// Responses kept in raw.
    Responses,
    /// Runs in raw.
    Runs,
    /// Tables of the lake.
    Tables,
}

impl Unit {
    /// The unit in the singular.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Nothing => "step",
            Self::Slices => "slice",
            Self::Responses => "response",
            Self::Runs => "run",
            Self::Tables => "table",
        }
    }
}

/// Why requests of an account wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// `network/account`.
    pub account: String,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Instant,
}

/// The counters as they are at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is being done, as a phrase: `collect awin`. Empty before the first stage.
    pub stage: String,
    /// For how long.
    pub elapsed: Duration,
    /// What is counted.
    pub unit: Unit,
    /// How many units are done.
    pub done: u64,
    /// Of how many; none if that isn't known.
    pub total: Option<u64>,
    /// Requests sent.
    pub requests: u64,
    /// Records found.
    pub records: u64,
    /// Bytes received, or read from raw.
    pub bytes: u64,
    /// What is waited for now, the longest wait first.
    pub waits: Vec<Wait>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    unit: Unit,
    began: Instant,
    /// By account.
    waits: BTreeMap<String, Wait>,
}

/// Counts the work of a process.
#[derive(Debug)]
pub struct Meter {
    stage: Mutex<Stage>,
    done: AtomicU64,
    /// 0 if it isn't known.
    total: AtomicU64,
    requests: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        let stage =
            Stage { name: String::new(), unit: Unit::default(), began: Instant::now(), waits: BTreeMap::default() };
        let [done, total, requests, records, bytes] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { stage: Mutex::new(stage), done, total, requests, records, bytes }
    }
}

impl Meter {
    /// Begins a stage: all counters start at 0. `total`: units that are expected, 0 if that isn't known.
    pub fn begin(&self, stage: impl Into<String>, unit: Unit, total: u64) {
        let mut current = self.lock();
        for counter in [&self.done, &self.requests, &self.records, &self.bytes] {
            counter.store(0, Ordering::Relaxed);
        }
        self.total.store(total, Ordering::Relaxed);
        *current = Stage { name: stage.into(), unit, began: Instant::now(), waits: BTreeMap::default() };
    }

    /// Renames the stage; its counters continue.
    pub fn rename(&self, stage: impl Into<String>) {
        self.lock().name = stage.into();
    }

    /// Expects more units.
    pub fn expect(&self, units: u64) {
        self.total.fetch_add(units, Ordering::Relaxed);
    }

    /// Counts a unit as done.
    pub fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Units that are done.
    pub fn units(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Counts a request as sent.
    pub fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes as read.
    pub fn read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts records as found.
    pub fn found(&self, records: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Notes that requests of `network/account` wait. A later wait of the same account takes its place if it is longer.
    pub fn wait(&self, network: &str, account: &str, reason: &str, until: Instant) {
        let account = format!("{network}/{account}");
        let waits = &mut self.lock().waits;
        let now = Instant::now();
        if waits.get(&account).is_none_or(|known| known.until <= now || known.until < until) {
            waits.insert(account.clone(), Wait { account, reason: reason.to_owned(), until });
        }
    }

    /// The counters now.
    pub fn reading(&self) -> Reading {
        let stage = self.lock();
        let now = Instant::now();
        let mut waits: Vec<Wait> = stage.waits.values().filter(|wait| wait.until > now).cloned().collect();
        waits.sort_by_key(|wait| std::cmp::Reverse(wait.until));
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Reading {
            stage: stage.name.clone(),
            elapsed: now - stage.began,
            unit: stage.unit,
            done: load(&self.done),
            total: Some(load(&self.total)).filter(|total| *total > 0),
            requests: load(&self.requests),
            records: load(&self.records),
            bytes: load(&self.bytes),
            waits,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_starts_from_nothing() {
        let meter = Meter::default();
        assert_eq!((meter.reading().stage.as_str(), meter.reading().total), ("", None));
        meter.begin("collect awin", Unit::Slices, 4);
        meter.done();
        meter.expect(1);
        meter.sent();
        meter.found(7);
        meter.read(100);
        meter.wait("awin", "uk", "rate limit", Instant::now() + Duration::from_secs(60));
        let reading = meter.reading();
        let counted = (reading.done, reading.total, reading.requests, reading.records, reading.bytes);
        assert_eq!(counted, (1, Some(5), 1, 7, 100));
        assert_eq!(reading.waits.len(), 1);
        meter.begin("write tables", Unit::Nothing, 0);
        let reading = meter.reading();
        assert_eq!((reading.done, reading.total, reading.records, reading.waits.len()), (0, None, 0, 0));
    }

    #[test]
    fn waits_end_by_themselves_and_the_longest_is_first() {
        let meter = Meter::default();
        let now = Instant::now();
        meter.wait("awin", "uk", "over", now);
        meter.wait("awin", "de", "rate limit", now + Duration::from_secs(10));
        meter.wait("awin", "fr", "429", now + Duration::from_secs(90));
        meter.wait("awin", "fr", "rate limit", now + Duration::from_secs(5));
        let waits: Vec<_> = meter.reading().waits.into_iter().map(|wait| (wait.account, wait.reason)).collect();
        let wait = |account: &str, reason: &str| (account.to_owned(), reason.to_owned());
        assert_eq!(waits, [wait("awin/fr", "429"), wait("awin/de", "rate limit")]);
    }
}
