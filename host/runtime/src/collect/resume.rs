//! What a run kept before it was interrupted: a response that is there is not asked for again.
//!
//! A response is stored before it is decoded, so there may be one whose decoding ended the process. Responses without an
//! outcome are judged one at a time, and each start is recorded in the envelope first: a response that ended the process
//! [`MAX_JUDGEMENTS`] times fails its request instead.
//!
//! A store that fails hides responses that it has: then the run ends in an error and is resumed later, instead of sending
//! requests again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use sluice_engine::visible_headers;
use sluice_fetch::ResponseMemory;
use sluice_lake::{EnvelopePath, Error as LakeError, KeptResponse, Lake};
use sluice_model::{
    Digest, ErrorKind, Judgement, RawObject, Refusal, RefusalKind, Request, Slice, SliceRead, Verdict, request_id,
};

use super::outcome::{BROKEN, RETRIED, outcome_word};
use super::progress::{ResponsePermit, response_bytes};
use super::request::{JudgedResponse, RequestOutcome};
use super::run_warnings::WarningKind;
use super::suspect::{Chance, Ending, Transfer};
use super::{Collector, Progress};
use crate::failure::{Failure, SliceError};

/// The outcome of a response that is kept and not judged yet.
pub(super) const UNJUDGED: &str = "unjudged";
/// The outcome of a response whose judging ended the process too often.
pub(super) const FATAL: &str = "fatal";
/// How often a response is judged without the process living to note its outcome.
const MAX_JUDGEMENTS: u32 = 3;
/// How long after its beginning a run is left for later when the store doesn't give a response. Then it may be this response
/// alone, and its request is sent again.
const STORE_AWAITED: TimeDelta = TimeDelta::hours(1);

/// Responses by request, and slices by their id.
#[derive(Default)]
pub struct ResumedResponses {
    responses: HashMap<String, KeptResponse>,
    /// Bodies of 2xx responses after which the request was sent again: they looked cut, or the connector asked for it.
    asked_again: HashMap<String, Digest>,
    slices: HashMap<String, SliceRead>,
    /// Held while a response without an outcome is judged.
    judging: tokio::sync::Mutex<()>,
    /// Whether the run was interrupted: whoever had it may still be storing a response.
    is_resumed: bool,
    /// Whether the run is left for later when the store fails.
    awaits_store: bool,
    /// Why the store didn't give the first response that it may have.
    store_failure: Mutex<Option<Failure>>,
}

impl ResumedResponses {
    /// What raw holds of a run that began at a moment.
    ///
    /// # Errors
    /// The lake's failure.
    pub async fn of(lake: &Lake, run_id: &str, began_at: DateTime<Utc>) -> Result<Self, Failure> {
        let awaits_store = Utc::now() - began_at < STORE_AWAITED;
        let mut kept = Self { is_resumed: true, awaits_store, ..Self::default() };
        // Oldest first: of several attempts the last one counts.
        for response in lake.run_responses(run_id).await? {
            let id = response.request_id.clone();
            let earlier = kept.responses.insert(id.clone(), response);
            if let Some(earlier) = earlier.filter(|raw| raw.outcome == RETRIED && (200..300).contains(&raw.status)) {
                kept.asked_again.insert(id, earlier.body);
            }
        }
        for read in lake.slice_reads(run_id).await? {
            kept.slices.insert(read.slice.id(), read);
        }
        Ok(kept)
    }

    /// How far the run got: rises with every response that is kept, and again when it is judged.
    pub fn progress(&self) -> u64 {
        let judged = self.responses.values().filter(|response| judgements(&response.outcome).is_none()).count();
        (self.responses.len() + judged) as u64
    }

    /// The marker of a slice that was read whole.
    pub(super) fn whole(&self, slice: &Slice) -> Option<&SliceRead> {
        self.slices.get(&slice.id()).filter(|read| read.complete)
    }

    /// Why the run has to be resumed later: the store failed when it was asked for a response.
    pub fn take_store_failure(&self) -> Option<Failure> {
        self.store_failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The outcome of a request whose response the store may have, and doesn't give now.
    fn leave(&self, failure: Failure, request: &Request) -> RequestOutcome {
        let key = &request.key;
        let error = SliceError::from(&failure)
            .map(|message| format!("request `{key}`: whether its response is kept can't be read now: {message}"));
        let mut first = self.store_failure.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(failure);
        }
        RequestOutcome::Failed(error)
    }

    /// When the last response came up to a moment.
    pub(super) fn last_received(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.responses.values().map(|response| response.received_at).filter(|at| *at <= until).max()
    }
}

/// What a run sent of a request before it was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SentBefore {
    /// How often it was sent.
    pub(super) attempts: u32,
    /// The last body that looked cut.
    pub(super) cut: Option<Digest>,
}

impl SentBefore {
    fn attempts_of(kept: &KeptResponse) -> Self {
        Self { attempts: kept.attempt, cut: None }
    }
}

/// Why a kept response isn't used.
enum Unread {
    OtherRequest,
    /// It is damaged, or gone.
    Lost(SliceError),
    /// The store failed: it is there.
    StoreFailed(Failure),
}

impl From<SliceError> for Unread {
    fn from(error: SliceError) -> Self {
        Self::Lost(error)
    }
}

impl From<LakeError> for Unread {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Damaged { .. } | LakeError::Gone { .. } => Self::Lost(Failure::from(error).into()),
            error => Self::StoreFailed(error.into()),
        }
    }
}

/// A kept response, read again.
struct ReadAgain {
    raw: Arc<RawObject>,
    judged: JudgedResponse,
    ending: Ending,
}

/// How often a response's judging was begun; none if it was finished.
fn judgements(outcome: &str) -> Option<u32> {
    match outcome.strip_prefix(UNJUDGED)? {
        "" => Some(1),
        counted => counted.strip_prefix('-')?.parse().ok(),
    }
}

impl Collector {
    /// Acts on the kept response to a request as if it had just come. If there is none, or the request has to be
    /// sent again all the same, gives what was sent before.
    pub(super) async fn recall(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        progress: &Progress,
    ) -> Result<RequestOutcome, SentBefore> {
        let id = request_id(&self.run_id, &slice.id(), &request.key);
        let kept = match self.kept_response(&id).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return Err(SentBefore::default()),
            Err(unread) => return self.unread(unread, request, &id, SentBefore::default()),
        };
        if kept.outcome == BROKEN {
            // There is only a sample.
            return Err(SentBefore::attempts_of(&kept));
        }
        let request_bytes = request.text_bytes();
        let mut permit = self.bounds.permit(request_bytes).await;
        permit.make_room(kept.body_bytes).await;
        let ReadAgain { raw, judged, ending } = match self.read_kept(slice, request, &kept, &permit).await {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(given_up(&kept, request)),
            Err(unread) => return self.unread(unread, request, &id, SentBefore::attempts_of(&kept)),
        };
        // Its request was to be sent again, though the connector takes it for an answer: it looked cut.
        let was_retried = raw.outcome == RETRIED;
        let looked_cut = ending == Ending::AskAgain || was_retried && is_answer(&judged);
        let is_sent = was_retried || !matches!(ending, Ending::Cut(_)) && wants_sending(&judged);
        {
            let mut report = progress.lock();
            report.requests += u64::from(raw.attempt);
            report.bytes += raw.body_bytes;
            report.note_sent(raw.sent_at);
            report.reused += u64::from(!is_sent);
        }
        if is_sent {
            return Err(SentBefore { attempts: raw.attempt, cut: looked_cut.then_some(raw.body) });
        }
        let outcome = self.apply_response(slice, request, raw.clone(), (judged, ending), None, progress, permit).await;
        Ok(match outcome {
            RequestOutcome::Answered { follow_ups, wait, page } => {
                let passed = (Utc::now() - raw.received_at).to_std().unwrap_or(Duration::ZERO);
                RequestOutcome::Answered { follow_ups, wait: wait.saturating_sub(passed), page }
            }
            other => other,
        })
    }

    /// The last response to a request that raw has. Whoever had the run may have stored one since it was resumed.
    async fn kept_response(&self, id: &str) -> Result<Option<KeptResponse>, Unread> {
        match self.kept.responses.get(id) {
            Some(kept) => Ok(Some(kept.clone())),
            None if self.kept.is_resumed => Ok(self.app.lake.first_response(&self.run_id, id).await?),
            None => Ok(None),
        }
    }

    /// What follows for a request whose kept response isn't used: it is sent again, unless the store may have its answer.
    fn unread(
        &self,
        unread: Unread,
        request: &Request,
        id: &str,
        before: SentBefore,
    ) -> Result<RequestOutcome, SentBefore> {
        let reason = match unread {
            // Another version of the connector asks something else under the same key.
            Unread::OtherRequest => return Err(before),
            Unread::StoreFailed(failure) if self.kept.awaits_store => return Ok(self.kept.leave(failure, request)),
            Unread::StoreFailed(failure) => SliceError::from(failure).message,
            Unread::Lost(error) => error.message,
        };
        if self.warnings.admits(WarningKind::UnreadResponse, id) {
            let key = &request.key;
            tracing::warn!(request = key, reason, "a kept response can't be read: it is asked for again");
        }
        Err(before)
    }

    /// Reads a kept response and judges it; none if that ended the process too often.
    async fn read_kept(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        kept: &KeptResponse,
        permit: &ResponsePermit,
    ) -> Result<Option<ReadAgain>, Unread> {
        let raw = self.app.lake.run_response(&kept.envelope).await?;
        if raw.request != **request {
            return Err(Unread::OtherRequest);
        }
        let raw = Arc::new(raw);
        let begun = judgements(&raw.outcome);
        if begun.is_none() && raw.outcome == FATAL {
            return Ok(None);
        }
        // Before its judging is recorded as begun: a store that fails here hasn't ended the process.
        let wire = self.app.lake.raw_body(raw.body).await?;
        Ok(match begun {
            None => Some(self.judge_kept(slice, request, &raw, &wire, Chance::None, permit).await?),
            Some(begun) => self.judge_suspect(slice, request, (&kept.envelope, &raw, &wire), begun, permit).await?,
        })
    }

    /// Judges a kept response. `chance`: whether it is asked for again if it looks cut, which the run that kept it may not
    /// have come to.
    async fn judge_kept(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        raw: &Arc<RawObject>,
        wire: &Bytes,
        chance: Chance,
        permit: &ResponsePermit,
    ) -> Result<ReadAgain, SliceError> {
        let unpacked = sluice_fetch::unpack_body(&raw.headers, wire, &self.app.settings.fetch).await;
        let body = unpacked.map_err(Failure::from)?;
        // It waits for nothing while it holds what others may wait for.
        permit.resize(response_bytes(body.len() as u64));
        let mut judged = self.judge(slice, request, raw.status, visible_headers(&raw.headers), body, permit).await;
        let ending = self.ending(slice, request, Transfer::of_kept(raw), &mut judged, chance).await;
        Ok(ReadAgain { raw: raw.clone(), judged, ending })
    }

    /// Judges a response without an outcome, and records it. None, and that is recorded, if it was judged too
    /// often already without the process living to note the outcome.
    async fn judge_suspect(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        (path, raw, wire): (&EnvelopePath, &Arc<RawObject>, &Bytes),
        begun: u32,
        permit: &ResponsePermit,
    ) -> Result<Option<ReadAgain>, Unread> {
        let _alone = self.kept.judging.lock().await;
        let note = async |outcome: String| {
            let noted = Arc::new(RawObject { outcome, ..RawObject::clone(raw) });
            self.app.lake.put_outcome(path, &noted).await?;
            Ok::<_, Unread>(noted)
        };
        if begun >= MAX_JUDGEMENTS {
            note(FATAL.to_owned()).await?;
            return Ok(None);
        }
        note(format!("{UNJUDGED}-{}", begun + 1)).await?;
        let chance = Chance::After(self.kept.asked_again.get(&raw.request_id).copied());
        let ReadAgain { judged, ending, .. } = self.judge_kept(slice, request, raw, wire, chance, permit).await?;
        let raw = note(outcome_word(&judged, &ending, request).to_owned()).await?;
        Ok(Some(ReadAgain { raw, judged, ending }))
    }
}

/// The outcome of a request whose response ends the process.
fn given_up(kept: &KeptResponse, request: &Request) -> RequestOutcome {
    let reason = format!(
        "request `{}`: the process ended {MAX_JUDGEMENTS} times while its response was decoded, so it is no longer \
         decoded; it is kept in raw with the body {} ({} bytes)",
        request.key, kept.body, kept.body_bytes
    );
    RequestOutcome::Failed(SliceError::new(ErrorKind::Host, reason))
}

/// Whether a response that was asked for again is an answer, or would be one if it weren't cut.
fn is_answer(judged: &JudgedResponse) -> bool {
    let Ok((Judgement { verdict, .. }, found)) = judged else { return false };
    found.is_cut() || matches!(verdict, Verdict::Done | Verdict::More(_))
}

/// Whether the request of a kept response has to be sent again. What was refused for want of a credential
/// or a setting may have got it since.
fn wants_sending(judged: &JudgedResponse) -> bool {
    let Ok((Judgement { verdict, .. }, ..)) = judged else { return false };
    match verdict {
        Verdict::Retry { .. } | Verdict::Renew(_) => true,
        Verdict::Refused(Refusal { kind, .. }) => matches!(kind, RefusalKind::Credentials | RefusalKind::Settings),
        Verdict::Done | Verdict::More(_) | Verdict::Wait { .. } | Verdict::Split => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_how_often_its_judging_was_begun() {
        let counted = ["unjudged", "unjudged-2", "unjudged-3", "answered", "fatal", "unjudged-x"].map(judgements);
        assert_eq!(counted, [Some(1), Some(2), Some(3), None, None, None]);
    }
}
