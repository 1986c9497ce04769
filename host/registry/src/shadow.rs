//! A version that maps the same live responses beside the one that serves. Nothing of what it gives is written.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_engine::{Connector, TwiceCheck};
use sluice_lake::reject_conflicts;
use sluice_model::{Mapped, RawObject, Slice, describe};

use crate::compare::Comparison;

/// The time that a candidate may take in one run, and for each response besides: the version that serves waits for it.
const TIME: Duration = Duration::from_secs(20);
const TIME_OF_RESPONSE: Duration = Duration::from_millis(250);

/// A candidate during one run, and how it compares.
pub struct Shadow {
    candidate: Connector,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    comparison: Comparison,
    /// Slices of which a response was compared, and which aren't over.
    open: HashSet<String>,
    took: Duration,
    responses: u32,
    /// It took too long, and maps nothing more in this run.
    is_slow: bool,
}

impl Tally {
    fn note_time(&mut self, took: Duration) {
        self.took += took;
        self.responses += 1;
        if !self.is_slow && self.took > TIME + TIME_OF_RESPONSE * self.responses {
            self.is_slow = true;
            let (secs, responses) = (self.took.as_secs(), self.responses);
            let fault = format!("it took {secs} s for {responses} responses, and maps no more beside this run");
            self.comparison.add_fault(fault);
        }
    }
}

/// Leaves of a mapped response what the tables would take.
pub(crate) fn as_written(connector: &Connector, raw: &RawObject, mapped: &mut Mapped) -> Result<(), String> {
    // Only what is of a known stream is mapped.
    let Some(stream) = connector.manifest().stream(&raw.slice.stream) else { return Ok(()) };
    reject_conflicts(raw, &stream.layout, mapped).map_err(|error| describe(&error))
}

impl Shadow {
    /// A candidate that has compared nothing in this run.
    pub fn new(candidate: Connector) -> Self {
        Self { candidate, tally: Mutex::default() }
    }

    /// The version that maps beside the one that serves.
    pub fn candidate(&self) -> &Connector {
        &self.candidate
    }

    /// Maps a response that the running version mapped, and notes how that differs. Runs a guest on this thread.
    pub fn compare(&self, running: &Connector, raw: &RawObject, body: Bytes, mapped: &Mapped) {
        if self.tally().is_slow {
            return;
        }
        let begun = Instant::now();
        let outcome = self.compared(running, raw, body, mapped);
        let mut tally = self.tally();
        tally.note_time(begun.elapsed());
        tally.open.insert(raw.slice.id());
        match outcome {
            Ok((running, candidate)) => tally.comparison.add(&running, &candidate),
            Err(fault) => tally.comparison.add_fault(fault),
        }
    }

    /// What the tables would take of the running version and of the candidate.
    fn compared(
        &self,
        running: &Connector,
        raw: &RawObject,
        body: Bytes,
        mapped: &Mapped,
    ) -> Result<(Mapped, Mapped), String> {
        let candidate = self.candidate.map_raw(raw, body, TwiceCheck::Sampled);
        let mut both = (mapped.clone(), candidate.map_err(|error| describe(&error))?);
        as_written(running, raw, &mut both.0)?;
        as_written(&self.candidate, raw, &mut both.1)?;
        Ok(both)
    }

    /// Counts a slice that has ended.
    pub fn end_slice(&self, slice: &Slice) {
        let mut tally = self.tally();
        if tally.open.remove(&slice.id()) {
            tally.comparison.slices += 1;
        }
    }

    /// What was compared since this was asked last.
    pub fn take(&self) -> Comparison {
        std::mem::take(&mut self.tally().comparison)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_takes_long_is_given_up_with_one_fault() {
        let mut tally = Tally::default();
        (0..1_000).for_each(|_| tally.note_time(TIME_OF_RESPONSE));
        assert!(!tally.is_slow && tally.comparison.faults == 0, "as slow as is allowed");
        let mut tally = Tally::default();
        (0..2).for_each(|_| tally.note_time(Duration::from_secs(10)));
        assert!(!tally.is_slow);
        (0..3).for_each(|_| tally.note_time(Duration::from_secs(10)));
        assert!(tally.is_slow);
        assert_eq!(tally.comparison.faults, 1);
    }
}
