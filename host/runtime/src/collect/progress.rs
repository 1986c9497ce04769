//! What collecting a slice has come to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_fetch::{Admission, ResponseMemory};
use sluice_model::Slice;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Gate;
use super::run_texts::hold_failure;
use crate::failure::SliceError;
use crate::memory::{MemoryBudget, Reservation};
use crate::meter::Meter;
use crate::slice_done::SliceReport;

/// A slice's report while the slice is collected. It outlives the collecting, which a timeout may cut off.
#[derive(Default)]
pub struct Progress {
    report: Mutex<SliceReport>,
    gate: Mutex<Gate>,
}

impl Progress {
    /// Adds a failure.
    pub fn fail(&self, error: SliceError) {
        let mut report = self.lock();
        let SliceReport { errors, further_errors, .. } = &mut *report;
        hold_failure(errors, further_errors, error);
    }

    /// The report so far.
    pub fn take(&self) -> SliceReport {
        std::mem::take(&mut *self.lock())
    }

    /// The slice's gate.
    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SliceReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bounds the responses in memory, and counts requests when they are sent.
pub(super) struct ResponseAdmission<'a> {
    pub(super) bounds: &'a ResponseBounds,
    pub(super) progress: &'a Progress,
    pub(super) meter: &'a Meter,
    pub(super) slice: &'a Slice,
    /// Bytes of the request's text.
    pub(super) request_bytes: usize,
}

/// What bounds the responses of one run in memory.
pub struct ResponseBounds {
    /// So many of the run at once: no network takes all of the process's memory.
    response_permits: Arc<Semaphore>,
    /// The process's budget.
    memory: MemoryBudget,
}

/// The right to have one response in memory.
pub(super) struct ResponsePermit {
    _permit: Option<OwnedSemaphorePermit>,
    budget: MemoryBudget,
    /// What the response takes of the process's budget: shared with the threads that work on it, which may outlive their
    /// slice.
    pub(super) memory: Arc<Reservation>,
    request_bytes: usize,
}

/// Memory that a response takes for each byte of its body, while it is decoded and mapped: the body, its cells, its
/// columns for the guest, its rows. Twice what those of networks take.
const BYTES_PER_BODY_BYTE: usize = 8;
/// What any response takes.
const MIN_RESPONSE_BYTES: usize = 64 << 10;
/// Copies of a request that are made to send it and to keep it: as it is rendered and sent, and twice in its envelope.
const REQUEST_COPIES: usize = 4;

/// What a response takes at most until it is decoded.
pub(crate) fn response_bytes(body_bytes: u64) -> usize {
    let body_bytes = usize::try_from(body_bytes).unwrap_or(usize::MAX);
    body_bytes.saturating_mul(BYTES_PER_BODY_BYTE).max(MIN_RESPONSE_BYTES)
}

impl ResponseBounds {
    /// At most so many responses at once, within the process's budget.
    pub fn new(at_once: usize, memory: MemoryBudget) -> Self {
        Self { response_permits: Arc::new(Semaphore::new(at_once)), memory }
    }

    /// The right to a response to a request with so many bytes of text. The response takes no memory yet, the copies of
    /// the request do.
    pub(super) async fn permit(&self, request_bytes: usize) -> ResponsePermit {
        let _permit = self.response_permits.clone().acquire_owned().await.ok();
        let (budget, request_bytes) = (self.memory.clone(), request_bytes * REQUEST_COPIES);
        ResponsePermit { _permit, memory: Arc::new(budget.nothing()), budget, request_bytes }
    }
}

impl ResponsePermit {
    /// Changes what is reserved to what a response takes now that its parts are known, its request's copies aside.
    pub(super) fn resize(&self, bytes: usize) {
        self.memory.resize(bytes.saturating_add(self.request_bytes));
    }
}

impl ResponseMemory for ResponsePermit {
    async fn make_room(&mut self, bytes: u64) {
        // Given back first: whoever holds some and waits for more could wait for others who do the same.
        self.memory = Arc::new(self.budget.nothing());
        self.memory = Arc::new(self.budget.reserve(response_bytes(bytes).saturating_add(self.request_bytes)).await);
    }

    fn hold(&self) -> Box<dyn Send> {
        Box::new(Arc::clone(&self.memory))
    }
}

impl Admission for ResponseAdmission<'_> {
    type Permit = ResponsePermit;

    async fn permit(&self) -> Self::Permit {
        self.bounds.permit(self.request_bytes).await
    }

    fn waits_for_rate(&self, until: tokio::time::Instant) {
        self.meter.wait(&self.slice.network, &self.slice.account, "rate limit", until.into_std());
    }

    fn sent(&self) {
        self.progress.lock().requests += 1;
        self.meter.sent();
    }
}
