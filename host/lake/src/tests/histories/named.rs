//! The shortest histories that show one fault each. In tests the index keeps few keys, see [`open_ledger`].

use object_store::ObjectStoreExt;

use super::super::{Sale, connector, layout, mapped, new_lake, response, rows, sale, values};
use super::claims;
use super::world::open_ledger;
use crate::table::{Commit, Table};
use crate::{Lake, Ledger};

const JANUARY: i64 = 5;
const FEBRUARY: i64 = 40;
const MARCH: i64 = 65;

/// Adds a response that was received at `secs`, and commits it.
async fn flush(ledger: &mut Ledger, secs: i64, sales: &[Sale]) {
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
    ledger.flush().await.unwrap();
}

/// Sales that the index didn't know, so many that it forgets what it did.
fn others(name: &str, count: i64, day: i64) -> Vec<Sale> {
    (0..count).map(|number| sale(&format!("{name}-{number}"), day, 1)).collect()
}

/// The versions of a sale: version, commission, month.
async fn versions_of(lake: &Lake, id: &str) -> Vec<String> {
    let columns = ["transaction_id", "version", "commission_amount", "month"];
    let all = values(lake, "unified", "transaction_versions", &columns).await;
    let own = all.iter().filter_map(|row| row.strip_prefix(&format!("{id} ")));
    own.map(str::to_owned).collect()
}

/// Catches the latest state up, and fails if a claim about the tables doesn't hold.
async fn assert_exact(lake: &Lake) {
    open_ledger(lake).commit().await.unwrap();
    let [versions, latest] =
        [claims::unified(lake, "transaction_versions").await, claims::unified(lake, "transactions").await];
    let mut broken = claims::of_versions(&versions);
    broken.extend(claims::of_latest(&latest, &versions));
    broken.extend(claims::of_native(lake, &["awin-test"]).await);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A lake that holds the first version of `a`.
async fn lake_with_a() -> (tempfile::TempDir, Lake) {
    let (folder, lake) = new_lake().await;
    flush(&mut open_ledger(&lake), 1, &[sale("a", JANUARY, 1)]).await;
    (folder, lake)
}

/// Checks the versions of `a`, and all claims about the tables.
async fn assert_versions(lake: &Lake, expected: &[&str]) {
    assert_eq!(versions_of(lake, "a").await, expected);
    assert_exact(lake).await;
}

#[tokio::test]
async fn a_run_that_reads_a_transaction_twice_by_two_dates_far_apart_versions_it_once() {
    let (_folder, lake) = lake_with_a().await;
    let mut ledger = open_ledger(&lake);
    // By the date of its change, then much else, then by its own date: as it was read before.
    flush(&mut ledger, 2, &[sale("a", JANUARY, 2)]).await;
    flush(&mut ledger, 3, &others("b", 8, FEBRUARY)).await;
    flush(&mut ledger, 4, &[sale("a", JANUARY, 2)]).await;
    assert_versions(&lake, &["1 0.000001 2026-01", "2 0.000002 2026-01"]).await;
}

#[tokio::test]
async fn a_transaction_that_changes_again_far_later_in_a_run_gets_the_next_version() {
    let (_folder, lake) = lake_with_a().await;
    let mut ledger = open_ledger(&lake);
    flush(&mut ledger, 2, &[sale("a", JANUARY, 2)]).await;
    flush(&mut ledger, 3, &others("b", 8, FEBRUARY)).await;
    flush(&mut ledger, 4, &[sale("a", JANUARY, 3)]).await;
    assert_versions(&lake, &["1 0.000001 2026-01", "2 0.000002 2026-01", "3 0.000003 2026-01"]).await;
}

/// What a build from raw does with more than two million rows: one ledger, an empty table, three readings.
#[tokio::test]
async fn a_third_version_whose_first_is_long_forgotten_and_whose_second_is_not_gets_the_next_version() {
    let (_folder, lake) = new_lake().await;
    let mut ledger = open_ledger(&lake);
    flush(&mut ledger, 1, &[sale("a", JANUARY, 1)]).await;
    // More than are remembered of what the ledger itself wrote: the file of the first version is one like any other.
    flush(&mut ledger, 2, &others("b", 20, FEBRUARY)).await;
    flush(&mut ledger, 3, &[sale("a", JANUARY, 2)]).await;
    // Fewer than that, and enough for the index to begin anew.
    flush(&mut ledger, 4, &others("c", 8, MARCH)).await;
    flush(&mut ledger, 5, &[sale("a", JANUARY, 3)]).await;
    assert_versions(&lake, &["1 0.000001 2026-01", "2 0.000002 2026-01", "3 0.000003 2026-01"]).await;
}

#[tokio::test]
async fn two_open_ledgers_and_a_date_that_moves_to_another_month() {
    let (_folder, lake) = lake_with_a().await;
    let (mut one, mut two) = (open_ledger(&lake), open_ledger(&lake));
    flush(&mut one, 2, &[sale("a", FEBRUARY, 2)]).await;
    flush(&mut two, 3, &[sale("a", JANUARY, 3)]).await;
    flush(&mut one, 4, &[sale("a", FEBRUARY, 4)]).await;
    assert_versions(&lake, &["1 0.000001 2026-01", "2 0.000002 2026-01", "3 0.000003 2026-01", "4 0.000004 2026-01"])
        .await;
}

#[tokio::test]
async fn a_ledger_follows_a_replay_that_is_taken_back_beside_it() {
    let (_folder, lake) = new_lake().await;
    let mut ledger = open_ledger(&lake);
    flush(&mut ledger, 1, &[sale("a", JANUARY, 1)]).await;
    let mut replay = lake.replay(connector(), Some("replay"), None).await.unwrap();
    replay.begin(0).await.unwrap();
    let mapped_otherwise = mapped(&[sale("a", JANUARY, 9)]);
    replay.add(response("run", "r1", 1), &layout(&["id"]), mapped_otherwise).await.unwrap();
    replay.end().await.unwrap();
    replay.finish().await.unwrap().commit().await.unwrap();
    // The ledger takes note of the replay's version.
    flush(&mut ledger, 2, &[sale("b", JANUARY, 1)]).await;
    lake.roll_back_replay("awin-test", "replay", None).await.unwrap();
    flush(&mut ledger, 3, &[sale("a", JANUARY, 2)]).await;
    assert_versions(&lake, &["1 0.000001 2026-01", "2 0.000002 2026-01"]).await;
}

#[tokio::test]
async fn a_ledger_follows_a_rebuild_beside_it() {
    let (_folder, lake) = new_lake().await;
    let mut ledger = open_ledger(&lake);
    flush(&mut ledger, 1, &[sale("a", JANUARY, 1)]).await;
    flush(&mut ledger, 2, &[sale("a", JANUARY, 2)]).await;
    // Made anew by a connector that reads the same in both responses.
    let rebuild = lake.rebuild("1", &["awin-test".to_owned()], None).await.unwrap();
    let mut anew = open_ledger(rebuild.lake());
    for secs in [1, 2] {
        flush(&mut anew, secs, &[sale("a", FEBRUARY, 7)]).await;
    }
    anew.commit().await.unwrap();
    rebuild.put_in_place().await.unwrap();
    flush(&mut ledger, 3, &[sale("a", JANUARY, 3)]).await;
    assert_versions(&lake, &["1 0.000007 2026-02", "2 0.000003 2026-02"]).await;
}

#[tokio::test]
async fn the_latest_state_refuses_a_version_that_comes_twice_by_its_name() {
    let (_folder, lake) = lake_with_a().await;
    open_ledger(&lake).commit().await.unwrap();
    let mut ledger = open_ledger(&lake);
    flush(&mut ledger, 2, &[sale("a", JANUARY, 2)]).await;
    // What no writer of ours does: the file of the second version once more, under another name.
    let mut table = Table::open(&lake, "unified", "transaction_versions").await.unwrap();
    let mut again =
        table.adds().into_iter().find(|add| add.stats.as_deref().unwrap().contains("\"version\":2")).unwrap();
    let from = object_store::path::Path::parse(&again.path).unwrap();
    again.path = again.path.replace("part-", "part-again-");
    let to = object_store::path::Path::parse(&again.path).unwrap();
    assert_ne!(from, to);
    table.store().copy(&from, &to).await.unwrap();
    assert!(matches!(table.replace(Vec::new(), vec![again], &[], None).await.unwrap(), Commit::Done));
    let key = rows(&lake, "unified", "transaction_versions").await[0]["transaction_key"].clone();
    let error = ledger.commit().await.expect_err("the latest state took a version twice");
    assert!(error.to_string().contains(&key), "{error}");
    let latest = values(&lake, "unified", "transactions", &["transaction_id", "version"]).await;
    assert_eq!(latest, ["a 1"], "what it had absorbed stays");
}
