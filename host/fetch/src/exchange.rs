//! What one attempt gives.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sluice_model::SentRequest;

use crate::error::Error;
use crate::fetcher::FetchOptions;
use crate::token::Used;
use crate::unpack::unpack;

/// A request as it was sent and the response to it, all secrets masked: safe to store.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request.
    pub sent: SentRequest,
    /// The moment of sending; the templates' `now`.
    pub sent_at: DateTime<Utc>,
    /// When the last byte had come, by this host's clock.
    pub received_at: DateTime<Utc>,
    /// What the network's clock says of that: its `Date` header, and its `Age` on top; none if it sent no such time.
    pub network_time: Option<DateTime<Utc>>,
    /// HTTP status.
    pub status: u16,
    /// Response headers: names in lower case, values masked.
    pub headers: Vec<(String, String)>,
    /// The body as it came off the wire, still encoded. If a secret was masked in it, or there is a `problem`: `body`,
    /// and `headers` then name no content encoding.
    pub wire: Bytes,
    /// The body, unpacked.
    pub body: Bytes,
    /// Whether a secret was masked in the body or a header.
    pub masked: bool,
    /// Why the body is only a sample: its first bytes, at most 64 KiB unpacked. There was more than may be, or it broke
    /// off, or can't be unpacked.
    pub problem: Option<Error>,
    /// How long the network wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The token source whose token was refused (status 401) though it was thought to be live: call
    /// [`Account::renew`](crate::Account::renew) and send again. None if the token was fresh: then another
    /// sign-in would not help.
    pub token_expired: Option<String>,
    pub(crate) used: Vec<Used>,
}

impl Exchange {
    /// The first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A stored body, unpacked by its stored headers: what [`Exchange::body`] was. Needs no network.
pub async fn unpack_body(headers: &[(String, String)], wire: &Bytes, options: &FetchOptions) -> Result<Bytes, Error> {
    let encodings: Vec<&str> =
        headers.iter().filter(|(name, _)| name == "content-encoding").map(|(_, value)| value.as_str()).collect();
    unpack(&encodings.join(", "), wire, options.limits(), "the lake").await
}
