//! The result of one attempt.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::Version;
use sluice_model::{ErrorKind, SentRequest};

use crate::error::Error;
use crate::fetcher::FetchOptions;
use crate::retry::FailedAttempt;
use crate::token::UsedToken;
use crate::unpack::{EncodingMismatch, StatedEncoding, unpack};

/// A request as it was sent and the response to it, with all secrets masked: safe to store.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As it was sent, with `***` for secrets.
    pub sent: SentRequest,
    /// The moment of sending; the templates' `now`.
    pub sent_at: DateTime<Utc>,
    /// When the last byte was received, by this host's clock.
    pub received_at: DateTime<Utc>,
    /// The same moment by the network's clock: its `Date` header plus its `Age`; none if it sent no valid date.
    pub network_time: Option<DateTime<Utc>>,
    /// HTTP status.
    pub status: u16,
    /// Response headers: names in lower case, values masked. If a secret was masked in the body, they describe the
    /// masked one: its length, and no content encoding.
    pub headers: Vec<(String, String)>,
    /// The body as it was received, still encoded. If a secret was masked in it, or there is a `problem`: `body`.
    pub wire: Bytes,
    /// The body without its content encodings.
    pub body: Bytes,
    /// How the end of the body was marked.
    pub framing: Framing,
    /// How the body's encodings differ from what its `content-encoding` states; none if they are the same.
    pub encoding_mismatch: Option<EncodingMismatch>,
    /// Whether a secret was masked in the body or a header.
    pub masked: bool,
    /// Why the body is only a sample, its first bytes, at most 64 KiB unpacked: it exceeds a limit, was cut, or can't be
    /// unpacked.
    pub problem: Option<Error>,
    /// The pause that the network asks for: zero for a moment in the past.
    pub retry_after: Option<Duration>,
    /// The token source whose token was rejected (status 401) before its lifetime ended: call
    /// [`Account::renew`](crate::Account::renew) and send again. None if the token was issued for this request: then
    /// another sign-in would not help.
    pub token_expired: Option<String>,
    pub(crate) used: Vec<UsedToken>,
}

impl Exchange {
    /// The value of the first header of this name, which must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// This attempt as a failed one, for [`Attempts::next`](crate::Attempts::next). `kind`: of the failure, by the
    /// connector's verdict and the status; `pause`: the one that the connector asks for.
    pub fn failed_attempt(&self, kind: ErrorKind, pause: Option<Duration>) -> FailedAttempt {
        match &self.problem {
            Some(problem) => problem.into(),
            None => FailedAttempt::of_response(self.status, kind, pause.max(self.retry_after)),
        }
    }
}

/// How the end of a response's body is marked (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`, or by a status that has no body. A shorter body is [`Error::Truncated`].
    Length,
    /// By a last chunk, or by the end of an HTTP/2 stream. A body without it is [`Error::Truncated`].
    Chunked,
    /// By the end of the connection: a body that was cut can't be distinguished from a complete one.
    Close,
}

impl Framing {
    /// The framing that a stored HTTP/1 response had, by its stored headers.
    pub fn of(status: u16, headers: &[(String, String)]) -> Self {
        let values = |name: &str| -> Vec<&str> {
            headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
        };
        Self::by(status, &values("transfer-encoding"), !values("content-length").is_empty())
    }

    /// The framing of a response as it is received.
    pub(crate) fn of_response(response: &reqwest::Response) -> Self {
        let headers = response.headers();
        let codings: Vec<&str> =
            headers.get_all("transfer-encoding").iter().filter_map(|value| value.to_str().ok()).collect();
        if response.version() >= Version::HTTP_2 {
            return Self::Chunked;
        }
        Self::by(response.status().as_u16(), &codings, headers.contains_key("content-length"))
    }

    fn by(status: u16, transfer_codings: &[&str], has_length: bool) -> Self {
        let last = transfer_codings.last().and_then(|codings| codings.rsplit(',').next());
        match last {
            _ if matches!(status, 100..=199 | 204 | 304) => Self::Length,
            Some(coding) if coding.trim().eq_ignore_ascii_case("chunked") => Self::Chunked,
            Some(_) => Self::Close,
            None if has_length => Self::Length,
            None => Self::Close,
        }
    }
}

/// A stored body without its content encodings, by its stored headers: what [`Exchange::body`] was. Sends nothing.
///
/// # Errors
/// [`Error::Unpack`], [`Error::Truncated`], [`Error::TooLarge`], [`Error::Bomb`].
pub async fn unpack_body(headers: &[(String, String)], wire: &Bytes, options: &FetchOptions) -> Result<Bytes, Error> {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    // What was kept with more memory can be read with less.
    let limits = FetchOptions { body_memory_bytes: u64::MAX, ..options.clone() }.limits();
    let unpacked = unpack(&StatedEncoding::of(headers), wire, limits, "the lake").await?;
    Ok(unpacked.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_say_how_a_body_ends() {
        for (status, headers, framing) in [
            (200, vec![("content-length", "3")], Framing::Length),
            (200, vec![("transfer-encoding", "chunked")], Framing::Chunked),
            (200, vec![("transfer-encoding", "gzip, Chunked"), ("content-length", "3")], Framing::Chunked),
            (200, vec![("transfer-encoding", "chunked"), ("transfer-encoding", "gzip")], Framing::Close),
            (200, vec![("content-type", "text/csv")], Framing::Close),
            (500, vec![], Framing::Close),
            (204, vec![], Framing::Length),
            (304, vec![], Framing::Length),
        ] {
            let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            assert_eq!(Framing::of(status, &headers), framing, "{status} {headers:?}");
        }
    }
}
