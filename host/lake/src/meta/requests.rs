//! `meta.requests`: one row per envelope, so that raw can be found without opening every one.

use std::collections::{BTreeSet, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use sluice_model::RawObject;

use super::rows::{count, flag, text, time};
use super::tables::REQUESTS;
use crate::error::Error;
use crate::lake::Lake;
use crate::raw::RawFilter;
use crate::scan::read_columns;
use crate::table::{DataFile, Table};

const TABLE: &str = "meta.requests";

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
    pub async fn index_requests(&self, run_id: &str) -> Result<usize, Error> {
        let table = self.system_table("requests").await?;
        let mut known: HashSet<String> = HashSet::new();
        for file in table.files().iter().filter(|file| may_hold(file, "run_id", run_id)) {
            for rows in read(&table, file, &["envelope"]).await? {
                let envelopes = column(&rows, "envelope")?;
                known.extend(envelopes.iter().flatten().map(str::to_owned));
            }
        }
        let mut envelopes = self.envelopes(run_id).await?;
        envelopes.retain(|(path, _)| !known.contains(path.as_ref()));
        if !envelopes.is_empty() {
            self.append_rows("meta", "requests", rows_of(&envelopes)?).await?;
        }
        Ok(envelopes.len())
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

fn rows_of(envelopes: &[(Path, RawObject)]) -> Result<RecordBatch, Error> {
    let columns = [
        ("run_id", text(envelopes, |(_, raw)| Some(raw.run_id.clone()))),
        ("request_id", text(envelopes, |(_, raw)| Some(raw.request_id.clone()))),
        ("attempt", count(envelopes, |(_, raw)| u64::from(raw.attempt))),
        ("network", text(envelopes, |(_, raw)| Some(raw.slice.network.clone()))),
        ("account", text(envelopes, |(_, raw)| Some(raw.slice.account.clone()))),
        ("stream", text(envelopes, |(_, raw)| Some(raw.slice.stream.clone()))),
        ("axis", text(envelopes, |(_, raw)| Some(raw.slice.axis.name().to_owned()))),
        ("window_since", time(envelopes, |(_, raw)| raw.slice.window.since)),
        ("window_until", time(envelopes, |(_, raw)| raw.slice.window.until)),
        ("request_key", text(envelopes, |(_, raw)| Some(raw.request.key.clone()))),
        ("method", text(envelopes, |(_, raw)| Some(raw.sent.method.clone()))),
        ("url", text(envelopes, |(_, raw)| Some(raw.sent.url.clone()))),
        ("sent_at", time(envelopes, |(_, raw)| raw.sent_at)),
        ("received_at", time(envelopes, |(_, raw)| raw.received_at)),
        ("status", count(envelopes, |(_, raw)| u64::from(raw.status))),
        ("raw_object", text(envelopes, |(_, raw)| Some(raw.body.to_hex()))),
        ("body_bytes", count(envelopes, |(_, raw)| raw.body_bytes)),
        ("masked", flag(envelopes, |(_, raw)| raw.masked)),
        ("outcome", text(envelopes, |(_, raw)| Some(raw.outcome.clone()))),
        ("connector_version", text(envelopes, |(_, raw)| Some(raw.connector_version.clone()))),
        ("connector_digest", text(envelopes, |(_, raw)| Some(raw.connector_digest.to_hex()))),
        ("envelope", text(envelopes, |(path, _)| Some(path.to_string()))),
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
