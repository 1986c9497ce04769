//! A lake of a release whose schema lacked a column: `device` stands for it.

use arrow::array::ArrayRef;

use super::latest::assert_latest;
use super::replay::{candidate, go_through_mapped};
use super::*;
use crate::latest::{LatestState, lay_out};
use crate::scan::stream_rows;
use crate::table::{Commit, TableSpec};
use crate::unified;
use futures::TryStreamExt;

const LATER: &str = "device";

fn sales() -> [Sale; 2] {
    [sale("1", 0, 5_000_000), sale("2", 40, 7_000_000)]
}

/// The sales as a connector maps them that fills the column.
fn filled() -> Mapped {
    let mapped = mapped(&sales());
    let devices: ArrayRef = Arc::new(StringArray::from(vec![Some("phone"), None]));
    let transactions = mapped.transactions.as_ref().map(|rows| with_column(rows, LATER, devices));
    Mapped { transactions, ..mapped }
}

async fn commit(lake: &Lake, request: &str, secs: i64, mapped: Mapped) -> u64 {
    let mut ledger = lake.ledger();
    ledger.add(response("run", request, secs), &layout(&["id"]), &connector(), mapped).await.unwrap();
    ledger.commit().await.unwrap().new_versions
}

async fn names(lake: &Lake, name: &str) -> Vec<String> {
    let schema = Table::open(lake, "unified", name).await.unwrap().schema().unwrap();
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// A lake with the two sales in files and tables that lack the column, and nothing else.
async fn older_lake() -> (tempfile::TempDir, Lake) {
    let (_scratch, newer) = new_lake().await;
    assert_eq!(commit(&newer, "r1", 1, mapped(&sales())).await, 2);
    let source = Table::open(&newer, "unified", "transaction_versions").await.unwrap();
    let (folder, lake) = new_lake().await;
    let mut target = Table::open(&lake, "unified", "transaction_versions").await.unwrap();
    let TableSpec { mut fields, partitions, indexed } = unified::table_spec();
    fields.retain(|field| field.name() != LATER);
    target.create_if_missing(&TableSpec { fields, partitions, indexed }).await.unwrap();
    for file in source.files() {
        let mut batches = stream_rows(source.store(), &file.path).await.unwrap();
        while let Some(rows) = batches.try_next().await.unwrap() {
            let rows = lay_out(target.name(), &rows, &target.schema().unwrap(), &file.partitions).unwrap();
            let adds = target.write_files(&rows, Some("transaction_key")).await.unwrap();
            assert!(matches!(target.replace(Vec::new(), adds, &[], None).await.unwrap(), Commit::Done));
        }
    }
    LatestState::open(&lake).await.unwrap().catch_up().await.unwrap();
    for name in ["transaction_versions", "transactions"] {
        assert!(!names(&lake, name).await.contains(&LATER.to_owned()));
    }
    (folder, lake)
}

async fn versions(lake: &Lake) -> Vec<String> {
    values(lake, "unified", "transaction_versions", &["transaction_id", "version", "change", LATER]).await
}

#[tokio::test]
async fn a_column_that_is_null_changes_no_hash() {
    let (_folder, lake) = older_lake().await;
    assert_eq!(commit(&lake, "r2", 2, mapped(&sales())).await, 0);
    assert_eq!(versions(&lake).await, ["1 1 first-seen -", "2 1 first-seen -"]);
}

#[tokio::test]
async fn tables_get_the_column_and_old_rows_have_none() {
    let (_folder, lake) = older_lake().await;
    let before = values(&lake, "unified", "transaction_versions", &["transaction_id", "content_hash"]).await;
    assert_eq!(commit(&lake, "r2", 2, filled()).await, 1);
    assert_eq!(versions(&lake).await, ["1 1 first-seen -", "1 2 network-change phone", "2 1 first-seen -"]);
    let after = values(&lake, "unified", "transaction_versions", &["transaction_id", "content_hash"]).await;
    assert!(before.iter().all(|row| after.contains(row)), "{before:?} {after:?}");
    assert_eq!(assert_latest(&lake).await, 2);
    let latest = values(&lake, "unified", "transactions", &["transaction_id", "version", LATER]).await;
    assert_eq!(latest, ["1 2 phone", "2 1 -"]);
}

#[tokio::test]
async fn a_replay_fills_history_and_names_the_column() {
    let (_folder, lake) = older_lake().await;
    let replay = lake.replay(candidate(), Some("replay"), None).await.unwrap();
    let mut replayed = go_through_mapped(replay, "r1", 1, &filled()).await;
    let found = &replayed.diff.transactions;
    assert_eq!((found.changed.count, found.added.count, found.removed.count), (1, 0, 0));
    let field = &found.fields[LATER];
    assert_eq!((field.count, field.examples[0].before.as_deref()), (1, None));
    assert_eq!(field.examples[0].after.as_deref(), Some("phone"));
    replayed.commit().await.unwrap();
    assert_eq!(versions(&lake).await, ["1 1 first-seen -", "1 2 mapping-change phone", "2 1 first-seen -"]);
    let again = lake.replay(candidate(), None, None).await.unwrap();
    assert_eq!(go_through_mapped(again, "r1", 1, &filled()).await.diff.transactions.changed.count, 0);
}
