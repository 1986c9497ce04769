//! A replay compares facts that are no transactions, writes what differs and takes it back.

use sluice_model::Fact;

use super::facts::{facts, only, payments, versions};
use super::replay::{candidate, go_through_mapped};
use super::*;
use crate::{FactDiff, Money, MoneyKey};

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
    let key =
        MoneyKey { account: "uk".to_owned(), month: "none".to_owned(), status: "unknown".to_owned(), currency: None };
    let sum = Money { rows_before: 3, rows_after: 3, before: 12_000_001, after: 7_050_002 };
    assert_eq!(found.money, BTreeMap::from([(key, sum)]));
    assert_eq!(found.moved, BTreeMap::from([(None, 4_950_000 + 1 + 2)]));
    assert!(diff.transactions.moved.is_empty(), "a payment is no commission");
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
        "3 2 - mapping-change none",
        "4 1 0.000002 mapping-change none",
    ];
    assert_eq!(versions(&lake).await, written);
    let again = replayed(&lake, None, &other).await.diff;
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(counts(&again.facts[&Fact::Payments]), [2, 0, 0, 0], "what was taken back is no longer there");
    let back = replayed(&lake, None, &read(&[("1", 50_000), ("3", 1), ("4", 2)])).await.diff;
    assert_eq!(counts(&back.facts[&Fact::Payments]), [3, 1, 0, 0]);
    let rolled_back = lake.roll_back_replay("awin-test", "replay", None).await.unwrap();
    assert_eq!(rolled_back.tables["unified.payment_versions"], 3);
    assert_eq!(versions(&lake).await, before);
}

/// The network reports a payment that a replay took back: it is there again.
#[tokio::test]
async fn a_payment_that_was_taken_back_reappears_by_a_later_response() {
    let (_folder, lake) = lake_of(read(&[("1", 5_000_000)])).await;
    replayed(&lake, Some("replay"), &read(&[])).await.commit().await.unwrap();
    let read_at = async |request: &str, secs| {
        let mut ledger = lake.ledger();
        let given = read(&[("1", 5_000_000)]);
        ledger.add(response("run", request, secs), &layout(&["id"]), &connector(), given).await.unwrap();
        ledger.commit().await.unwrap();
    };
    read_at("0", 9).await;
    let removed = ["1 1 5.000000 first-seen none", "1 2 - mapping-change none"];
    assert_eq!(versions(&lake).await, removed, "an older response changes nothing");
    read_at("b", 20).await;
    assert_eq!(versions(&lake).await, [removed[0], removed[1], "1 3 5.000000 reappeared none"]);
}

/// Of daily sums neither counts nor amounts stay, the day does.
#[tokio::test]
async fn a_daily_sum_that_is_taken_back_leaves_nothing_to_count() {
    let (_folder, lake) = lake_of(only(Fact::Aggregates, sums(&["a", "b"]))).await;
    let mut replay = replayed(&lake, Some("replay"), &only(Fact::Aggregates, sums(&["a"]))).await;
    let found = &replay.diff.facts[&Fact::Aggregates];
    assert_eq!(counts(found), [2, 0, 0, 1]);
    let months: Vec<(&str, &str)> = found.money.keys().map(|key| (key.month.as_str(), key.status.as_str())).collect();
    assert_eq!(months, [("2026-01", "")]);
    replay.commit().await.unwrap();
    let columns = ["aggregate_id", "version", "day", "clicks", "commission_amount", "change", "month"];
    let expected = [
        "a 1 2026-01-01 7 2.000000 first-seen 2026-01",
        "b 1 2026-01-01 7 2.000000 first-seen 2026-01",
        "b 2 2026-01-01 - - mapping-change 2026-01",
    ];
    assert_eq!(values(&lake, "unified", "aggregate_versions", &columns).await, expected);
}

/// Seven clicks and a commission of 2 on one day.
fn sums(ids: &[&str]) -> RecordBatch {
    let amounts = Decimal128Array::from(vec![2_000_000_i128; ids.len()]).with_precision_and_scale(18, 6).unwrap();
    facts(
        Fact::Aggregates,
        ids,
        &[
            ("day", Arc::new(Date32Array::from(vec![20_454; ids.len()]))),
            ("clicks", Arc::new(arrow::array::Int64Array::from(vec![7; ids.len()]))),
            ("commission_amount", Arc::new(amounts)),
        ],
    )
}
