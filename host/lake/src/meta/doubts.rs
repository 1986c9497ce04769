//! `meta.doubt_events`: slices whose answers were doubted, and what was decided of them. The SQL view `meta.doubts` shows
//! the last event of each doubt.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sluice_model::Window;

use super::requests::{column, times};
use super::rows::{count, text, time};
use super::tables::DOUBT_EVENTS;
use crate::error::Error;
use crate::index::{unreadable, wrong};
use crate::lake::Lake;
use crate::scan::stream_rows;
use crate::table::{Fence, Table};

/// What was decided of a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoubtState {
    /// Nothing yet: its rows aren't in the tables.
    Open,
    /// A later read of its window made it pointless.
    Superseded,
    /// Its rows are never committed.
    Rejected,
    /// Its rows were committed.
    Accepted,
}

impl DoubtState {
    /// Each once, the one that a doubt begins in first.
    pub const ALL: [Self; 4] = [Self::Open, Self::Superseded, Self::Rejected, Self::Accepted];

    /// Its name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
            Self::Accepted => "accepted",
        }
    }
}

/// A read of a slice that is doubted.
#[derive(Clone, Debug, PartialEq)]
pub struct DoubtRow {
    /// Names it among all.
    pub doubt_id: String,
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// The date that the window filters on.
    pub axis: String,
    /// The window: since ≤ t < until.
    pub window: Window,
    /// The run that read it.
    pub run_id: String,
    /// The rule that found it: `fill`, `currency` …; of several the first.
    pub kind: String,
    /// The path or column that it is about.
    pub field: Option<String>,
    /// Everything that is doubted, for people.
    pub reason: String,
    /// Ids of the requests whose responses are held back, as a JSON array.
    pub request_ids: String,
    /// Records in them.
    pub records: u64,
    /// Commission by currency that the tables hold of the window, as a JSON object.
    pub money_in_tables: String,
    /// Commission by currency that the held responses state, as a JSON object.
    pub money_in_answer: String,
    /// The version of the connector that mapped them.
    pub connector_version: String,
    /// When it was found.
    pub found_at: DateTime<Utc>,
    /// When the first of the reads was found doubtful that agree with this one without a clean read between them.
    pub agrees_since: DateTime<Utc>,
    /// What was decided.
    pub state: DoubtState,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// By whom: `operator`, a run, another doubt.
    pub decided_by: Option<String>,
    /// Why, for people.
    pub decision: Option<String>,
}

impl Lake {
    /// Appends events of doubts.
    ///
    /// # Errors
    /// The store's failure; [`Error::Fenced`] if another process has taken the lease over.
    pub async fn append_doubts(&self, rows: &[DoubtRow], fence: Option<Fence>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = [
            ("doubt_id", text(rows, |row| Some(row.doubt_id.clone()))),
            ("network", text(rows, |row| Some(row.network.clone()))),
            ("account", text(rows, |row| Some(row.account.clone()))),
            ("stream", text(rows, |row| Some(row.stream.clone()))),
            ("axis", text(rows, |row| Some(row.axis.clone()))),
            ("since", time(rows, |row| row.window.since)),
            ("until", time(rows, |row| row.window.until)),
            ("run_id", text(rows, |row| Some(row.run_id.clone()))),
            ("kind", text(rows, |row| Some(row.kind.clone()))),
            ("field", text(rows, |row| row.field.clone())),
            ("reason", text(rows, |row| Some(row.reason.clone()))),
            ("request_ids", text(rows, |row| Some(row.request_ids.clone()))),
            ("records", count(rows, |row| row.records)),
            ("money_in_tables", text(rows, |row| Some(row.money_in_tables.clone()))),
            ("money_in_answer", text(rows, |row| Some(row.money_in_answer.clone()))),
            ("connector_version", text(rows, |row| Some(row.connector_version.clone()))),
            ("found_at", time(rows, |row| row.found_at)),
            ("agrees_since", time(rows, |row| row.agrees_since)),
            ("state", text(rows, |row| Some(row.state.name().to_owned()))),
            ("decided_at", some_time(rows, |row| row.decided_at)),
            ("decided_by", text(rows, |row| row.decided_by.clone())),
            ("decision", text(rows, |row| row.decision.clone())),
        ];
        self.append_rows_under("meta", "doubt_events", DOUBT_EVENTS.rows(columns)?, fence).await
    }

    /// All doubts as they now stand, oldest first; of one network or all.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn doubts(&self, network: Option<&str>) -> Result<Vec<DoubtRow>, Error> {
        let table = self.system_table("doubt_events").await?;
        let mut latest: BTreeMap<String, DoubtRow> = BTreeMap::new();
        for file in table.files() {
            let failed = |source| unreadable(&table, &file.path, source);
            let mut batches = stream_rows(table.store(), &file.path).await.map_err(failed)?;
            while let Some(rows) = batches.try_next().await.map_err(failed)? {
                for row in doubts_of(&table, &rows)? {
                    if network.is_some_and(|network| network != row.network) {
                        continue;
                    }
                    // A run that is resumed finds a doubt again that was decided meanwhile.
                    let order = |row: &DoubtRow| (row.decided_at.is_some(), row.decided_at);
                    match latest.get(&row.doubt_id) {
                        Some(known) if order(known) >= order(&row) => {}
                        _ => _ = latest.insert(row.doubt_id.clone(), row),
                    }
                }
            }
        }
        let mut doubts: Vec<DoubtRow> = latest.into_values().collect();
        doubts.sort_by(|a, b| (a.found_at, &a.doubt_id).cmp(&(b.found_at, &b.doubt_id)));
        Ok(doubts)
    }
}

fn some_time(rows: &[DoubtRow], of: impl Fn(&DoubtRow) -> Option<DateTime<Utc>>) -> ArrayRef {
    let micros = rows.iter().map(|row| of(row).map(|at| at.timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn doubts_of(table: &Table, rows: &RecordBatch) -> Result<Vec<DoubtRow>, Error> {
    const TEXTS: [&str; 16] = [
        "doubt_id",
        "network",
        "account",
        "stream",
        "axis",
        "run_id",
        "kind",
        "field",
        "reason",
        "request_ids",
        "money_in_tables",
        "money_in_answer",
        "connector_version",
        "state",
        "decided_by",
        "decision",
    ];
    let texts = TEXTS.iter().map(|name| column(rows, name)).collect::<Result<Vec<_>, _>>()?;
    let (since, until) = (times(rows, "since")?, times(rows, "until")?);
    let (found, agrees) = (times(rows, "found_at")?, times(rows, "agrees_since")?);
    let decided = rows.column_by_name("decided_at").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let decided = decided.ok_or_else(|| wrong(table, "decided_at", "a timestamp"))?;
    let records = rows.column_by_name("records").and_then(|c| c.as_primitive_opt::<Int64Type>());
    let records = records.ok_or_else(|| wrong(table, "records", "an integer"))?;
    let at = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap_or_default();
    let row = |row: usize| {
        let some = |place: usize| texts[place].is_valid(row).then(|| texts[place].value(row).to_owned());
        let text = |place: usize| some(place).unwrap_or_default();
        let state = text(13);
        DoubtRow {
            doubt_id: text(0),
            network: text(1),
            account: text(2),
            stream: text(3),
            axis: text(4),
            window: Window { since: at(since.value(row)), until: at(until.value(row)) },
            run_id: text(5),
            kind: text(6),
            field: some(7),
            reason: text(8),
            request_ids: text(9),
            records: u64::try_from(records.value(row)).unwrap_or_default(),
            money_in_tables: text(10),
            money_in_answer: text(11),
            connector_version: text(12),
            found_at: at(found.value(row)),
            agrees_since: at(agrees.value(row)),
            // What a newer release decided is no longer open.
            state: DoubtState::ALL.into_iter().find(|known| known.name() == state).unwrap_or(DoubtState::Superseded),
            decided_at: decided.is_valid(row).then(|| at(decided.value(row))),
            decided_by: some(14),
            decision: some(15),
        }
    };
    Ok((0..rows.num_rows()).map(row).collect())
}
