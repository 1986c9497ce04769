//! What collecting a slice has come to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use sluice_fetch::Admission;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::SliceError;

/// The outcome of a slice.
#[derive(Clone, Debug, Default)]
pub struct SliceReport {
    /// Requests sent, retries included, and those that the run had sent before it was interrupted.
    pub requests: u64,
    /// Of these, requests whose response was kept before the run was interrupted: they were not sent again.
    pub reused: u64,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    /// When the first request was sent that was answered; none if none was.
    pub first_sent_at: Option<DateTime<Utc>>,
    /// Records found in the responses.
    pub records: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
    /// What failed; empty if all requests were answered.
    pub errors: Vec<SliceError>,
    /// Whether the network wants the window in halves.
    pub split: bool,
    /// The cursor that the connector gave last. It is kept once the slice is durable and complete.
    pub cursor: Option<String>,
}

impl SliceReport {
    /// Takes note of when a request was sent.
    pub(super) fn note_sent(&mut self, sent_at: DateTime<Utc>) {
        self.first_sent_at = self.first_sent_at.into_iter().chain([sent_at]).min();
    }

    /// Adds what another report sent and received.
    pub fn add_traffic(&mut self, other: &Self) {
        self.requests += other.requests;
        self.reused += other.reused;
        self.bytes += other.bytes;
    }
}

/// A slice's report while the slice is collected. It outlives the collecting, which a timeout may cut off.
#[derive(Debug, Default)]
pub struct Progress(Mutex<SliceReport>);

impl Progress {
    /// Adds a failure.
    pub fn fail(&self, error: SliceError) {
        self.lock().errors.push(error);
    }

    /// The report so far.
    pub fn take(&self) -> SliceReport {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SliceReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bounds the responses in memory, and counts requests when they are sent.
pub(super) struct ResponseAdmission<'a> {
    pub(super) permits: &'a Arc<Semaphore>,
    pub(super) progress: &'a Progress,
}

impl Admission for ResponseAdmission<'_> {
    /// None once the service stops: nothing waits for permits then.
    type Permit = Option<OwnedSemaphorePermit>;

    async fn permit(&self) -> Self::Permit {
        self.permits.clone().acquire_owned().await.ok()
    }

    fn sent(&self) {
        self.progress.lock().requests += 1;
    }
}
