//! Who only reads writes nothing, and a store is tried once.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;
use crate::Error;

/// How a store behaves: it counts what creates an object and what is read, and may refuse all that changes something, or
/// forget what is exclusive.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    refuses: bool,
    forgets: bool,
    created: Arc<AtomicUsize>,
    looked: Arc<AtomicUsize>,
}

impl Manner {
    /// Objects and lists that were asked for since the last call.
    pub(super) fn looked(&self) -> usize {
        self.looked.swap(0, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ObjectStore>,
    manner: Manner,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watched {}", self.inner)
    }
}

fn refused(path: &Path) -> StoreError {
    StoreError::PermissionDenied { path: path.to_string(), source: "only reading is allowed".into() }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.manner.refuses {
            return Err(refused(location));
        }
        if options.mode == PutMode::Create {
            self.manner.created.fetch_add(1, Ordering::Relaxed);
            if self.manner.forgets {
                options.mode = PutMode::Overwrite;
            }
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if self.manner.refuses {
            Err(refused(location))
        } else {
            self.inner.put_multipart_opts(location, options).await
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.manner.looked.fetch_add(1, Ordering::Relaxed);
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.manner.refuses {
            locations.map(|location| location.and_then(|location| Err(refused(&location)))).boxed()
        } else {
            self.inner.delete_stream(locations)
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.manner.looked.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.manner.looked.fetch_add(1, Ordering::Relaxed);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.manner.looked.fetch_add(1, Ordering::Relaxed);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if self.manner.refuses { Err(refused(to)) } else { self.inner.copy_opts(from, to, options).await }
    }
}

pub(super) fn through(lake: &Lake, manner: &Manner) -> Lake {
    lake.through(|inner| Arc::new(Watched { inner, manner: manner.clone() }))
}

#[tokio::test]
async fn opening_a_lake_to_read_it_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("lake");
    let absent = Lake::open(place.to_str().unwrap()).await.unwrap();
    assert!(absent.tables().await.unwrap().is_empty());
    assert!(absent.coverage().await.unwrap().is_empty());
    assert!(absent.raw_runs().await.unwrap().is_empty());
    assert!(!absent.is_half_rebuilt().await.unwrap());
    assert!(!place.exists());
    Lake::open_writable(place.to_str().unwrap()).await.unwrap();
    let found = || walk(&place);
    let before = found();
    Lake::open(place.to_str().unwrap()).await.unwrap();
    assert_eq!(found(), before);
}

/// All files and folders in a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_store_is_tried_once_and_again_under_another_name_or_after_a_month() {
    let (_folder, lake) = new_lake().await;
    let manner = Manner::default();
    let lake = through(&lake, &manner);
    let puts = || manner.created.swap(0, Ordering::Relaxed);
    let days = |days: i64| moment(days * 86_400);
    for (store, at, expected) in [
        ("https://s3.example.com bucket", days(0), 60),
        ("https://s3.example.com bucket", days(29), 0),
        ("https://s3.example.com bucket", days(31), 60),
        ("https://other.example.com bucket", days(31), 60),
        ("https://other.example.com bucket", days(32), 0),
    ] {
        lake.require_exclusive_put(store, at).await.unwrap();
        assert_eq!(puts(), expected, "{store} at {at}");
    }
    let found = lake.url().to_file_path().unwrap().join("_probe/exclusive-put.json");
    std::fs::write(found, "{").unwrap();
    lake.require_exclusive_put("https://other.example.com bucket", days(33)).await.unwrap();
    assert_eq!(puts(), 60, "what can't be read is found anew");
}

#[tokio::test]
async fn a_store_that_loses_commits_is_refused_each_time() {
    let (_folder, lake) = new_lake().await;
    let lake = through(&lake, &Manner { forgets: true, ..Manner::default() });
    for _ in 0..2 {
        let error = lake.require_exclusive_put("store bucket", moment(0)).await.unwrap_err();
        assert!(matches!(error, Error::LosesCommits { .. }), "{error}");
        assert!(error.hint().unwrap().contains("If-None-Match"));
    }
}

#[tokio::test]
async fn a_lake_that_may_only_be_read_is_read() {
    let (_folder, lake) = new_lake().await;
    let mut ledger = lake.ledger();
    let origin = response("run", "r1", 1);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(&[sale("1", 0, 1)])).await.unwrap();
    ledger.commit().await.unwrap();
    let row = super::coverage::row("awin-test", 100, 0, 50, true);
    lake.append_coverage(std::slice::from_ref(&row)).await.unwrap();
    // A read that the state hasn't absorbed.
    super::coverage::append_only(&lake, &[super::coverage::row("awin-test", 200, 80, 90, true)]).await;
    let locked = through(&lake, &Manner { refuses: true, ..Manner::default() });
    assert!(locked.append_coverage(&[row]).await.is_err(), "the store refuses: the test shows something");
    assert_eq!(locked.tables().await.unwrap(), lake.tables().await.unwrap());
    let coverage = locked.coverage().await.unwrap();
    assert_eq!((coverage.len(), coverage[0].gaps.len()), (1, 1));
    assert_eq!(locked.raw_runs().await.unwrap().len(), 0);
    assert!(!locked.is_half_rebuilt().await.unwrap());
}
