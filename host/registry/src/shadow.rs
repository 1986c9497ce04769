//! A version that maps the same live responses beside the one that serves. Nothing of what it gives is written.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sluice_engine::Connector;
use sluice_model::{Mapped, Request, Response, Slice, describe};

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

impl Shadow {
    /// A candidate that has compared nothing in this run.
    pub fn new(candidate: Connector) -> Self {
        Self { candidate, tally: Mutex::default() }
    }

    /// The candidate.
    pub fn candidate(&self) -> &Connector {
        &self.candidate
    }

    /// Maps a response that the running version mapped, and notes how that differs. Runs a guest on this thread.
    pub fn compare(&self, slice: &Slice, request: &Request, response: &Response, running: &Mapped) {
        let outcome = self
            .candidate
            .decode(&slice.stream, &response.headers, &response.body)
            .map_err(|error| describe(&error))
            .and_then(|decoded| {
                let records = u32::try_from(decoded.records()).ok();
                let response = Response { records, ..response.clone() };
                self.candidate.map(slice, request, &response, decoded).map_err(|error| describe(&error))
            });
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.open.insert(slice.id());
        match outcome {
            Ok(mapped) => tally.comparison.add(running, &mapped),
            Err(fault) => tally.comparison.add_fault(fault),
        }
    }

    /// Notes that a slice is over.
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
