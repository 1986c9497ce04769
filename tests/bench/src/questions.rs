//! Typical questions, asked of Sluice and of DuckDB over the same files, on the same machine, in turns.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::Value;
use sluice_lake::Lake;
use sluice_query::{Format, Session, SessionOptions};

use crate::history::History;

/// Measured so often after one round to warm up; the median counts.
const ROUNDS: usize = 3;

/// Names of the questions, and what is asked; the tables' names stand in braces.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "earnings by month, status, currency",
        "SELECT month, validation_status, commission_currency, count(*) AS n, sum(commission_effective) AS effective
         FROM {unified.transactions} GROUP BY month, validation_status, commission_currency ORDER BY 1, 2, 3",
    ),
    (
        "best advertisers of a month",
        "SELECT advertiser_id, advertiser_name, sum(commission_effective) AS effective
         FROM {unified.transactions} WHERE transaction_day >= DATE '2025-12-01' AND transaction_day < DATE '2026-01-01'
         GROUP BY advertiser_id, advertiser_name ORDER BY effective DESC, advertiser_id LIMIT 20",
    ),
    (
        "what changed, by day of the sale",
        "SELECT transaction_day, count(*) AS n, sum(commission_amount) AS commission
         FROM {unified.transaction_versions} WHERE version > 1 GROUP BY transaction_day ORDER BY 1",
    ),
    (
        "how one transaction came to be",
        "SELECT version, change, validation_status, commission_amount FROM {unified.transaction_versions}
         WHERE month = '2025-12' AND transaction_id = 'T0000000005' ORDER BY version",
    ),
];

/// What a question took.
#[derive(Clone, Serialize)]
pub(crate) struct Answered {
    /// The question.
    pub(crate) question: String,
    /// Rows of the answer.
    pub(crate) rows: usize,
    /// Seconds of Sluice, opening the tables included.
    pub(crate) sluice_secs: f64,
    /// Seconds of DuckDB, opening the tables included.
    pub(crate) duckdb_secs: f64,
}

/// Asks all questions of the history, by Sluice in this process and by DuckDB in one of `python`.
pub(crate) async fn measure(history: &History, python: &Path) -> anyhow::Result<Vec<Answered>> {
    let mut answered = Vec::new();
    for (question, sql) in QUESTIONS {
        let (theirs, duckdb_secs) = duckdb(&history.lake, python, sql)?;
        let (ours, sluice_secs) = sluice(&history.lake, sql).await?;
        ensure!(!ours.is_empty(), "`{question}` has no answer");
        ensure!(ours == theirs, "`{question}` is answered {ours:?} by Sluice and {theirs:?} by DuckDB");
        answered.push(Answered { question: (*question).to_owned(), rows: ours.len(), sluice_secs, duckdb_secs });
    }
    Ok(answered)
}

async fn sluice(lake: &Lake, sql: &str) -> anyhow::Result<(Vec<String>, f64)> {
    let sql = sql.replace(['{', '}'], "");
    let mut times = Vec::new();
    let mut text = Vec::new();
    for _ in 0..=ROUNDS {
        text.clear();
        let start = Instant::now();
        let session = Session::open(lake.clone(), lake.tables().await?, SessionOptions::default())?;
        sluice_query::write(session.query(&sql).await?, Format::Csv, &mut text).await?;
        times.push(start.elapsed().as_secs_f64());
    }
    let text = String::from_utf8(text)?;
    Ok((text.lines().skip(1).map(str::to_owned).collect(), median(times)))
}

fn duckdb(lake: &Lake, python: &Path, sql: &str) -> anyhow::Result<(Vec<String>, f64)> {
    let mut sql = sql.to_owned();
    while let (Some(open), Some(close)) = (sql.find('{'), sql.find('}')) {
        let (schema, name) = sql[open + 1..close].split_once('.').context("no table")?;
        let folder = lake.url_of(schema, name)?.to_file_path().ok().context("the lake isn't on a disk")?;
        sql.replace_range(open..=close, &format!("delta_scan('{}')", folder.display()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/questions.py");
    let output = Command::new(python).arg(script).arg(&sql).arg((ROUNDS + 1).to_string()).output();
    let output = output.with_context(|| format!("no {}: run `just tools`", python.display()))?;
    ensure!(output.status.success(), "DuckDB failed: {}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let rows = answer["rows"].as_array().context("no rows")?;
    let times = answer["seconds"].as_array().context("no times")?;
    let rows = rows.iter().map(|row| row.as_str().unwrap_or_default().to_owned()).collect();
    Ok((rows, median(times.iter().filter_map(Value::as_f64).collect())))
}

/// The median of all rounds but the first.
fn median(mut times: Vec<f64>) -> f64 {
    times.remove(0);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
