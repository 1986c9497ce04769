//! What raw no longer has: retention leaves a note before it deletes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{RawFilter, envelopes_folder};
use crate::error::Error;
use crate::hash::hash;
use crate::lake::Lake;

const NOTES: &str = "raw/retired";

/// Responses that raw had and has no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// How many.
    pub responses: u64,
    /// When the last of them was received, or the moment before which they were.
    pub until: Option<DateTime<Utc>>,
}

impl Gone {
    /// Whether nothing is gone.
    pub fn is_nothing(&self) -> bool {
        self.responses == 0
    }

    fn add(&mut self, responses: u64, until: DateTime<Utc>) {
        self.responses += responses;
        self.until = self.until.max(Some(until));
    }
}

/// What one upkeep took out of raw.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// What these runs had received before this moment.
    pub(super) before: DateTime<Utc>,
    pub(super) runs: Vec<String>,
    /// How many responses they had.
    pub(super) responses: u64,
}

/// Runs whose responses are gone, by all notes.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    runs: HashMap<String, DateTime<Utc>>,
    gone: Gone,
}

/// Notes of retention that were read, and their sum.
type KnownRetired = Mutex<(Vec<Path>, Arc<Retired>)>;

impl Retired {
    /// Whether what a run received or read at a moment is gone. A run that went on afterwards has more.
    pub(crate) fn holds(&self, run_id: &str, at: DateTime<Utc>) -> bool {
        self.runs.get(run_id).is_some_and(|before| at < *before)
    }

    /// The same of an envelope.
    pub(super) fn holds_envelope(&self, path: &Path, received_at: DateTime<Utc>) -> bool {
        !self.runs.is_empty() && path.parts().nth(2).is_some_and(|run| self.holds(run.as_ref(), received_at))
    }

    /// Whether anything of a run is gone.
    pub(crate) fn names(&self, run_id: &str) -> bool {
        self.runs.contains_key(run_id)
    }
}

impl Lake {
    /// What retention took out of raw so far. Notes never change, so those that were read are not read again.
    pub(crate) async fn retired(&self) -> Result<Arc<Retired>, Error> {
        let mut paths = self.kept_in(&Path::from(NOTES)).await?;
        paths.sort_unstable();
        let known = self.known::<KnownRetired>();
        {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.0 == paths {
                return Ok(known.1.clone());
            }
        }
        let mut retired = Retired::default();
        for path in &paths {
            let damaged =
                |error: serde_json::Error| Error::Damaged { path: self.display(path), reason: error.to_string() };
            let note: Note = serde_json::from_slice(&self.get(path).await?).map_err(damaged)?;
            retired.gone.add(note.responses, note.before);
            for run in note.runs {
                let before = retired.runs.entry(run).or_insert(note.before);
                *before = note.before.max(*before);
            }
        }
        let retired = Arc::new(retired);
        *known.lock().unwrap_or_else(PoisonError::into_inner) = (paths, retired.clone());
        Ok(retired)
    }

    /// Records what is about to be deleted.
    pub(super) async fn note_retired(&self, note: &Note) -> Result<(), Error> {
        let path = Path::from(format!("{NOTES}/{}.json", uuid::Uuid::now_v7()));
        let failed = |error: serde_json::Error| Error::Damaged { path: self.display(&path), reason: error.to_string() };
        let text = Bytes::from(serde_json::to_vec(note).map_err(failed)?);
        self.put_if_absent(&path, text).await.map(|_| ())
    }

    /// The responses that a filter selects and that retention took out of raw, as far as `meta.requests` knows them.
    pub async fn raw_gone(&self, filter: &RawFilter) -> Result<Gone, Error> {
        let retired = self.retired().await?;
        let mut gone = Gone::default();
        if retired.runs.is_empty() {
            return Ok(gone);
        }
        let mut envelopes = self.indexed_envelopes(filter).await?.envelopes;
        envelopes.sort_unstable();
        envelopes.dedup();
        for (received_at, _) in envelopes.iter().filter(|(at, path)| retired.holds_envelope(path, *at)) {
            gone.add(1, *received_at);
        }
        Ok(gone)
    }

    /// All responses that raw once had and has no more: what retention took out of it, and what `meta.requests` knows
    /// and somebody else deleted. Tables that were made from raw alone would know nothing of them.
    pub async fn raw_lacks(&self) -> Result<Gone, Error> {
        let retired = self.retired().await?;
        let mut there: HashSet<u128> = HashSet::new();
        let folder = envelopes_folder();
        let failed = |source| Error::store("list", self.display(&folder), source);
        let mut listed = self.store().list(Some(&folder));
        while let Some(meta) = listed.try_next().await.map_err(failed)? {
            there.insert(hash(meta.location.as_ref().as_bytes()));
        }
        let mut gone = retired.gone;
        for (received_at, path) in self.indexed_envelopes(&RawFilter::default()).await?.envelopes {
            if !there.contains(&hash(path.as_ref().as_bytes())) && !retired.holds_envelope(&path, received_at) {
                gone.add(1, received_at);
            }
        }
        Ok(gone)
    }
}
