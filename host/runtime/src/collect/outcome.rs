//! The outcomes of responses, in the words that their raw objects keep.

use sluice_model::{Request, Verdict};

use super::request::Judged;
use super::suspect::Ending;

/// The word for a response whose body could not be taken whole: what is kept of it is a sample.
pub(super) const BROKEN: &str = "broken";
/// The word for a response that doesn't answer its request, and whose request is sent again.
pub(super) const RETRIED: &str = "retried";

/// The word for a response that was cut whenever it was asked for, and can't be read.
pub(super) const CUT: &str = "cut";

/// The word that the raw object keeps: only `answered` ones are mapped again.
pub(super) fn outcome_word(judged: &Judged, ending: &Ending, request: &Request) -> &'static str {
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
