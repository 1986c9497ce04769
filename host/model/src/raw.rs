//! A response as the lake keeps it, forever.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::request::Request;
use crate::slice::Slice;

/// The envelope of a stored body: all that mapping it again takes, and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawObject {
    /// The run that fetched it.
    pub run_id: String,
    /// See [`crate::request_id`].
    pub request_id: String,
    /// What was being read.
    pub slice: Slice,
    /// The connector's request: names of secrets, no values.
    pub request: Request,
    /// What went over the wire, redacted.
    pub sent: SentRequest,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// When the last byte had come.
    pub received_at: DateTime<Utc>,
    /// HTTP status.
    pub status: u16,
    /// Response headers, redacted.
    pub headers: Vec<(String, String)>,
    /// Digest of the body's bytes as they came off the wire.
    pub body: Digest,
    /// Bytes of the body as they came off the wire.
    pub body_bytes: u64,
    /// Whether a secret was masked in the body before it was stored.
    pub masked: bool,
    /// The connector's decision: `answered` bodies are mapped; `retried`, `refused` and other ones are kept as evidence.
    pub outcome: String,
    /// The version of the connector that planned the request.
    pub connector_version: String,
    /// Digest of its file.
    pub connector_digest: Digest,
}

impl RawObject {
    /// Bytes of its texts: a connector's request, and a network's headers.
    pub fn text_bytes(&self) -> usize {
        let pairs =
            |pairs: &[(String, String)]| pairs.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
        let Self { slice, sent, .. } = self;
        let own = pairs(&slice.settings) + slice.cursor.as_ref().map_or(0, String::len) + pairs(&self.headers);
        let body = sent.body.as_ref().map_or(0, String::len);
        own + self.request.text_bytes() + sent.url.len() + pairs(&sent.headers) + body
    }
}

/// A request as it was sent, every secret masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentRequest {
    /// HTTP method.
    pub method: String,
    /// The URL, `base_url` applied.
    pub url: String,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// The body, if it had one.
    pub body: Option<String>,
}
