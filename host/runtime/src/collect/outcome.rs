//! The outcomes of responses, in the words that their raw objects keep.

use sluice_model::{Request, Verdict};

use super::request::JudgedResponse;
use super::suspect::Ending;

/// The outcome of a response whose body could not be received whole: raw has a sample of it.
pub(super) const BROKEN: &str = "broken";
/// The outcome of a response that doesn't answer its request, which is sent again.
pub(super) const RETRIED: &str = "retried";

/// The outcome of a response that was cut each time it was requested, and can't be read.
pub(super) const CUT: &str = "cut";

/// The outcome that the envelope gets. Only `answered` responses are mapped again.
pub(super) fn outcome_word(judged: &JudgedResponse, ending: &Ending, request: &Request) -> &'static str {
    match judged {
        Err(_) => "failed",
        Ok((_, found)) if found.is_cut() && matches!(ending, Ending::Cut(_)) => CUT,
        Ok((judgement, ..)) => match judgement.verdict {
            Verdict::Done | Verdict::More(_) if request.yields_records => "answered",
            Verdict::Done | Verdict::More(_) | Verdict::Wait { .. } => "step",
            Verdict::Retry { .. } | Verdict::Renew(_) => RETRIED,
            Verdict::Split => "split",
            Verdict::Refused(_) => "refused",
        },
    }
}
