//! The typical questions, asked of `sluice sql` on one host and on two query workers, and of Sail with two workers over the same tables
//! on S3: what they take, and whether the answers are equal.
//!
//! All of them are on this machine and share its cores: it shows what spreading a query costs, and not what more hosts bring.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Serialize;
use sluice_tests::{
    BUCKET, Operator, QUESTIONS, S3Server, SailAnswers, Service, naming_tables, python_tool, repository, sail_table,
};

use crate::history::History;
use crate::questions::{ROUNDS, median};

/// Query workers.
const WORKERS: usize = 2;
/// A key of an installation.
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// What a query warns of that couldn't be shared after all.
const ONCE_MORE: &str = "tried once more, on this host alone";
/// What a worker logs.
const A_PART: &str = "takes a part of a query";
/// How often a status is asked for a worker.
const PATIENCE: usize = 200;
/// Where the tables are on S3.
const PREFIX: &str = "bench/workers";

/// What a question took.
#[derive(Clone, Serialize)]
pub(crate) struct Spread {
    /// The question.
    pub(crate) question: String,
    /// Rows of the answer.
    pub(crate) rows: usize,
    /// Seconds of `sluice sql` on one host, its start included.
    pub(crate) one_secs: f64,
    /// Seconds of `sluice sql` with two query workers, its start included.
    pub(crate) workers_secs: f64,
    /// Seconds of Sail within a session; none where it couldn't be asked.
    pub(crate) sail_secs: Option<f64>,
}

/// Asks all questions of the history in each of the ways.
pub(crate) fn measure(history: &History, sluice: &Path, connectors: &Path) -> anyhow::Result<Vec<Spread>> {
    let mut operator = Operator::using(sluice, connectors)?;
    operator.set("STATE_KEY", KEY);
    let lake = history.lake.url();
    let alone = format!("[lake]\nurl = \"{lake}\"\n[state]\nurl = \"sqlite:./state.db\"\nkey = \"env:STATE_KEY\"\n");
    let shared = format!("{alone}[query]\nlisten = \"127.0.0.1:0\"\nspread_from_mb = 0\n");
    operator.write("sluice.toml", &shared)?;
    let mut workers = (0..WORKERS).map(|_| worker(&operator)).collect::<anyhow::Result<Vec<Service>>>()?;
    let mut spread = Vec::new();
    for (question, sql) in QUESTIONS {
        let sql = sql.replace(['{', '}'], "");
        operator.write("sluice.toml", &alone)?;
        let (rows, one_secs) = ask(&operator, &sql)?;
        operator.write("sluice.toml", &shared)?;
        let (theirs, workers_secs) = ask(&operator, &sql)?;
        ensure!(!rows.is_empty(), "`{question}` has no answer");
        ensure!(rows == theirs, "`{question}` is answered {rows:?} by one host and {theirs:?} by {WORKERS} workers");
        spread.push((rows, Spread { question: question.to_owned(), rows: 0, one_secs, workers_secs, sail_secs: None }));
    }
    for worker in &mut workers {
        worker.wait_for(&[A_PART])?;
    }
    // Their cores are Sail's from here on.
    drop(workers);
    let sail = sail(history).inspect_err(|error| eprintln!("Sail wasn't asked: {error:#}")).ok();
    let with_sail = |(rows, mut spread): (Vec<String>, Spread)| {
        if let Some(theirs) = sail.as_ref().and_then(|sail| sail.answers.get(&spread.question)) {
            let mut answer: Vec<&str> = theirs.rows.lines().collect();
            answer.sort_unstable();
            let question = &spread.question;
            ensure!(rows == answer, "`{question}` is answered {rows:?} by Sluice and {answer:?} by Sail");
            spread.sail_secs = Some(median(theirs.seconds.clone()));
        }
        spread.rows = rows.len();
        Ok(spread)
    };
    spread.into_iter().map(with_sail).collect()
}

/// Starts a worker, and waits until others see it.
fn worker(operator: &Operator) -> anyhow::Result<Service> {
    let mut worker = Service::start_as(operator, &["--role", "query"])?;
    worker.wait_for(&["parts of queries are taken at"])?;
    worker.wait_for(&["serving"])?;
    let is_seen = || worker.vitals(operator).is_ok_and(|vitals| vitals["query_address"].is_string());
    ensure!((0..PATIENCE).any(|_| is_seen()), "a worker isn't in the state store:\n{}", worker.seen());
    Ok(worker)
}

/// The rows of an answer, sorted, and what the command takes.
fn ask(operator: &Operator, sql: &str) -> anyhow::Result<(Vec<String>, f64)> {
    let (mut times, mut rows) = (Vec::new(), String::new());
    for _ in 0..=ROUNDS {
        let start = Instant::now();
        let answer = operator.sluice(&["sql", sql, "--format", "csv"])?;
        times.push(start.elapsed().as_secs_f64());
        ensure!(answer.code == 0 && !answer.stderr.contains(ONCE_MORE), "{sql}: {answer:?}");
        rows = answer.stdout;
    }
    let mut rows: Vec<String> = rows.lines().skip(1).map(str::to_owned).collect();
    rows.sort_unstable();
    Ok((rows, median(times)))
}

/// Sail's answers over the same tables on S3.
fn sail(history: &History) -> anyhow::Result<SailAnswers> {
    let server = S3Server::start()?;
    let tables = history.lake.url().join("tables")?.to_file_path().ok().context("the lake isn't on a disk")?;
    let mut upload = Command::new(python_tool("python"));
    upload.arg(repository().join("tests/tools/upload.py")).arg(tables);
    upload.args([BUCKET, &format!("{PREFIX}/tables")]).envs(server.environment());
    ensure!(upload.status()?.success(), "the tables can't be put on S3");
    let mut questions = BTreeMap::new();
    for (question, sql) in QUESTIONS {
        let sql = naming_tables(sql, |schema, table| Ok(sail_table(PREFIX, schema, table)))?;
        questions.insert(question.to_owned(), sql);
    }
    SailAnswers::of(&server, &questions, ROUNDS + 1)
}

/// Prints what they took.
pub(crate) fn print(versions: u64, spread: &[Spread]) {
    if spread.is_empty() {
        return;
    }
    println!("\nworkers: {versions} versions, answers compared row by row, all on this machine\n");
    println!("{:<38} {:>6} {:>11} {:>11} {:>7} {:>9}", "", "rows", "one host s", "2 workers s", "ratio", "Sail s");
    for Spread { question, rows, one_secs, workers_secs, sail_secs } in spread {
        let ratio = workers_secs / one_secs;
        let sail = sail_secs.map_or_else(|| "-".to_owned(), |secs| format!("{secs:.3}"));
        println!("{question:<38} {rows:>6} {one_secs:>11.3} {workers_secs:>11.3} {ratio:>7.2} {sail:>9}");
    }
}
