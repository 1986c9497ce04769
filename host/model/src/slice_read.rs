//! The outcome of a slice, as the lake keeps it beside its responses.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error_kind::ErrorKind;
use crate::ids::Digest;
use crate::slice::Slice;

/// The marker of a slice that was read to its end: with the responses, all that coverage and vanished rows can be
/// worked out from again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceRead {
    /// The id of the run that read it.
    pub run_id: String,
    /// What was read. A window that the network wanted in halves has a marker for each half and none of its own.
    pub slice: Slice,
    /// When its first request was sent: what happened later isn't in it. None if no request was sent, and in markers of
    /// releases that didn't keep it.
    #[serde(default)]
    pub sent_at: Option<DateTime<Utc>>,
    /// When its last response had come.
    pub read_at: DateTime<Utc>,
    /// Requests that were sent, retries included.
    pub requests: u64,
    /// Records in the answers.
    pub records: u64,
    /// Records that the connector of the run could not map; none if they were only collected.
    pub rejects: Option<u64>,
    /// Whether every request was answered, whatever mapping made of the responses.
    pub complete: bool,
    /// Why it isn't complete.
    pub error: Option<String>,
    /// What that needs. Markers of before there were kinds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// Digest of the connector that planned the requests.
    pub connector_digest: Digest,
}
