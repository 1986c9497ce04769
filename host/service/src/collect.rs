//! Collecting a slice: plan → send → raw → follow, each request on its own.

mod close;
mod course;
mod kept;
mod request;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::stream::{FuturesUnordered, StreamExt};
use sluice_engine::Connector;
use sluice_lake::RunWriter;
use sluice_model::{RawObject, Request};
use tokio::sync::Semaphore;

pub use close::too_many_rejects;
pub use kept::Kept;

use crate::app::{App, Network};
use crate::failure::Failure;
use crate::guests::in_guest;
use crate::slices::SliceJob;
use crate::swap::rights::Rights;
use crate::swap::shadow::Shadow;
use course::Course;
use request::Outcome;

/// Requests of one slice that wait for their turn at once.
const REQUESTS_AT_ONCE: usize = 64;

/// What became of a slice.
#[derive(Clone, Debug, Default)]
pub struct SliceReport {
    /// Requests sent, retries included, and those that the run had sent before it was broken off.
    pub requests: u64,
    /// Of these, requests whose response was kept before the run was broken off: they were not sent again.
    pub reused: u64,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    /// When the first request was sent that was answered; none if none was.
    pub first_sent_at: Option<DateTime<Utc>>,
    /// Records found in the answers.
    pub records: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
    /// Why requests of it failed; empty if all were answered.
    pub errors: Vec<String>,
    /// Whether the network wants the window in halves.
    pub split: bool,
    /// The cursor that the connector gave last. It is kept once the slice is durable and complete.
    pub cursor: Option<String>,
}

impl SliceReport {
    /// The report of a slice that failed as a whole.
    pub fn failed(error: String) -> Self {
        Self { errors: vec![error], ..Self::default() }
    }
}

/// Collects slices of one network in one run.
#[derive(Clone)]
pub struct Collector {
    /// The parts of the service.
    pub app: Arc<App>,
    /// The network with the connector of this run, and of a slice that runs the one that it began with.
    pub network: Network,
    /// The run.
    pub run_id: String,
    /// What the run kept before it was broken off.
    pub kept: Arc<Kept>,
    /// Bounds the run's responses in memory: a turn lasts from sending until the tables' writer has taken the answer.
    pub turns: Arc<Semaphore>,
    /// The way into the tables; none if responses are only collected.
    pub tables: Option<Arc<RunWriter>>,
}

impl Collector {
    /// The same for a slice that begins now: with the version that serves now, unless that may do other things than
    /// the one that the run was planned with.
    #[must_use]
    pub fn for_slice(&self, job: &SliceJob) -> Self {
        let mut collector = self.clone();
        let run = &mut collector.network;
        let Some((serving, candidate)) = self.app.registry.pair(run.connector.network()) else { return collector };
        let stream = &job.slice.stream;
        let fits = serving.manifest().stream(stream).is_some_and(|new| {
            let rights = |connector: &Connector| Rights::of(connector.manifest());
            let old = run.manifest().stream(stream);
            old.is_some_and(|old| old.complete_windows == new.complete_windows && old.timezone == new.timezone)
                && serving.manifest().settings == run.manifest().settings
                && rights(&serving).same(&rights(&run.connector))
        });
        // A candidate that appears in the middle of a run is compared from the next run on.
        let same = serving.digest() == run.connector.digest();
        let beside = |shadow: &Arc<Shadow>| {
            same && candidate.as_ref().is_some_and(|candidate| candidate.digest() == shadow.candidate().digest())
        };
        run.shadow = run.shadow.take().filter(beside);
        if fits {
            run.connector = serving;
        }
        collector
    }

    /// Collects one slice. A failing request fails nothing but itself.
    pub async fn slice(&self, job: &SliceJob) -> SliceReport {
        let mut report = SliceReport::default();
        let connector = self.network.connector.clone();
        let slice = Arc::new(job.slice.clone());
        let planned = {
            let slice = slice.clone();
            self.in_guest(move || connector.plan(&slice)).await
        };
        let mut queue: VecDeque<(Request, Duration)> = match planned {
            Ok(requests) => requests.into_iter().map(|request| (request, Duration::ZERO)).collect(),
            Err(reason) => {
                report.errors.push(reason);
                return report;
            }
        };
        let mut course =
            Course::new(queue.iter().map(|(request, _)| request), self.app.settings.limits.requests_per_slice);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < REQUESTS_AT_ONCE
                && let Some((request, wait)) = queue.pop_front()
            {
                running.push(self.answer(job, slice.clone(), request, wait));
            }
            let Some((outcome, tally)) = running.next().await else { break };
            report.add(&tally);
            match outcome {
                Outcome::Answered { follow_ups, wait, page } => match course.after(&follow_ups, wait, page) {
                    Ok(()) => queue.extend(follow_ups.into_iter().map(|request| (request, wait))),
                    Err(reason) => report.errors.push(reason),
                },
                Outcome::Split => report.split = true,
                Outcome::Again { reason, .. } | Outcome::Failed(reason) => report.errors.push(reason),
            }
        }
        if let Some(shadow) = &self.network.shadow {
            shadow.end_slice(&slice);
        }
        report
    }

    /// Runs guest code on a blocking thread, as many at once as there are cores.
    async fn in_guest<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, sluice_engine::Error> + Send + 'static,
    ) -> Result<T, String> {
        in_guest(&self.app, work).await.map_err(|failure| describe_failure(&failure))
    }
}

impl SliceReport {
    /// Takes note of when a request was sent.
    fn sent(&mut self, sent_at: Option<DateTime<Utc>>) {
        self.first_sent_at = self.first_sent_at.into_iter().chain(sent_at).min();
    }

    /// Takes over what one request counted.
    fn add(&mut self, tally: &Self) {
        self.requests += tally.requests;
        self.reused += tally.reused;
        self.bytes += tally.bytes;
        self.sent(tally.first_sent_at);
        self.records += tally.records;
        self.rejects += tally.rejects;
        if tally.cursor.is_some() {
            self.cursor.clone_from(&tally.cursor);
        }
    }
}

/// Headers that a connector may see.
pub fn visible(headers: &[(String, String)]) -> Vec<(String, String)> {
    let hidden = ["set-cookie", "authorization", "proxy-authorization", "www-authenticate", "cookie"];
    headers.iter().filter(|(name, _)| !hidden.contains(&name.as_str())).cloned().collect()
}

/// Says which status words a connector doesn't know.
pub fn warn_of_unknown(raw: &RawObject, words: &[String]) {
    for word in words {
        tracing::warn!(network = raw.slice.network, account = raw.slice.account, status = word, "unknown status word");
    }
}

/// An error and its causes on one line.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// A failure, its causes and its hint on one line.
pub(crate) fn describe_failure(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{} (hint: {hint})", describe(failure.error.as_ref())),
        None => describe(failure.error.as_ref()),
    }
}
