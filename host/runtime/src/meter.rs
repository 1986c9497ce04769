//! Live counters of what this process is doing. The runtime counts; the command line draws them.
//!
//! Counters are atomics. The name of the stage, its unit and the waits are behind a lock, which is taken once for each slice,
//! response and wait, and never held for longer than it takes to read or change them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Files of connectors.
    Connectors,
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
            Self::Connectors => "connector",
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
    /// Which part of a longer work it is, as a phrase: `2026-03 (3 of 12)`. Empty if it is all of it.
    pub part: String,
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
    part: String,
    /// Runs whose slices are being read now.
    runs: Vec<String>,
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
        let stage = Stage {
            name: String::new(),
            unit: Unit::default(),
            began: Instant::now(),
            waits: BTreeMap::default(),
            part: String::new(),
            runs: Vec::new(),
        };
        let [done, total, requests, records, bytes] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { stage: Mutex::new(stage), done, total, requests, records, bytes }
    }
}

impl Meter {
    /// Begins a stage: all counters start at 0. `total`: units that are expected, 0 if that isn't known.
    pub fn begin(&self, stage: impl Into<String>, unit: Unit, total: u64) {
        self.begin_in(&mut self.lock(), stage.into(), unit, total);
    }

    fn begin_in(&self, current: &mut Stage, name: String, unit: Unit, total: u64) {
        for counter in [&self.done, &self.requests, &self.records, &self.bytes] {
            counter.store(0, Ordering::Relaxed);
        }
        self.total.store(total, Ordering::Relaxed);
        (current.name, current.unit, current.began) = (name, unit, Instant::now());
        current.waits.clear();
    }

    /// Begins to read the slices of a run: a stage, or a part of the one in which other runs of this process read theirs.
    /// It is over when what is returned is dropped.
    pub fn begin_run(self: &Arc<Self>, name: String, slices: u64) -> ReadingRun {
        let mut current = self.lock();
        if current.runs.is_empty() {
            self.begin_in(&mut current, name.clone(), Unit::Slices, slices);
        } else {
            self.total.fetch_add(slices, Ordering::Relaxed);
        }
        current.runs.push(name.clone());
        current.name_runs();
        ReadingRun { meter: self.clone(), name }
    }

    /// Renames the stage; its counters continue. While runs read their slices they name it.
    pub fn rename(&self, stage: impl Into<String>) {
        let mut current = self.lock();
        if current.runs.is_empty() {
            current.name = stage.into();
        }
    }

    /// Says which part of a longer work the stages are from now on; nothing if they are all of it.
    pub fn set_part(&self, part: impl Into<String>) {
        self.lock().part = part.into();
    }

    /// Expects more of a unit, if it is what the stage counts.
    pub fn expect(&self, unit: Unit, more: u64) {
        if self.lock().unit == unit {
            self.total.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Counts a unit as done, if it is what the stage counts: responses that a run maps again are no slices.
    pub fn done(&self, unit: Unit) {
        if self.lock().unit == unit {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
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
            part: stage.part.clone(),
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

impl Stage {
    /// Names the stage by the runs that read now.
    fn name_runs(&mut self) {
        match &self.runs[..] {
            [] => {}
            [run] => self.name.clone_from(run),
            [run, others @ ..] => self.name = format!("{run} and {} more", others.len()),
        }
    }
}

/// A run of which slices are being read.
#[derive(Debug)]
pub struct ReadingRun {
    meter: Arc<Meter>,
    name: String,
}

impl Drop for ReadingRun {
    fn drop(&mut self) {
        let mut current = self.meter.lock();
        if let Some(place) = current.runs.iter().position(|run| *run == self.name) {
            current.runs.remove(place);
        }
        current.name_runs();
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
        meter.done(Unit::Slices);
        meter.done(Unit::Responses);
        meter.expect(Unit::Slices, 1);
        meter.expect(Unit::Responses, 1);
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
    fn runs_that_read_at_once_are_counted_together() {
        let meter = Arc::new(Meter::default());
        let awin = meter.begin_run("run awin".to_owned(), 40);
        meter.done(Unit::Slices);
        let cj = meter.begin_run("run cj".to_owned(), 5);
        meter.done(Unit::Slices);
        let reading = meter.reading();
        assert_eq!((reading.stage.as_str(), reading.done, reading.total), ("run awin and 1 more", 2, Some(45)));
        drop(awin);
        meter.rename("write the tables of awin");
        let reading = meter.reading();
        assert_eq!((reading.stage.as_str(), reading.done, reading.total), ("run cj", 2, Some(45)));
        drop(cj);
        meter.rename("write the tables of cj");
        assert_eq!(meter.reading().stage, "write the tables of cj");
        let _next = meter.begin_run("run awin".to_owned(), 3);
        assert_eq!((meter.reading().done, meter.reading().total), (0, Some(3)));
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
