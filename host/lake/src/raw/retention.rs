//! Retention of raw: what a run received goes as a whole, when all of it is old enough.
//!
//! A note is written first, so that later readers of raw know what isn't there. Then the run's markers and
//! envelopes are deleted, and bodies that no envelope names any more are *set aside*: moved, still found by readers,
//! and deleted by an upkeep at least a day later, unless an envelope names them by then. So a body that a writer found
//! in its place the moment before it was moved, and to which it then wrote an envelope, comes back.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use serde::Serialize;
use sluice_model::Digest;

use super::retired::{Note, Retired};
use super::{READ_AHEAD, aside_path, body_path, envelopes_folder};
use crate::error::Error;
use crate::hash::hash;
use crate::lake::Lake;

/// How long a body stays set aside. A writer is done with a response in much less.
const ASIDE: TimeDelta = TimeDelta::days(1);

/// What retention did to raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RawRetired {
    /// Runs whose responses were deleted.
    pub retired_runs: u64,
    /// How many responses these runs had.
    pub retired_responses: u64,
    /// Open rejects that can't be tried again now.
    pub stranded_rejects: u64,
    /// Bodies that no response names any more, and that a later upkeep deletes.
    pub set_aside_bodies: u64,
    /// Bodies that had been set aside and are named again.
    pub restored_bodies: u64,
    /// Bodies that were deleted.
    pub deleted_bodies: u64,
    /// The sum of their sizes, as they are stored.
    pub deleted_bytes: u64,
}

/// Objects of a run in raw.
struct OfRun {
    markers: Vec<Path>,
    envelopes: Vec<Path>,
}

struct Body {
    digest: Digest,
    bytes: u64,
}

impl Lake {
    /// Deletes what was received more than `keep` before `now`, run by run; a dry run returns what it would delete.
    ///
    /// # Errors
    /// The store's failure, or an envelope that can't be read: then it isn't known which bodies are needed, and none
    /// is touched.
    pub async fn retire_raw(&self, keep: TimeDelta, dry_run: bool, now: DateTime<Utc>) -> Result<RawRetired, Error> {
        let mut done = RawRetired::default();
        // Before the envelopes: what they name was written before them.
        let idle = self.bodies_before("raw/bodies", now - ASIDE).await?;
        let aside = self.bodies_before("raw/aside", now - ASIDE).await?;
        let cutoff = now - keep;
        let before = self.retired().await?;
        let mut old: Vec<(String, OfRun)> = Vec::new();
        for (run_id, _) in self.newest_by_run().await?.into_iter().filter(|(_, newest)| *newest < cutoff) {
            let markers = self.written_before(cutoff, &Path::from_iter(["raw", "slices", &run_id])).await?;
            let envelopes = self.written_before(cutoff, &Path::from_iter(["raw", "envelopes", &run_id])).await?;
            old.push((run_id, OfRun { markers, envelopes }));
        }
        self.count(&old, &before, &mut done).await?;
        if !dry_run {
            self.delete_runs(&old, cutoff, done.retired_responses).await?;
        }
        let leaving: HashSet<&Path> = old.iter().flat_map(|(_, of_run)| &of_run.envelopes).collect();
        let named = self.named_bodies(&leaving).await?;
        for body in idle.iter().filter(|body| !named.contains(&body.digest)) {
            done.set_aside_bodies += 1;
            if !dry_run {
                self.move_body(&body_path(body.digest), &aside_path(body.digest)).await?;
            }
        }
        for body in &aside {
            let is_named = named.contains(&body.digest);
            if is_named {
                done.restored_bodies += 1;
            } else {
                done.deleted_bodies += 1;
                done.deleted_bytes += body.bytes;
            }
            match (dry_run, is_named) {
                (true, _) => {}
                (false, true) => self.move_body(&aside_path(body.digest), &body_path(body.digest)).await?,
                (false, false) => self.delete_all(vec![aside_path(body.digest)]).await?,
            }
        }
        Ok(done)
    }

    async fn count(&self, old: &[(String, OfRun)], before: &Retired, done: &mut RawRetired) -> Result<(), Error> {
        if old.is_empty() {
            return Ok(());
        }
        // What interrupted maintenance has noted already is deleted now, and counted once.
        let new = old.iter().filter(|(run_id, _)| !before.names(run_id));
        done.retired_runs = new.clone().count() as u64;
        done.retired_responses = new.map(|(_, of_run)| of_run.envelopes.len() as u64).sum();
        let runs: HashSet<&str> = old.iter().map(|(run_id, _)| run_id.as_str()).collect();
        let open = self.open_rejects(None).await?;
        done.stranded_rejects = open.iter().filter(|reject| runs.contains(reject.run_id.as_str())).count() as u64;
        Ok(())
    }

    async fn delete_runs(&self, old: &[(String, OfRun)], cutoff: DateTime<Utc>, responses: u64) -> Result<(), Error> {
        if old.is_empty() {
            return Ok(());
        }
        let runs = old.iter().map(|(run_id, _)| run_id.clone()).collect();
        self.note_retired(&Note { before: cutoff, runs, responses }).await?;
        tracing::info!(runs = old.len(), responses, before = %cutoff, "deleting raw that is older than it is kept");
        // A window without its answers would look empty; answers without their windows are only answers.
        self.delete_all(old.iter().flat_map(|(_, of_run)| of_run.markers.clone()).collect()).await?;
        self.delete_all(old.iter().flat_map(|(_, of_run)| of_run.envelopes.clone()).collect()).await
    }

    /// When each run that has something in raw wrote there last.
    async fn newest_by_run(&self) -> Result<BTreeMap<String, DateTime<Utc>>, Error> {
        let mut newest: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        for folder in ["raw/slices", "raw/envelopes"] {
            let folder = Path::from(folder);
            let failed = |source| Error::store("list", self.display(&folder), source);
            let mut listed = self.store().list(Some(&folder));
            while let Some(meta) = listed.try_next().await.map_err(failed)? {
                let Some(run) = meta.location.parts().nth(2) else { continue };
                match newest.get_mut(run.as_ref()) {
                    Some(known) => *known = meta.last_modified.max(*known),
                    None => _ = newest.insert(run.as_ref().to_owned(), meta.last_modified),
                }
            }
        }
        Ok(newest)
    }

    /// The objects in a folder of a run, without those that it wrote since because it is still running.
    async fn written_before(&self, moment: DateTime<Utc>, folder: &Path) -> Result<Vec<Path>, Error> {
        let listed = self
            .store()
            .list(Some(folder))
            .try_filter_map(|meta| std::future::ready(Ok((meta.last_modified < moment).then_some(meta.location))));
        listed.try_collect().await.map_err(|source| Error::store("list", self.display(folder), source))
    }

    /// The bodies in a folder that were written before a moment.
    async fn bodies_before(&self, folder: &str, moment: DateTime<Utc>) -> Result<Vec<Body>, Error> {
        let folder = Path::from(folder);
        let failed = |source| Error::store("list", self.display(&folder), source);
        let mut listed = self.store().list(Some(&folder));
        let mut bodies = Vec::new();
        while let Some(meta) = listed.try_next().await.map_err(failed)? {
            let name = meta.location.filename().and_then(|name| name.strip_suffix(".zst"));
            if let (Some(digest), true) = (name.and_then(Digest::from_hex), meta.last_modified < moment) {
                bodies.push(Body { digest, bytes: meta.size });
            }
        }
        Ok(bodies)
    }

    /// The bodies that envelopes name, but for those that leave: from `meta.requests`, and where it doesn't know an
    /// envelope from the envelope itself.
    async fn named_bodies(&self, leaving: &HashSet<&Path>) -> Result<HashSet<Digest>, Error> {
        let folder = envelopes_folder();
        let failed = |source| Error::store("list", self.display(&folder), source);
        let mut unknown: HashSet<u128> = HashSet::new();
        let id = |path: &Path| hash(path.as_ref().as_bytes());
        let mut listed = self.store().list(Some(&folder));
        while let Some(meta) = listed.try_next().await.map_err(failed)? {
            if meta.size > 0 && !leaving.contains(&meta.location) {
                unknown.insert(id(&meta.location));
            }
        }
        let mut named = HashSet::new();
        self.each_indexed_body(|envelope, body| {
            if unknown.remove(&hash(envelope.as_bytes())) {
                named.extend(Digest::from_hex(body));
            }
        })
        .await?;
        let listed = self.store().list(Some(&folder)).try_filter_map(|meta| {
            let wanted = unknown.contains(&id(&meta.location));
            std::future::ready(Ok(wanted.then_some(meta.location)))
        });
        let paths: Vec<Path> = listed.try_collect().await.map_err(failed)?;
        let read = stream::iter(paths).map(|path| async move { self.envelope(&path).await });
        let mut read = read.buffer_unordered(READ_AHEAD);
        while let Some(object) = read.next().await {
            match object {
                Ok(object) => _ = named.insert(object.body),
                // Another upkeep deleted it.
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(named)
    }

    /// Moves a body, so that from then on it is as old as the move.
    async fn move_body(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let store = self.store();
        let moved = if self.is_local() {
            // A copy on a local disk is a link, as old as what it links to.
            match self.get(from).await {
                Ok(bytes) => store.put(to, bytes.into()).await.map(|_| ()),
                Err(error) if error.is_missing() => return Ok(()),
                Err(error) => return Err(error),
            }
        } else {
            store.copy(from, to).await
        };
        match moved {
            Ok(()) => self.delete_all(vec![from.clone()]).await,
            // Another upkeep moved it.
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::store("write", self.display(to), source)),
        }
    }

    /// Deletes objects; those that another upkeep deleted are gone too.
    async fn delete_all(&self, paths: Vec<Path>) -> Result<(), Error> {
        let listed = stream::iter(paths).map(Ok).boxed();
        let deleted = self.store().delete_stream(listed).map(|outcome| match outcome {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::store("delete", self.display(&Path::from("raw")), source)),
        });
        deleted.try_collect().await
    }
}
