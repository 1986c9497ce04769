//! A lake's tables, row for row, without what two courses of the same events can't share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use crate::Operator;

/// The rows of each table, each as one text, sorted.
pub type Tables = BTreeMap<String, Vec<String>>;

/// Columns that name the run, a moment or the effort of it, counts of what a run had left to write, and an example, which is of
/// whatever response came first.
const OF_THE_RUN: &[&str] = &[
    "run_id",
    "request_id",
    "observed_at",
    "_run_id",
    "_request_id",
    "_observed_at",
    "read_at",
    "sent_at",
    "received_at",
    "envelope",
    "started_at",
    "finished_at",
    "activated_at",
    "first_absent_at",
    "first_seen",
    "last_seen",
    "guest_cpu_ms",
    "host_cpu_ms",
    "stored_bytes",
    "usage",
    "native_written",
    "new_versions",
    "example",
];

/// All tables of a lake: native, unified and system tables.
///
/// # Errors
/// What the binary says.
pub fn all_tables(operator: &Operator) -> anyhow::Result<Tables> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let mut tables = Tables::new();
    for table in operator.sql("SHOW TABLES")? {
        let name = format!("{}.{}", text(&table, "table_schema"), text(&table, "table_name"));
        if name.starts_with("information_schema.") || name.starts_with("raw.") {
            continue;
        }
        let mut rows: Vec<String> = Vec::new();
        for mut row in operator.sql(&format!("SELECT * FROM {name}"))? {
            if let Value::Object(columns) = &mut row {
                columns.retain(|column, _| !OF_THE_RUN.contains(&column.as_str()));
                if name == "meta.accounts" {
                    // The moment at which it was first read.
                    columns.remove("since");
                }
            }
            rows.push(row.to_string());
        }
        rows.sort_unstable();
        tables.insert(name, rows);
    }
    Ok(tables)
}

/// The rows that only one of two lakes has, as a text for people; empty if there are none.
pub fn differences(these: &Tables, those: &Tables) -> String {
    let mut text = String::new();
    let names: BTreeSet<&String> = these.keys().chain(those.keys()).collect();
    for name in names {
        let (mut left, mut right) = (counted(these.get(name)), counted(those.get(name)));
        let both: Vec<(&str, usize)> = left
            .iter()
            .filter(|(row, count)| right.get(*row) == Some(count))
            .map(|(row, count)| (*row, *count))
            .collect();
        for (row, _) in both {
            left.remove(row);
            right.remove(row);
        }
        for (side, rows) in [("-", left), ("+", right)] {
            for (row, count) in rows {
                // Writing to a String doesn't fail.
                let _ = writeln!(text, "{side} {name} {count}x {row}");
            }
        }
    }
    text
}

fn counted(rows: Option<&Vec<String>>) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for row in rows.into_iter().flatten() {
        *counts.entry(row.as_str()).or_default() += 1;
    }
    counts
}
