//! Whether a store lets exactly one of several writers create an object: commits stand on it.
//!
//! What was found is remembered in the lake, so that it isn't tried at every start.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Lake;
use crate::error::Error;

/// What was found, and where.
const FOUND: &str = "_probe/exclusive-put.json";
/// How long it is believed: a store is upgraded, or another one answers under its name.
const BELIEVED: TimeDelta = TimeDelta::days(30);
/// How often several writers try to create one object.
const ROUNDS: usize = 5;
/// How many.
const WRITERS: u8 = 12;

/// That a store is exclusive.
#[derive(Serialize, Deserialize)]
struct ProbeRecord {
    /// Endpoint and bucket.
    store: String,
    at: DateTime<Utc>,
}

impl Lake {
    /// Requires that the store, by its name, lets exactly one of several writers create an object. It is tried with 60
    /// objects, unless that was done within the last 30 days on the same endpoint and bucket.
    ///
    /// # Errors
    /// [`Error::LosesCommits`]; a store that can't be written.
    pub(crate) async fn require_exclusive_put(&self, store: &str, now: DateTime<Utc>) -> Result<(), Error> {
        if self.found_exclusive(store, now).await? {
            return Ok(());
        }
        if !self.probe_exclusive_put().await? {
            return Err(Error::LosesCommits { url: self.url().to_string() });
        }
        let path = Path::from(FOUND);
        let found = ProbeRecord { store: store.to_owned(), at: now };
        // Three plain fields: it is JSON. If it weren't, the store would be tried again.
        let found = serde_json::to_vec(&found).unwrap_or_default();
        let written = self.store().put(&path, found.into()).await;
        written.map(|_| ()).map_err(|source| Error::store("write", self.display(&path), source))
    }

    async fn found_exclusive(&self, store: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let found = match self.get(&Path::from(FOUND)).await {
            Ok(found) => found,
            Err(Error::Store { source: StoreError::NotFound { .. }, .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let found = serde_json::from_slice::<ProbeRecord>(&found).ok();
        Ok(found.is_some_and(|found| found.store == store && (now - found.at).abs() < BELIEVED))
    }

    /// Whether the store lets exactly one of several writers create an object.
    async fn probe_exclusive_put(&self) -> Result<bool, Error> {
        for _ in 0..ROUNDS {
            let path = Path::from(format!("_probe/{}", Uuid::now_v7()));
            let puts = (0..WRITERS).map(|writer| self.put_if_absent(&path, Bytes::from(vec![writer; 64])));
            let mut won = 0;
            for outcome in join_all(puts).await {
                won += u32::from(outcome?);
            }
            self.delete(&path).await?;
            if won != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
