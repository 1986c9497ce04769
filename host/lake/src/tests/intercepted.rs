//! A store whose writes a test sees first and last.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// What a test does about writes. An error takes the place of the store's answer.
#[async_trait]
pub(super) trait Interceptor: fmt::Debug + Send + Sync + 'static {
    /// Before an object is written.
    async fn before_put(&self, _location: &Path) -> Result<()> {
        Ok(())
    }

    /// Writes an object.
    async fn put(
        &self,
        inner: Arc<dyn ObjectStore>,
        location: Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        inner.put_opts(&location, payload, options).await
    }

    /// After an object was written.
    async fn after_put(&self, _location: &Path) -> Result<()> {
        Ok(())
    }

    /// Before an object is copied.
    fn before_copy(&self) -> Result<()> {
        Ok(())
    }
}

/// Whether a write is a commit to this table.
pub(super) fn is_commit_to(table: &str, location: &Path) -> bool {
    location.as_ref().contains(&format!("{table}/_delta_log/0"))
}

/// A store that asks an interceptor.
#[derive(Debug)]
pub(super) struct Intercepted<I> {
    pub(super) inner: Arc<dyn ObjectStore>,
    pub(super) interceptor: Arc<I>,
}

impl<I: Interceptor> fmt::Display for Intercepted<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "intercepted {}", self.inner)
    }
}

#[async_trait]
impl<I: Interceptor> ObjectStore for Intercepted<I> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.interceptor.before_put(location).await?;
        let done = self.interceptor.put(self.inner.clone(), location.clone(), payload, options).await?;
        self.interceptor.after_put(location).await?;
        Ok(done)
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
        self.interceptor.before_copy()?;
        self.inner.copy_opts(from, to, options).await
    }
}
