//! Raw: every response as it came off the wire, written once and never again but by an erasure.
//!
//! A response is in raw before its body is decoded: body and envelope, with the outcome `unjudged`. Once
//! it is judged the envelope is written again with the outcome, and with nothing else changed.
//!
//! Bodies are named by their digest, so the same answer is stored once however often it is read. All are kept as
//! zstd frames, also those that came compressed: one rule, and an incompressible frame costs next to nothing.
//! An envelope is JSON in a zstd frame. It is written after its body, so an envelope's body is always there; a slice's
//! marker after all its envelopes. What is older than `[raw] keep_days` is deleted by [`retention`].

use std::io::{BufReader, BufWriter};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use sluice_model::{Digest, RawObject, Step};

mod kept;
mod retention;
mod retired;
mod slices;

pub use kept::KeptResponse;
pub use retention::RawRetired;
pub use retired::Gone;

use crate::error::Error;
use crate::lake::Lake;

/// Level 1 is faster than level 3, for a few percent more bytes.
const ZSTD_LEVEL: i32 = 1;
/// Envelopes read ahead: each may hold a request of megabytes.
const READ_AHEAD: usize = 4;
/// How a zstd frame begins. An envelope that is none is plain JSON, as they were before 2026-12.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Which raw objects to read again; what is none fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawFilter {
    /// The connector's network id.
    pub network: Option<String>,
    /// The operator's name for the account.
    pub account: Option<String>,
    /// The stream, by its name in the manifest.
    pub stream: Option<String>,
    /// The run that fetched it.
    pub run_id: Option<String>,
    /// Windows that end after this.
    pub since: Option<DateTime<Utc>>,
    /// Windows that begin before this.
    pub until: Option<DateTime<Utc>>,
}

impl RawFilter {
    /// Whether an object is selected.
    pub fn fits(&self, object: &RawObject) -> bool {
        let is = |want: &Option<String>, have: &str| want.as_deref().is_none_or(|want| want == have);
        let slice = &object.slice;
        object.outcome == "answered"
            && is(&self.network, &slice.network)
            && is(&self.account, &slice.account)
            && is(&self.stream, &slice.stream)
            && is(&self.run_id, &object.run_id)
            && self.since.is_none_or(|since| slice.window.until > since)
            && self.until.is_none_or(|until| slice.window.since < until)
    }
}

/// A body as it came off the wire, and the digest that names it.
#[derive(Clone, Debug)]
pub struct WireBody {
    bytes: Bytes,
    digest: Digest,
}

impl WireBody {
    /// Makes the digest: half a millisecond of CPU per megabyte.
    pub fn of(bytes: Bytes) -> Self {
        Self { digest: Digest::of(&bytes), bytes }
    }

    /// The digest that names it in raw.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its bytes on the wire.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Where an envelope is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopePath(Path);

impl EnvelopePath {
    pub(crate) fn at(path: Path) -> Self {
        Self(path)
    }
}

/// What storing a response did.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    /// Where its envelope is.
    pub envelope: EnvelopePath,
    /// Bytes in the store that it took: its envelope, and its body unless it was there.
    pub written_bytes: u64,
}

impl Lake {
    /// Keeps a response: the body's wire bytes, then its envelope, which names it. It is stored when this returns.
    ///
    /// The same response twice is stored once; a different one under the same names gets a name of its own.
    pub async fn put_raw(&self, object: &RawObject, body: &WireBody) -> Result<StoredResponse, Error> {
        if body.digest != object.body {
            let reason = format!("request {} has a body of digest {}", object.request_id, body.digest.short());
            return Err(Error::Damaged { path: self.display(&body_path(object.body)), reason });
        }
        let body_bytes = self.put_body(body).await?;
        self.passed(Step::BodyKept);
        let stored = self.put_envelope(object).await?;
        Ok(StoredResponse { written_bytes: stored.written_bytes + body_bytes, ..stored })
    }

    /// Keeps a body, and returns the bytes that it took: none if it was there.
    pub(crate) async fn put_body(&self, body: &WireBody) -> Result<u64, Error> {
        let path = body_path(body.digest);
        let there = match self.store().head(&path).await {
            Ok(meta) => Some(meta.size),
            Err(StoreError::NotFound { .. }) => None,
            Err(source) => return Err(Error::store("read", self.display(&path), source)),
        };
        if there.is_some_and(|bytes| bytes > 0) {
            return Ok(0);
        }
        let wire = body.bytes.clone();
        let packed = blocking(move || zstd::bulk::compress(&wire, ZSTD_LEVEL)).await?;
        let damaged = |error: std::io::Error| Error::Damaged { path: self.display(&path), reason: error.to_string() };
        let packed = Bytes::from(packed.map_err(damaged)?);
        let body_bytes = packed.len() as u64;
        match there {
            None => _ = self.put_if_absent(&path, packed).await?,
            // No frame is empty: it is what a crash of the machine left of one.
            Some(_) => {
                let failed = |source| Error::store("write", self.display(&path), source);
                self.store().put(&path, packed.into()).await.map_err(failed)?;
            }
        }
        Ok(body_bytes)
    }

    /// Notes a response's outcome in its envelope. Nothing else of `object` may differ from what is there but by an erasure.
    pub async fn put_outcome(&self, at: &EnvelopePath, object: &RawObject) -> Result<(), Error> {
        let failed = |source| Error::store("write", self.display(&at.0), source);
        self.store().put(&at.0, packed(object)?.into()).await.map(drop).map_err(failed)
    }

    async fn put_envelope(&self, object: &RawObject) -> Result<StoredResponse, Error> {
        let stored = packed(object)?;
        let mut path = envelope_path(object, 1);
        let mut copy = 1_u32;
        // A run that crashed and went on may use an attempt's number again: both answers are kept.
        while !self.put_if_absent(&path, stored.clone()).await? {
            if self.get(&path).await? == stored {
                break;
            }
            copy += 1;
            path = envelope_path(object, copy);
        }
        Ok(StoredResponse { envelope: EnvelopePath(path), written_bytes: stored.len() as u64 })
    }

    /// A body's wire bytes, checked against the digest that names it.
    pub async fn raw_body(&self, digest: Digest) -> Result<Bytes, Error> {
        let mut path = body_path(digest);
        let packed = match self.get(&path).await {
            Err(error) if error.is_missing() => {
                // Set aside, if it is there at all.
                let gone = Error::Gone { path: self.display(&path) };
                path = aside_path(digest);
                self.get(&path).await.map_err(|error| if error.is_missing() { gone } else { error })?
            }
            packed => packed?,
        };
        let unpacked = blocking(move || {
            zstd::decode_all(packed.as_ref()).map(|wire| {
                let intact = Digest::of(&wire) == digest;
                (Bytes::from(wire), intact)
            })
        })
        .await?;
        match unpacked {
            Ok((wire, true)) => Ok(wire),
            Ok((_, false)) => Err(Error::Damaged {
                path: self.display(&path),
                reason: "its bytes don't have the digest that names it".to_owned(),
            }),
            Err(error) => Err(Error::Damaged { path: self.display(&path), reason: error.to_string() }),
        }
    }

    /// The answered raw objects that `filter` selects, oldest first. Envelopes are read as the stream goes; how many there are
    /// is known before, by the stream's `size_hint`.
    pub async fn raw_objects(&self, filter: &RawFilter) -> Result<BoxStream<'static, Result<RawObject, Error>>, Error> {
        Ok(self.read_ahead(self.answered(filter).await?))
    }

    /// The same, newest first.
    pub async fn raw_objects_newest_first(
        &self,
        filter: &RawFilter,
    ) -> Result<BoxStream<'static, Result<RawObject, Error>>, Error> {
        let mut envelopes = self.answered(filter).await?;
        envelopes.reverse();
        Ok(self.read_ahead(envelopes))
    }

    /// Where the answered envelopes are that `filter` selects, oldest first.
    async fn answered(&self, filter: &RawFilter) -> Result<Vec<Path>, Error> {
        let mut found = self.indexed_envelopes(filter).await?;
        let retired = self.retired().await?;
        found.envelopes.retain(|(received_at, path)| !retired.holds_envelope(path, *received_at));
        for run_id in self.unindexed_runs(filter, &found.runs).await? {
            let mut envelopes = self.envelopes(&run_id).await?;
            while let Some((path, object)) = envelopes.try_next().await? {
                if filter.fits(&object) && !retired.holds(&run_id, object.received_at) {
                    found.envelopes.push((object.received_at, path));
                }
            }
        }
        found.envelopes.sort_unstable();
        found.envelopes.dedup();
        Ok(found.envelopes.into_iter().map(|(_, path)| path).collect())
    }

    fn read_ahead(&self, envelopes: Vec<Path>) -> BoxStream<'static, Result<RawObject, Error>> {
        let lake = self.clone();
        let read = move |path: Path| {
            let lake = lake.clone();
            async move { lake.envelope(&path).await }
        };
        stream::iter(envelopes).map(read).buffered(READ_AHEAD).boxed()
    }

    async fn unindexed_runs(&self, filter: &RawFilter, indexed: &[String]) -> Result<Vec<String>, Error> {
        let runs = self.folders(&envelopes_folder()).await?;
        let names = runs.iter().filter_map(Path::filename);
        let wanted = |run: &&str| filter.run_id.as_deref().is_none_or(|want| want == *run);
        Ok(names
            .filter(wanted)
            .filter(|run| indexed.binary_search(&(*run).to_owned()).is_err())
            .map(str::to_owned)
            .collect())
    }

    /// The response of a request whose body is this one; none if raw has it no more.
    pub async fn raw_object(&self, run_id: &str, request_id: &str, body: Digest) -> Result<Option<RawObject>, Error> {
        let folder = Path::from_iter(["raw", "envelopes", run_id]);
        let failed = |source| Error::store("list", self.display(&folder), source);
        let attempts = format!("{request_id}-");
        let mut listed = self.store().list(Some(&folder));
        while let Some(meta) = listed.try_next().await.map_err(failed)? {
            if meta.location.filename().is_some_and(|name| name.starts_with(&attempts)) {
                let object = self.envelope(&meta.location).await?;
                if object.body == body {
                    return Ok(Some(object));
                }
            }
        }
        Ok(None)
    }

    /// The envelopes of a run and where they are, in any order: a few of them are in memory at once.
    pub(crate) async fn envelopes(
        &self,
        run_id: &str,
    ) -> Result<BoxStream<'_, Result<(Path, RawObject), Error>>, Error> {
        let paths = self.kept_in(&Path::from_iter(["raw", "envelopes", run_id])).await?;
        let read =
            stream::iter(paths).map(move |path| async move { self.envelope(&path).await.map(|object| (path, object)) });
        Ok(read.buffer_unordered(READ_AHEAD).boxed())
    }

    /// The objects in a folder of raw, without the empty ones that a crash of the machine may leave on a local disk:
    /// what they were to hold was never kept.
    pub(crate) async fn kept_in(&self, folder: &Path) -> Result<Vec<Path>, Error> {
        let listed = self.store().list(Some(folder)).try_filter(|meta| std::future::ready(meta.size > 0));
        let paths = listed.map_ok(|meta| meta.location).try_collect().await;
        paths.map_err(|source| Error::store("list", self.display(folder), source))
    }

    pub(crate) async fn envelope(&self, path: &Path) -> Result<RawObject, Error> {
        let stored = self.get_kept(path).await?;
        unpacked(&stored).map_err(|error| Error::Damaged { path: self.display(path), reason: error.to_string() })
    }

    /// The bytes of an object that raw had.
    async fn get_kept(&self, path: &Path) -> Result<Bytes, Error> {
        match self.get(path).await {
            Err(error) if error.is_missing() => Err(Error::Gone { path: self.display(path) }),
            outcome => outcome,
        }
    }
}

fn body_path(digest: Digest) -> Path {
    let hex = digest.to_hex();
    Path::from_iter(["raw", "bodies", &hex[..2], &format!("{hex}.zst")])
}

/// Where a body is that no envelope named any more.
fn aside_path(digest: Digest) -> Path {
    Path::from(format!("raw/aside/{digest}.zst"))
}

/// Where a body may be.
pub(crate) fn body_paths(digest: Digest) -> [Path; 2] {
    [body_path(digest), aside_path(digest)]
}

fn envelopes_folder() -> Path {
    Path::from("raw/envelopes")
}

/// An envelope as it is stored. It is packed as it is written: one whose request is of NULs has six times their bytes.
fn packed(object: &RawObject) -> Result<Bytes, Error> {
    let failed = |source| Error::Envelope { request_id: object.request_id.clone(), source };
    let stored = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(serde_json::Error::io).map_err(failed)?;
    let mut text = BufWriter::new(stored);
    serde_json::to_writer(&mut text, object).map_err(failed)?;
    let stored = text.into_inner().map_err(|error| serde_json::Error::io(error.into_error())).map_err(failed)?;
    Ok(Bytes::from(stored.finish().map_err(serde_json::Error::io).map_err(failed)?))
}

/// An envelope from how it is stored, parsed as it is unpacked.
fn unpacked(stored: &[u8]) -> serde_json::Result<RawObject> {
    if !stored.starts_with(&ZSTD_MAGIC) {
        return serde_json::from_slice(stored);
    }
    let text = zstd::Decoder::with_buffer(stored).map_err(serde_json::Error::io)?;
    serde_json::from_reader(BufReader::new(text))
}

fn envelope_path(object: &RawObject, copy: u32) -> Path {
    let (request, attempt) = (&object.request_id, object.attempt);
    let name = if copy == 1 { first_name(request, attempt) } else { format!("{request}-{attempt}.{copy}.json") };
    Path::from_iter(["raw", "envelopes", object.run_id.as_str(), name.as_str()])
}

/// The name of an attempt's first envelope.
fn first_name(request_id: &str, attempt: u32) -> String {
    format!("{request_id}-{attempt}.json")
}

/// Runs work that takes milliseconds of CPU on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::Worker { source })
}
