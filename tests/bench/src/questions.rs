//! Typical questions, asked of Sluice and of DuckDB over the same files, on the same machine, in turns.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::Value;
use sluice_lake::Lake;
use sluice_query::{Format, Session, SessionOptions};
use sluice_tests::{QUESTIONS, naming_tables};

use crate::history::History;

/// Measured so often after one round to warm up; the median counts.
pub(crate) const ROUNDS: usize = 3;

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
        answered.push(Answered { question: question.to_owned(), rows: ours.len(), sluice_secs, duckdb_secs });
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
    let sql = naming_tables(sql, |schema, name| {
        let folder = lake.url_of(schema, name)?.to_file_path().ok().context("the lake isn't on a disk")?;
        Ok(format!("delta_scan('{}')", folder.display()))
    })?;
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
pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.remove(0);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
