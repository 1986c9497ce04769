//! What a run did, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_lake::Counts;
use sluice_model::ErrorKind;

use crate::app::Network;
use crate::collect::{Collected, SliceReport};
use crate::failure::{Exit, SliceError};
use sluice_state::Verb;

/// Most texts in `errors`, and most failures of other messages.
const MOST_ERRORS: usize = 20;

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
    /// Requests sent, retries included, also for windows that were then read in halves.
    pub requests: u64,
    /// Of these, requests whose response was kept before the run was interrupted: they were not sent again.
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
    /// Transactions that say something else than the tables, and were observed earlier: nothing of them was written.
    pub older: u64,
    /// What went through the tables' writer.
    #[serde(skip)]
    pub counts: Counts,
    /// What failed as texts, at most 20 of them, those of `error_kind` first.
    pub errors: Vec<String>,
    /// Of what failed, the kind that needs a person most: the smallest.
    pub error_kind: Option<ErrorKind>,
    /// What failed, by kind and message: at most 20 messages.
    pub failures: Vec<RunFailure>,
    /// Failures that are in `failures`, and those of further messages.
    pub failures_total: u64,
    /// The exit code of the run, if it failed.
    #[serde(skip)]
    pub exit: Exit,
}

/// Failures of one kind and message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunFailure {
    /// What they need.
    pub kind: ErrorKind,
    /// What failed, its causes and a hint, on one line.
    pub message: String,
    /// The first slice that failed so; none if it wasn't one.
    pub slice: Option<String>,
    /// How many slices failed so.
    pub count: u64,
}

pub(super) fn summarise(
    run_id: String,
    network: &Network,
    verb: Verb,
    started_at: DateTime<Utc>,
    collected: &Collected,
) -> RunReport {
    let Collected { done, halved } = collected;
    let total = |part: fn(&SliceReport) -> u64| done.iter().map(|slice| part(&slice.report)).sum::<u64>();
    let mut report = RunReport {
        run_id,
        network: network.settings.name.clone(),
        verb,
        status: "done",
        started_at,
        finished_at: Utc::now(),
        slices: done.len() as u64,
        slices_failed: done.iter().filter(|slice| !slice.report.errors.is_empty()).count() as u64,
        requests: total(|report| report.requests) + halved.requests,
        reused: total(|report| report.reused) + halved.reused,
        bytes: total(|report| report.bytes) + halved.bytes,
        guest_cpu_ms: 0,
        records: total(|report| report.records),
        native_rows: 0,
        new_versions: 0,
        rejects: 0,
        older: 0,
        counts: Counts::default(),
        errors: Vec::new(),
        error_kind: None,
        failures: Vec::new(),
        failures_total: 0,
        exit: Exit::Settings,
    };
    let errors = done.iter().flat_map(|done| {
        let slice = done.slice.id();
        done.report.errors.iter().map(move |error| (Some(slice.clone()), error))
    });
    report.add(errors);
    report
}

impl RunReport {
    /// What the run did, on one line for people.
    pub fn line(&self) -> String {
        let report = self;
        let took = (report.finished_at - report.started_at).num_milliseconds() as f64 / 1000.0;
        let name = &report.network;
        let asked = format!("{} slices, {} requests, {} records", report.slices, report.requests, report.records);
        let mut built = format!(
            "{} new versions, {} native rows, {} rejects",
            report.new_versions, report.native_rows, report.rejects
        );
        // A build goes through history, most of which is older than what the tables hold.
        if report.older > 0 && report.verb == Verb::Run {
            built.push_str(&format!(", {} older than the tables and left out", report.older));
        }
        match report.verb {
            Verb::Run => format!("{name}: {asked}; {built} in {took:.1} s"),
            Verb::Collect => format!("{name}: {asked} kept in raw in {took:.1} s"),
            Verb::Build => format!("{name}: {} records from raw; {built} in {took:.1} s", report.records),
        }
    }

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
        self.older = counts.older;
        self.finished_at = Utc::now();
    }

    /// Adds what failed, and isn't of one slice.
    pub(super) fn fail(&mut self, error: SliceError) {
        self.add([(None, &error)]);
        self.finished_at = Utc::now();
    }

    /// Adds what failed.
    fn add<'a>(&mut self, errors: impl IntoIterator<Item = (Option<String>, &'a SliceError)>) {
        let mut grouped: BTreeMap<(ErrorKind, String), RunFailure> =
            self.failures.drain(..).map(|failure| ((failure.kind, failure.message.clone()), failure)).collect();
        let mut texts: Vec<(ErrorKind, String)> = Vec::new();
        for (slice, error) in errors {
            self.failures_total += 1;
            if error.exit != Exit::Settings {
                self.exit = Exit::Failed;
            }
            texts
                .push((error.kind, slice.iter().fold(error.message.clone(), |text, slice| format!("{slice}: {text}"))));
            let (kind, message) = (error.kind, error.message.clone());
            let group =
                grouped.entry((kind, message.clone())).or_insert(RunFailure { kind, message, slice: None, count: 0 });
            group.count += 1;
            group.slice = group.slice.take().into_iter().chain(slice).min();
        }
        let Some(((kind, _), _)) = grouped.first_key_value() else { return };
        let is_first = self.error_kind.is_none_or(|before| *kind < before);
        (self.status, self.error_kind) = ("failed", Some(*kind));
        self.failures = grouped.into_values().take(MOST_ERRORS).collect();
        texts.sort();
        let texts = texts.into_iter().map(|(_, text)| text);
        // The first text is of the run's kind.
        let at = if is_first { 0 } else { self.errors.len() };
        self.errors.splice(at..at, texts);
        self.errors.truncate(MOST_ERRORS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> RunReport {
        RunReport {
            run_id: "run".to_owned(),
            network: "awin".to_owned(),
            verb: Verb::Run,
            status: "done",
            started_at: DateTime::UNIX_EPOCH,
            finished_at: DateTime::UNIX_EPOCH,
            slices: 0,
            slices_failed: 0,
            requests: 0,
            reused: 0,
            bytes: 0,
            guest_cpu_ms: 0,
            records: 0,
            native_rows: 0,
            new_versions: 0,
            rejects: 0,
            older: 0,
            counts: Counts::default(),
            errors: Vec::new(),
            error_kind: None,
            failures: Vec::new(),
            failures_total: 0,
            exit: Exit::Settings,
        }
    }

    fn failed(errors: &[(&str, SliceError)]) -> RunReport {
        let mut report = report();
        report.add(errors.iter().map(|(slice, error)| (Some((*slice).to_owned()), error)));
        report
    }

    #[test]
    fn alike_failures_are_one_with_a_count() {
        let down = || SliceError::new(ErrorKind::Network, "cannot connect to `api.awin.com`");
        let refused = SliceError::new(ErrorKind::Credentials, "the network forbids it (403)");
        let report = failed(&[("b", down()), ("c", refused), ("a", down())]);
        let failure = |kind, message: &str, slice: &str, count| RunFailure {
            kind,
            message: message.to_owned(),
            slice: Some(slice.to_owned()),
            count,
        };
        assert_eq!(
            report.failures,
            [
                failure(ErrorKind::Credentials, "the network forbids it (403)", "c", 1),
                failure(ErrorKind::Network, "cannot connect to `api.awin.com`", "a", 2),
            ]
        );
        assert_eq!(
            (report.status, report.error_kind, report.failures_total),
            ("failed", Some(ErrorKind::Credentials), 3)
        );
        assert_eq!(
            report.errors,
            [
                "c: the network forbids it (403)",
                "a: cannot connect to `api.awin.com`",
                "b: cannot connect to `api.awin.com`"
            ]
        );
    }

    #[test]
    fn only_settings_end_with_their_own_exit_code() {
        let settings = || SliceError::new(ErrorKind::Settings, "`sid` is missing");
        let unreadable =
            SliceError { exit: Exit::Settings, ..SliceError::new(ErrorKind::Credentials, "AWIN isn't set") };
        let refused = SliceError::new(ErrorKind::Credentials, "refused");
        assert_eq!(failed(&[("a", settings())]).exit, Exit::Settings);
        assert_eq!(failed(&[("a", settings()), ("b", unreadable)]).exit, Exit::Settings);
        assert_eq!(failed(&[("a", settings()), ("b", refused)]).exit, Exit::Failed);
    }

    #[test]
    fn a_later_failure_joins_the_others() {
        let mut report = failed(&[("a", SliceError::new(ErrorKind::Network, "down"))]);
        report.fail(SliceError::new(ErrorKind::Host, "disk full"));
        report.fail(SliceError::new(ErrorKind::Network, "down"));
        assert_eq!((report.error_kind, report.errors[0].as_str()), (Some(ErrorKind::Host), "disk full"));
        assert_eq!((report.errors.len(), report.failures.len(), report.failures_total), (3, 2, 3));
        let many: Vec<_> = (0..50).map(|n| ("a", SliceError::new(ErrorKind::Format, format!("page {n}")))).collect();
        let report = failed(&many);
        assert_eq!((report.errors.len(), report.failures.len(), report.failures_total), (20, 20, 50));
    }
}
