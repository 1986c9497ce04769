//! Stores that do what they are asked and say that they didn't, and stores that can't copy.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::latest::assert_latest;
use super::*;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// The next commit to this table is done, and then reported as another's.
    TakenForAnother(&'static str),
    /// The next commit to this table is done, and the answer is lost.
    AnswerLost(&'static str),
    /// No commit to this table is done.
    Refused(&'static str),
    /// No object can be copied.
    NoCopies,
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

fn broken() -> StoreError {
    StoreError::Generic { store: "faulty", source: "the connection was reset".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let hits = |table: &str| location.as_ref().contains(&format!("{table}/_delta_log/0"));
        if matches!(*self.fault.lock().unwrap(), Some(Fault::Refused(table)) if hits(table)) {
            return Err(broken());
        }
        let done = self.inner.put_opts(location, payload, options).await?;
        let mut fault = self.fault.lock().unwrap();
        match *fault {
            Some(Fault::TakenForAnother(table)) if hits(table) => {
                *fault = None;
                Err(StoreError::AlreadyExists { path: location.to_string(), source: "it is there".into() })
            }
            Some(Fault::AnswerLost(table)) if hits(table) => {
                *fault = None;
                Err(broken())
            }
            _ => Ok(done),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
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
        if *self.fault.lock().unwrap() == Some(Fault::NoCopies) {
            return Err(broken());
        }
        self.inner.copy_opts(from, to, options).await
    }
}

pub(super) async fn faulty_lake() -> (tempfile::TempDir, Lake, Arc<Mutex<Option<Fault>>>) {
    let (folder, lake) = new_lake().await;
    let fault = Arc::new(Mutex::new(None));
    let lake = lake.through(|inner| Arc::new(Faulty { inner, fault: fault.clone() }));
    (folder, lake, fault)
}

async fn add(ledger: &mut crate::Ledger, secs: i64, sales: &[Sale]) {
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_was_done_and_reported_as_failed_is_not_done_twice() {
    for table in ["transaction_versions", "awin_test/transactions"] {
        for fault in [Fault::TakenForAnother(table), Fault::AnswerLost(table)] {
            let (_folder, lake, faults) = faulty_lake().await;
            let mut ledger = lake.ledger();
            add(&mut ledger, 1, &[sale("1", 0, 1)]).await;
            ledger.commit().await.unwrap();
            *faults.lock().unwrap() = Some(fault);
            add(&mut ledger, 2, &[sale("1", 0, 2), sale("2", 0, 1)]).await;
            let counts = ledger.commit().await.unwrap();
            assert_eq!(*faults.lock().unwrap(), None, "it happened: {fault:?}");
            assert_eq!((counts.new_versions, counts.native_written), (3, 3), "{fault:?}");
            let ids = values(&lake, "unified", "transaction_versions", &["transaction_id", "version"]).await;
            assert_eq!(ids, ["1 1", "1 2", "2 1"], "{fault:?}");
            assert_eq!(values(&lake, "awin_test", "transactions", &["id"]).await, ["1", "1", "2"], "{fault:?}");
            assert_eq!(assert_latest(&lake).await, 2);
            // What was written is known: the same again is nothing new.
            add(&mut ledger, 3, &[sale("1", 0, 2)]).await;
            assert_eq!(ledger.commit().await.unwrap().new_versions, 3);
        }
    }
}

#[tokio::test]
async fn a_latest_state_whose_commit_was_reported_as_failed_is_right() {
    for fault in [Fault::TakenForAnother("unified/transactions"), Fault::AnswerLost("unified/transactions")] {
        let (_folder, lake, faults) = faulty_lake().await;
        let mut ledger = lake.ledger();
        add(&mut ledger, 1, &[sale("1", 0, 1), sale("2", 0, 1)]).await;
        ledger.commit().await.unwrap();
        add(&mut ledger, 2, &[sale("1", 0, 2)]).await;
        *faults.lock().unwrap() = Some(fault);
        ledger.commit().await.unwrap();
        assert_eq!(*faults.lock().unwrap(), None, "it happened: {fault:?}");
        assert_eq!(assert_latest(&lake).await, 2);
    }
}

#[tokio::test]
async fn a_store_without_copies_gets_whole_files() {
    let (_folder, lake, faults) = faulty_lake().await;
    *faults.lock().unwrap() = Some(Fault::NoCopies);
    let mut ledger = lake.ledger();
    add(&mut ledger, 1, &[sale("1", 0, 1), sale("2", 40, 1)]).await;
    ledger.commit().await.unwrap();
    assert_eq!(assert_latest(&lake).await, 2);
}
