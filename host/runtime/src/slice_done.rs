//! What reading a slice has come to, for whoever records it or learns from it.

use chrono::{DateTime, Utc};
use sluice_model::{ErrorKind, Slice};

use crate::failure::SliceError;
use crate::guests::ProcessorTime;

/// The outcome of a slice.
#[derive(Clone, Debug, Default)]
pub struct SliceReport {
    /// Requests sent, retries included, and those that the run had sent before it was interrupted.
    pub requests: u64,
    /// Of these, requests whose response was kept before the run was interrupted: they were not sent again.
    pub reused: u64,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    /// Bytes added to raw.
    pub stored_bytes: u64,
    /// Processor time that it took.
    pub processor: ProcessorTime,
    /// When the first request was sent that was answered; none if none was.
    pub first_sent_at: Option<DateTime<Utc>>,
    /// Records found in the responses.
    pub records: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
    /// What failed; empty if all requests were answered.
    pub errors: Vec<SliceError>,
    /// How often its window had been halved before it was asked for.
    pub splits: u32,
    /// Whether the network asks to halve the window.
    pub split: bool,
    /// What fails again and again for a window of this width; a narrower one may be answered.
    pub too_wide: Option<SliceError>,
    /// The cursor that the connector gave last. It is kept once the slice is durable and complete.
    pub cursor: Option<String>,
}

impl SliceReport {
    /// Records when a request was sent.
    pub(crate) fn note_sent(&mut self, sent_at: DateTime<Utc>) {
        self.first_sent_at = self.first_sent_at.into_iter().chain([sent_at]).min();
    }

    /// Records a response.
    pub(crate) fn note_received(&mut self, bytes: u64, sent_at: DateTime<Utc>) {
        self.bytes += bytes;
        self.note_sent(sent_at);
    }

    /// Adds what another report sent, received, stored and took.
    pub fn add_traffic(&mut self, other: &Self) {
        self.requests += other.requests;
        self.reused += other.reused;
        self.bytes += other.bytes;
        self.stored_bytes += other.stored_bytes;
        self.processor.add(other.processor);
    }
}

/// A slice with its outcome.
pub struct SliceDone {
    /// What was to be read.
    pub slice: Slice,
    /// The key of the look-back rule that asked for it.
    pub rule: Option<String>,
    /// When it was read.
    pub read_at: DateTime<Utc>,
    /// Its outcome.
    pub report: SliceReport,
}

impl SliceDone {
    /// Whether something failed that isn't a doubt.
    pub fn has_failed(&self) -> bool {
        self.report.errors.iter().any(|error| error.kind != ErrorKind::Doubt)
    }

    /// Whether its answers are doubted, and nothing failed otherwise.
    pub fn is_doubtful(&self) -> bool {
        !self.report.errors.is_empty() && !self.has_failed()
    }

    /// A slice that can't be read.
    pub fn failed(slice: Slice, rule: Option<String>, error: SliceError) -> Self {
        let report = SliceReport { errors: vec![error], ..SliceReport::default() };
        Self { slice, rule, read_at: Utc::now(), report }
    }
}
