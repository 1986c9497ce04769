//! A response that may be cut: it is asked for again. If it looks so again, it is an answer, which the gate judges.

use sluice_fetch::Exchange;
use sluice_model::{Request, Slice, Verdict};

use super::Collector;
use super::request::Judged;

impl Collector {
    /// Makes an answer that looks cut, or torn, one that is asked for again; gives whether it is.
    pub(super) async fn suspect(
        &self,
        slice: &Slice,
        request: &Request,
        exchange: &Exchange,
        judged: &mut Judged,
    ) -> bool {
        let (Some(guard), Ok((judgement, found))) = (&self.guard, judged) else { return false };
        let Some(decoded) = &found.decoded else { return false };
        let is_answered = matches!(judgement.verdict, Verdict::Done | Verdict::More(_)) && request.yields_records;
        let Some(stream) = self.network.manifest().stream(&slice.stream).filter(|_| is_answered) else { return false };
        // Without a profile nothing is known of the account; the failure is met again where the slice is judged.
        let Ok(profile) = guard.profile(slice).await else { return false };
        let findings = decoded.findings(&stream.layout.format);
        let Some(why) = guard.suspicion(&profile, &findings, exchange) else { return false };
        let reason = format!("the response may be cut: {why}");
        tracing::debug!(slice = slice.id(), request = request.key, reason, "it is asked for again");
        judgement.verdict = Verdict::Retry { reason, after_secs: None };
        true
    }
}
