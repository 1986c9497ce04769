//! `meta.alarm_events`: alarms that were opened, acknowledged and resolved. The SQL view `meta.alarms` shows the last event
//! of each alarm.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sluice_model::{Alarm, AlarmState, Severity};

use super::requests::{column, times};
use super::rows::{text, time};
use super::tables::ALARM_EVENTS;
use crate::error::Error;
use crate::index::{unreadable, wrong};
use crate::lake::Lake;
use crate::scan::stream_rows;
use crate::table::Table;

impl Lake {
    /// Appends events of alarms.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn append_alarms(&self, rows: &[Alarm]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = [
            ("alarm_id", text(rows, |row| Some(row.alarm_id.clone()))),
            ("rule", text(rows, |row| Some(row.rule.clone()))),
            ("subject", text(rows, |row| Some(row.subject.clone()))),
            ("network", text(rows, |row| row.network.clone())),
            ("account", text(rows, |row| row.account.clone())),
            ("stream", text(rows, |row| row.stream.clone())),
            ("host", text(rows, |row| row.host.clone())),
            ("severity", text(rows, |row| Some(row.severity.name().to_owned()))),
            ("state", text(rows, |row| Some(row.state.name().to_owned()))),
            ("summary", text(rows, |row| Some(row.summary.clone()))),
            ("evidence", text(rows, |row| Some(row.evidence.clone()))),
            ("advice", text(rows, |row| Some(row.advice.clone()))),
            ("opened_at", time(rows, |row| row.opened_at)),
            ("acknowledged_at", some_time(rows, |row| row.acknowledged_at)),
            ("acknowledged_by", text(rows, |row| row.acknowledged_by.clone())),
            ("snoozed_until", some_time(rows, |row| row.snoozed_until)),
            ("resolved_at", some_time(rows, |row| row.resolved_at)),
            ("noted_at", time(rows, |row| row.noted_at)),
        ];
        self.append_rows("meta", "alarm_events", ALARM_EVENTS.rows(columns)?).await
    }

    /// All alarms as they now stand, oldest first.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, Error> {
        let table = self.system_table("alarm_events").await?;
        let mut latest: BTreeMap<String, Alarm> = BTreeMap::new();
        for file in table.files() {
            let failed = |source| unreadable(&table, &file.path, source);
            let mut batches = stream_rows(table.store(), &file.path).await.map_err(failed)?;
            while let Some(rows) = batches.try_next().await.map_err(failed)? {
                for row in alarms_of(&table, &rows)? {
                    let order = |row: &Alarm| (row.resolved_at, row.noted_at);
                    match latest.get(&row.alarm_id) {
                        Some(known) if order(known) >= order(&row) => {}
                        _ => _ = latest.insert(row.alarm_id.clone(), row),
                    }
                }
            }
        }
        let mut alarms: Vec<Alarm> = latest.into_values().collect();
        // Alarms that one evaluation opens have the same time, and their ids are in no order.
        alarms.sort_by(|a, b| (a.opened_at, &a.rule, &a.subject).cmp(&(b.opened_at, &b.rule, &b.subject)));
        Ok(alarms)
    }
}

fn some_time(rows: &[Alarm], of: impl Fn(&Alarm) -> Option<DateTime<Utc>>) -> ArrayRef {
    let micros = rows.iter().map(|row| of(row).map(|at| at.timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn alarms_of(table: &Table, rows: &RecordBatch) -> Result<Vec<Alarm>, Error> {
    const TEXTS: [&str; 13] = [
        "alarm_id",
        "rule",
        "subject",
        "network",
        "account",
        "stream",
        "host",
        "severity",
        "state",
        "summary",
        "evidence",
        "advice",
        "acknowledged_by",
    ];
    let texts = TEXTS.iter().map(|name| column(rows, name)).collect::<Result<Vec<_>, _>>()?;
    let (opened, noted) = (times(rows, "opened_at")?, times(rows, "noted_at")?);
    let some_times = |name: &str| {
        let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        column.ok_or_else(|| wrong(table, name, "a timestamp"))
    };
    let (acknowledged, snoozed) = (some_times("acknowledged_at")?, some_times("snoozed_until")?);
    let resolved = some_times("resolved_at")?;
    let at = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap_or_default();
    let row = |row: usize| {
        let some = |place: usize| texts[place].is_valid(row).then(|| texts[place].value(row).to_owned());
        let text = |place: usize| some(place).unwrap_or_default();
        let some_at = |column: &TimestampMicrosecondArray| column.is_valid(row).then(|| at(column.value(row)));
        Alarm {
            alarm_id: text(0),
            rule: text(1),
            subject: text(2),
            network: some(3),
            account: some(4),
            stream: some(5),
            host: some(6),
            severity: Severity::from_name(&text(7)).unwrap_or(Severity::Warning),
            // What a newer release made of it is no longer open.
            state: AlarmState::from_name(&text(8)).unwrap_or(AlarmState::Resolved),
            summary: text(9),
            evidence: text(10),
            advice: text(11),
            opened_at: at(opened.value(row)),
            acknowledged_at: some_at(acknowledged),
            acknowledged_by: some(12),
            snoozed_until: some_at(snoozed),
            resolved_at: some_at(resolved),
            noted_at: at(noted.value(row)),
        }
    };
    Ok((0..rows.num_rows()).map(row).collect())
}
