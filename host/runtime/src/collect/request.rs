//! One request: send, judge, keep, map, until it is answered, refused or has failed too often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use sluice_engine::{DecodedResponse, TwiceCheck, visible_headers};
use sluice_fetch::{Account, Attempts, Exchange, FailedAttempt, NextAttempt, Retry};
use sluice_lake::WireBody;
use sluice_model::{Digest, ErrorKind, Judgement, RawObject, Request, Slice, Step, Verdict, request_id};

use super::clock::Moments;
use super::outcome::{BROKEN, outcome_word};
use super::progress::{ResponseAdmission, ResponsePermit};
use super::request_queue::QueuedRequest;
use super::resume::{SentBefore, UNJUDGED};
use super::suspect::{Chance, Ending, Transfer};
use super::verdict::{act, failed, host_failed};
use super::{Collector, Progress};
use crate::failure::{Failure, SliceError};
use crate::guests::in_guest;
use crate::step;
use crate::tables::PreparedResponse;

/// How an attempt ended.
pub(super) enum RequestOutcome {
    /// `page`: the digest of a body of records.
    Answered {
        follow_ups: Vec<Request>,
        wait: Duration,
        page: Option<Digest>,
    },
    /// It failed, and may succeed at another attempt. `cut`: the body of a response that may be cut, and is asked for again.
    Again {
        error: SliceError,
        failed: FailedAttempt,
        cut: Option<Digest>,
    },
    /// Its response is cut again: the slice is doubtful. `too_wide`: none if a narrower window would be cut too.
    Cut {
        too_wide: Option<SliceError>,
    },
    Split,
    /// It failed in a way that a narrower window may avoid.
    TooWide(SliceError),
    Failed(SliceError),
}

impl RequestOutcome {
    /// Another attempt is worth at least `retry`.
    fn worth(mut self, retry: Retry) -> Self {
        if let Self::Again { failed, .. } = &mut self {
            failed.retry = failed.retry.max(retry);
        }
        self
    }
}

/// Why what a connector takes for a whole list of records is none, by its status.
fn unanswered(verdict: &Verdict, request: &Request, status: u16) -> Option<&'static str> {
    match (verdict, status) {
        (Verdict::Done | Verdict::More(_), 202) if request.yields_records => {
            Some("HTTP 202: the network took the request, and has no answer yet")
        }
        (Verdict::Done, 206) if request.yields_records => Some("HTTP 206: the response is a part of the answer"),
        _ => None,
    }
}

/// A connector's judgement, and the response as it saw it.
pub(super) type JudgedResponse = Result<(Judgement, DecodedResponse), SliceError>;

impl Collector {
    /// Sends a request until it is answered, refused or has failed too often; not at all if its answer is kept.
    #[tracing::instrument(
        name = "request",
        skip_all,
        fields(request = queued.request.key, request_id = request_id(&self.run_id, &slice.id(), &queued.request.key))
    )]
    pub(super) async fn answer(
        &self,
        account: &Account,
        slice: Arc<Slice>,
        queued: QueuedRequest,
        wait: Duration,
        progress: &Progress,
    ) -> RequestOutcome {
        let request = queued.request.clone();
        let before = match self.recall(&slice, &request, progress).await {
            Ok(outcome) => return outcome,
            Err(before) => before,
        };
        if !wait.is_zero() {
            let until = Instant::now() + wait;
            self.app.meter.wait(&slice.network, &slice.account, "the network prepares the answer", until);
        }
        tokio::time::sleep(wait).await;
        let mut attempts = Attempts::new(&self.app.settings.fetch);
        let SentBefore { attempts: sent_before, mut cut } = before;
        loop {
            let attempt = sent_before + attempts.failed() + 1;
            let is_last = attempts.failed() + 1 >= self.app.settings.fetch.max_attempts;
            let chance = if is_last { Chance::None } else { Chance::After(cut) };
            let outcome = self.attempt(account, &slice, &request, attempt, chance, progress).await;
            let RequestOutcome::Again { error, failed, cut: body } = outcome else { return outcome };
            cut = body.or(cut);
            match self.next_attempt(&mut attempts, &slice, &request, error, &failed) {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(outcome) => return outcome,
            }
        }
    }

    /// The pause before the next attempt, or the request's outcome if there is none. A window for which the network takes
    /// too long, again and again, may be read in halves. One that is too large isn't sent for again: its error names the
    /// limit.
    fn next_attempt(
        &self,
        attempts: &mut Attempts,
        slice: &Slice,
        request: &Request,
        error: SliceError,
        failed: &FailedAttempt,
    ) -> Result<Duration, RequestOutcome> {
        let next = attempts.next(failed, Utc::now());
        if attempts.is_too_wide() && self.can_be_halved(slice) {
            return Err(RequestOutcome::TooWide(error));
        }
        let count = attempts.failed();
        let (network, account, key) = (&slice.network, &slice.account, &request.key);
        match next {
            NextAttempt::After(pause) => {
                let reason = &error.message;
                tracing::debug!(network, account, request = key, attempt = count, reason, ?pause, "retry");
                self.app.meter.wait(network, account, reason, Instant::now() + pause);
                Ok(pause)
            }
            NextAttempt::Final => {
                let attempts = if count > 1 { format!(" ({count} attempts)") } else { String::new() };
                let error = error.map(|message| format!("request `{key}`: {message}{attempts}"));
                Err(RequestOutcome::Failed(error))
            }
            NextAttempt::Deferred(deferred) => {
                let deferred = SliceError::from(Failure::from(deferred));
                let message = format!("request `{key}`: {}: {}", error.message, deferred.message);
                Err(RequestOutcome::Failed(SliceError { message, ..deferred }))
            }
        }
    }

    /// One attempt: send, keep, judge, note the outcome, and only then map. The response is in raw before anything looks
    /// into its body, so that a body whose decoding ends the process is there afterwards. `chance`: whether a
    /// response that looks cut is worth another attempt.
    #[tracing::instrument(level = "debug", skip_all, fields(attempt))]
    async fn attempt(
        &self,
        account: &Account,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        attempt: u32,
        chance: Chance,
        progress: &Progress,
    ) -> RequestOutcome {
        if let Err(error) = self.app.disk.check(&self.app.settings) {
            return RequestOutcome::Failed(error);
        }
        let (bounds, meter, request_bytes) = (&self.bounds, &*self.app.meter, request.text_bytes());
        let admission = ResponseAdmission { bounds, progress, meter, slice, request_bytes };
        let (mut exchange, permit) = match account.send_with(request, &admission).await {
            Ok(sent) => sent,
            Err(error) => return failed(&error),
        };
        step::passed(Step::ResponseCame);
        if let Err(error) = self.erase(&mut exchange).await {
            return RequestOutcome::Failed(error);
        }
        let moments = match self.note_received(&exchange, progress).await {
            Ok(moments) => moments,
            Err(error) => return RequestOutcome::Failed(error),
        };
        if let Some(problem) = &exchange.problem {
            return self.broken(slice, request, &exchange, moments, problem, attempt).await;
        }
        let wire = WireBody::of(exchange.wire.clone());
        let kept = self.raw_object(slice, request, &exchange, &wire, moments, attempt, UNJUDGED);
        let stored = match self.app.lake.put_raw(&kept, &wire).await {
            Ok(stored) => stored,
            Err(error) => return host_failed(error),
        };
        progress.lock().stored_bytes += stored.written_bytes;
        step::passed(Step::ResponseKept);
        let mut judged = self
            .judge(slice, request, exchange.status, visible_headers(&exchange.headers), exchange.body.clone(), &permit)
            .await;
        let transfer = Transfer::of(&exchange, kept.body);
        let ending = self.ending(slice, request, transfer, &mut judged, chance).await;
        let raw = Arc::new(RawObject { outcome: outcome_word(&judged, &ending, request).to_owned(), ..kept });
        if let Err(error) = self.app.lake.put_outcome(&stored.envelope, &raw).await {
            return host_failed(error);
        }
        step::passed(Step::OutcomeKept);
        let mut renewal = Retry::Never;
        if let Ok((Judgement { verdict: Verdict::Renew(token), .. }, found)) = &mut judged {
            // Another request may be signing in, as slowly as the network likes: nothing may be held meanwhile.
            (exchange.wire, exchange.body, found.response.body) = (Bytes::new(), Bytes::new(), Bytes::new());
            found.decoded = None;
            drop(wire);
            permit.resize(0);
            renewal = account.renew(token, &exchange).await;
        }
        let outcome =
            self.apply_response(slice, request, raw, (judged, ending), exchange.retry_after, progress, permit).await;
        outcome.worth(renewal)
    }

    /// Keeps what there is of a response that is of no use.
    async fn broken(
        &self,
        slice: &Slice,
        request: &Request,
        exchange: &Exchange,
        moments: Moments,
        problem: &sluice_fetch::Error,
        attempt: u32,
    ) -> RequestOutcome {
        let wire = WireBody::of(exchange.wire.clone());
        let raw = self.raw_object(slice, request, exchange, &wire, moments, attempt, BROKEN);
        if let Err(error) = self.app.lake.put_raw(&raw, &wire).await {
            return host_failed(error);
        }
        failed(problem)
    }

    /// Acts on a stored response: maps its records and returns what to do next.
    #[expect(clippy::too_many_arguments, reason = "what is known of one response, from two callers")]
    pub(super) async fn apply_response(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        raw: Arc<RawObject>,
        (judged, ending): (JudgedResponse, Ending),
        retry_after: Option<Duration>,
        progress: &Progress,
        permit: ResponsePermit,
    ) -> RequestOutcome {
        if let Ending::Cut(reason) = ending {
            return self.doubt_cut(slice, raw, &reason, progress);
        }
        let body = raw.body;
        let page = request.yields_records.then_some(body);
        let failed = |error: SliceError| {
            RequestOutcome::Failed(error.about(body).map(|message| format!("request `{}`: {message}", request.key)))
        };
        let (judgement, found) = match judged {
            Ok(judged) => judged,
            Err(error) => return failed(error),
        };
        let kind = judgement.error_kind(&found.response, retry_after.is_some()).unwrap_or(ErrorKind::Network);
        let status = found.response.status;
        let answered = matches!(judgement.verdict, Verdict::Done | Verdict::More(_));
        if let Some(cursor) = &judgement.cursor
            && (answered || matches!(judgement.verdict, Verdict::Wait { .. }))
            && let Err(error) = self.texts.take_cursor(&mut progress.lock().cursor, cursor)
        {
            return failed(error);
        }
        if let (true, true, Some(decoded)) = (answered, request.yields_records, &found.decoded) {
            progress.lock().records += decoded.records() as u64;
            self.app.meter.found(decoded.records());
            match self.map(raw, slice, found, progress, permit).await {
                Ok(rejects) => progress.lock().rejects += rejects,
                Err(error) => return failed(error),
            }
        }
        match act(judgement.verdict, kind, status, retry_after, &request.key, page) {
            RequestOutcome::Again { error, failed, .. } if ending == Ending::AskAgain => {
                // How often is decided by what comes.
                RequestOutcome::Again { error: error.about(body), failed, cut: Some(body) }.worth(Retry::Yes)
            }
            RequestOutcome::Again { error, failed, cut } => {
                RequestOutcome::Again { error: error.about(body), failed, cut }
            }
            RequestOutcome::Failed(error) => RequestOutcome::Failed(error.about(body)),
            other => other,
        }
    }

    /// Decodes and judges a response: pure work, off the async threads.
    pub(super) async fn judge(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
        permit: &ResponsePermit,
    ) -> JudgedResponse {
        let connector = self.network.connector.clone();
        let (slice, request, memory) = (slice.clone(), request.clone(), permit.memory.clone());
        let judged = self.in_guest(move || {
            let _memory = memory;
            let found = if request.yields_records {
                let found = connector.decode_response(&slice.stream, status, headers, body);
                step::passed(Step::ResponseDecoded);
                found
            } else {
                DecodedResponse::without_records(status, headers, body)
            };
            let mut judgement = connector.follow(&slice, &request, &found.response)?;
            let is_answer = matches!(judgement.verdict, Verdict::Done | Verdict::More(_));
            let unreadable = found.unreadable().filter(|_| is_answer);
            let unanswered = unanswered(&judgement.verdict, &request, status).map(str::to_owned);
            if let Some(reason) = unanswered.or(unreadable) {
                judgement.verdict = Verdict::Retry { reason, after_secs: None };
            }
            Ok((judgement, found))
        });
        let judged = judged.await;
        if let Ok((_, found)) = &judged {
            // The columns for the guest and the rows are about as large again.
            permit.resize(found.bytes().saturating_mul(2));
        }
        judged
    }

    /// Maps an answer, takes it into the slice's gate, and returns how many of its records could not be mapped.
    async fn map(
        &self,
        raw: Arc<RawObject>,
        slice: &Arc<Slice>,
        found: DecodedResponse,
        progress: &Progress,
        permit: ResponsePermit,
    ) -> Result<u64, SliceError> {
        if self.tables.is_none() {
            return Ok(0);
        }
        let connector = self.network.connector.clone();
        let origin = raw.clone();
        let shadow = self.network.shadow.clone().map(|shadow| (shadow, found.response.body.clone()));
        let memory = permit.memory.clone();
        let map = move || {
            let _memory = memory;
            let mapped = connector.map_decoded(&origin, found, TwiceCheck::Sampled)?;
            if let Some((shadow, body)) = shadow {
                shadow.compare(&connector, &origin, body, &mapped);
            }
            PreparedResponse::of(&connector, origin, mapped)
        };
        let answer = in_guest(&self.app.guests, &raw.slice.network, map).await?;
        self.warnings.unknown_statuses(&raw.slice, &answer.unknown_statuses);
        progress.gate().note_answer(&raw, &answer, &self.app.contents);
        let rejects = answer.prepared.rejects();
        permit.memory.resize(answer.bytes());
        self.hold(slice, progress, raw, answer, permit.memory).await?;
        Ok(rejects)
    }

    #[expect(clippy::too_many_arguments, reason = "each becomes one or more fields")]
    fn raw_object(
        &self,
        slice: &Slice,
        request: &Request,
        exchange: &Exchange,
        wire: &WireBody,
        moments: Moments,
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
            sent_at: moments.sent_at,
            received_at: moments.received_at,
            status: exchange.status,
            headers: exchange.headers.clone(),
            body: wire.digest(),
            body_bytes: wire.size(),
            masked: exchange.masked,
            outcome: outcome.to_owned(),
            connector_version: self.network.connector.version().to_owned(),
            connector_digest: self.network.connector.digest(),
        }
    }
}
