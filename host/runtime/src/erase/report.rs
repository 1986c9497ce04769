//! What an erasure did. It never holds a value.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_lake::ErasedRows;

use crate::publish::PublishReport;

/// What an erasure did, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ErasureReport {
    /// Its id, under which the lake keeps this record.
    pub id: String,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Who ran it: user and host.
    pub by: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// What is in the place of each value.
    pub stand_ins: Vec<String>,
    /// Responses whose request, headers or body held a value.
    pub responses: u64,
    /// Bodies that held one.
    pub bodies: u64,
    /// Bodies that were or would be deleted, those that no response named any more included.
    pub deleted_bodies: u64,
    /// Markers of slices that held one.
    pub markers: u64,
    /// Places in bodies at which a number is equal to a value and is an amount: they stay.
    pub amounts: u64,
    /// What was changed in tables.
    pub tables: Vec<ErasedRows>,
    /// Files that were deleted: of earlier versions of tables, with entries of their logs, and what was never written to its end.
    pub deleted_files: u64,
    /// Rows of the state store that held a value.
    pub state: u64,
    /// For how many days networks may report values again; none if no network is set up.
    pub look_back_days: Option<u32>,
    /// What was done to published databases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishReport>,
}

impl ErasureReport {
    /// Whether no value was found.
    pub fn is_empty(&self) -> bool {
        let Self { responses, deleted_bodies, markers, state, .. } = *self;
        self.tables.is_empty() && [responses, deleted_bodies, markers, state].iter().all(|count| *count == 0)
    }

    /// For people, line by line.
    pub fn lines(&self) -> Vec<String> {
        let (held, deleted) = if self.dry_run { ("would be rewritten", "would be") } else { ("rewritten", "are") };
        let mut lines = vec![format!("stand-ins: {}", self.stand_ins.join(", "))];
        if self.is_empty() {
            lines.push("no value was found".to_owned());
        } else {
            lines.push(format!("raw: {} responses with {} bodies {held}", self.responses, self.bodies));
        }
        for ErasedRows { table, rows, renamed, columns, left, .. } in &self.tables {
            let columns: Vec<String> = columns.iter().map(|(name, cells)| format!("{name} {cells}")).collect();
            lines.push(format!(
                "{table}: {rows} rows {held} ({}); {renamed} others name a response that changes",
                columns.join(", ")
            ));
            for (column, cells) in left {
                lines.push(format!("{table}: {cells} cells of {column} hold what is equal to a value, and stay: nothing shows that they are ids"));
            }
        }
        if self.amounts > 0 {
            lines.push(format!("{} numbers in bodies are equal to a value, and stay: they are amounts", self.amounts));
        }
        lines.push(format!("state store: {} rows {held}", self.state));
        lines.push(format!("earlier versions of all tables {deleted} deleted: `AT` can't go back before this"));
        lines.extend(self.published.iter().map(PublishReport::line));
        if let Some(days) = self.look_back_days {
            lines.push(format!(
                "networks are read again for {days} days: what they report of a value without letters or without digits comes back until then; run `sluice erase --again` after that"
            ));
        }
        lines
    }
}
