//! The task that writes the tables for all runs: what it tells a run is so.

use std::pin::pin;

use futures::poll;
use tokio::task::yield_now;

use super::faulty::{Fault, faulty_lake};
use super::held::{HeldOutcome, Holder, held_lake};
use super::latest::assert_latest;
use super::*;
use crate::table::Table;
use crate::{Committer, CommitterOptions, Counts, CoverageRow, Error, Fence, Prepared, RunWriter};

const VERSIONS: &str = "transaction_versions";

/// Writes at the first row.
fn at_once() -> CommitterOptions {
    CommitterOptions { flush_rows: 1, ..CommitterOptions::default() }
}

/// Writes when a run ends.
fn at_the_end() -> CommitterOptions {
    CommitterOptions::default()
}

async fn add(run: &RunWriter, network: &str, secs: i64, sales: &[Sale]) -> Arc<RawObject> {
    let mut origin = (*response("run", &format!("r{secs}"), secs)).clone();
    origin.slice.network = network.to_owned();
    let origin = Arc::new(origin);
    let connector = ConnectorRef { name: network.to_owned(), ..connector() };
    let prepared = Prepared::of(origin.clone(), &layout(&["id"]), connector, mapped(sales)).unwrap();
    run.add(prepared, Box::new(())).await.unwrap();
    origin
}

/// A committer that writes at the first row, and has: the table's own first commit is no longer in the way.
async fn committer_after_a_row(lake: &Lake) -> Committer {
    let committer = lake.committer(at_once());
    let run = committer.run(None);
    add(&run, "awin-test", 1, &[sale("before", 0, 1)]).await;
    run.finish().await.unwrap();
    committer
}

/// The outcome of a run that ends while a commit of its rows is held.
async fn ended_while_held(run: RunWriter, holder: &Holder) -> Result<Counts, Error> {
    let mut ended = pin!(run.finish());
    assert!(poll!(&mut ended).is_pending());
    let_it_take().await;
    holder.release();
    ended.await
}

fn fence(resource: &str, epoch: i64) -> Option<Fence> {
    Some(Fence { resource: resource.to_owned(), epoch, ..Fence::default() })
}

/// Lets the task take what it was sent; on one thread it is its turn.
async fn let_it_take() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_run_that_ends_while_its_rows_fail_to_be_written_fails() {
    let (_folder, lake, holder) = held_lake().await;
    let committer = committer_after_a_row(&lake).await;
    let run = committer.run(None);
    holder.hold(VERSIONS, HeldOutcome::Failed);
    add(&run, "awin-test", 2, &[sale("lost", 0, 1)]).await;
    holder.waits().await;
    let ended = ended_while_held(run, &holder).await;
    assert_eq!(values(&lake, "unified", VERSIONS, &["transaction_id"]).await, ["before"]);
    assert!(ended.is_err(), "its rows are lost, and the caller sees {ended:?}");
}

#[tokio::test]
async fn what_a_slice_covers_is_not_noted_when_its_rows_could_not_be_written() {
    let (_folder, lake, holder) = held_lake().await;
    let committer = committer_after_a_row(&lake).await;
    let (run, other) = (committer.run(None), committer.run(None));
    holder.hold(VERSIONS, HeldOutcome::Failed);
    let origin = add(&run, "awin-test", 2, &[sale("lost", 0, 1)]).await;
    holder.waits().await;
    // The slice ends while its rows are being written.
    run.covered(CoverageRow::of(&origin.slice, origin.slice.window, "run", moment(3)));
    let_it_take().await;
    holder.release();
    add(&other, "cj-test", 4, &[sale("1", 0, 1)]).await;
    // It may be in one flush with what failed.
    let _ = other.finish().await;
    let versions = values(&lake, "unified", VERSIONS, &["transaction_id"]).await;
    assert!(!versions.contains(&"lost".to_owned()), "{versions:?}");
    let noted = values(&lake, "meta", "coverage", &["network"]).await;
    assert!(noted.is_empty(), "the rows are lost, and the slice counts as read: {noted:?}");
    assert!(run.finish().await.is_err(), "the run goes on as if nothing had been");
}

#[tokio::test]
async fn what_was_new_of_a_run_is_counted_though_it_ends_while_its_rows_are_written() {
    let (_folder, lake, holder) = held_lake().await;
    let committer = committer_after_a_row(&lake).await;
    let run = committer.run(None);
    holder.hold(VERSIONS, HeldOutcome::Made);
    add(&run, "awin-test", 2, &[sale("1", 0, 1), sale("2", 0, 1)]).await;
    holder.waits().await;
    assert_eq!(ended_while_held(run, &holder).await.unwrap().new_versions, 2);
}

#[tokio::test]
async fn a_lease_that_was_taken_over_refuses_the_rows_of_its_run_alone() {
    let (_folder, lake, _holder) = held_lake().await;
    let heir = lake.committer(at_the_end()).run(fence("awin", 2));
    add(&heir, "awin-test", 1, &[sale("1", 0, 1)]).await;
    heir.finish().await.unwrap();
    let committer = lake.committer(at_the_end());
    let (zombie, other) = (committer.run(fence("awin", 1)), committer.run(fence("cj", 7)));
    add(&zombie, "awin-test", 2, &[sale("1", 0, 2), sale("2", 0, 2)]).await;
    add(&other, "cj-test", 3, &[sale("1", 0, 3)]).await;
    // One after the other: the run that ends first has its rows and its neighbour's written.
    let (refused, done) = (zombie.finish().await, other.finish().await);
    assert!(matches!(refused, Err(Error::Fenced { .. } | Error::Shared(_))), "{refused:?}");
    done.unwrap();
    let columns = ["network", "transaction_id", "version", "commission_amount"];
    let expected = ["awin-test 1 1 0.000001", "cj-test 1 1 0.000003"];
    assert_eq!(values(&lake, "unified", VERSIONS, &columns).await, expected);
    assert_eq!(assert_latest(&lake).await, 2);
    // What the other run wrote carries its epoch, though a neighbour of its commit was refused.
    let mut versions = Table::open(&lake, "unified", VERSIONS).await.unwrap();
    assert_eq!(versions.epoch("cj").await.unwrap(), Some(7));
    let earlier = lake.committer(at_the_end()).run(fence("cj", 6));
    add(&earlier, "cj-test", 4, &[sale("1", 0, 4)]).await;
    assert!(earlier.finish().await.is_err(), "a lease that was taken over long ago still writes");
}

#[tokio::test]
async fn a_run_that_ends_while_its_rows_are_refused_fails() {
    let (_folder, lake, holder) = held_lake().await;
    let heir = lake.committer(at_the_end()).run(fence("awin", 2));
    add(&heir, "awin-test", 1, &[sale("1", 0, 1)]).await;
    heir.finish().await.unwrap();
    let committer = lake.committer(at_once());
    let (zombie, other) = (committer.run(fence("awin", 1)), committer.run(fence("cj", 7)));
    // While a first flush is under way, rows of both gather.
    holder.hold(VERSIONS, HeldOutcome::Made);
    add(&other, "cj-test", 2, &[sale("1", 0, 2)]).await;
    holder.waits().await;
    add(&zombie, "awin-test", 3, &[sale("1", 0, 3)]).await;
    add(&other, "cj-test", 4, &[sale("1", 0, 4)]).await;
    let_it_take().await;
    // They are refused in the second one, while their run ends.
    holder.hold(VERSIONS, HeldOutcome::Made);
    holder.release();
    holder.waits().await;
    let ended = ended_while_held(zombie, &holder).await;
    assert!(ended.is_err(), "its rows were refused, and the caller sees {ended:?}");
    other.finish().await.unwrap();
    assert_eq!(
        values(&lake, "unified", VERSIONS, &["network", "version"]).await,
        ["awin-test 1", "cj-test 1", "cj-test 2"]
    );
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_what_was_committed_and_can_be_resumed() {
    let (_folder, lake, _holder) = held_lake().await;
    let committer = lake.committer(at_once());
    let run = committer.run(None);
    add(&run, "awin-test", 1, &[sale("1", 0, 1)]).await;
    drop(run);
    let resumed = committer.run(None);
    for (secs, commission) in [(1, 1), (2, 2)] {
        add(&resumed, "awin-test", secs, &[sale("1", 0, commission)]).await;
    }
    resumed.finish().await.unwrap();
    let versions = values(&lake, "unified", VERSIONS, &["transaction_id", "version", "commission_amount"]).await;
    assert_eq!(versions, ["1 1 0.000001", "1 2 0.000002"]);
    assert_eq!(assert_latest(&lake).await, 1);
}

/// Many runs of several networks at once through one committer, and again: one commit serves many.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_at_once_share_commits_and_are_exact() {
    let (_folder, lake, _holder) = held_lake().await;
    let few_keys = CommitterOptions { flush_rows: 40, index_keys: 30, all_keys: 40, ..CommitterOptions::default() };
    let committer = lake.committer(few_keys);
    for round in 0..3_i64 {
        let runs = (0..12_i64).map(|number| {
            let run = committer.run(None);
            tokio::spawn(async move {
                let network = ["awin-test", "cj-test", "ebay-test"][number as usize % 3];
                for request in 0..4_i64 {
                    // Each run has sales of its own, and some that all of the network share, in the same content.
                    let own = (0..3).map(|place| sale(&format!("{number}-{request}-{place}"), place * 25, round));
                    let shared = (0..3).map(|place| sale(&format!("shared-{place}"), place * 25, round));
                    let sales: Vec<Sale> = own.chain(shared).collect();
                    add(&run, network, 1 + round * 1_000 + number * 10 + request, &sales).await;
                }
                run.finish().await.unwrap()
            })
        });
        let runs: Vec<_> = runs.collect();
        let mut new = 0;
        for run in runs {
            new += run.await.unwrap().new_versions;
        }
        assert_eq!(new, 12 * 4 * 3 + 3 * 3, "round {round}");
    }
    let columns = ["network", "transaction_id", "version"];
    let versions = values(&lake, "unified", VERSIONS, &columns).await;
    let distinct: std::collections::BTreeSet<&String> = versions.iter().collect();
    assert_eq!((versions.len(), distinct.len()), (3 * 153, 3 * 153));
    assert_eq!(assert_latest(&lake).await, 153);
    let commits = Table::open(&lake, "unified", VERSIONS).await.unwrap().version().unwrap();
    assert!(commits < 3 * 12, "{commits} commits for 36 runs: they don't share any");
}

#[tokio::test]
async fn a_native_table_that_can_not_be_written_fails_the_runs_that_have_rows_for_it_alone() {
    let (_folder, lake, faults) = faulty_lake().await;
    let committer = lake.committer(at_the_end());
    let (bad, good) = (committer.run(None), committer.run(None));
    add(&bad, "awin-test", 1, &[sale("1", 0, 1)]).await;
    let origin = add(&good, "cj-test", 2, &[sale("2", 0, 1)]).await;
    good.covered(CoverageRow::of(&origin.slice, origin.slice.window, "run", origin.received_at));
    *faults.lock().unwrap() = Some(Fault::Refused("awin_test/transactions"));
    let (failed, done) = futures::join!(bad.finish(), good.finish());
    let failed = failed.unwrap_err().to_string();
    assert!(failed.contains("awin_test"), "{failed}");
    assert_eq!(done.unwrap().native_written, 1);
    assert_eq!(values(&lake, "meta", "coverage", &["network"]).await, ["cj-test"]);
    // What of the failed run is in the versions isn't there twice when it is resumed.
    *faults.lock().unwrap() = None;
    let again = committer.run(None);
    add(&again, "awin-test", 1, &[sale("1", 0, 1)]).await;
    assert_eq!(again.finish().await.unwrap().native_written, 1);
    assert_eq!(values(&lake, "unified", "transaction_versions", &["transaction_id"]).await, ["1", "2"]);
    assert_eq!(assert_latest(&lake).await, 2);
}
