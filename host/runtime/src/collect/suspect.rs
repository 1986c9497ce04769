//! A response that may be cut: it is asked for until it looks whole, or the same comes twice. One that can be read is an answer
//! then, which the gate judges. One that can't makes its slice doubtful.

use std::sync::Arc;

use sluice_fetch::{Exchange, Framing};
use sluice_model::{Digest, ErrorKind, RawObject, Request, Slice, Verdict};

use super::Collector;
use super::Progress;
use super::request::{JudgedResponse, RequestOutcome};
use crate::doubt::DoubtKind;
use crate::failure::SliceError;

/// Bytes from which on a body may have been cut because of its size, so that a narrower window may come whole: the smallest
/// limits of buffers and gateways.
const MIN_CUT_SIZE: u64 = 32 << 10;

/// Whether a response came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing indicates that it didn't, or the gate judges it.
    Whole,
    /// It may be cut, and is requested again: the verdict is changed to that.
    AskAgain,
    /// It is cut again, and why.
    Cut(String),
}

/// Whether a response that looks cut is worth another attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chance {
    /// No further one is left.
    None,
    /// It is, after this body of the same request that looked cut.
    After(Option<Digest>),
}

impl Chance {
    /// One that may be cut elsewhere each time is asked for until the same comes twice.
    fn is_left(self, body: Digest) -> bool {
        match self {
            Self::None => false,
            Self::After(cut) => cut != Some(body),
        }
    }
}

/// How a body came, as far as that tells whether it is whole.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    /// The digest of its bytes.
    body: Digest,
    /// Its end was the end of the connection.
    pub(super) closed: bool,
    /// It isn't encoded as its headers state.
    pub(super) is_odd: bool,
}

impl Transfer {
    pub(super) fn of(exchange: &Exchange, body: Digest) -> Self {
        Self { body, closed: exchange.framing == Framing::Close, is_odd: exchange.encoding_mismatch.is_some() }
    }

    /// The same of a response that is kept. Its encodings aren't compared with its headers.
    pub(super) fn of_kept(raw: &RawObject) -> Self {
        Self { body: raw.body, closed: Framing::of(raw.status, &raw.headers) == Framing::Close, is_odd: false }
    }
}

impl Collector {
    /// Whether a response came whole. One that looks cut, or torn, becomes one that is asked for again, if there is a chance.
    pub(super) async fn ending(
        &self,
        slice: &Slice,
        request: &Request,
        transfer: Transfer,
        judged: &mut JudgedResponse,
        chance: Chance,
    ) -> Ending {
        let Ok((judgement, found)) = judged else { return Ending::Whole };
        let guard = &self.guard;
        if !request.yields_records || !guard.holds(DoubtKind::Cut) {
            return Ending::Whole;
        }
        let may_ask_again = chance.is_left(transfer.body);
        let why = match (&judgement.verdict, &found.decoded) {
            // Whatever the connector makes of it, a body without its end is no answer, and none that refuses.
            (Verdict::Done | Verdict::More(_) | Verdict::Retry { .. } | Verdict::Refused(_), None)
                if found.is_cut() =>
            {
                found.response.problem.clone()
            }
            (Verdict::Done | Verdict::More(_), Some(decoded)) => {
                let Some(stream) = self.network.manifest().stream(&slice.stream) else { return Ending::Whole };
                // Without a profile nothing is known of the account; the failure is met again where the slice is judged.
                let Ok(profile) = guard.profile(slice).await else { return Ending::Whole };
                let findings = decoded.findings(&stream.layout.format);
                if may_ask_again {
                    guard.suspicion(&profile, &findings, transfer).map(str::to_owned)
                } else if self.tables.is_none() {
                    guard.judge_ending(&profile, &stream.layout, decoded.records(), &findings, transfer)
                } else {
                    None
                }
            }
            _ => None,
        };
        let Some(why) = why else { return Ending::Whole };
        if !may_ask_again {
            return Ending::Cut(format!("request `{}`: {why}", request.key));
        }
        let reason = format!("the response may be cut: {why}");
        tracing::debug!(slice = slice.id(), request = request.key, reason, "it is asked for again");
        judgement.verdict = Verdict::Retry { reason, after_secs: None };
        Ending::AskAgain
    }

    /// Makes the slice of a response that is cut again doubtful, or asks for its window in halves if that may help.
    pub(super) fn doubt_cut(
        &self,
        slice: &Slice,
        raw: Arc<RawObject>,
        reason: &str,
        progress: &Progress,
    ) -> RequestOutcome {
        let is_large = raw.body_bytes >= MIN_CUT_SIZE && self.can_be_halved(slice);
        let too_wide = is_large.then(|| SliceError::new(ErrorKind::Doubt, reason).about(raw.body));
        progress.gate().note_cut(&raw, reason);
        RequestOutcome::Cut { too_wide }
    }
}
