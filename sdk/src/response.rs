//! Responses, and the usual judgements.

use crate::bindings::sluice::connector0_1_0::responses as contract;
use crate::{Judgement, Refusal, RefusalKind, Request, Retry, Verdict};

/// The longest reason of a retry, in bytes: the contract takes more, people don't.
const MAX_REASON_BYTES: usize = 4 << 10;

/// A response as the host shows it.
pub struct Response<'a> {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: &'a [(String, String)],
    /// How many records the layout found, where it was read.
    pub records: Option<u32>,
    /// Why the layout doesn't fit the body, if it doesn't.
    pub problem: Option<&'a str>,
    body: Body<'a>,
}

/// A body: the host's in a component, bytes in a native test.
pub enum Body<'a> {
    /// Read through the host.
    Host(&'a contract::Body),
    /// Held in memory, with a function that looks values up in it.
    Bytes(&'a [u8], &'a dyn Fn(&str) -> Option<String>),
}

impl<'a> Response<'a> {
    pub(crate) fn from_host(response: &'a contract::Response<'a>) -> Self {
        Self {
            status: response.status,
            headers: &response.headers,
            records: response.records,
            problem: response.problem.as_deref(),
            body: Body::Host(response.body),
        }
    }

    /// A response for native tests.
    pub fn new(status: u16, headers: &'a [(String, String)], records: Option<u32>, body: Body<'a>) -> Self {
        Self { status, headers, records, problem: None, body }
    }

    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body's first bytes, at most 64 KiB. In a component the next call continues where this one ended: call it once.
    pub fn head(&self, max: u32) -> Vec<u8> {
        match &self.body {
            Body::Host(body) => body.read(max),
            Body::Bytes(bytes, _) => bytes[..bytes.len().min(max as usize)].to_vec(),
        }
    }

    /// The value at a JSON Pointer, or at local XML names joined by `.`; none if it is absent or null.
    pub fn value_at(&self, place: &str) -> Option<String> {
        match &self.body {
            Body::Host(body) => body.value_at(place),
            Body::Bytes(_, look_up) => look_up(place),
        }
    }
}

/// This request is answered.
pub fn done() -> Judgement {
    Judgement { verdict: Verdict::Done, cursor: None }
}

/// Answered, and these requests follow.
pub fn more(requests: Vec<Request>) -> Judgement {
    Judgement { verdict: Verdict::More(requests), cursor: None }
}

/// Ask the same again.
pub fn retry(reason: impl Into<String>) -> Judgement {
    retry_within(None, reason)
}

/// Ask the same again after so many seconds. A `Retry-After` of the answer wins.
pub fn retry_after(response: &Response, secs: u32, reason: impl Into<String>) -> Judgement {
    let after_secs = response.header("retry-after").is_none().then_some(secs);
    retry_within(after_secs, reason)
}

fn retry_within(after_secs: Option<u32>, reason: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Retry(Retry { reason: printable(reason.into()), after_secs }), cursor: None }
}

/// A reason as the contract takes it: it may quote whatever a network sent.
fn printable(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    if reason.contains(is_unprintable) { reason.replace(is_unprintable, " ") } else { reason }
}

fn is_unprintable(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// Sign in anew by this token source, then ask the same again.
pub fn renew(token: &str) -> Judgement {
    Judgement { verdict: Verdict::Renew(token.to_owned()), cursor: None }
}

/// Too much for one answer: halve the window and plan again.
pub fn split() -> Judgement {
    Judgement { verdict: Verdict::Split, cursor: None }
}

/// Why something won't be answered: what `plan`, `follow` and `map` fail with.
pub fn refusal(kind: RefusalKind, text: impl Into<String>) -> Refusal {
    Refusal { kind, text: text.into() }
}

/// It won't be answered.
pub fn refused(kind: RefusalKind, text: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Refused(refusal(kind, text)), cursor: None }
}

/// The usual judgement: 2xx is done unless the layout doesn't fit the body, then it is retried; 401 renews
/// `token` or, without one, is retried (the host counts); 408, 425, 429 and 5xx are retried; the rest
/// is refused.
pub fn by_status(response: &Response, token: Option<&str>) -> Judgement {
    match (response.status, response.problem) {
        (200..=299, None) => done(),
        (200..=299, Some(problem)) => retry(problem),
        (401, _) => match token {
            Some(token) => renew(token),
            None => retry("the network doesn't accept the credentials (401)"),
        },
        (403, _) => refused(RefusalKind::Credentials, "the network forbids it (403)"),
        (408 | 425 | 429 | 500..=599, _) => retry(format!("the network answered {}", response.status)),
        (status, _) => refused(RefusalKind::Request, format!("the network answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_may_quote_whatever_a_network_sent() {
        let reason = |text: String| match retry(text).verdict {
            Verdict::Retry(Retry { reason, .. }) => reason,
            _ => String::new(),
        };
        assert_eq!(reason("error\0code\n1".into()), "error code\n1");
        assert_eq!(reason("é".repeat(9_999)).len(), MAX_REASON_BYTES);
    }
}
