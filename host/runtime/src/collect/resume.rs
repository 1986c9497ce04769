//! What a run kept before it was interrupted: a response that is there is not asked for again.
//!
//! A response is stored before it is decoded, so there may be one whose decoding ended the process. Responses without an
//! outcome are judged one at a time, and each start is recorded in the envelope first: a response that ended the process
//! [`MAX_JUDGEMENTS`] times fails its request instead.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sluice_engine::visible_headers;
use sluice_fetch::ResponseMemory;
use sluice_lake::{EnvelopePath, KeptResponse, Lake};
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

/// Responses by request, and slices by their id.
#[derive(Default)]
pub struct ResumedResponses {
    responses: HashMap<String, KeptResponse>,
    /// Bodies of 2xx responses after which the request was sent again: they looked cut, or the connector asked for it.
    asked_again: HashMap<String, Digest>,
    slices: HashMap<String, SliceRead>,
    /// Held while a response without an outcome is judged.
    judging: tokio::sync::Mutex<()>,
}

impl ResumedResponses {
    /// What raw holds of a run.
    ///
    /// # Errors
    /// The lake's failure.
    pub async fn of(lake: &Lake, run_id: &str) -> Result<Self, Failure> {
        let mut kept = Self::default();
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
    Failed(SliceError),
}

impl From<SliceError> for Unread {
    fn from(error: SliceError) -> Self {
        Self::Failed(error)
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
        let Some(kept) = self.kept.responses.get(&id) else { return Err(SentBefore::default()) };
        if kept.outcome == BROKEN {
            // There is only a sample.
            return Err(SentBefore::attempts_of(kept));
        }
        let request_bytes = request.text_bytes();
        let mut permit = self.bounds.permit(request_bytes).await;
        permit.make_room(kept.body_bytes).await;
        let ReadAgain { raw, judged, ending } = match self.read_kept(slice, request, kept, &permit).await {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(given_up(kept, request)),
            // Another version of the connector asks something else under the same key.
            Err(Unread::OtherRequest) => return Err(SentBefore::attempts_of(kept)),
            Err(Unread::Failed(error)) => {
                let reason = error.message;
                if self.warnings.admits(WarningKind::UnreadResponse, &id) {
                    let key = &request.key;
                    tracing::warn!(request = key, reason, "a kept response can't be read: it is asked for again");
                }
                return Err(SentBefore::attempts_of(kept));
            }
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

    /// Reads a kept response and judges it; none if that ended the process too often.
    async fn read_kept(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        kept: &KeptResponse,
        permit: &ResponsePermit,
    ) -> Result<Option<ReadAgain>, Unread> {
        let raw = self.app.lake.run_response(&kept.envelope).await.map_err(Failure::from).map_err(SliceError::from)?;
        if raw.request != **request {
            return Err(Unread::OtherRequest);
        }
        let raw = Arc::new(raw);
        Ok(match judgements(&raw.outcome) {
            None if raw.outcome == FATAL => None,
            None => Some(self.judge_kept(slice, request, &raw, Chance::None, permit).await?),
            Some(begun) => self.judge_suspect(slice, request, &kept.envelope, &raw, begun, permit).await?,
        })
    }

    /// Judges a kept response. `chance`: whether it is asked for again if it looks cut, which the run that kept it may not
    /// have come to.
    async fn judge_kept(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        raw: &Arc<RawObject>,
        chance: Chance,
        permit: &ResponsePermit,
    ) -> Result<ReadAgain, SliceError> {
        let wire = self.app.lake.raw_body(raw.body).await.map_err(Failure::from)?;
        let unpacked = sluice_fetch::unpack_body(&raw.headers, &wire, &self.app.settings.fetch).await;
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
        path: &EnvelopePath,
        raw: &Arc<RawObject>,
        begun: u32,
        permit: &ResponsePermit,
    ) -> Result<Option<ReadAgain>, SliceError> {
        let _alone = self.kept.judging.lock().await;
        let note = async |outcome: String| {
            let noted = Arc::new(RawObject { outcome, ..RawObject::clone(raw) });
            self.app.lake.put_outcome(path, &noted).await.map_err(Failure::from)?;
            Ok::<_, SliceError>(noted)
        };
        if begun >= MAX_JUDGEMENTS {
            note(FATAL.to_owned()).await?;
            return Ok(None);
        }
        note(format!("{UNJUDGED}-{}", begun + 1)).await?;
        let chance = Chance::After(self.kept.asked_again.get(&raw.request_id).copied());
        let ReadAgain { judged, ending, .. } = self.judge_kept(slice, request, raw, chance, permit).await?;
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
