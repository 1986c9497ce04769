//! `meta.resolved_rejects`: outcomes of rejects that were retried. The rejects themselves stay.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;

use super::requests::column;
use super::rows::{text, time};
use super::tables::RESOLVED_REJECTS;
use crate::error::Error;
use crate::index::{keys_of, unreadable, wrong};
use crate::lake::Lake;
use crate::lineage::binary;
use crate::scan::stream_rows;
use crate::table::Fence;

/// A record that could not be mapped, as `meta.rejects` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectRow {
    /// What names it among all.
    pub key: u128,
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// The run that fetched its response.
    pub run_id: String,
    /// The id of the request that it answers.
    pub request_id: String,
    /// Digest of the response's body.
    pub raw_object: String,
    /// Its place in the response, from 0; [`RejectRow::WHOLE`] for all of it.
    pub record_index: i64,
    /// Why.
    pub reason: String,
    /// When the response was observed.
    pub observed_at: DateTime<Utc>,
    /// The version of the connector that could not map it.
    pub connector_version: String,
}

/// The outcome of a reject that was retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was mapped.
    Mapped,
    /// It was rejected for another reason, which has a row of its own.
    Superseded,
    /// It is rejected again, though it had been mapped.
    Reopened,
}

impl Resolution {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Superseded => "superseded",
            Self::Reopened => "reopened",
        }
    }
}

impl RejectRow {
    /// The place of a response that could not be mapped at all.
    pub const WHOLE: i64 = -1;
}

impl Lake {
    /// The open rejects, oldest first; of one network or all.
    pub async fn open_rejects(&self, network: Option<&str>) -> Result<Vec<RejectRow>, Error> {
        let resolved = self.resolved_rejects().await?;
        let table = self.system_table("rejects").await?;
        let mut open = Vec::new();
        for file in table.files() {
            let of = file.partitions.get("network").cloned().flatten().unwrap_or_default();
            if network.is_some_and(|network| network != of) {
                continue;
            }
            let failed = |source| unreadable(&table, &file.path, source);
            let mut batches = stream_rows(table.store(), &file.path).await.map_err(failed)?;
            while let Some(rows) = batches.try_next().await.map_err(failed)? {
                let texts = ["account", "stream", "run_id", "request_id", "raw_object", "reason", "connector_version"];
                let texts = texts.iter().map(|name| column(&rows, name)).collect::<Result<Vec<_>, _>>()?;
                let places = rows.column_by_name("record_index").and_then(|c| c.as_primitive_opt::<Int64Type>());
                let places = places.ok_or_else(|| wrong(&table, "record_index", "an integer"))?;
                let times = rows.column_by_name("observed_at");
                let times = times.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
                let times = times.ok_or_else(|| wrong(&table, "observed_at", "a timestamp"))?;
                for (row, key) in keys_of(&table, &rows, "_key")?.into_iter().enumerate() {
                    let text = |place: usize| texts[place].value(row).to_owned();
                    if !resolved.contains_key(&key) {
                        open.push(RejectRow {
                            key,
                            network: of.clone(),
                            account: text(0),
                            stream: text(1),
                            run_id: text(2),
                            request_id: text(3),
                            raw_object: text(4),
                            record_index: places.value(row),
                            reason: text(5),
                            observed_at: DateTime::from_timestamp_micros(times.value(row)).unwrap_or_default(),
                            connector_version: text(6),
                        });
                    }
                }
            }
        }
        open.sort_by(|a, b| {
            (a.observed_at, &a.raw_object, a.record_index).cmp(&(b.observed_at, &b.raw_object, b.record_index))
        });
        Ok(open)
    }

    /// The rejects that have an outcome and weren't reopened since, with when.
    pub(crate) async fn resolved_rejects(&self) -> Result<HashMap<u128, i64>, Error> {
        let table = self.system_table("resolved_rejects").await?;
        let mut latest: HashMap<u128, (i64, bool)> = HashMap::new();
        for file in table.files() {
            let failed = |source| unreadable(&table, &file.path, source);
            let mut batches = stream_rows(table.store(), &file.path).await.map_err(failed)?;
            while let Some(rows) = batches.try_next().await.map_err(failed)? {
                let outcomes = column(&rows, "outcome")?;
                let times = rows.column_by_name("resolved_at");
                let times = times.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
                let times = times.ok_or_else(|| wrong(&table, "resolved_at", "a timestamp"))?;
                for (row, key) in keys_of(&table, &rows, "_key")?.into_iter().enumerate() {
                    let (at, open) = (times.value(row), outcomes.value(row) == Resolution::Reopened.name());
                    let known = latest.entry(key).or_insert((at, open));
                    if at >= known.0 {
                        *known = (at, open);
                    }
                }
            }
        }
        Ok(latest.into_iter().filter(|(_, (_, open))| !open).map(|(key, (at, _))| (key, at)).collect())
    }

    /// Records the outcomes of rejects, by their keys. `fence`: of the lease under which they were tried.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another process has taken the lease over.
    pub async fn resolve_rejects(
        &self,
        network: &str,
        rows: &[(u128, Resolution)],
        run_id: &str,
        at: DateTime<Utc>,
        fence: Option<Fence>,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = [
            ("network", text(rows, |_| Some(network.to_owned()))),
            ("_key", binary(rows.iter().map(|(key, _)| *key))),
            ("outcome", text(rows, |(_, resolution)| Some(resolution.name().to_owned()))),
            ("resolved_at", time(rows, |_| at)),
            ("resolved_run", text(rows, |_| Some(run_id.to_owned()))),
        ];
        self.append_rows_under("meta", "resolved_rejects", RESOLVED_REJECTS.rows(columns)?, fence).await
    }
}
