//! Raw, as erasure reads and changes it: all envelopes, markers and bodies, whatever their outcome.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sluice_model::{Digest, RawObject};

use crate::error::Error;
use crate::lake::Lake;
use crate::raw::{EnvelopePath, WireBody};

/// Objects read ahead.
const READ_AHEAD: usize = 4;

/// An envelope, and where it is.
pub type RawEnvelope = (EnvelopePath, RawObject);

impl Lake {
    /// All envelopes of a run, whatever their outcome, in any order.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn run_envelopes(&self, run_id: &str) -> Result<BoxStream<'_, Result<RawEnvelope, Error>>, Error> {
        Ok(self.envelopes(run_id).await?.map_ok(|(path, object)| (EnvelopePath::at(path), object)).boxed())
    }

    /// All bodies, named by envelopes or not, those that are set aside too.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn raw_bodies(&self) -> Result<Vec<Digest>, Error> {
        let mut bodies = Vec::new();
        for folder in ["raw/bodies", "raw/aside"] {
            let folder = Path::from(folder);
            let failed = |source| Error::store("list", self.display(&folder), source);
            let mut listed = self.store().list(Some(&folder));
            while let Some(meta) = listed.try_next().await.map_err(failed)? {
                let name = meta.location.filename().and_then(|name| name.strip_suffix(".zst"));
                bodies.extend(name.and_then(Digest::from_hex).filter(|_| meta.size > 0));
            }
        }
        Ok(bodies)
    }

    /// Keeps a body to which envelopes are still to be written.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn put_raw_body(&self, body: &WireBody) -> Result<(), Error> {
        self.put_body(body).await.map(|_| ())
    }

    /// Deletes a body that no envelope names.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn delete_raw_body(&self, body: Digest) -> Result<(), Error> {
        for path in crate::raw::body_paths(body) {
            self.delete(&path).await?;
        }
        Ok(())
    }

    /// Writes markers of slices again in which `replace` gives other texts, and returns how many; a dry run only counts.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn replace_markers(&self, replace: &super::Replace, dry_run: bool) -> Result<u64, Error> {
        let folder = Path::from("raw/slices");
        let failed = |source| Error::store("list", self.display(&folder), source);
        let listed = self.store().list(Some(&folder)).try_filter(|meta| std::future::ready(meta.size > 0));
        let paths: Vec<Path> = listed.map_ok(|meta| meta.location).try_collect().await.map_err(failed)?;
        let read = stream::iter(paths).map(|path| async move { self.get(&path).await.map(|text| (path, text)) });
        let mut read = read.buffer_unordered(READ_AHEAD);
        let mut replaced = 0;
        while let Some((path, text)) = read.try_next().await? {
            let Some(text) = replace(&String::from_utf8_lossy(&text)) else { continue };
            replaced += 1;
            if !dry_run {
                let put = self.store().put(&path, Bytes::from(text).into()).await;
                put.map_err(|source| Error::store("write", self.display(&path), source))?;
            }
        }
        Ok(replaced)
    }

    /// Keeps what an erasure did, as JSON.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn put_erasure(&self, id: &str, report: &[u8]) -> Result<(), Error> {
        let path = Path::from_iter(["erasures", &format!("{id}.json")]);
        self.put_if_absent(&path, Bytes::copy_from_slice(report)).await.map(|_| ())
    }
}
