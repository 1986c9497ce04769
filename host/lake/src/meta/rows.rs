//! Rows of the small system tables.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};
use sluice_model::{Axis, Digest, ErrorKind, Slice, Window};

use super::requests::{column, may_hold, read, times};
use super::tables::{COLUMNS, CONNECTORS, COVERAGE, RUNS};
use crate::counts::Counts;
use crate::error::Error;
use crate::lake::Lake;
use crate::native::NewColumn;
use crate::table::Fence;

/// Schema, table and name of a column.
pub(crate) type ColumnPlace = (String, String, String);

/// A run, in `meta.runs`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// By which other tables name it.
    pub run_id: String,
    /// The network as the operator names it.
    pub network: String,
    /// The command: `collect`, `build`, `run`, `replay` …
    pub command: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// `done`, `failed`, `partial`.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<String>,
    /// What that needs.
    pub error_kind: Option<ErrorKind>,
    /// The version of the connector, as its manifest names it.
    pub connector_version: Option<String>,
    /// BLAKE3 of the connector's component.
    pub connector_digest: Option<Digest>,
    /// How many slices it had.
    pub slices: u64,
    /// Slices of which a request failed.
    pub slices_failed: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Body bytes that came off the wire.
    pub bytes: u64,
    /// Processor time of guests and of decoding for them, in milliseconds; none where it wasn't counted.
    pub guest_cpu_ms: Option<u64>,
    /// What its ledger did.
    pub counts: Counts,
    /// What each account used, by its id; empty for a run that asked no network.
    pub usage: BTreeMap<String, AccountUsage>,
}

/// What an account used in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountUsage {
    /// Requests that were sent.
    pub requests: u64,
    /// Body bytes that came off the wire.
    pub bytes: u64,
    /// Processor time of guests and of decoding for them, in milliseconds.
    pub guest_cpu_ms: u64,
    /// Processor time of the host's own work on the account's slices, in milliseconds.
    pub host_cpu_ms: u64,
    /// Records in the responses.
    pub records: u64,
    /// Bytes that were added to raw.
    pub stored_bytes: u64,
}

impl RunRow {
    /// The usage as text: a line per account, its values separated by tabs, in the order of [`AccountUsage`]'s fields. None
    /// if there is none.
    fn usage_text(&self) -> Option<String> {
        let line = |(account, usage): (&String, &AccountUsage)| {
            let AccountUsage { requests, bytes, guest_cpu_ms, host_cpu_ms, records, stored_bytes } = usage;
            format!("{account}\t{requests}\t{bytes}\t{guest_cpu_ms}\t{host_cpu_ms}\t{records}\t{stored_bytes}")
        };
        let lines: Vec<String> = self.usage.iter().map(line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Slices of a run that are in `meta.coverage`: account, stream, axis, and when each was read, which distinguishes those of one
/// run.
#[derive(Clone, Debug, Default)]
pub struct Covered(HashSet<(String, String, String, i64)>);

impl Covered {
    /// Whether a slice is among them.
    pub fn has(&self, row: &CoverageRow) -> bool {
        let axis = row.axis.name().to_owned();
        self.0.contains(&(row.account.clone(), row.stream.clone(), axis, row.read_at.timestamp_micros()))
    }
}

/// A connector version that became active, in `meta.connectors`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectorRow {
    /// Its network id.
    pub network: String,
    /// Its version, as its manifest states it.
    pub version: String,
    /// Its component's digest.
    pub digest: Digest,
    /// When it became active.
    pub activated_at: DateTime<Utc>,
    /// The file that it came from.
    pub source: Option<String>,
}

/// A slice that was read, in `meta.coverage`.
#[derive(Clone, Debug, PartialEq)]
pub struct CoverageRow {
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// The date that the window filters on.
    pub axis: Axis,
    /// The window: since ≤ t < until.
    pub window: Window,
    /// The run that read it.
    pub run_id: String,
    /// When it was read to its end.
    pub read_at: DateTime<Utc>,
    /// Requests that were sent, retries included.
    pub requests: u64,
    /// Records in the answers.
    pub records: u64,
    /// Whether all of the window was answered and is in the tables.
    pub complete: bool,
    /// Why it isn't complete.
    pub error: Option<String>,
    /// What that needs.
    pub error_kind: Option<ErrorKind>,
}

impl CoverageRow {
    /// A slice that was read whole, without requests and records counted yet. `window`: what of its own it covers.
    pub fn of(slice: &Slice, window: Window, run_id: &str, read_at: DateTime<Utc>) -> Self {
        Self {
            network: slice.network.clone(),
            account: slice.account.clone(),
            stream: slice.stream.clone(),
            axis: slice.axis,
            window,
            run_id: run_id.to_owned(),
            read_at,
            requests: 0,
            records: 0,
            complete: true,
            error: None,
            error_kind: None,
        }
    }
}

impl Lake {
    /// Notes runs in `meta.runs`. `fence`: of the lease that they hold.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another process has taken the lease over: it notes the run itself.
    pub async fn append_runs(&self, rows: &[RunRow], fence: Option<Fence>) -> Result<(), Error> {
        let digest = |row: &RunRow| row.connector_digest.map(Digest::to_hex);
        let columns = [
            ("run_id", text(rows, |row| Some(row.run_id.clone()))),
            ("network", text(rows, |row| Some(row.network.clone()))),
            ("command", text(rows, |row| Some(row.command.clone()))),
            ("started_at", time(rows, |row| row.started_at)),
            ("finished_at", time(rows, |row| row.finished_at)),
            ("outcome", text(rows, |row| Some(row.outcome.clone()))),
            ("error", text(rows, |row| row.error.clone())),
            ("connector_version", text(rows, |row| row.connector_version.clone())),
            ("connector_digest", text(rows, digest)),
            ("slices", count(rows, |row| row.slices)),
            ("slices_failed", count(rows, |row| row.slices_failed)),
            ("requests", count(rows, |row| row.requests)),
            ("bytes", count(rows, |row| row.bytes)),
            ("native_rows", count(rows, |row| row.counts.native_rows)),
            ("native_written", count(rows, |row| row.counts.native_written)),
            ("transactions", count(rows, |row| row.counts.transactions)),
            ("new_versions", count(rows, |row| row.counts.new_versions)),
            ("rejects", count(rows, |row| row.counts.rejects)),
            ("decode_notes", count(rows, |row| row.counts.notes.total())),
            ("guest_cpu_ms", some_count(rows, |row| row.guest_cpu_ms)),
            ("error_kind", text(rows, |row| row.error_kind.map(|kind| kind.name().to_owned()))),
            ("usage", text(rows, RunRow::usage_text)),
        ];
        self.append_rows_under("meta", "runs", RUNS.rows(columns)?, fence).await
    }

    /// Notes connectors that became active in `meta.connectors`.
    pub async fn append_connectors(&self, rows: &[ConnectorRow]) -> Result<(), Error> {
        let columns = [
            ("network", text(rows, |row| Some(row.network.clone()))),
            ("version", text(rows, |row| Some(row.version.clone()))),
            ("digest", text(rows, |row| Some(row.digest.to_hex()))),
            ("activated_at", time(rows, |row| row.activated_at)),
            ("source", text(rows, |row| row.source.clone())),
        ];
        self.append_rows("meta", "connectors", CONNECTORS.rows(columns)?).await
    }

    /// Notes what was read in `meta.coverage`, and folds it into `meta.coverage_state`.
    pub async fn append_coverage(&self, rows: &[CoverageRow]) -> Result<(), Error> {
        self.append_coverage_under(rows, None).await?;
        self.fold_coverage().await
    }

    /// The same for rows of one run of which some may be there, under a lease: what is there isn't noted twice.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another process has taken the lease over.
    pub async fn append_coverage_once(&self, rows: &[CoverageRow], fence: Option<&Fence>) -> Result<(), Error> {
        let Some(first) = rows.first() else { return Ok(()) };
        let covered = self.covered(&first.run_id).await?;
        let new: Vec<CoverageRow> = rows.iter().filter(|row| !covered.has(row)).cloned().collect();
        self.append_coverage_under(&new, fence.cloned()).await?;
        self.fold_coverage().await
    }

    /// Appends rows of a run that holds a lease to `meta.coverage` alone: [`crate::follow::Followers`] fold them.
    pub(crate) async fn append_coverage_under(&self, rows: &[CoverageRow], fence: Option<Fence>) -> Result<(), Error> {
        let columns = [
            ("network", text(rows, |row| Some(row.network.clone()))),
            ("account", text(rows, |row| Some(row.account.clone()))),
            ("stream", text(rows, |row| Some(row.stream.clone()))),
            ("axis", text(rows, |row| Some(row.axis.name().to_owned()))),
            ("since", time(rows, |row| row.window.since)),
            ("until", time(rows, |row| row.window.until)),
            ("run_id", text(rows, |row| Some(row.run_id.clone()))),
            ("read_at", time(rows, |row| row.read_at)),
            ("requests", count(rows, |row| row.requests)),
            ("records", count(rows, |row| row.records)),
            ("complete", flag(rows, |row| row.complete)),
            ("error", text(rows, |row| row.error.clone())),
            ("error_kind", text(rows, |row| row.error_kind.map(|kind| kind.name().to_owned()))),
        ];
        self.append_rows_under("meta", "coverage", COVERAGE.rows(columns)?, fence).await
    }

    /// Whether `meta.runs` has a run.
    pub async fn runs_have(&self, run_id: &str) -> Result<bool, Error> {
        self.meta_has("runs", "run_id", run_id).await
    }

    /// What `meta.coverage` has of a run that was interrupted.
    pub async fn covered(&self, run_id: &str) -> Result<Covered, Error> {
        let table = self.system_table("coverage").await?;
        let mut covered = Covered::default();
        for file in table.files().iter().filter(|file| may_hold(file, "run_id", run_id)) {
            for rows in read(&table, file, &["run_id", "account", "stream", "axis", "read_at"]).await? {
                let texts = ["run_id", "account", "stream", "axis"].map(|name| column(&rows, name));
                let [runs, accounts, streams, axes] = texts;
                let (runs, accounts, streams, axes, read_at) =
                    (runs?, accounts?, streams?, axes?, times(&rows, "read_at")?);
                for row in (0..rows.num_rows()).filter(|row| runs.value(*row) == run_id) {
                    let [account, stream, axis] = [accounts, streams, axes].map(|texts| texts.value(row).to_owned());
                    covered.0.insert((account, stream, axis, read_at.value(row)));
                }
            }
        }
        Ok(covered)
    }

    /// Whether `meta.connectors` has a connector.
    pub async fn connectors_have(&self, digest: Digest) -> Result<bool, Error> {
        self.meta_has("connectors", "digest", &digest.to_hex()).await
    }

    async fn meta_has(&self, name: &str, key: &str, value: &str) -> Result<bool, Error> {
        let table = self.system_table(name).await?;
        for file in table.files().iter().filter(|file| may_hold(file, key, value)) {
            for rows in read(&table, file, &[key]).await? {
                if column(&rows, key)?.iter().flatten().any(|text| text == value) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The columns in `meta.columns`.
    pub(crate) async fn noted_columns(&self) -> Result<HashSet<ColumnPlace>, Error> {
        let table = self.system_table("columns").await?;
        let mut noted = HashSet::new();
        for file in table.files() {
            for rows in read(&table, &file, &["network", "stream", "column"]).await? {
                let names = ["network", "stream", "column"].map(|name| column(&rows, name));
                let [network, stream, name] = names;
                let places = network?.iter().zip(stream?.iter()).zip(name?.iter());
                noted.extend(places.filter_map(|((network, stream), name)| {
                    Some((network?.to_owned(), stream?.to_owned(), name?.to_owned()))
                }));
            }
        }
        Ok(noted)
    }

    /// Notes columns that a native table got in `meta.columns`.
    pub(crate) async fn append_columns(&self, schema: &str, table: &str, rows: &[NewColumn]) -> Result<(), Error> {
        let now = Utc::now();
        let columns = [
            ("network", text(rows, |_| Some(schema.to_owned()))),
            ("stream", text(rows, |_| Some(table.to_owned()))),
            ("column", text(rows, |row| Some(row.name.clone()))),
            ("path", text(rows, |row| row.path.clone())),
            ("type", text(rows, |row| Some(row.kind.to_owned()))),
            ("first_seen", time(rows, |_| now)),
            ("example", text(rows, |row| row.example.clone())),
        ];
        self.append_rows("meta", "columns", COLUMNS.rows(columns)?).await
    }
}

pub(super) fn text<T>(rows: &[T], of: impl Fn(&T) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

pub(super) fn time<T>(rows: &[T], of: impl Fn(&T) -> DateTime<Utc>) -> ArrayRef {
    let micros = rows.iter().map(|row| of(row).timestamp_micros());
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

pub(super) fn count<T>(rows: &[T], of: impl Fn(&T) -> u64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::try_from(of(row)).unwrap_or(i64::MAX))))
}

fn some_count<T>(rows: &[T], of: impl Fn(&T) -> Option<u64>) -> ArrayRef {
    let counts = rows.iter().map(|row| of(row).map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
    Arc::new(counts.collect::<Int64Array>())
}

pub(super) fn flag<T>(rows: &[T], of: impl Fn(&T) -> bool) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(of(row))).collect::<BooleanArray>())
}
