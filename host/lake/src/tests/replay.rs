use sluice_model::{Kind, Pin};

use super::*;
use crate::{Diff, MoneyKey, Replay};

/// Looks that a lake was built from: what the network reported of its sales, and when.
type Looks<'a> = &'a [(i64, &'a [Sale])];

async fn lake_of(looks: Looks<'_>) -> (tempfile::TempDir, Lake) {
    let (folder, lake) = new_lake().await;
    let mut ledger = lake.ledger();
    for (secs, sales) in looks {
        let origin = response("run", &format!("r{secs}"), *secs);
        ledger.add(origin, &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
    }
    ledger.commit().await.unwrap();
    (folder, lake)
}

pub(super) fn candidate() -> ConnectorRef {
    ConnectorRef { version: "2.0.0".to_owned(), digest: Digest::of(b"candidate"), ..connector() }
}

/// Goes through looks as a candidate maps them.
async fn go_through(mut replay: Replay, looks: Looks<'_>) -> crate::Replayed {
    for pass in 0..replay.passes() {
        replay.begin(pass).await.unwrap();
        for (secs, sales) in looks {
            let origin = response("run", &format!("r{secs}"), *secs);
            replay.add(origin, &layout(&["id"]), mapped(sales)).await.unwrap();
        }
        replay.end().await.unwrap();
    }
    replay.finish().await.unwrap()
}

/// Goes through one response as a candidate maps it.
pub(super) async fn go_through_mapped(
    mut replay: Replay,
    request: &str,
    secs: i64,
    mapped: &Mapped,
) -> crate::Replayed {
    for pass in 0..replay.passes() {
        replay.begin(pass).await.unwrap();
        replay.add(response("run", request, secs), &layout(&["id"]), mapped.clone()).await.unwrap();
        replay.end().await.unwrap();
    }
    replay.finish().await.unwrap()
}

async fn compare(lake: &Lake, looks: Looks<'_>) -> Diff {
    let replay = lake.replay(candidate(), None, None).await.unwrap();
    go_through(replay, looks).await.diff
}

fn counts(diff: &Diff) -> [u64; 5] {
    let diff = &diff.transactions;
    [diff.compared, diff.outside, diff.added.count, diff.changed.count, diff.removed.count]
}

#[tokio::test]
async fn only_the_last_observation_of_a_transaction_counts() {
    let first = [sale("a", 1, 10), sale("b", 2, 20)];
    let second = [sale("a", 1, 11)];
    let (_folder, lake) = lake_of(&[(1, &first), (2, &second)]).await;
    let same = compare(&lake, &[(1, &first), (2, &second)]).await;
    assert!(same.is_empty(), "{same:?}");
    assert_eq!(counts(&same), [2, 0, 0, 0, 0]);
    // Another reading of an old response of `a` changes nothing that is true now.
    let earlier = [sale("a", 1, 999), sale("b", 2, 25)];
    let diff = compare(&lake, &[(1, &earlier), (2, &second)]).await;
    assert_eq!(counts(&diff), [2, 0, 0, 1, 0]);
    assert_eq!(diff.transactions.fields["commission_amount"].count, 1);
    assert_eq!(diff.transactions.fields["commission_amount"].examples[0].id, "b");
    assert_eq!(diff.transactions.moved[&None], 5);
}

#[tokio::test]
async fn what_comes_from_outside_the_selection_is_not_compared() {
    let (first, second) = ([sale("a", 1, 10), sale("b", 2, 20)], [sale("a", 1, 11)]);
    let (_folder, lake) = lake_of(&[(1, &first), (2, &second)]).await;
    let diff = compare(&lake, &[(1, &first)]).await;
    assert_eq!(counts(&diff), [1, 1, 0, 0, 0], "the latest state of `a` is of the second look");
}

#[tokio::test]
async fn rows_that_come_and_go_are_listed() {
    let (first, second) = ([sale("a", 1, 10), sale("b", 40, 20)], [sale("c", 1, 5)]);
    let (_folder, lake) = lake_of(&[(1, &first), (2, &second)]).await;
    let diff = compare(&lake, &[(1, &[sale("a", 1, 10), sale("d", 70, 3)]), (2, &second)]).await;
    assert_eq!(counts(&diff), [4, 0, 1, 0, 1]);
    assert_eq!(diff.transactions.added.examples, [("uk".to_owned(), "d".to_owned())]);
    assert_eq!(diff.transactions.removed.examples, [("uk".to_owned(), "b".to_owned())]);
    let money = &diff.transactions.money;
    let months: Vec<(&str, i128, i128)> =
        money.iter().map(|(MoneyKey { month, .. }, money)| (month.as_str(), money.before, money.after)).collect();
    assert_eq!(months, [("2026-01", 15, 15), ("2026-02", 20, 0), ("2026-03", 0, 3)]);
    let native = diff.native["transactions"];
    assert_eq!((native.compared, native.added, native.changed, native.removed), (4, 1, 0, 1));
}

#[tokio::test]
async fn parts_of_the_keys_make_the_same_diff() {
    let sales: Vec<Sale> = (0..40).map(|n| sale(&format!("s{n}"), n % 50, n)).collect();
    let (_folder, lake) = lake_of(&[(1, &sales)]).await;
    let mut other: Vec<Sale> = sales[4..].to_vec();
    other[0].commission += 1;
    other[7].day += 1;
    other.push(sale("new", 3, 1));
    let whole = compare(&lake, &[(1, &other)]).await;
    assert_eq!(counts(&whole), [41, 0, 1, 2, 4]);
    let replay = lake.replay(candidate(), None, None).await.unwrap().in_passes(3);
    let mut diff = go_through(replay, &[(1, &other)]).await.diff;
    let (parts, expected) = (&mut diff.transactions, &whole.transactions);
    for (part, whole) in [(&mut parts.removed, &expected.removed), (&mut parts.changed, &expected.changed)] {
        part.examples = whole.examples.clone();
    }
    for (name, field) in &mut parts.fields {
        field.examples = expected.fields[name].examples.clone();
    }
    assert_eq!(diff, whole);
}

/// Goes through one look as a candidate's layout reads it, and gives what to commit.
async fn read_otherwise(lake: &Lake, run: Option<&str>, layout: &Layout, native: NativeBatch) -> crate::Replayed {
    let mut replay = lake.replay(candidate(), run, None).await.unwrap();
    for pass in 0..replay.passes() {
        replay.begin(pass).await.unwrap();
        let output = Mapped { native: native.clone(), ..mapped(&looked()) };
        replay.add(response("run", "r1", 1), layout, output).await.unwrap();
        replay.end().await.unwrap();
    }
    replay.finish().await.unwrap()
}

fn looked() -> [Sale; 2] {
    [sale("a", 1, 10), sale("b", 40, 20)]
}

#[tokio::test]
async fn fields_that_only_a_candidate_reads_get_their_columns() {
    let (_folder, lake) = lake_of(&[(1, &looked())]).await;
    let before = rows(&lake, "awin_test", "transactions").await;
    let wider = native(&[
        ("id", &[Some("\"a\""), Some("\"b\"")]),
        ("day", &[Some("1"), Some("40")]),
        ("commission", &[Some("10"), Some("20")]),
        ("basket.size", &[None, Some("7")]),
    ]);
    let diff = read_otherwise(&lake, None, &layout(&["id"]), wider.clone()).await.diff;
    let of_native = diff.native["transactions"];
    assert_eq!((of_native.compared, of_native.changed, of_native.added, of_native.removed), (2, 1, 0, 0));
    assert_eq!(counts(&diff), [2, 0, 0, 0, 0], "no transaction is another");
    assert!(!diff.is_empty());
    read_otherwise(&lake, Some("replay"), &layout(&["id"]), wider.clone()).await.commit().await.unwrap();
    let sizes = values(&lake, "awin_test", "transactions", &["id", "_run_id", "_record_index", "basket_size"]).await;
    assert_eq!(sizes, ["a run 0 -", "b run 1 -", "b run 1 7"], "as it was observed, beside what was read then");
    let noted = values(&lake, "meta", "columns", &["column", "path", "type"]).await;
    assert!(noted.contains(&"basket_size basket.size int64".to_owned()), "{noted:?}");
    let again = read_otherwise(&lake, None, &layout(&["id"]), wider).await.diff;
    assert!(again.is_empty(), "{again:?}");
    lake.roll_back_replay("awin-test", "replay", None).await.unwrap();
    assert_eq!(rows(&lake, "awin_test", "transactions").await, before);
}

#[tokio::test]
async fn a_column_that_a_candidate_types_otherwise_keeps_its_type_and_loses_nothing() {
    let (_folder, lake) = lake_of(&[(1, &looked())]).await;
    let same = mapped(&looked()).native;
    let pins = vec![Pin { path: "commission".to_owned(), kind: Kind::Text }];
    let pinned = Layout { pins, ..layout(&["id"]) };
    let diff = read_otherwise(&lake, None, &pinned, same).await.diff;
    assert!(diff.is_empty(), "the same literals say the same, whatever their type: {diff:?}");
    let words = native(&[
        ("id", &[Some("\"a\""), Some("\"b\"")]),
        ("day", &[Some("1"), Some("40")]),
        ("commission", &[Some("\"10 EUR\""), Some("20")]),
    ]);
    let diff = read_otherwise(&lake, None, &pinned, words.clone()).await.diff;
    assert_eq!((diff.native["transactions"].changed, diff.native["transactions"].compared), (1, 2));
    read_otherwise(&lake, Some("replay"), &pinned, words).await.commit().await.unwrap();
    let read = values(&lake, "awin_test", "transactions", &["id", "commission", "commission__text"]).await;
    assert_eq!(read, ["a - 10 EUR", "a 10 -", "b 20 -"]);
}
