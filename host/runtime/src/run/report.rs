//! What a run did, counted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_lake::{AccountUsage, Causes, Counts};
use sluice_model::ErrorKind;

use super::amounts::MoneyChanges;
use crate::collect::Collected;
use crate::failure::{Exit, SliceError};
use crate::guests::ProcessorTime;
use crate::network::Network;
use crate::slice_done::SliceReport;
use crate::text::{count, thousands};
use crate::usage;
use crate::withheld::doubt_id_of;
use sluice_state::Verb;

/// Most texts in `errors`, and most failures of other messages.
const MOST_ERRORS: usize = 20;

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// By which `meta.runs` and `sluice runs` name it.
    pub run_id: String,
    /// The network's name in the settings.
    pub network: String,
    /// What it was to do.
    pub verb: Verb,
    /// The version of the connector that maps; a slice that begins after another one took over has that.
    pub connector_version: String,
    /// `done`, `doubtful` if nothing failed and answers are doubted, or `failed`.
    pub status: &'static str,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Slices read.
    pub slices: u64,
    /// Slices of which a request failed.
    pub slices_failed: u64,
    /// Slices whose answers are doubted, and that didn't fail otherwise.
    pub slices_doubtful: u64,
    /// Requests sent, retries included, also for windows that were then read in halves.
    pub requests: u64,
    /// Of these, requests whose response was kept before the run was interrupted: they were not sent again.
    pub reused: u64,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    /// Processor time of guests and of decoding for them, in milliseconds.
    pub guest_cpu_ms: u64,
    /// What each account used, by its id.
    #[serde(skip)]
    pub usage: BTreeMap<String, AccountUsage>,
    /// Records in the answers.
    pub records: u64,
    /// Rows written to native tables.
    pub native_rows: u64,
    /// New versions of unified transactions.
    pub new_versions: u64,
    /// Their causes.
    pub versions: VersionCounts,
    /// Records that could not be mapped.
    pub rejects: u64,
    /// Values that were odd and were read all the same, by kind. Their records have `_decode_notes`.
    pub decode_notes: BTreeMap<&'static str, u64>,
    /// Transactions that differ from the tables and were observed earlier: they were not written.
    pub older: u64,
    /// What went through the tables' writer.
    #[serde(skip)]
    pub counts: Counts,
    /// What looks wrong though nothing failed, one sentence each: ids with several contents in one response, fields that
    /// a connector reads and no record has.
    pub warnings: Vec<String>,
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

/// New versions of unified transactions, and why there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VersionCounts {
    /// How many of each cause.
    #[serde(flatten)]
    pub causes: Causes,
    /// What they changed of money; none where that wasn't counted: by `build`, by a run whose answers are like those before,
    /// and where the query failed, which is a warning.
    #[serde(flatten)]
    pub money: Option<MoneyChanges>,
}

impl From<Causes> for VersionCounts {
    fn from(causes: Causes) -> Self {
        Self { causes, money: None }
    }
}

impl VersionCounts {
    /// `3 first seen, 1 vanished`; empty if there are none.
    fn text(&self) -> String {
        let causes = self.causes;
        let counts = [
            (causes.first_seen, "first seen"),
            (causes.changed, "changed"),
            (causes.corrections, "corrected by new rows"),
            (causes.late_attribution, "attributed late"),
            (causes.remapped, "mapped differently"),
            (causes.vanished, "vanished"),
            (causes.reappeared, "reappeared"),
        ];
        let parts = counts.iter().filter(|(number, _)| *number > 0);
        parts.map(|(number, what)| format!("{} {what}", thousands(*number))).collect::<Vec<_>>().join(", ")
    }
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
    /// Digest of the body of a response that failed so; none if it isn't about a response.
    pub raw_object: Option<String>,
    /// The command that shows more; none if no command does.
    pub command: Option<String>,
}

pub(super) fn summarise(
    run_id: String,
    network: &Network,
    verb: Verb,
    started_at: DateTime<Utc>,
    collected: &Collected,
) -> RunReport {
    let Collected { done, halved } = collected;
    let reports = || done.iter().map(|slice| (&slice.slice.account, &slice.report)).chain(halved);
    let total = |part: fn(&SliceReport) -> u64| reports().map(|(_, report)| part(report)).sum::<u64>();
    let mut report = RunReport {
        slices: done.len() as u64,
        slices_failed: done.iter().filter(|slice| slice.has_failed()).count() as u64,
        slices_doubtful: done.iter().filter(|slice| slice.is_doubtful()).count() as u64,
        requests: total(|report| report.requests),
        reused: total(|report| report.reused),
        bytes: total(|report| report.bytes),
        records: total(|report| report.records),
        usage: usage::by_account(reports()),
        connector_version: network.connector.version().to_owned(),
        ..RunReport::new(run_id, network.settings.name.clone(), verb, started_at)
    };
    let errors = done.iter().flat_map(|done| {
        let slice = done.slice.id();
        done.report.errors.iter().map(move |error| (Some(slice.clone()), error))
    });
    report.add(errors);
    report.failures_total += total(|report| report.further_errors);
    report
}

impl RunFailure {
    fn new(kind: ErrorKind, message: String) -> Self {
        Self { kind, message, slice: None, count: 0, raw_object: None, command: None }
    }
}

impl RunReport {
    /// A run that ends now and did nothing.
    fn new(run_id: String, network: String, verb: Verb, started_at: DateTime<Utc>) -> Self {
        Self {
            run_id,
            network,
            verb,
            connector_version: String::new(),
            status: "done",
            started_at,
            finished_at: Utc::now(),
            slices: 0,
            slices_failed: 0,
            slices_doubtful: 0,
            requests: 0,
            reused: 0,
            bytes: 0,
            guest_cpu_ms: 0,
            usage: BTreeMap::new(),
            records: 0,
            native_rows: 0,
            new_versions: 0,
            versions: VersionCounts::default(),
            rejects: 0,
            decode_notes: BTreeMap::new(),
            older: 0,
            counts: Counts::default(),
            warnings: Vec::new(),
            errors: Vec::new(),
            error_kind: None,
            failures: Vec::new(),
            failures_total: 0,
            exit: Exit::Settings,
        }
    }

    /// What the run did, on one line for people.
    pub fn line(&self) -> String {
        let took = (self.finished_at - self.started_at).num_milliseconds() as f64 / 1000.0;
        let by = format!("connector {}", self.connector_version);
        let (name, records) = (&self.network, count(self.records, "record"));
        let asked = format!("{}, {}, {records}", count(self.slices, "slice"), count(self.requests, "request"));
        match self.verb {
            Verb::Run => format!("{name}: {asked}; {} in {took:.1} s by {by}", self.changes()),
            Verb::Collect => format!("{name}: {asked} kept in raw in {took:.1} s by {by}"),
            Verb::Build => format!("{name}: {records} from raw; {} in {took:.1} s by {by}", self.changes()),
        }
    }

    /// What the run changed in the tables, and what it could not map.
    fn changes(&self) -> String {
        let mut versions = count(self.new_versions, "new version");
        let causes = self.versions.text();
        if !causes.is_empty() {
            versions.push_str(&format!(" ({causes})"));
        }
        let mut parts = vec![versions];
        parts.extend(self.versions.money.iter().flat_map(MoneyChanges::texts));
        if self.counts.new_facts > 0 {
            parts.push(count(self.counts.new_facts, "new fact"));
        }
        parts.push(count(self.native_rows, "native row"));
        parts.push(count(self.rejects, "reject"));
        if self.slices_doubtful > 0 {
            parts.push(count(self.slices_doubtful, "doubtful slice"));
        }
        // A build maps history, most of which is older than what the tables hold.
        if self.older > 0 && self.verb == Verb::Run {
            parts.push(format!("{} older than the tables and skipped", thousands(self.older)));
        }
        parts.join(", ")
    }

    /// Which values were odd and were read all the same, for people; none if there are none.
    pub fn notes_line(&self) -> Option<String> {
        let kinds: Vec<String> = self.counts.notes.kinds().map(|(kind, values)| kind.count(values)).collect();
        (!kinds.is_empty()).then(|| kinds.join(", "))
    }

    /// Takes over what guests took.
    pub(super) fn set_time(&mut self, took: ProcessorTime) {
        self.guest_cpu_ms = usage::millis(took.guest);
    }

    /// Takes over what the tables' writer counted.
    pub(super) fn count(&mut self, counts: Counts) {
        self.counts = counts;
        self.native_rows = counts.native_written;
        self.new_versions = counts.new_versions;
        self.versions = counts.causes.into();
        self.rejects = counts.rejects;
        self.decode_notes = counts.notes.kinds().map(|(kind, values)| (kind.name(), values)).collect();
        self.older = counts.older;
        if counts.beyond_columns > 0 {
            self.warnings.push(format!(
                "{} native records have fields without a column of their own: these are in `_rest`, because the table has \
                 as many columns as `columns_per_table` allows",
                thousands(counts.beyond_columns)
            ));
        }
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
            self.exit = match self.status {
                "done" => error.exit,
                _ if self.exit == error.exit => self.exit,
                _ => Exit::Failed,
            };
            self.status = if self.status != "failed" && error.kind == ErrorKind::Doubt { "doubtful" } else { "failed" };
            texts
                .push((error.kind, slice.iter().fold(error.message.clone(), |text, slice| format!("{slice}: {text}"))));
            // There may be a hundred thousand.
            if texts.len() == 2 * MOST_ERRORS {
                texts.sort();
                texts.truncate(MOST_ERRORS);
            }
            let (kind, message) = (error.kind, error.message.clone());
            let group = grouped.entry((kind, message.clone())).or_insert_with(|| RunFailure::new(kind, message));
            group.count += 1;
            // The slice that is first, with its response.
            if group.slice.is_none() || slice.is_some() && slice < group.slice {
                (group.slice, group.raw_object) = (slice, error.raw_object.clone());
            }
            // One that is behind so many others stays there.
            if grouped.len() > MOST_ERRORS {
                grouped.pop_last();
            }
        }
        let Some(((kind, _), _)) = grouped.first_key_value() else { return };
        let is_first = self.error_kind.is_none_or(|before| *kind < before);
        self.error_kind = Some(*kind);
        self.failures = grouped.into_values().take(MOST_ERRORS).collect();
        for failure in self.failures.iter_mut().filter(|failure| failure.kind == ErrorKind::Doubt) {
            let id = failure.slice.as_ref().map(|slice| doubt_id_of(&self.run_id, slice));
            failure.command = id.map(|id| format!("sluice doubts show {id}"));
        }
        texts.sort();
        let texts = texts.into_iter().map(|(_, text)| text);
        // The first text is of the run's kind.
        let at = if is_first { 0 } else { self.errors.len() };
        self.errors.splice(at..at, texts);
        self.errors.truncate(MOST_ERRORS);
    }
}

#[cfg(test)]
mod tests;
