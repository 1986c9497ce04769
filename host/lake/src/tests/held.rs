//! A store whose next commit to a table waits until it is released, and then is made or fails.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

use super::new_lake;
use crate::Lake;

/// The outcome of the commit that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum HeldOutcome {
    Made,
    Failed,
}

/// Holds up commits.
#[derive(Debug, Default)]
pub(super) struct Holder {
    next: Mutex<Option<(&'static str, HeldOutcome)>>,
    waits: Notify,
    released: Notify,
}

impl Holder {
    /// Has the next commit to a table wait.
    pub(super) fn hold(&self, table: &'static str, outcome: HeldOutcome) {
        *self.next.lock().unwrap() = Some((table, outcome));
    }

    /// Ends when a commit waits.
    pub(super) async fn waits(&self) {
        self.waits.notified().await;
    }

    /// Lets it be done.
    pub(super) fn release(&self) {
        self.released.notify_one();
    }

    async fn pass(&self, location: &Path) -> Option<HeldOutcome> {
        let hits = |table: &str| location.as_ref().contains(&format!("{table}/_delta_log/0"));
        let (_, outcome) = self.next.lock().unwrap().take_if(|(table, _)| hits(table))?;
        self.waits.notify_one();
        self.released.notified().await;
        Some(outcome)
    }
}

#[derive(Debug)]
struct Held {
    inner: Arc<dyn ObjectStore>,
    holder: Arc<Holder>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Held {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if self.holder.pass(location).await == Some(HeldOutcome::Failed) {
            return Err(StoreError::Generic { store: "held", source: "the disk is full".into() });
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A lake whose commits can be held up.
pub(super) async fn held_lake() -> (tempfile::TempDir, Lake, Arc<Holder>) {
    let (folder, lake) = new_lake().await;
    let holder = Arc::<Holder>::default();
    let lake = lake.through(|inner| Arc::new(Held { inner, holder: holder.clone() }));
    (folder, lake, holder)
}
