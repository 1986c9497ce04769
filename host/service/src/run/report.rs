//! What a run did, counted.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_lake::Counts;

use super::{SliceDone, Verb};
use crate::app::Network;
use crate::collect::SliceReport;

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Its id.
    pub run_id: String,
    /// The network's name in the settings.
    pub network: String,
    /// What it was to do.
    pub verb: Verb,
    /// `done` or `failed`.
    pub status: &'static str,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Slices read.
    pub slices: u64,
    /// Slices of which a request failed.
    pub slices_failed: u64,
    /// Requests sent, retries included.
    pub requests: u64,
    /// Of these, requests whose response was kept before the run was broken off: they were not sent again.
    pub reused: u64,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    /// Processor time of guests and of decoding for them, in milliseconds.
    pub guest_cpu_ms: u64,
    /// Records in the answers.
    pub records: u64,
    /// Rows written to native tables.
    pub native_rows: u64,
    /// New versions of unified transactions.
    pub new_versions: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
    /// What went through the tables' writer.
    #[serde(skip)]
    pub counts: Counts,
    /// What failed, at most 20 of them.
    pub errors: Vec<String>,
}

pub(super) fn summarise(
    run_id: String,
    network: &Network,
    verb: Verb,
    started_at: DateTime<Utc>,
    done: &[SliceDone],
) -> RunReport {
    let total = |part: fn(&SliceReport) -> u64| done.iter().map(|slice| part(&slice.report)).sum();
    let mut errors: Vec<String> = done
        .iter()
        .flat_map(|slice| slice.report.errors.iter().map(|error| format!("{}: {error}", slice.slice.id())))
        .collect();
    errors.sort();
    errors.truncate(20);
    let mut report = RunReport {
        run_id,
        network: network.settings.name.clone(),
        verb,
        status: "done",
        started_at,
        finished_at: Utc::now(),
        slices: done.len() as u64,
        slices_failed: done.iter().filter(|slice| !slice.report.errors.is_empty()).count() as u64,
        requests: total(|report| report.requests),
        reused: total(|report| report.reused),
        bytes: total(|report| report.bytes),
        guest_cpu_ms: 0,
        records: total(|report| report.records),
        native_rows: 0,
        new_versions: 0,
        rejects: 0,
        counts: Counts::default(),
        errors,
    };
    report.settle();
    report
}

impl RunReport {
    /// Takes over what guests took.
    pub(super) fn took(&mut self, guests: Duration) {
        self.guest_cpu_ms = u64::try_from(guests.as_millis()).unwrap_or(u64::MAX);
    }

    /// Takes over what the tables' writer counted.
    pub(super) fn count(&mut self, counts: Counts) {
        self.counts = counts;
        self.native_rows = counts.native_written;
        self.new_versions = counts.new_versions;
        self.rejects = counts.rejects;
        self.settle();
        self.finished_at = Utc::now();
    }

    /// Adds what failed.
    pub(super) fn fail(&mut self, error: String) {
        self.errors.push(error);
        self.settle();
        self.finished_at = Utc::now();
    }

    pub(super) fn settle(&mut self) {
        self.status = if self.errors.is_empty() { "done" } else { "failed" };
    }
}
