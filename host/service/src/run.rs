//! A run: plan → collect → build → publish what happened. This file tells the story.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt};
use serde::Serialize;
use sluice_lake::Counts;
use tokio::sync::{Semaphore, mpsc};

use crate::app::{App, Network};
use crate::collect::{Answer, Collector, SliceReport};
use crate::failure::Failure;
use crate::record;
use crate::slices::{self, Selection, SliceJob};
use crate::tables;

/// Slices of one run that are read at once.
const SLICES_AT_ONCE: usize = 16;
/// Responses of one run in memory at once.
const RESPONSES_AT_ONCE: usize = 16;
/// Mapped answers that wait for the tables' writer.
const ANSWERS_AT_ONCE: usize = 8;
/// How often a window may be halved before the run gives up on it.
const MAX_SPLITS: u32 = 16;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Collect and build.
    Run,
    /// Only to raw.
    Collect,
    /// Only from raw.
    Build,
}

impl Verb {
    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Collect => "collect",
            Self::Build => "build",
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Its id.
    pub run_id: String,
    /// The network's name in the settings.
    pub network: String,
    /// What it was to do.
    pub verb: Verb,
    /// `done` or `failed`.
    pub status: &'static str,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Slices read.
    pub slices: u64,
    /// Slices of which a request failed.
    pub slices_failed: u64,
    /// Requests sent, retries included.
    pub requests: u64,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    /// Records in the answers.
    pub records: u64,
    /// Rows written to native tables.
    pub native_rows: u64,
    /// New versions of unified transactions.
    pub new_versions: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
    /// What went through the tables' writer.
    #[serde(skip)]
    pub counts: Counts,
    /// Whether the tables' writer failed.
    #[serde(skip)]
    pub tables_failed: bool,
    /// What failed, at most 20 of them.
    pub errors: Vec<String>,
}

/// A slice with what became of it.
pub struct SliceDone {
    /// The slice.
    pub job: SliceJob,
    /// When it was read.
    pub read_at: DateTime<Utc>,
    /// What became of it.
    pub report: SliceReport,
}

/// Reads a network's slices into raw and, unless the verb is collect, into the tables.
///
/// # Errors
/// A failure of the settings or the lake. Requests that fail are in the report.
pub async fn run(app: &Arc<App>, network: &Network, verb: Verb, selection: &Selection) -> Result<RunReport, Failure> {
    let started_at = Utc::now();
    let run_id = uuid::Uuid::now_v7().to_string();
    let jobs = with_cursors(app, slices::jobs(network, &app.fetcher, selection, started_at).await?).await?;
    record::keep_connector(app, network).await?;
    let (answers, received) = mpsc::channel::<Answer>(ANSWERS_AT_ONCE);
    let builds = verb == Verb::Run;
    let writer = tokio::spawn(tables::write(app.clone(), network.clone(), run_id.clone(), received));
    let collector = Collector {
        app: app.clone(),
        network: network.clone(),
        run_id: run_id.clone(),
        turns: Semaphore::new(RESPONSES_AT_ONCE),
        answers: builds.then_some(answers),
    };
    let done = collect(&collector, jobs).await;
    drop(collector);
    let counts = writer.await.map_err(Failure::failed)?;
    let mut report = summarise(run_id, network, verb, started_at, &done);
    report.count(&counts);
    record::finish(app, network, &report, &done).await?;
    counts.map(|_| report)
}

/// Builds tables from raw alone: no network is asked.
///
/// # Errors
/// A failure of the settings or the lake.
pub async fn build(app: &Arc<App>, network: &Network, selection: &tables::RawSelection) -> Result<RunReport, Failure> {
    let started_at = Utc::now();
    let run_id = uuid::Uuid::now_v7().to_string();
    record::keep_connector(app, network).await?;
    let (answers, received) = mpsc::channel::<Answer>(ANSWERS_AT_ONCE);
    let writer = tokio::spawn(tables::write(app.clone(), network.clone(), run_id.clone(), received));
    let read = tables::read_raw(app, network, selection, answers).await;
    let counts = writer.await.map_err(Failure::failed)?;
    let mut report = summarise(run_id, network, Verb::Build, started_at, &[]);
    match read {
        Ok(read) => {
            report.records = read.records;
            report.errors = read.errors;
        }
        Err(failure) => report.errors.push(failure.render(false)),
    }
    report.settle();
    report.count(&counts);
    record::finish(app, network, &report, &[]).await?;
    counts.map(|_| report)
}

/// Slices of streams that keep a cursor are given theirs.
async fn with_cursors(app: &App, mut jobs: Vec<SliceJob>) -> Result<Vec<SliceJob>, Failure> {
    for job in &mut jobs {
        job.slice.cursor = app.state.cursor(&job.slice).await?;
    }
    Ok(jobs)
}

/// Collects slices side by side; a window that the network finds too wide is halved and read again.
async fn collect(collector: &Collector, jobs: Vec<SliceJob>) -> Vec<SliceDone> {
    let mut waiting: Vec<(SliceJob, u32)> = jobs.into_iter().map(|job| (job, 0)).collect();
    let mut done = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let read = stream::iter(waiting.drain(..)).map(|(job, depth)| async move {
            let mut report = collector.slice(&job).await;
            let halves = if report.split { job.slice.window.split_in_half() } else { None };
            if report.split && (halves.is_none() || depth == MAX_SPLITS) {
                report
                    .errors
                    .push(format!("the window {} is too wide for the network and can't be halved", job.slice.window));
                report.split = false;
            }
            for error in &report.errors {
                tracing::warn!(slice = job.slice.id(), error, "a request failed");
            }
            (SliceDone { job, read_at: Utc::now(), report }, halves, depth)
        });
        let read: Vec<_> = read.buffer_unordered(SLICES_AT_ONCE).collect().await;
        for (slice, halves, depth) in read {
            if let (true, Some((first, second))) = (slice.report.split, halves) {
                for window in [first, second] {
                    let mut job = slice.job.clone();
                    job.slice.window = window;
                    waiting.push((job, depth + 1));
                }
            } else {
                done.push(slice);
            }
        }
    }
    done
}

fn summarise(
    run_id: String,
    network: &Network,
    verb: Verb,
    started_at: DateTime<Utc>,
    done: &[SliceDone],
) -> RunReport {
    let total = |part: fn(&SliceReport) -> u64| done.iter().map(|slice| part(&slice.report)).sum();
    let mut errors: Vec<String> = done
        .iter()
        .flat_map(|slice| slice.report.errors.iter().map(|error| format!("{}: {error}", slice.job.slice.id())))
        .collect();
    errors.sort();
    errors.truncate(20);
    let mut report = RunReport {
        run_id,
        network: network.settings.name.clone(),
        verb,
        status: "done",
        started_at,
        finished_at: Utc::now(),
        slices: done.len() as u64,
        slices_failed: done.iter().filter(|slice| !slice.report.errors.is_empty()).count() as u64,
        requests: total(|report| report.requests),
        bytes: total(|report| report.bytes),
        records: total(|report| report.records),
        native_rows: 0,
        new_versions: 0,
        rejects: 0,
        counts: Counts::default(),
        tables_failed: false,
        errors,
    };
    report.settle();
    report
}

impl RunReport {
    /// Takes over what the tables' writer counted.
    fn count(&mut self, counts: &Result<Counts, Failure>) {
        match counts {
            Ok(counts) => {
                self.counts = *counts;
                self.native_rows = counts.native_written;
                self.new_versions = counts.new_versions;
                self.rejects = counts.rejects;
            }
            Err(failure) => {
                self.tables_failed = true;
                self.errors.push(failure.render(false));
            }
        }
        self.settle();
        self.finished_at = Utc::now();
    }

    fn settle(&mut self) {
        self.status = if self.errors.is_empty() { "done" } else { "failed" };
    }
}
