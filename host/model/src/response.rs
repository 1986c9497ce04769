//! Responses, and what a connector makes of them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error_kind::ErrorKind;
use crate::request::Request;

/// A response as a connector sees it.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, without those that carry secrets.
    pub headers: Vec<(String, String)>,
    /// The body, unpacked.
    pub body: Bytes,
    /// How many records the layout found, where it was read.
    pub records: Option<u32>,
    /// Why the layout doesn't fit the body.
    pub problem: Option<String>,
}

/// What a connector makes of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What to do next.
    pub verdict: Verdict,
    /// Kept for the next slice of this stream and account.
    pub cursor: Option<String>,
}

/// What to do after a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This request is answered.
    Done,
    /// Answered, and these follow from it.
    More(Vec<Request>),
    /// Not ready: send these after so many seconds.
    Wait {
        /// Seconds to wait.
        secs: u32,
        /// What to send then.
        then: Vec<Request>,
    },
    /// Send the same again.
    Retry {
        /// Why, for people.
        reason: String,
        /// How long to wait at least.
        after_secs: Option<u32>,
    },
    /// Sign in again by this token source and resend the request.
    Renew(String),
    /// Too much for one answer: halve the window.
    Split,
    /// It won't be answered.
    Refused(Refusal),
}

/// A guest's refusal: one of the three faults, and never a trap or a failure of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose move it is.
    pub kind: RefusalKind,
    /// What is wrong, for people.
    pub text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a connector refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// A secret or an account that the network doesn't accept.
    Credentials,
    /// A setting that is missing or makes no sense.
    Settings,
    /// The network won't answer such a request.
    Request,
    /// An answer that can't be understood.
    Response,
}

impl RefusalKind {
    /// What a refusal of this kind needs.
    pub fn error_kind(self) -> ErrorKind {
        match self {
            Self::Credentials => ErrorKind::Credentials,
            Self::Settings => ErrorKind::Settings,
            Self::Request | Self::Response => ErrorKind::Format,
        }
    }
}

impl Judgement {
    /// What a response needs that doesn't answer its request: by the connector's verdict, and by the status where the
    /// connector doesn't distinguish kinds. None for a verdict after which the slice continues.
    ///
    /// `asks_to_wait`: whether the response has a time to wait.
    pub fn error_kind(&self, response: &Response, asks_to_wait: bool) -> Option<ErrorKind> {
        let by_status = ErrorKind::of_status(response.status);
        match &self.verdict {
            Verdict::Done | Verdict::More(_) | Verdict::Wait { .. } | Verdict::Split => None,
            Verdict::Renew(_) => Some(ErrorKind::Credentials),
            Verdict::Refused(Refusal { kind, .. }) => Some(match kind.error_kind() {
                ErrorKind::Format => by_status.unwrap_or(ErrorKind::Format),
                other => other,
            }),
            Verdict::Retry { .. } if by_status.is_some() => by_status,
            Verdict::Retry { .. } if response.problem.is_some() => Some(ErrorKind::Format),
            Verdict::Retry { after_secs, .. } if asks_to_wait || after_secs.is_some() => Some(ErrorKind::Quota),
            Verdict::Retry { .. } => Some(ErrorKind::Network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_does_not_answer_has_a_kind() {
        let response = |status, problem: Option<&str>| {
            let (headers, body) = (Vec::new(), Bytes::new());
            Response { status, headers, body, records: None, problem: problem.map(str::to_owned) }
        };
        let of = |verdict, response, waits| Judgement { verdict, cursor: None }.error_kind(&response, waits);
        let retry = || Verdict::Retry { reason: "again".to_owned(), after_secs: None };
        let refused = |kind| Verdict::Refused(Refusal { kind, text: "no".to_owned() });
        for (verdict, status, problem, waits, kind) in [
            (retry(), 429, None, false, ErrorKind::Quota),
            (retry(), 503, None, true, ErrorKind::Network),
            (retry(), 401, None, false, ErrorKind::Credentials),
            (retry(), 200, Some("a comma is missing"), false, ErrorKind::Format),
            (retry(), 200, None, false, ErrorKind::Network),
            (retry(), 200, None, true, ErrorKind::Quota),
            (Verdict::Renew("access".to_owned()), 200, None, false, ErrorKind::Credentials),
            (refused(RefusalKind::Credentials), 200, None, false, ErrorKind::Credentials),
            (refused(RefusalKind::Settings), 403, None, false, ErrorKind::Settings),
            (refused(RefusalKind::Request), 429, None, false, ErrorKind::Quota),
            (refused(RefusalKind::Request), 400, None, false, ErrorKind::Format),
            (refused(RefusalKind::Response), 200, None, false, ErrorKind::Format),
        ] {
            assert_eq!(of(verdict.clone(), response(status, problem), waits), Some(kind), "{verdict:?} {status}");
        }
        assert_eq!(of(Verdict::Done, response(200, None), false), None);
        assert_eq!(of(Verdict::Split, response(200, None), false), None);
    }
}
