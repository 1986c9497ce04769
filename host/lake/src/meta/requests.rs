//! `meta.requests`: one row per envelope, so that raw can be found without opening every one.

use std::collections::{BTreeSet, HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use sluice_model::{Axis, Digest, RawObject, Window};

use super::rows::{count, flag, text, time};
use super::tables::REQUESTS;
use crate::error::Error;
use crate::lake::Lake;
use crate::raw::RawFilter;
use crate::scan::read_columns;
use crate::table::{DataFile, Fence, Table};

const TABLE: &str = "meta.requests";
/// Rows that one commit of the table has at most.
const ROWS_AT_ONCE: usize = 1_000;
/// The longest beginning of a URL that the table has; the envelope has it whole.
const MAX_URL_BYTES: usize = 4 << 10;

/// Envelopes that the table knows of.
#[derive(Default)]
pub(crate) struct Indexed {
    /// When each was received, and where it is.
    pub(crate) envelopes: Vec<(DateTime<Utc>, Path)>,
    /// The runs that the table knows of, sorted.
    pub(crate) runs: Vec<String>,
}

impl Lake {
    /// Notes the envelopes of a run that is over in `meta.requests`, those that aren't there yet. Returns their number.
    pub async fn index_requests(&self, run_id: &str, fence: Option<&Fence>) -> Result<usize, Error> {
        let table = self.system_table("requests").await?;
        let mut known: HashSet<String> = HashSet::new();
        for file in table.files().iter().filter(|file| may_hold(file, "run_id", run_id)) {
            for rows in read(&table, file, &["envelope"]).await? {
                let envelopes = column(&rows, "envelope")?;
                known.extend(envelopes.iter().flatten().map(str::to_owned));
            }
        }
        // Envelopes come one by one, and of each only what becomes a row is kept: its request may have megabytes.
        let mut indexed = 0;
        let mut rows: Vec<RequestRow> = Vec::new();
        let mut envelopes = self.envelopes(run_id).await?;
        while let Some((path, object)) = envelopes.try_next().await? {
            if known.contains(path.as_ref()) {
                continue;
            }
            indexed += 1;
            rows.push(RequestRow::of(&path, object));
            if rows.len() == ROWS_AT_ONCE {
                self.append_requests(&mut rows, fence).await?;
            }
        }
        self.append_requests(&mut rows, fence).await?;
        Ok(indexed)
    }

    async fn append_requests(&self, rows: &mut Vec<RequestRow>, fence: Option<&Fence>) -> Result<(), Error> {
        let mut rows = std::mem::take(rows);
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by(|a, b| (a.received_at, &a.envelope).cmp(&(b.received_at, &b.envelope)));
        self.append_rows_under("meta", "requests", rows_of(&rows)?, fence.cloned()).await
    }

    /// The envelopes in `meta.requests` that a filter selects.
    pub(crate) async fn indexed_envelopes(&self, filter: &RawFilter) -> Result<Indexed, Error> {
        let table = self.system_table("requests").await?;
        let mut found = Indexed::default();
        let mut runs: BTreeSet<String> = BTreeSet::new();
        let names = [
            "run_id",
            "network",
            "account",
            "stream",
            "outcome",
            "window_since",
            "window_until",
            "received_at",
            "envelope",
        ];
        let wanted = |file: &&DataFile| filter.run_id.as_deref().is_none_or(|run_id| may_hold(file, "run_id", run_id));
        for file in table.files().iter().filter(wanted) {
            for rows in read(&table, file, &names).await? {
                find(&rows, filter, &mut found.envelopes, &mut runs)?;
            }
        }
        found.runs = runs.into_iter().collect();
        Ok(found)
    }

    /// When the newest response of a network came that `meta.requests` knows of, up to a moment.
    pub async fn last_received(&self, network: &str, until: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Error> {
        let table = self.system_table("requests").await?;
        let mut last: Option<i64> = None;
        for file in table.files().iter().filter(|file| may_hold(file, "network", network)) {
            if last.is_some() && last_in(file) <= last {
                continue;
            }
            for rows in read(&table, file, &["network", "received_at"]).await? {
                let (networks, received) = (column(&rows, "network")?, times(&rows, "received_at")?);
                let of_network = (0..rows.num_rows()).filter(|row| networks.value(*row) == network);
                let up_to = of_network.map(|row| received.value(row)).filter(|at| *at <= until.timestamp_micros());
                last = last.max(up_to.max());
            }
        }
        Ok(last.and_then(DateTime::from_timestamp_micros))
    }

    /// Gives each envelope in `meta.requests` and the digest of its body to `take`.
    pub(crate) async fn each_indexed_body(&self, mut take: impl FnMut(&str, &str)) -> Result<(), Error> {
        let table = self.system_table("requests").await?;
        for file in table.files() {
            for rows in read(&table, &file, &["envelope", "raw_object"]).await? {
                let (envelopes, bodies) = (column(&rows, "envelope")?, column(&rows, "raw_object")?);
                for (envelope, body) in envelopes.iter().zip(bodies) {
                    take(envelope.unwrap_or_default(), body.unwrap_or_default());
                }
            }
        }
        Ok(())
    }
}

/// The network of each run in `meta.requests`.
pub(crate) async fn networks_of_requests(table: &Table) -> Result<HashMap<String, String>, Error> {
    let mut networks: HashMap<String, String> = HashMap::new();
    for file in table.files() {
        for rows in read(table, &file, &["run_id", "network"]).await? {
            for (run, network) in column(&rows, "run_id")?.iter().zip(column(&rows, "network")?) {
                if let (Some(run), Some(network)) = (run, network)
                    && !networks.contains_key(run)
                {
                    networks.insert(run.to_owned(), network.to_owned());
                }
            }
        }
    }
    Ok(networks)
}

fn find(
    rows: &RecordBatch,
    filter: &RawFilter,
    envelopes: &mut Vec<(DateTime<Utc>, Path)>,
    runs: &mut BTreeSet<String>,
) -> Result<(), Error> {
    let run_ids = column(rows, "run_id")?;
    for run_id in run_ids.iter().flatten() {
        if !runs.contains(run_id) {
            runs.insert(run_id.to_owned());
        }
    }
    let texts = ["network", "account", "stream"].map(|name| column(rows, name));
    let [networks, accounts, streams] = texts;
    let wanted = [
        (networks?, &filter.network),
        (accounts?, &filter.account),
        (streams?, &filter.stream),
        (run_ids, &filter.run_id),
    ];
    let (outcomes, paths) = (column(rows, "outcome")?, column(rows, "envelope")?);
    let (since, until) = (times(rows, "window_since")?, times(rows, "window_until")?);
    let received = times(rows, "received_at")?;
    for row in 0..rows.num_rows() {
        let fits = outcomes.value(row) == "answered"
            && wanted.iter().all(|(texts, want)| want.as_deref().is_none_or(|want| texts.value(row) == want))
            && filter.since.is_none_or(|from| until.value(row) > from.timestamp_micros())
            && filter.until.is_none_or(|to| since.value(row) < to.timestamp_micros());
        if let (true, Some(at)) = (fits, DateTime::from_timestamp_micros(received.value(row))) {
            envelopes.push((at, Path::from(paths.value(row))));
        }
    }
    Ok(())
}

/// What of an envelope is a row.
struct RequestRow {
    run_id: String,
    request_id: String,
    attempt: u32,
    network: String,
    account: String,
    stream: String,
    axis: Axis,
    window: Window,
    request_key: String,
    method: String,
    url: String,
    sent_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    status: u16,
    body: Digest,
    body_bytes: u64,
    masked: bool,
    outcome: String,
    connector_version: String,
    connector_digest: Digest,
    envelope: String,
}

impl RequestRow {
    fn of(path: &Path, raw: RawObject) -> Self {
        let mut url = raw.sent.url;
        url.truncate(url.floor_char_boundary(MAX_URL_BYTES));
        url.shrink_to_fit();
        Self {
            run_id: raw.run_id,
            request_id: raw.request_id,
            attempt: raw.attempt,
            network: raw.slice.network,
            account: raw.slice.account,
            stream: raw.slice.stream,
            axis: raw.slice.axis,
            window: raw.slice.window,
            request_key: raw.request.key,
            method: raw.sent.method,
            url,
            sent_at: raw.sent_at,
            received_at: raw.received_at,
            status: raw.status,
            body: raw.body,
            body_bytes: raw.body_bytes,
            masked: raw.masked,
            outcome: raw.outcome,
            connector_version: raw.connector_version,
            connector_digest: raw.connector_digest,
            envelope: path.to_string(),
        }
    }
}

fn rows_of(rows: &[RequestRow]) -> Result<RecordBatch, Error> {
    let columns = [
        ("run_id", text(rows, |row| Some(row.run_id.clone()))),
        ("request_id", text(rows, |row| Some(row.request_id.clone()))),
        ("attempt", count(rows, |row| u64::from(row.attempt))),
        ("network", text(rows, |row| Some(row.network.clone()))),
        ("account", text(rows, |row| Some(row.account.clone()))),
        ("stream", text(rows, |row| Some(row.stream.clone()))),
        ("axis", text(rows, |row| Some(row.axis.name().to_owned()))),
        ("window_since", time(rows, |row| row.window.since)),
        ("window_until", time(rows, |row| row.window.until)),
        ("request_key", text(rows, |row| Some(row.request_key.clone()))),
        ("method", text(rows, |row| Some(row.method.clone()))),
        ("url", text(rows, |row| Some(row.url.clone()))),
        ("sent_at", time(rows, |row| row.sent_at)),
        ("received_at", time(rows, |row| row.received_at)),
        ("status", count(rows, |row| u64::from(row.status))),
        ("raw_object", text(rows, |row| Some(row.body.to_hex()))),
        ("body_bytes", count(rows, |row| row.body_bytes)),
        ("masked", flag(rows, |row| row.masked)),
        ("outcome", text(rows, |row| Some(row.outcome.clone()))),
        ("connector_version", text(rows, |row| Some(row.connector_version.clone()))),
        ("connector_digest", text(rows, |row| Some(row.connector_digest.to_hex()))),
        ("envelope", text(rows, |row| Some(row.envelope.clone()))),
    ];
    REQUESTS.rows(columns)
}

/// Whether a file may hold a text in a column, by its statistics.
pub(super) fn may_hold(file: &DataFile, column: &str, value: &str) -> bool {
    let stats = file.stats.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let Some(stats) = stats else { return true };
    let bound = |which: &str| stats.get(which).and_then(|values| values.get(column)).and_then(|text| text.as_str());
    match (bound("minValues"), bound("maxValues")) {
        // A bound may be cut off, so a value that begins with it may lie beyond it.
        (Some(least), Some(greatest)) => least <= value && (value <= greatest || value.starts_with(greatest)),
        _ => true,
    }
}

/// When the last response of a file was received at the latest, in microseconds, by its statistics: they are cut at
/// milliseconds. Beyond all times without them.
fn last_in(file: &DataFile) -> Option<i64> {
    let greatest = || {
        let stats: serde_json::Value = serde_json::from_str(file.stats.as_deref()?).ok()?;
        let text = stats.get("maxValues")?.get("received_at")?.as_str()?.to_owned();
        Some(DateTime::parse_from_rfc3339(&text).ok()?.timestamp_micros() + 1_000)
    };
    Some(greatest().unwrap_or(i64::MAX))
}

pub(super) async fn read(table: &Table, file: &DataFile, names: &[&str]) -> Result<Vec<RecordBatch>, Error> {
    let failed = |source| Error::DataFile { table: TABLE.to_owned(), path: file.path.to_string(), source };
    read_columns(table.store(), &file.path, names).await.map_err(failed)
}

fn wrong(name: &str, expected: &str) -> Error {
    Error::Column {
        table: TABLE.to_owned(),
        column: name.to_owned(),
        found: "something else".to_owned(),
        expected: expected.to_owned(),
    }
}

pub(super) fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::StringArray, Error> {
    rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).ok_or_else(|| wrong(name, "text"))
}

pub(super) fn times<'a>(
    rows: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow::array::TimestampMicrosecondArray, Error> {
    rows.column_by_name(name)
        .filter(|column| column.null_count() == 0)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| wrong(name, "a timestamp"))
}
