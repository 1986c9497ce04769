//! A replay compares facts that are no transactions, writes what differs and takes it back.

use sluice_model::Fact;

use super::facts::{payments, versions};
use super::replay::{candidate, go_through_mapped};
use super::*;
use crate::FactDiff;

/// A response with a sale and these payments.
fn read(rows: &[(&str, i64)]) -> Mapped {
    Mapped { facts: BTreeMap::from([(Fact::Payments, payments(rows))]), ..mapped(&[sale("x", 0, 1)]) }
}

async fn replayed(lake: &Lake, run: Option<&str>, mapped: &Mapped) -> crate::Replayed {
    let replay = lake.replay(candidate(), run, None).await.unwrap();
    go_through_mapped(replay, "a", 10, mapped).await
}

fn counts(diff: &FactDiff) -> [u64; 4] {
    [diff.compared, diff.added.count, diff.changed.count, diff.removed.count]
}

async fn lake_of(mapped: Mapped) -> (tempfile::TempDir, Lake) {
    let (folder, lake) = new_lake().await;
    let mut ledger = lake.ledger();
    ledger.add(response("run", "a", 10), &layout(&["id"]), &connector(), mapped).await.unwrap();
    ledger.commit().await.unwrap();
    (folder, lake)
}

#[tokio::test]
async fn payments_that_a_candidate_gives_otherwise_differ() {
    let given = read(&[("1", 5_000_000), ("2", 7_000_000), ("3", 1)]);
    let (_folder, lake) = lake_of(given.clone()).await;
    let same = replayed(&lake, None, &given).await.diff;
    assert!(same.is_empty(), "{same:?}");
    assert_eq!(counts(&same.facts[&Fact::Payments]), [3, 0, 0, 0]);
    let diff = replayed(&lake, None, &read(&[("1", 50_000), ("2", 7_000_000), ("4", 2)])).await.diff;
    assert!(!diff.is_empty());
    let found = &diff.facts[&Fact::Payments];
    assert_eq!(counts(found), [4, 1, 1, 1]);
    assert_eq!(found.fields.keys().collect::<Vec<_>>(), ["amount"]);
    let amount = &found.fields["amount"];
    assert_eq!((amount.count, amount.examples[0].id.as_str()), (1, "1"));
    assert_eq!(amount.examples[0].before.as_deref(), Some("5.000000"));
    assert_eq!(amount.examples[0].after.as_deref(), Some("0.050000"));
    assert_eq!(found.removed.examples, [("uk".to_owned(), "3".to_owned())]);
}

#[tokio::test]
async fn payments_are_written_with_the_transactions_and_taken_back() {
    let (_folder, lake) = lake_of(read(&[("1", 5_000_000), ("3", 1)])).await;
    let before = versions(&lake).await;
    let other = read(&[("1", 50_000), ("4", 2)]);
    replayed(&lake, Some("replay"), &other).await.commit().await.unwrap();
    let written = [
        "1 1 5.000000 first-seen none",
        "1 2 0.050000 mapping-change none",
        "3 1 0.000001 first-seen none",
        "4 1 0.000002 mapping-change none",
    ];
    assert_eq!(versions(&lake).await, written);
    let again = replayed(&lake, None, &other).await.diff;
    assert_eq!(counts(&again.facts[&Fact::Payments]), [3, 0, 0, 1], "what is no longer given stays");
    let rolled_back = lake.roll_back_replay("awin-test", "replay", None).await.unwrap();
    assert_eq!(rolled_back.tables["unified.payment_versions"], 2);
    assert_eq!(versions(&lake).await, before);
}
