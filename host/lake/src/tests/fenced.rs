//! Replays and rollbacks under leases: who continues after its lease has lapsed writes nothing more.

use super::hosts::fence;
use super::latest::assert_latest;
use super::replay::{candidate, go_through_mapped};
use super::*;
use crate::{Error, Fence, Replayed, Resolution};

/// The lease of a process that is stopped.
fn late() -> Option<Fence> {
    fence("process/1", 4, &[])
}

/// Leases of processes that took over from it: another one, and the same one after it had expired.
fn heirs() -> [Option<Fence>; 2] {
    [fence("process/2", 9, &[("process/1", 5)]), fence("process/1", 5, &[])]
}

async fn read_lake() -> (tempfile::TempDir, Lake) {
    let (folder, lake) = new_lake().await;
    let mut ledger = lake.ledger();
    let sales = mapped(&[sale("1", 0, 1)]);
    ledger.add(response("run", "r1", 1), &layout(&["id"]), &connector(), sales).await.unwrap();
    ledger.commit().await.unwrap();
    (folder, lake)
}

/// A replay that gives the sale another commission, ready to be committed.
async fn staged(lake: &Lake, run: &str, commission: i64, fence: Option<Fence>) -> Replayed {
    let replay = lake.replay(candidate(), Some(run), fence).await.unwrap();
    go_through_mapped(replay, "r1", 1, &mapped(&[sale("1", 0, commission)])).await
}

/// The commissions that the tables have, of records and of versions.
async fn commissions(lake: &Lake) -> [Vec<String>; 2] {
    assert_eq!(assert_latest(lake).await, 1);
    let records = values(lake, "awin_test", "transactions", &["commission"]).await;
    let versions = values(lake, "unified", "transaction_versions", &["version", "commission_amount"]).await;
    [records, versions]
}

fn is_fenced<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Fenced { .. }))
}

fn is_overtaken<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Overtaken { .. }))
}

#[tokio::test]
async fn a_replay_of_which_a_rollback_found_nothing_is_not_committed_later() {
    for heir in heirs() {
        let (_folder, lake) = read_lake().await;
        let before = commissions(&lake).await;
        let mut stopped = staged(&lake, "replay", 9, late()).await;
        let nothing = lake.roll_back_replay("awin-test", "replay", heir.as_ref()).await;
        assert!(matches!(nothing, Err(Error::NoReplay { .. })), "{nothing:?}");
        let refused = stopped.commit().await;
        assert!(is_fenced(&refused), "{heir:?}: {refused:?}");
        assert_eq!(commissions(&lake).await, before, "{heir:?}");
        // The next one of the lease is welcome.
        staged(&lake, "replay", 9, heir).await.commit().await.unwrap();
        assert_ne!(commissions(&lake).await, before);
    }
}

#[tokio::test]
async fn a_rollback_whose_lease_was_taken_over_takes_nothing_back() {
    for heir in heirs() {
        let (_folder, lake) = read_lake().await;
        staged(&lake, "replay", 9, heir).await.commit().await.unwrap();
        let before = commissions(&lake).await;
        let refused = lake.roll_back_replay("awin-test", "replay", late().as_ref()).await;
        assert!(is_fenced(&refused), "{refused:?}");
        assert_eq!(commissions(&lake).await, before);
    }
}

#[tokio::test]
async fn a_replay_of_versions_that_were_taken_back_meanwhile_is_made_again() {
    let (_folder, lake) = read_lake().await;
    let before = commissions(&lake).await;
    staged(&lake, "first", 9, None).await.commit().await.unwrap();
    let mut second = staged(&lake, "second", 12, None).await;
    lake.roll_back_replay("awin-test", "first", None).await.unwrap();
    let overtaken = second.commit().await;
    assert!(is_overtaken(&overtaken), "{overtaken:?}");
    assert_eq!(commissions(&lake).await, before);
    staged(&lake, "second", 12, None).await.commit().await.unwrap();
    assert_eq!(values(&lake, "unified", "transaction_versions", &["version"]).await, ["1", "2"]);
}

#[tokio::test]
async fn outcomes_of_rejects_that_were_tried_under_a_lost_lease_are_refused() {
    for heir in heirs() {
        let (_folder, lake) = new_lake().await;
        let resolve = async |key: u128, fence: Option<Fence>| {
            lake.resolve_rejects("awin-test", &[(key, Resolution::Mapped)], "retry", moment(1), fence).await
        };
        resolve(1, heir).await.unwrap();
        let refused = resolve(2, late()).await;
        assert!(is_fenced(&refused), "{refused:?}");
        assert_eq!(lake.resolved_rejects().await.unwrap().into_keys().collect::<Vec<_>>(), [1]);
    }
}

/// A rebuild whose tables have the sale with another commission, ready to be put in place.
async fn rebuilt(lake: &Lake, id: &str, fence: Option<Fence>) -> crate::Rebuild {
    let rebuild = lake.rebuild(id, &["awin-test".to_owned()], fence).await.unwrap();
    let mut ledger = rebuild.lake().ledger();
    let sales = mapped(&[sale("1", 0, 7)]);
    ledger.add(response("run", "r1", 1), &layout(&["id"]), &connector(), sales).await.unwrap();
    ledger.commit().await.unwrap();
    rebuild
}

#[tokio::test]
async fn a_rebuild_beside_which_one_table_was_written_replaces_none() {
    for (own, heir) in [late(), None].into_iter().zip(heirs()) {
        let (_folder, lake) = read_lake().await;
        let before = commissions(&lake).await;
        let rebuild = rebuilt(&lake, "1", own.clone()).await;
        // It is the last one that would be replaced.
        let mut versions = Table::open(&lake, "unified", "transaction_versions").await.unwrap();
        versions.shut_out(heir.as_ref().unwrap()).await.unwrap();
        let refused = rebuild.put_in_place().await;
        let is_refused = if own.is_some() { is_fenced(&refused) } else { is_overtaken(&refused) };
        assert!(is_refused, "{refused:?}");
        assert_eq!(commissions(&lake).await, before);
        assert!(!lake.is_half_rebuilt().await.unwrap());
    }
}

#[tokio::test]
async fn a_rebuild_that_continues_beside_that_of_its_heir_replaces_nothing() {
    for heir in heirs() {
        let (_folder, lake) = read_lake().await;
        let before = commissions(&lake).await;
        let stopped = rebuilt(&lake, "1", late()).await;
        let rebuild = rebuilt(&lake, "2", heir).await;
        let refused = stopped.put_in_place().await;
        assert!(is_fenced(&refused), "{refused:?}");
        assert_eq!(commissions(&lake).await, before);
        rebuild.put_in_place().await.unwrap();
        assert_eq!(commissions(&lake).await, [["7"], ["1 0.000007"]]);
    }
}

/// Another host deleted them once it had put them in place: nothing must take the place of everything.
#[tokio::test]
async fn a_rebuild_whose_new_tables_were_deleted_replaces_nothing() {
    let (_folder, lake) = read_lake().await;
    let before = commissions(&lake).await;
    let rebuild = rebuilt(&lake, "1", None).await;
    lake.remove_new_tables().await.unwrap();
    let refused = rebuild.put_in_place().await;
    assert!(is_overtaken(&refused), "{refused:?}");
    assert_eq!(commissions(&lake).await, before);
    assert!(!lake.is_half_rebuilt().await.unwrap());
}
