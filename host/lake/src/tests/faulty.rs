//! Stores that do what they are asked and say that they didn't, and stores that can't copy.

use std::sync::Mutex;

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, Result};

use super::held::{HeldOutcome, held_lake};
use super::intercepted::{Intercepted, Interceptor, is_commit_to};
use super::latest::assert_latest;
use super::*;
use crate::Upkeep;

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

/// The fault that comes next.
pub(super) type Faults = Mutex<Option<Fault>>;

fn broken() -> StoreError {
    StoreError::Generic { store: "faulty", source: "the connection was reset".into() }
}

#[async_trait]
impl Interceptor for Faults {
    async fn before_put(&self, location: &Path) -> Result<()> {
        let fault = *self.lock().unwrap();
        let is_refused = matches!(fault, Some(Fault::Refused(table)) if is_commit_to(table, location));
        if is_refused { Err(broken()) } else { Ok(()) }
    }

    async fn after_put(&self, location: &Path) -> Result<()> {
        let mut fault = self.lock().unwrap();
        let error = match *fault {
            Some(Fault::TakenForAnother(table)) if is_commit_to(table, location) => {
                StoreError::AlreadyExists { path: location.to_string(), source: "it is there".into() }
            }
            Some(Fault::AnswerLost(table)) if is_commit_to(table, location) => broken(),
            _ => return Ok(()),
        };
        *fault = None;
        Err(error)
    }

    fn before_copy(&self) -> Result<()> {
        if *self.lock().unwrap() == Some(Fault::NoCopies) { Err(broken()) } else { Ok(()) }
    }
}

pub(super) async fn faulty_lake() -> (tempfile::TempDir, Lake, Arc<Faults>) {
    let (folder, lake) = new_lake().await;
    let interceptor = Arc::<Faults>::default();
    let lake = lake.through(|inner| Arc::new(Intercepted { inner, interceptor: interceptor.clone() }));
    (folder, lake, interceptor)
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

/// Merges the files of the table of versions, as another process does.
async fn merge_versions(url: &str) {
    let lake = Lake::open_writable(url).await.unwrap();
    let tables = lake.tables().await.unwrap();
    let versions = tables.iter().find(|table| table.name == "transaction_versions").unwrap();
    let upkeep = Upkeep { min_files: 2, ..Upkeep::default() };
    assert_eq!(lake.maintain(versions, &upkeep, Utc::now()).await.unwrap().merged_files, 2);
}

/// Its files, by which it is searched for, are no longer in the snapshot: the keys of its rows are.
#[tokio::test]
async fn a_commit_of_unknown_outcome_that_was_compacted_since_is_not_done_twice() {
    for outcome in [HeldOutcome::TakenForAnother, HeldOutcome::AnswerLost] {
        let (_folder, lake, holder) = held_lake().await;
        let mut ledger = lake.ledger();
        add(&mut ledger, 1, &[sale("1", 0, 1)]).await;
        ledger.commit().await.unwrap();
        let further = [sale("1", 0, 2), sale("2", 0, 1)];
        add(&mut ledger, 2, &further).await;
        holder.hold("transaction_versions", outcome);
        let merge = async {
            holder.waits().await;
            merge_versions(lake.url().as_str()).await;
            holder.release();
        };
        let (committed, ()) = tokio::join!(ledger.commit(), merge);
        assert_eq!(committed.is_ok(), outcome == HeldOutcome::TakenForAnother, "{committed:?}");
        // A run that failed is resumed: it adds the same again.
        let mut resumed = lake.ledger();
        add(&mut resumed, 2, &further).await;
        assert_eq!(resumed.commit().await.unwrap().new_versions, 0, "{outcome:?}");
        let ids = values(&lake, "unified", "transaction_versions", &["transaction_id", "version"]).await;
        assert_eq!(ids, ["1 1", "1 2", "2 1"], "{outcome:?}");
        assert_eq!(assert_latest(&lake).await, 2);
        let data = Path::from("tables/unified/transaction_versions");
        let objects: Vec<_> = lake.store().list(Some(&data)).try_collect().await.unwrap();
        let files = objects.iter().filter(|object| object.location.extension() == Some("parquet"));
        assert_eq!(files.count(), 3, "{outcome:?}: a file that an earlier snapshot names is gone");
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
