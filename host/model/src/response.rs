//! Responses, and what a connector makes of them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    /// Sign in anew by this token source and send the same again.
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
