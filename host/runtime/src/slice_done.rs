//! What reading a slice has come to, for whoever records it or learns from it.

use chrono::{DateTime, Utc};
use sluice_lake::CoverageRow;
use sluice_model::{Axis, ErrorKind, Manifest, Slice, Window};

use crate::failure::SliceError;
use crate::guests::ProcessorTime;
use crate::schedule;

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
    /// What failed; empty if all requests were answered. Of thousands the first.
    pub errors: Vec<SliceError>,
    /// How many further failures there were.
    pub further_errors: u64,
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

/// What a slice of a run covers; none if none of its window could be read.
pub fn coverage(manifest: &Manifest, run_id: &str, done: &SliceDone) -> Option<CoverageRow> {
    let slice = &done.slice;
    let window = readable_window(manifest, slice, done.report.first_sent_at.unwrap_or(done.read_at))?;
    let SliceReport { requests, records, ref errors, .. } = done.report;
    Some(CoverageRow {
        requests,
        records,
        complete: errors.is_empty(),
        error: errors.first().map(ToString::to_string),
        error_kind: errors.first().map(|error| error.kind),
        ..CoverageRow::of(slice, window, run_id, done.read_at)
    })
}

/// What of a slice's window could be read when its first request was sent. A stream without windows has it as it is.
pub fn readable_window(manifest: &Manifest, slice: &Slice, sent_at: DateTime<Utc>) -> Option<Window> {
    if slice.axis == Axis::None {
        return Some(slice.window);
    }
    let kept_since = manifest.stream(&slice.stream).and_then(|stream| schedule::first_remembered(stream, sent_at));
    slice.window.readable(sent_at, kept_since)
}
