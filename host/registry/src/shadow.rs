//! A version that maps the same live responses beside the one that serves. Nothing of what it gives is written.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sluice_engine::{Connector, TwiceCheck};
use sluice_lake::reject_conflicts;
use sluice_model::{Mapped, RawObject, Slice, describe};

use crate::compare::Comparison;

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
        let outcome = self.compared(running, raw, body, mapped);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if tally.open.remove(&slice.id()) {
            tally.comparison.slices += 1;
        }
    }

    /// What was compared since this was asked last.
    pub fn take(&self) -> Comparison {
        std::mem::take(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner).comparison)
    }
}
