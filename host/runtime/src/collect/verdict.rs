//! What follows from an attempt: by its verdict, or by what failed.

use std::time::Duration;

use sluice_fetch::FailedAttempt;
use sluice_model::{Digest, ErrorKind, Refusal, Verdict};

use super::request::RequestOutcome;
use crate::failure::{Failure, SliceError};

/// The longest wait that a connector may ask for.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// The outcome of an attempt for which no response came.
pub(super) fn failed(error: &sluice_fetch::Error) -> RequestOutcome {
    let failed = FailedAttempt::from(error);
    RequestOutcome::Again { error: SliceError::from(Failure::from(error.clone())), failed, cut: None }
}

/// The outcome of a request whose response this host can't keep.
pub(super) fn host_failed(error: sluice_lake::Error) -> RequestOutcome {
    RequestOutcome::Failed(Failure::from(error).into())
}

/// What a verdict asks of the host.
///
/// `kind`: of the failure, if it comes to one. `status`: of the response, by HTTP.
pub(super) fn act(
    verdict: Verdict,
    kind: ErrorKind,
    status: u16,
    retry_after: Option<Duration>,
    key: &str,
    page: Option<Digest>,
) -> RequestOutcome {
    match verdict {
        Verdict::Done => RequestOutcome::Answered { follow_ups: Vec::new(), wait: Duration::ZERO, page },
        Verdict::More(follow_ups) => RequestOutcome::Answered { follow_ups, wait: Duration::ZERO, page },
        Verdict::Wait { secs, then } => {
            RequestOutcome::Answered { follow_ups: then, wait: Duration::from_secs(secs.into()).min(MAX_WAIT), page }
        }
        Verdict::Retry { reason, after_secs } => {
            let asked = after_secs.map(|secs| Duration::from_secs(secs.into()));
            let failed = FailedAttempt::of_response(status, kind, asked.max(retry_after));
            RequestOutcome::Again { error: SliceError::new(kind, reason), failed, cut: None }
        }
        Verdict::Renew(token) => {
            let error = SliceError::new(kind, format!("token `{token}` is no longer good"));
            let failed = FailedAttempt::of_response(status, kind, retry_after);
            RequestOutcome::Again { error, failed, cut: None }
        }
        Verdict::Split => RequestOutcome::Split,
        Verdict::Refused(Refusal { text, .. }) => {
            RequestOutcome::Failed(SliceError::new(kind, format!("request `{key}`: {text}")))
        }
    }
}
