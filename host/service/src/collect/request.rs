//! One request: send, judge, keep, map, until it is answered, refused or has failed too often.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sluice_fetch::Exchange;
use sluice_model::{
    Digest, Judgement, NativeBatch, RawObject, Refusal, Request, Response, Slice, Step, Verdict, request_id,
};

use super::{Collector, SliceReport, describe, describe_failure, visible, warn_of_unknown};
use crate::guests::in_guest;
use crate::slices::SliceJob;
use crate::step;
use crate::tables::Answer;

/// The word for a response whose body could not be taken whole: what is kept of it is a sample.
pub(super) const BROKEN: &str = "broken";
/// The longest wait that a connector may ask for.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// How an attempt ended.
pub(super) enum Outcome {
    /// `page`: the digest of a body of records.
    Answered {
        follow_ups: Vec<Request>,
        wait: Duration,
        page: Option<Digest>,
    },
    Again {
        reason: String,
        at_least: Option<Duration>,
    },
    Split,
    Failed(String),
}

/// What a connector says of a response, its records, and the response as it saw it.
pub(super) type Judged = Result<(Judgement, Option<NativeBatch>, Response), String>;

impl Collector {
    /// Sends a request until it is answered, refused or has failed too often; not at all if its answer is kept.
    pub(super) async fn answer(
        &self,
        job: &SliceJob,
        slice: Arc<Slice>,
        request: Request,
        wait: Duration,
    ) -> (Outcome, SliceReport) {
        let mut tally = SliceReport::default();
        let request = Arc::new(request);
        let sent_before = match self.recall(&slice, &request, &mut tally).await {
            Ok(outcome) => return (outcome, tally),
            Err(attempts) => attempts,
        };
        tokio::time::sleep(wait).await;
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(job, &slice, &request, sent_before + attempt, &mut tally).await;
            let Outcome::Again { reason, at_least } = outcome else { return (outcome, tally) };
            if attempt >= self.app.settings.fetch.max_attempts {
                let reason = format!("request `{}`: {reason} ({attempt} attempts)", request.key);
                return (Outcome::Failed(reason), tally);
            }
            let Some(pause) = sluice_fetch::backoff(attempt, at_least) else {
                let asked = at_least.unwrap_or_default();
                let reason = format!(
                    "request `{}`: {reason}, and the network asks for a pause of {asked:?}, longer than a run waits: the \
                     next run asks again",
                    request.key
                );
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
            Err(error) => return failed(request, &error),
        };
        step::passed(Step::ResponseCame);
        tally.bytes += exchange.wire.len() as u64;
        tally.sent(Some(exchange.sent_at));
        if let Some(problem) = &exchange.problem {
            return self.broken(slice, request, &exchange, problem, attempt).await;
        }
        let judged =
            self.judge(slice, request, exchange.status, visible(&exchange.headers), exchange.body.clone()).await;
        let raw = Arc::new(self.raw_object(slice, request, &exchange, attempt, outcome_word(&judged, request)));
        if let Err(error) = self.app.lake.put_raw(&raw, exchange.wire.clone()).await {
            return Outcome::Failed(describe(&error));
        }
        step::passed(Step::ResponseKept);
        if let Ok((Judgement { verdict: Verdict::Renew(token), .. }, ..)) = &judged {
            job.account.renew(token, &exchange).await;
        }
        self.settle(slice, request, raw, judged, exchange.retry_after, tally).await
    }

    /// Keeps what there is of a response that is of no use.
    async fn broken(
        &self,
        slice: &Slice,
        request: &Request,
        exchange: &Exchange,
        problem: &sluice_fetch::Error,
        attempt: u32,
    ) -> Outcome {
        let raw = self.raw_object(slice, request, exchange, attempt, BROKEN);
        if let Err(error) = self.app.lake.put_raw(&raw, exchange.wire.clone()).await {
            return Outcome::Failed(describe(&error));
        }
        failed(request, problem)
    }

    /// Acts on a response that is kept: maps its records and says what comes next.
    pub(super) async fn settle(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        raw: Arc<RawObject>,
        judged: Judged,
        retry_after: Option<Duration>,
        tally: &mut SliceReport,
    ) -> Outcome {
        let page = request.yields_records.then_some(raw.body);
        let (judgement, native, response) = match judged {
            Ok(judged) => judged,
            Err(reason) => return Outcome::Failed(format!("request `{}`: {reason}", request.key)),
        };
        if judgement.cursor.is_some() {
            tally.cursor.clone_from(&judgement.cursor);
        }
        let answered = matches!(judgement.verdict, Verdict::Done | Verdict::More(_));
        if let (true, true, Some(native)) = (answered, request.yields_records, native) {
            tally.records += native.rows as u64;
            match self.map(raw, slice, request, response, native).await {
                Ok(rejects) => tally.rejects += rejects,
                Err(reason) => return Outcome::Failed(format!("request `{}`: {reason}", request.key)),
            }
        }
        act(judgement.verdict, retry_after, &request.key, page)
    }

    /// Decodes and judges a response: pure work, off the async threads.
    pub(super) async fn judge(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Judged {
        let connector = self.network.connector.clone();
        let (slice, request) = (slice.clone(), request.clone());
        let mut response = Response { status, headers, body, records: None, problem: None };
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

    /// Maps an answer, hands it on to the tables, and gives how many of its records could not be mapped.
    async fn map(
        &self,
        raw: Arc<RawObject>,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        response: Response,
        native: NativeBatch,
    ) -> Result<u64, String> {
        let Some(tables) = &self.tables else { return Ok(0) };
        let connector = self.network.connector.clone();
        let (slice, request, origin) = (slice.clone(), request.clone(), raw.clone());
        let shadow = self.network.shadow.clone();
        let map = move || {
            let mapped = connector.map(&slice, &request, &response, native)?;
            if let Some(shadow) = shadow {
                shadow.compare(&slice, &request, &response, &mapped);
            }
            Answer::of(&connector, origin, mapped)
        };
        let answer = in_guest(&self.app, map).await.map_err(|failure| describe_failure(&failure))?;
        warn_of_unknown(&raw, &answer.unknown_statuses);
        let rejects = answer.prepared.rejects();
        let held = self.app.memory.reserve(answer.prepared.bytes()).await;
        tables.add(answer.prepared, Box::new(held)).await.map_err(|error| describe(&error))?;
        Ok(rejects)
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
            request_id: request_id(&self.run_id, &slice.id(), &request.key),
            slice: slice.clone(),
            request: request.clone(),
            sent: exchange.sent.clone(),
            attempt,
            sent_at: exchange.sent_at,
            received_at: exchange.received_at,
            status: exchange.status,
            headers: exchange.headers.clone(),
            body: Digest::of(&exchange.wire),
            body_bytes: exchange.wire.len() as u64,
            masked: exchange.masked,
            outcome: outcome.to_owned(),
            connector_version: self.network.connector.version().to_owned(),
            connector_digest: self.network.connector.digest(),
        }
    }
}

/// What an error of the way to the network asks for, with its hint.
fn failed(request: &Request, error: &sluice_fetch::Error) -> Outcome {
    let hint = error.hint().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    let reason = format!("{}{hint}", describe(error));
    if error.is_retryable() {
        return Outcome::Again { reason, at_least: error.retry_after() };
    }
    Outcome::Failed(format!("request `{}`: {reason}", request.key))
}

/// What a verdict asks of the host.
fn act(verdict: Verdict, retry_after: Option<Duration>, key: &str, page: Option<Digest>) -> Outcome {
    match verdict {
        Verdict::Done => Outcome::Answered { follow_ups: Vec::new(), wait: Duration::ZERO, page },
        Verdict::More(follow_ups) => Outcome::Answered { follow_ups, wait: Duration::ZERO, page },
        Verdict::Wait { secs, then } => {
            Outcome::Answered { follow_ups: then, wait: Duration::from_secs(secs.into()).min(MAX_WAIT), page }
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
