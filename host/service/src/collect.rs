//! Collecting a slice: plan → send → raw → follow, each request on its own.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use sluice_fetch::Exchange;
use sluice_model::{Judgement, Mapped, NativeBatch, RawObject, Refusal, Request, Response, Slice, Verdict};
use tokio::sync::{Semaphore, mpsc};

use crate::app::{App, Network};
use crate::failure::Failure;
use crate::slices::SliceJob;

/// Attempts at one request, the first included.
const MAX_ATTEMPTS: u32 = 6;
/// Requests of one slice: a connector that asks for more is running in circles.
const MAX_REQUESTS_PER_SLICE: usize = 100_000;
/// Requests of one slice that wait for their turn at once.
const REQUESTS_AT_ONCE: usize = 64;
/// The longest wait that a connector may ask for.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// A response whose records go into the tables.
pub struct Answer {
    /// Where it is kept.
    pub raw: Arc<RawObject>,
    /// What its records became.
    pub mapped: Mapped,
}

/// What became of a slice.
#[derive(Clone, Debug, Default)]
pub struct SliceReport {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    /// Records found in the answers.
    pub records: u64,
    /// Why requests of it failed; empty if all were answered.
    pub errors: Vec<String>,
    /// Whether the network wants the window in halves.
    pub split: bool,
}

/// Collects slices of one network in one run.
pub struct Collector {
    /// The parts of the service.
    pub app: Arc<App>,
    /// The network with the connector of this run.
    pub network: Network,
    /// The run.
    pub run_id: String,
    /// Bounds the responses in memory: a turn lasts from sending until the tables' writer has taken the answer.
    pub turns: Semaphore,
    /// Where answers go to be built into tables; nowhere if they are only collected.
    pub answers: Option<mpsc::Sender<Answer>>,
}

/// How an attempt ended.
enum Outcome {
    Answered { follow_ups: Vec<Request>, wait: Duration },
    Again { reason: String, at_least: Option<Duration> },
    Split,
    Failed(String),
}

impl Collector {
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
        let mut seen: HashSet<String> = queue.iter().map(|(request, _)| request.key.clone()).collect();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < REQUESTS_AT_ONCE
                && let Some((request, wait)) = queue.pop_front()
            {
                running.push(self.answer(job, slice.clone(), request, wait));
            }
            let Some((outcome, tally)) = running.next().await else { break };
            report.requests += tally.requests;
            report.bytes += tally.bytes;
            report.records += tally.records;
            match outcome {
                Outcome::Answered { follow_ups, wait } => {
                    for request in follow_ups {
                        if !seen.insert(request.key.clone()) {
                            report
                                .errors
                                .push(format!("the connector asks for `{}` twice: it runs in circles", request.key));
                        } else if seen.len() > MAX_REQUESTS_PER_SLICE {
                            report.errors.push(format!("more than {MAX_REQUESTS_PER_SLICE} requests for one slice"));
                            queue.clear();
                        } else {
                            queue.push_back((request, wait));
                        }
                    }
                }
                Outcome::Split => report.split = true,
                Outcome::Again { reason, .. } | Outcome::Failed(reason) => report.errors.push(reason),
            }
        }
        report
    }

    /// Sends a request until it is answered, refused or has failed too often.
    async fn answer(
        &self,
        job: &SliceJob,
        slice: Arc<Slice>,
        request: Request,
        wait: Duration,
    ) -> (Outcome, SliceReport) {
        tokio::time::sleep(wait).await;
        let mut tally = SliceReport::default();
        let request = Arc::new(request);
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(job, &slice, &request, attempt, &mut tally).await;
            let Outcome::Again { reason, at_least } = outcome else { return (outcome, tally) };
            if attempt == MAX_ATTEMPTS {
                let reason = format!("request `{}`: {reason} ({attempt} attempts)", request.key);
                return (Outcome::Failed(reason), tally);
            }
            let Some(pause) = sluice_fetch::backoff(attempt, at_least) else {
                let reason = format!("request `{}`: {reason}, and the network wants too long a pause", request.key);
                return (Outcome::Failed(reason), tally);
            };
            tracing::debug!(
                network = slice.network,
                account = slice.account,
                request = request.key,
                attempt,
                reason,
                ?pause,
                "again"
            );
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// One attempt: send, judge, keep, and only then map.
    async fn attempt(
        &self,
        job: &SliceJob,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        attempt: u32,
        tally: &mut SliceReport,
    ) -> Outcome {
        let Ok(_turn) = self.turns.acquire().await else {
            return Outcome::Failed("the service is stopping".into());
        };
        tally.requests += 1;
        let exchange = match job.account.send(request).await {
            Ok(exchange) => exchange,
            Err(error) if error.is_retryable() => {
                return Outcome::Again { reason: describe(&error), at_least: error.retry_after() };
            }
            Err(error) => return Outcome::Failed(format!("request `{}`: {}", request.key, describe(&error))),
        };
        tally.bytes += exchange.wire.len() as u64;
        let judged = self.judge(slice, request, &exchange).await;
        let raw = Arc::new(self.raw_object(slice, request, &exchange, attempt, outcome_word(&judged, request)));
        if let Err(error) = self.app.lake.put_raw(&raw, exchange.wire.clone()).await {
            return Outcome::Failed(describe(&error));
        }
        let (judgement, native, response) = match judged {
            Ok(judged) => judged,
            Err(reason) => return Outcome::Failed(format!("request `{}`: {reason}", request.key)),
        };
        if let Verdict::Renew(token) = &judgement.verdict {
            job.account.renew(token, &exchange).await;
        }
        if let Some(cursor) = &judgement.cursor {
            let kept = self.app.state.keep_cursor(slice, cursor).await;
            if let Err(error) = kept {
                return Outcome::Failed(error.render(false));
            }
        }
        let answered = matches!(judgement.verdict, Verdict::Done | Verdict::More(_));
        if let (true, true, Some(native)) = (answered, request.yields_records, native) {
            tally.records += native.rows as u64;
            if let Err(reason) = self.map(raw, slice, request, response, native).await {
                return Outcome::Failed(format!("request `{}`: {reason}", request.key));
            }
        }
        act(judgement.verdict, exchange.retry_after, &request.key)
    }

    /// Decodes and judges a response: pure work, off the async threads.
    async fn judge(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        exchange: &Exchange,
    ) -> Result<(Judgement, Option<NativeBatch>, Response), String> {
        let connector = self.network.connector.clone();
        let (slice, request) = (slice.clone(), request.clone());
        let mut response = Response {
            status: exchange.status,
            headers: visible(&exchange.headers),
            body: exchange.body.clone(),
            records: None,
            problem: None,
        };
        self.in_guest(move || {
            let mut native = None;
            if request.yields_records && (200..300).contains(&response.status) {
                match connector.decode(&slice.stream, &request, &response.body) {
                    Ok(batch) => {
                        response.records = u32::try_from(batch.rows).ok();
                        native = Some(batch);
                    }
                    Err(error) => response.problem = Some(error.to_string()),
                }
            }
            connector.follow(&slice, &request, &response).map(|judgement| (judgement, native, response))
        })
        .await
    }

    /// Maps an answer and hands it on to the tables.
    async fn map(
        &self,
        raw: Arc<RawObject>,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        response: Response,
        native: NativeBatch,
    ) -> Result<(), String> {
        let Some(answers) = &self.answers else { return Ok(()) };
        let connector = self.network.connector.clone();
        let (slice, request) = (slice.clone(), request.clone());
        let mapped = self.in_guest(move || connector.map(&slice, &request, &response, native)).await?;
        warn_of_unknown(&raw, &mapped);
        answers.send(Answer { raw, mapped }).await.map_err(|_| "the tables' writer has stopped".to_owned())
    }

    fn raw_object(
        &self,
        slice: &Slice,
        request: &Request,
        exchange: &Exchange,
        attempt: u32,
        outcome: &str,
    ) -> RawObject {
        RawObject {
            run_id: self.run_id.clone(),
            request_id: sluice_model::request_id(&self.run_id, &slice.id(), &request.key),
            slice: slice.clone(),
            request: request.clone(),
            sent: exchange.sent.clone(),
            attempt,
            sent_at: exchange.sent_at,
            received_at: exchange.received_at,
            status: exchange.status,
            headers: exchange.headers.clone(),
            body: sluice_model::Digest::of(&exchange.wire),
            body_bytes: exchange.wire.len() as u64,
            masked: exchange.masked,
            outcome: outcome.to_owned(),
            connector_version: self.network.connector.version().to_owned(),
            connector_digest: self.network.connector.digest(),
        }
    }

    /// Runs guest code on a blocking thread, as many at once as there are cores.
    async fn in_guest<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, sluice_engine::Error> + Send + 'static,
    ) -> Result<T, String> {
        in_guest(&self.app, work).await.map_err(|failure| describe_failure(&failure))
    }
}

/// Runs guest code on a blocking thread, as many at once as there are cores.
///
/// # Errors
/// The guest's refusal or trap, or the host's failure.
pub async fn in_guest<T: Send + 'static, E: Into<Failure> + Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    let _turn = app.guests.acquire().await.map_err(Failure::failed)?;
    tokio::task::spawn_blocking(work).await.map_err(Failure::failed)?.map_err(Into::into)
}

/// What a verdict asks of the host.
fn act(verdict: Verdict, retry_after: Option<Duration>, key: &str) -> Outcome {
    match verdict {
        Verdict::Done => Outcome::Answered { follow_ups: Vec::new(), wait: Duration::ZERO },
        Verdict::More(follow_ups) => Outcome::Answered { follow_ups, wait: Duration::ZERO },
        Verdict::Wait { secs, then } => {
            Outcome::Answered { follow_ups: then, wait: Duration::from_secs(secs.into()).min(MAX_WAIT) }
        }
        Verdict::Retry { reason, after_secs } => {
            let asked = after_secs.map(|secs| Duration::from_secs(secs.into()));
            Outcome::Again { reason, at_least: asked.max(retry_after) }
        }
        Verdict::Renew(token) => {
            Outcome::Again { reason: format!("token `{token}` is no longer good"), at_least: retry_after }
        }
        Verdict::Split => Outcome::Split,
        Verdict::Refused(Refusal { text, .. }) => Outcome::Failed(format!("request `{key}`: {text}")),
    }
}

type Judged = Result<(Judgement, Option<NativeBatch>, Response), String>;

/// The word that the raw object keeps: only `answered` ones are mapped again.
fn outcome_word(judged: &Judged, request: &Request) -> &'static str {
    match judged {
        Err(_) => "failed",
        Ok((judgement, ..)) => match judgement.verdict {
            Verdict::Done | Verdict::More(_) if request.yields_records => "answered",
            Verdict::Done | Verdict::More(_) | Verdict::Wait { .. } => "step",
            Verdict::Retry { .. } | Verdict::Renew(_) => "retried",
            Verdict::Split => "split",
            Verdict::Refused(_) => "refused",
        },
    }
}

/// Headers that a connector may see.
pub fn visible(headers: &[(String, String)]) -> Vec<(String, String)> {
    let hidden = ["set-cookie", "authorization", "proxy-authorization", "www-authenticate", "cookie"];
    headers.iter().filter(|(name, _)| !hidden.contains(&name.as_str())).cloned().collect()
}

/// Says which status words a connector doesn't know.
pub fn warn_of_unknown(raw: &RawObject, mapped: &Mapped) {
    for word in &mapped.unknown_statuses {
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

fn describe_failure(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{} (hint: {hint})", describe(failure.error.as_ref())),
        None => describe(failure.error.as_ref()),
    }
}
