//! What resuming a run takes of the responses that it kept.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use sluice_model::{Digest, RawObject};

use super::{EnvelopePath, first_name};
use crate::error::Error;
use crate::lake::Lake;

/// What resuming a run takes of a response that it kept: see [`RawObject`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as those of `RawObject`")]
pub struct KeptResponse {
    /// Where its envelope is.
    pub envelope: EnvelopePath,
    pub request_id: String,
    pub attempt: u32,
    pub received_at: DateTime<Utc>,
    pub status: u16,
    pub body: Digest,
    pub body_bytes: u64,
    pub outcome: String,
}

impl KeptResponse {
    fn of(path: Path, object: RawObject) -> Self {
        Self {
            envelope: EnvelopePath(path),
            request_id: object.request_id,
            attempt: object.attempt,
            received_at: object.received_at,
            status: object.status,
            body: object.body,
            body_bytes: object.body_bytes,
            outcome: object.outcome,
        }
    }
}

impl Lake {
    /// What resuming a run takes of all responses that it kept, whatever their outcome, oldest first. Their requests stay
    /// in raw: thousands may have megabytes each.
    pub async fn run_responses(&self, run_id: &str) -> Result<Vec<KeptResponse>, Error> {
        let envelopes = self.envelopes(run_id).await?;
        let kept = envelopes.map_ok(|(path, object)| KeptResponse::of(path, object));
        let mut kept: Vec<KeptResponse> = kept.try_collect().await?;
        kept.sort_by(|a, b| (a.received_at, &a.envelope.0).cmp(&(b.received_at, &b.envelope.0)));
        Ok(kept)
    }

    /// The same of the response to the first attempt at a request, if raw has it.
    pub async fn first_response(&self, run_id: &str, request_id: &str) -> Result<Option<KeptResponse>, Error> {
        let path = Path::from_iter(["raw", "envelopes", run_id, &first_name(request_id, 1)]);
        match self.envelope(&path).await {
            Ok(object) => Ok(Some(KeptResponse::of(path, object))),
            // What a crash of the machine left of one was never kept.
            Err(Error::Gone { .. } | Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A response that a run kept.
    pub async fn run_response(&self, at: &EnvelopePath) -> Result<RawObject, Error> {
        self.envelope(&at.0).await
    }
}
