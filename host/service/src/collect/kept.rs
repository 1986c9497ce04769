//! What a run kept before it was broken off: a response that is there is not asked for again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use sluice_lake::Lake;
use sluice_model::{Judgement, RawObject, Refusal, RefusalKind, Request, Slice, SliceRead, Verdict, request_id};

use super::request::{BROKEN, Judged, Outcome};
use super::{Collector, SliceReport, describe, visible};
use crate::failure::Failure;

/// Responses by request, and slices by their id.
#[derive(Default)]
pub struct Kept {
    responses: HashMap<String, Arc<RawObject>>,
    slices: HashMap<String, SliceRead>,
}

impl Kept {
    /// What raw holds of a run.
    ///
    /// # Errors
    /// The lake's failure.
    pub async fn of(lake: &Lake, run_id: &str) -> Result<Self, Failure> {
        let mut kept = Self::default();
        // Oldest first: of several attempts the last one counts.
        for response in lake.run_responses(run_id).await? {
            kept.responses.insert(response.request_id.clone(), Arc::new(response));
        }
        for read in lake.slice_reads(run_id).await? {
            kept.slices.insert(read.slice.id(), read);
        }
        Ok(kept)
    }

    /// How many requests have a response.
    pub fn responses(&self) -> u64 {
        self.responses.len() as u64
    }

    /// The marker of a slice that was read whole.
    pub(super) fn whole(&self, slice: &Slice) -> Option<&SliceRead> {
        self.slices.get(&slice.id()).filter(|read| read.complete)
    }
}

impl Collector {
    /// Acts on the kept response to a request as if it had just come. If there is none, or the request has to be
    /// sent again all the same, gives how many attempts there were.
    pub(super) async fn recall(
        &self,
        slice: &Arc<Slice>,
        request: &Arc<Request>,
        tally: &mut SliceReport,
    ) -> Result<Outcome, u32> {
        let id = request_id(&self.run_id, &slice.id(), &request.key);
        let Some(raw) = self.kept.responses.get(&id) else { return Err(0) };
        if raw.request != **request || raw.outcome == BROKEN {
            // Another version of the connector asks something else under the same key; or there is only a sample.
            return Err(raw.attempt);
        }
        let Ok(_turn) = self.turns.acquire().await else {
            return Ok(Outcome::Failed("the service is stopping".into()));
        };
        let judged = match self.judge_kept(slice, request, raw).await {
            Ok(judged) => judged,
            Err(reason) => {
                tracing::warn!(request = request.key, reason, "a kept response can't be read: it is asked for again");
                return Err(raw.attempt);
            }
        };
        tally.requests += u64::from(raw.attempt);
        tally.bytes += raw.body_bytes;
        tally.sent(Some(raw.sent_at));
        if wants_sending(&judged) {
            return Err(raw.attempt);
        }
        tally.reused += 1;
        let outcome = self.settle(slice, request, raw.clone(), judged, None, tally).await;
        Ok(match outcome {
            Outcome::Answered { follow_ups, wait, page } => {
                let passed = (Utc::now() - raw.received_at).to_std().unwrap_or(Duration::ZERO);
                Outcome::Answered { follow_ups, wait: wait.saturating_sub(passed), page }
            }
            other => other,
        })
    }

    async fn judge_kept(&self, slice: &Arc<Slice>, request: &Arc<Request>, raw: &RawObject) -> Result<Judged, String> {
        let wire = self.app.lake.raw_body(raw.body).await.map_err(|error| describe(&error))?;
        let body = sluice_fetch::unpack_body(&raw.headers, &wire, &self.app.settings.fetch)
            .await
            .map_err(|error| describe(&error))?;
        Ok(self.judge(slice, request, raw.status, visible(&raw.headers), body).await)
    }
}

/// Whether a kept response says that its request wants to be sent again. What was refused for want of a credential
/// or a setting may have got it since.
fn wants_sending(judged: &Judged) -> bool {
    let Ok((Judgement { verdict, .. }, ..)) = judged else { return false };
    match verdict {
        Verdict::Retry { .. } | Verdict::Renew(_) => true,
        Verdict::Refused(Refusal { kind, .. }) => matches!(kind, RefusalKind::Credentials | RefusalKind::Settings),
        Verdict::Done | Verdict::More(_) | Verdict::Wait { .. } | Verdict::Split => false,
    }
}
