#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::State;
use crate::error::Error;

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn times(ttl: Duration) -> LeaseTimes {
    LeaseTimes { ttl, heartbeat: ttl / 4, max_wait: PATIENCE }
}

async fn open(folder: &tempfile::TempDir, times: LeaseTimes) -> State {
    let url = format!("sqlite:{}", folder.path().join("state.db").display());
    State::open(&url).await.unwrap().with_lease_times(times)
}

/// Makes the lease one of a process on another host, as far as the store knows.
async fn move_to_another_host(state: &State) {
    let sql = "UPDATE leases SET host = 'elsewhere', machine = 'another', process_id = 17";
    state.database.execute(sqlx::query(sql)).await.unwrap();
}

#[tokio::test]
async fn one_process_at_a_time_claims_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (open(&folder, LeaseTimes::default()).await, open(&folder, LeaseTimes::default()).await);
    let lease = here.try_claim("awin", &[]).await.unwrap().unwrap();
    assert_eq!(lease.network(), "awin");
    assert!(there.try_claim("awin", &[]).await.unwrap().is_none());
    let holder = there.holder("awin").await.unwrap().unwrap();
    assert_eq!(holder.process_id, i64::from(std::process::id()));
    assert!(holder.to_string().starts_with(&format!("process {} on {}", std::process::id(), holder.host)));
    let other = there.try_claim("cj", &[]).await.unwrap();
    assert!(other.is_some(), "another network is free");
    let lake = there.try_claim("", &[]).await.unwrap();
    assert!(lake.is_some(), "so is the lake as a whole, whose name is empty");
    lease.release().await;
    assert_eq!(there.holder("awin").await.unwrap(), None);
    assert!(there.try_claim("awin", &[]).await.unwrap().is_some());
}

#[tokio::test]
async fn each_lease_has_a_larger_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, LeaseTimes::default()).await;
    let mut last = Utc::now().timestamp_millis() - 1;
    let mut resources = BTreeSet::new();
    for _ in 0..5 {
        let lease = state.try_claim("awin", &[]).await.unwrap().unwrap();
        assert!(lease.epoch() > last, "{} after {last}", lease.epoch());
        last = lease.epoch();
        resources.insert(lease.resource().to_owned());
        lease.release().await;
    }
    assert_eq!(resources.len(), 1, "one store's fences are of one resource: {resources:?}");
    let other = tempfile::tempdir().unwrap();
    let lease = open(&other, LeaseTimes::default()).await.try_claim("awin", &[]).await.unwrap().unwrap();
    assert!(!resources.contains(lease.resource()), "another store's fences are of another");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_open_a_new_store_at_once_one_acquires_a_lease() {
    // Two connections that switch a new file to WAL at once are refused by SQLite without a wait: once in some hundred.
    for _ in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let states = futures::future::join_all((0..8).map(|_| open(&folder, LeaseTimes::default()))).await;
        let leases = futures::future::join_all(states.iter().map(|state| state.try_claim("awin", &[]))).await;
        assert_eq!(leases.into_iter().filter(|lease| lease.as_ref().unwrap().is_some()).count(), 1);
    }
}

#[tokio::test]
async fn a_heartbeat_keeps_a_lease_beyond_its_ttl() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) =
        (open(&folder, times(Duration::from_secs(3))).await, open(&folder, LeaseTimes::default()).await);
    let lease = here.try_claim("awin", &[]).await.unwrap().unwrap();
    let first = there.holder("awin").await.unwrap().unwrap();
    let renewed = async {
        // Longer than its TTL.
        while there.holder("awin").await.unwrap().unwrap().expires_at - first.expires_at < chrono::TimeDelta::seconds(4)
        {
            assert!(there.try_claim("awin", &[]).await.unwrap().is_none());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    lease.release().await;
}

#[tokio::test]
async fn a_lease_without_a_heartbeat_is_acquired_by_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (open(&folder, times(Duration::from_millis(300))).await, open(&folder, times(PATIENCE)).await);
    let lease = here.try_claim("awin", &[]).await.unwrap().unwrap();
    lease.stop_heartbeat();
    let next = there.claim("awin", &[]).await.unwrap();
    assert!(next.epoch() > lease.epoch());
    let work = std::future::pending::<Result<(), Error>>();
    let failure = tokio::time::timeout(PATIENCE, lease.guard(work)).await.unwrap().unwrap_err();
    assert!(failure.to_string().contains("lease of network `awin` was lost"), "{failure:?}");
    lease.release().await;
    assert!(there.holder("awin").await.unwrap().is_some(), "who has lost a lease doesn't release the next one");
}

#[tokio::test]
async fn who_waits_too_long_is_told_who_holds_it_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, LeaseTimes { max_wait: Duration::ZERO, ..LeaseTimes::default() }).await;
    let _lease = state.claim("awin", &[]).await.unwrap();
    move_to_another_host(&state).await;
    let failure = state.claim("awin", &[]).await.err().unwrap();
    assert!(!failure.is_settings());
    let text = failure.to_string();
    assert!(text.contains("network `awin` is in use by process 17 on elsewhere since 20"), "{text}");
    assert!(failure.hint().unwrap().contains("lease_wait_secs"), "{failure:?}");
}

#[tokio::test]
async fn a_lease_that_is_taken_over_ends_the_work_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, LeaseTimes { heartbeat: Duration::from_millis(20), ..times(PATIENCE) }).await;
    let lease = state.claim("awin", &[]).await.unwrap();
    let sql = "UPDATE leases SET holder = 'other', host = 'elsewhere', machine = '', process_id = 17";
    state.database.execute(sqlx::query(sql)).await.unwrap();
    let work = std::future::pending::<Result<(), Error>>();
    let failure = tokio::time::timeout(PATIENCE, lease.guard(work)).await.unwrap().unwrap_err();
    assert!(!failure.is_settings());
    assert!(failure.to_string().contains("process 17 on elsewhere"), "{failure:?}");
}

#[tokio::test]
async fn a_lease_that_can_not_be_renewed_is_lost_after_its_ttl() {
    let folder = tempfile::tempdir().unwrap();
    let ttl = Duration::from_secs(3);
    let state = open(&folder, LeaseTimes { heartbeat: Duration::from_millis(20), ..times(ttl) }).await;
    let lease = state.claim("awin", &[]).await.unwrap();
    state.database.close().await;
    let work = std::future::pending::<Result<(), Error>>();
    let failure = tokio::time::timeout(PATIENCE, lease.guard(work)).await.unwrap().unwrap_err();
    assert!(failure.is_settings(), "the state store is at fault: {failure:?}");
    assert!(failure.to_string().contains("couldn't be renewed"), "{failure:?}");
}

#[tokio::test]
async fn work_under_a_lease_ends_as_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, LeaseTimes::default()).await;
    let lease = state.claim("awin", &[]).await.unwrap();
    assert_eq!(lease.guard(async { Ok::<_, Error>(7) }).await.unwrap(), 7);
    drop(lease);
    let released = async {
        while state.holder("awin").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, released).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_lease_of_a_process_that_has_ended_is_taken_over_at_once_on_its_machine() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, times(PATIENCE)).await;
    let lease = state.claim("awin", &[]).await.unwrap();
    lease.stop_heartbeat();
    assert!(state.try_claim("awin", &[]).await.unwrap().is_none(), "this process is there");
    // No process has this number.
    let ended = "UPDATE leases SET process_id = 4194305";
    state.database.execute(sqlx::query(ended)).await.unwrap();
    let next = state.try_claim("awin", &[]).await.unwrap().unwrap();
    assert!(next.epoch() > lease.epoch());
    state.database.execute(sqlx::query(ended)).await.unwrap();
    move_to_another_host(&state).await;
    assert!(state.try_claim("awin", &[]).await.unwrap().is_none(), "on another machine it may be there");
}

fn ids(accounts: &[&str]) -> Vec<String> {
    accounts.iter().map(|account| (*account).to_owned()).collect()
}

#[tokio::test]
async fn processes_share_a_network_by_its_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (open(&folder, LeaseTimes::default()).await, open(&folder, LeaseTimes::default()).await);
    let some = here.try_claim("awin", &ids(&["uk", "de"])).await.unwrap().unwrap();
    assert!(there.try_claim("awin", &ids(&["de", "fr"])).await.unwrap().is_none(), "one of them is claimed");
    let others = there.try_claim("awin", &ids(&["fr", "nl"])).await.unwrap().unwrap();
    assert_ne!(some.resource(), others.resource(), "each process has a lease of its own");
    assert!(here.try_claim("awin", &[]).await.unwrap().is_none(), "the whole network isn't free");
    some.release().await;
    assert!(here.try_claim("awin", &[]).await.unwrap().is_none());
    others.release().await;
    let whole = here.try_claim("awin", &[]).await.unwrap().unwrap();
    assert!(there.try_claim("awin", &ids(&["nl"])).await.unwrap().is_none(), "who has the network has its accounts");
    assert!(here.try_claim("awin", &ids(&["nl"])).await.unwrap().is_none(), "not even the same process has it twice");
    drop(whole);
}

#[tokio::test]
async fn a_clock_that_goes_forward_takes_no_lease_from_a_process_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (state, other) = (open(&folder, times(PATIENCE)).await, open(&folder, times(PATIENCE)).await);
    let uk = state.claim("awin", &ids(&["uk"])).await.unwrap();
    // By the store's clock the lease has expired, and its next renewal is some time off.
    state.database.execute(sqlx::query("UPDATE leases SET expires_at = 1")).await.unwrap();
    assert_eq!(state.claimed().await.unwrap(), [("awin".to_owned(), ids(&["uk"]))], "its run isn't free");
    assert!(state.try_claim("awin", &ids(&["uk"])).await.unwrap().is_none(), "not even the same process has it twice");
    let de = state.try_claim("awin", &ids(&["de"])).await.unwrap().unwrap();
    assert_eq!(uk.epoch(), de.epoch(), "it is the same lease");
    assert!(other.try_claim("awin", &ids(&["uk"])).await.unwrap().is_none(), "and it is valid again");
    de.release().await;
    uk.release().await;
}

#[tokio::test]
async fn of_many_one_claims_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let states = futures::future::join_all((0..6).map(|_| open(&folder, LeaseTimes::default()))).await;
    let uk = ids(&["uk"]);
    let claims = futures::future::join_all(states.iter().map(|state| state.try_claim("awin", &uk))).await;
    assert_eq!(claims.into_iter().filter(|claim| claim.as_ref().unwrap().is_some()).count(), 1);
}

#[tokio::test]
async fn who_takes_over_names_the_epoch_below_which_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, times(PATIENCE)).await;
    let hung = state.claim("awin", &ids(&["uk", "de"])).await.unwrap();
    hung.stop_heartbeat();
    state.database.execute(sqlx::query("UPDATE leases SET expires_at = 1")).await.unwrap();
    let there = open(&folder, times(PATIENCE)).await;
    // A process that comes gets the lease that expired, and another one a new lease.
    let heir = there.claim("awin", &ids(&["uk"])).await.unwrap();
    assert!(heir.resource() == hung.resource() && heir.epoch() > hung.epoch());
    let third = open(&folder, times(PATIENCE)).await.claim("awin", &ids(&["de"])).await.unwrap();
    assert_ne!(third.resource(), hung.resource());
    let below = third.lapsed().get(hung.resource()).copied().unwrap();
    assert!(hung.epoch() < below && below <= heir.epoch(), "its commits stop those of the hung one, and no others");
    heir.release().await;
    third.release().await;
    let next = there.claim("awin", &[]).await.unwrap();
    assert!(next.lapsed().is_empty(), "what was released needs no fence, and its own lease has one");
}

#[tokio::test]
async fn a_claim_that_could_not_be_deleted_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, LeaseTimes::default()).await;
    let other = state.claim("awin", &ids(&["de"])).await.unwrap();
    let ended = state.claim("awin", &ids(&["uk"])).await.unwrap();
    let copy = "CREATE TABLE copies AS SELECT * FROM claims";
    state.database.execute(sqlx::query(copy)).await.unwrap();
    ended.release().await;
    // As if it were still there: the lease goes on, for the other account.
    let restore = "INSERT INTO claims SELECT * FROM copies WHERE accounts LIKE '%uk%'";
    state.database.execute(sqlx::query(restore)).await.unwrap();
    assert_eq!(state.claimed().await.unwrap(), [("awin".to_owned(), ids(&["de"]))]);
    assert!(state.try_claim("awin", &ids(&["uk"])).await.unwrap().is_some());
    assert!(state.try_claim("awin", &ids(&["de"])).await.unwrap().is_none());
    other.release().await;
}

#[tokio::test]
async fn a_lease_ends_with_its_last_claim() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, LeaseTimes::default()).await;
    let held = async || {
        let query = sqlx::query("SELECT count(*) FROM leases WHERE holder <> ''");
        state.database.fetch_one(query).await.unwrap().try_get::<i64, _>(0).unwrap()
    };
    let first = state.claim("awin", &ids(&["uk"])).await.unwrap();
    let second = state.claim("awin", &ids(&["de"])).await.unwrap();
    assert_eq!((first.epoch(), held().await), (second.epoch(), 1), "one lease for all claims");
    first.release().await;
    assert_eq!(held().await, 1);
    second.release().await;
    assert_eq!(held().await, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_run_without_a_living_process_is_to_be_taken() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder, times(PATIENCE)).await;
    let run = "INSERT INTO runs (run_id, network, verb, selection, slices, connector, started_at, starts, kept)
               VALUES ($1, $2, '', $3, '', '', '', 1, 0)";
    let uk = r#"{"accounts": ["uk"]}"#;
    for (id, network, selection) in [("1", "awin", uk), ("2", "awin", "{}"), ("3", "cj", "{}")] {
        state.database.execute(sqlx::query(run).bind(id).bind(network).bind(selection)).await.unwrap();
    }
    let free = async || state.free_runs().await.unwrap().into_iter().map(|run| run.run_id).collect::<Vec<_>>();
    assert_eq!(free().await, ["1", "2", "3"]);
    let claim = state.claim("awin", &ids(&["de"])).await.unwrap();
    assert_eq!(free().await, ["1", "3"], "a run of the whole network has to wait");
    claim.release().await;
    let claim = state.claim("awin", &ids(&["uk"])).await.unwrap();
    assert_eq!(free().await, ["3"], "its process is there");
    claim.stop_heartbeat();
    state.database.execute(sqlx::query("UPDATE leases SET process_id = 4194305")).await.unwrap();
    assert_eq!(free().await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_process_that_ends_gives_back_what_was_only_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (state, other) = (open(&folder, times(PATIENCE)).await, open(&folder, times(PATIENCE)).await);
    let rows = async |query: &'static str| {
        state.database.fetch_one(sqlx::query(query)).await.unwrap().try_get::<i64, _>(0).unwrap()
    };
    let theirs = other.claim("cj", &[]).await.unwrap();
    let held = state.claim("awin", &ids(&["uk"])).await.unwrap();
    drop(state.claim("awin", &ids(&["de"])).await.unwrap());
    // Not even the tasks of what was dropped have run when this returns.
    state.release_own().await.unwrap();
    assert_eq!(rows("SELECT count(*) FROM claims WHERE network = 'awin'").await, 0);
    assert_eq!(rows("SELECT count(*) FROM leases WHERE holder <> ''").await, 1, "another process keeps its own");
    assert!(other.try_claim("awin", &[]).await.unwrap().is_some());
    drop((held, theirs));
}
