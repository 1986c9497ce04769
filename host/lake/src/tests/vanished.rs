mod judged;

use sluice_model::{Reject, Window};

use super::faulty::{Fault, faulty_lake};
use super::latest::assert_latest;
use super::*;

/// A slice's only answer.
struct Answer {
    secs: i64,
    window: &'static str,
    axis: Axis,
    account: &'static str,
    sales: Vec<Sale>,
    time_basis: &'static str,
    rejects: Vec<Reject>,
}

const JANUARY: &str = "2026-01-01T00:00:00Z/2026-02-01T00:00:00Z";

fn answer(secs: i64, sales: &[Sale]) -> Answer {
    Answer {
        secs,
        window: JANUARY,
        axis: Axis::Transaction,
        account: "uk",
        sales: sales.to_vec(),
        time_basis: "instant",
        rejects: Vec::new(),
    }
}

async fn add(ledger: &mut crate::Ledger, run: &str, answer: &Answer) -> Slice {
    let mut origin = (*response(run, &format!("r{}", answer.secs), answer.secs)).clone();
    origin.slice.window = answer.window.parse::<Window>().unwrap();
    origin.slice.axis = answer.axis;
    origin.slice.account = answer.account.to_owned();
    let slice = origin.slice.clone();
    let mut mapped = Mapped { rejects: answer.rejects.clone(), ..mapped(&answer.sales) };
    let bases = Arc::new(StringArray::from(vec![answer.time_basis; answer.sales.len()]));
    mapped.transactions = mapped.transactions.map(|rows| with_column(&rows, "time_basis", bases));
    ledger.add(Arc::new(origin), &layout(&["id"]), &connector(), mapped).await.unwrap();
    slice
}

/// How much later than the first read without a transaction another one must be.
const CONFIRM_AFTER: TimeDelta = TimeDelta::seconds(5);

/// A run that reads some slices whole.
async fn run(lake: &Lake, answers: &[Answer]) {
    run_as(lake, &format!("run-{}", answers[0].secs), answers, CONFIRM_AFTER).await;
    assert_latest(lake).await;
}

async fn run_as(lake: &Lake, run: &str, answers: &[Answer], confirm_after: TimeDelta) {
    read_by(&mut lake.ledger(), run, answers, confirm_after).await.unwrap();
}

async fn read_by(
    ledger: &mut crate::Ledger,
    run: &str,
    answers: &[Answer],
    confirm_after: TimeDelta,
) -> Result<crate::Counts, crate::Error> {
    for answer in answers {
        let slice = add(ledger, run, answer).await;
        ledger.window_read(&slice, moment(answer.secs + 1), confirm_after);
    }
    ledger.commit().await
}

/// What was missing once: when first, and in which run.
async fn absent(lake: &Lake) -> Vec<String> {
    let columns = ["network", "account", "stream", "first_absent_at", "run_id"];
    let rows = values(lake, "meta", "absent", &columns).await;
    rows.iter().map(|row| row.replace("awin-test uk transactions 2026-01-01T", "")).collect()
}

/// Id, version and cause of all versions that aren't first ones.
async fn changes(lake: &Lake) -> Vec<String> {
    let mut all = values(lake, "unified", "transaction_versions", &["transaction_id", "version", "change"]).await;
    all.retain(|row| !row.ends_with("first-seen"));
    all
}

fn days(days: impl IntoIterator<Item = i64>) -> Vec<Sale> {
    days.into_iter().map(|day| sale(&format!("{day:02}"), day, 5_000_000)).collect()
}

#[tokio::test]
async fn what_two_whole_windows_no_longer_hold_vanishes_and_may_reappear() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[answer(20, &days([3]))]).await;
    assert!(changes(&lake).await.is_empty(), "one read is none");
    assert_eq!(absent(&lake).await, ["00:00:21Z run-20"]);
    run(&lake, &[answer(30, &days([3]))]).await;
    let columns = ["transaction_id", "change", "commission_amount", "commission_effective", "observed_at", "run_id"];
    let latest = values(&lake, "unified", "transactions", &columns).await;
    let expected = [
        "03 first-seen 5.000000 5.000000 2026-01-01T00:00:10Z run-10",
        "04 vanished 5.000000 0.000000 2026-01-01T00:00:31Z run-30",
    ];
    assert_eq!(latest, expected);
    let row = rows(&lake, "unified", "transactions").await.into_iter().find(|row| row["change"] == "vanished").unwrap();
    assert_eq!((row["request_id"].as_str(), row["content_hash"].as_str()), ("r10", "0".repeat(32).as_str()));
    assert!(absent(&lake).await.is_empty(), "what has vanished isn't absent");
    run(&lake, &[answer(40, &days([3]))]).await;
    run(&lake, &[answer(50, &days([3, 4]))]).await;
    run(&lake, &[answer(60, &days([3, 4]))]).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished", "04 3 reappeared"]);
    assert!(absent(&lake).await.is_empty());
    // Built again from raw, in one go and without windows, nothing is new.
    let mut ledger = lake.ledger();
    for (secs, days) in [(10, days([3, 4])), (20, days([3])), (30, days([3])), (50, days([3, 4]))] {
        add(&mut ledger, &format!("run-{secs}"), &answer(secs, &days)).await;
    }
    assert_eq!(ledger.commit().await.unwrap().new_versions, 0);
}

#[tokio::test]
async fn what_was_seen_between_two_reads_without_it_is_there() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[answer(20, &days([3]))]).await;
    // Unchanged, on another axis, and in a window that isn't whole: no version tells of it.
    let mut ledger = lake.ledger();
    add(&mut ledger, "run-30", &Answer { axis: Axis::Modified, ..answer(30, &days([4])) }).await;
    ledger.commit().await.unwrap();
    assert!(absent(&lake).await.is_empty());
    run(&lake, &[answer(40, &days([3]))]).await;
    assert!(changes(&lake).await.is_empty());
    assert_eq!(absent(&lake).await, ["00:00:41Z run-40"]);
    // An old response that is built again says nothing of now.
    let mut ledger = lake.ledger();
    add(&mut ledger, "run-10", &answer(11, &days([3, 4]))).await;
    ledger.commit().await.unwrap();
    assert_eq!(absent(&lake).await, ["00:00:41Z run-40"]);
    run(&lake, &[answer(50, &days([3]))]).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished"]);
}

#[tokio::test]
async fn two_reads_within_an_hour_are_one() {
    let (_folder, lake) = new_lake().await;
    let hour = TimeDelta::hours(1);
    run_as(&lake, "run-1", &[answer(10, &days([3, 4]))], hour).await;
    for (secs, id) in [(100, "run-2"), (1_900, "run-3"), (3_699, "run-4")] {
        run_as(&lake, id, &[answer(secs, &days([3]))], hour).await;
        assert!(changes(&lake).await.is_empty(), "after {secs} s");
        assert_eq!(absent(&lake).await, ["00:01:41Z run-2"], "the first one counts");
    }
    run_as(&lake, "run-5", &[answer(3_700, &days([3]))], hour).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished"]);
    // Without a wait, the second read decides whenever it comes.
    run_as(&lake, "run-6", &[answer(3_800, &days([5, 6]))], hour).await;
    run_as(&lake, "run-7", &[answer(3_810, &days([5]))], TimeDelta::zero()).await;
    assert_eq!(changes(&lake).await, ["03 2 vanished", "04 2 vanished"]);
    run_as(&lake, "run-8", &[answer(3_820, &days([5]))], TimeDelta::zero()).await;
    assert_eq!(changes(&lake).await, ["03 2 vanished", "04 2 vanished", "06 2 vanished"]);
}

#[tokio::test]
async fn a_run_that_is_resumed_is_no_second_read() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    for _ in 0..2 {
        run_as(&lake, "run-20", &[answer(20, &days([3]))], TimeDelta::zero()).await;
    }
    // Nor is a second window of one run.
    run_as(&lake, "run-20", &[answer(9_000, &days([3]))], TimeDelta::zero()).await;
    assert!(changes(&lake).await.is_empty());
    assert_eq!(absent(&lake).await, ["00:00:21Z run-20"]);
}

#[tokio::test]
async fn two_processes_take_each_others_reads_for_the_first() {
    let (folder, lake) = new_lake().await;
    let other = Lake::open_writable(folder.path().join("lake").to_str().unwrap()).await.unwrap();
    run(&lake, &[answer(10, &days([3, 4, 5]))]).await;
    // Both at once, each with an absence of its own.
    let (mut one, mut two) = (lake.ledger(), other.ledger());
    let account = Answer { account: "de", ..answer(11, &days([6, 7])) };
    run(&lake, &[account]).await;
    let elsewhere = [Answer { account: "de", ..answer(21, &days([6])) }];
    let here = [answer(20, &days([3, 4]))];
    let (first, second) = tokio::join!(
        read_by(&mut one, "run-20", &here, CONFIRM_AFTER),
        read_by(&mut two, "run-21", &elsewhere, CONFIRM_AFTER)
    );
    first.and(second).unwrap();
    assert_eq!(absent(&lake).await, ["awin-test de transactions 2026-01-01T00:00:22Z run-21", "00:00:21Z run-20"]);
    // The other one's ledger confirms what this one found, and sees what is there again.
    read_by(&mut two, "run-30", &[answer(30, &days([3]))], CONFIRM_AFTER).await.unwrap();
    assert_eq!(changes(&lake).await, ["05 2 vanished"]);
    read_by(&mut one, "run-40", &[answer(40, &days([3, 4]))], CONFIRM_AFTER).await.unwrap();
    read_by(&mut two, "run-50", &[answer(50, &days([3]))], CONFIRM_AFTER).await.unwrap();
    assert_eq!(changes(&lake).await, ["05 2 vanished"], "it was seen between");
    assert_latest(&lake).await;
}

#[tokio::test]
async fn what_vanished_before_a_crash_vanishes_once_and_is_absent_no_more() {
    let (_folder, lake, faults) = faulty_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[answer(20, &days([3]))]).await;
    *faults.lock().unwrap() = Some(Fault::Refused("meta/absent"));
    let mut ledger = lake.ledger();
    let died = read_by(&mut ledger, "run-30", &[answer(30, &days([3, 5]))], CONFIRM_AFTER).await;
    assert!(died.is_err(), "the process dies between the versions and what is absent");
    assert_eq!(changes(&lake).await, ["04 2 vanished"]);
    assert_eq!(absent(&lake).await, ["00:00:21Z run-20"]);
    *faults.lock().unwrap() = None;
    run(&lake, &[answer(30, &days([3, 5]))]).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished"]);
    assert!(absent(&lake).await.is_empty());
    // What was left of the first absence counts for nothing once the transaction was there again.
    run(&lake, &[answer(40, &days([3, 4, 5]))]).await;
    run(&lake, &[answer(50, &days([3, 5]))]).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished", "04 3 reappeared"]);
}

#[tokio::test]
async fn an_absence_before_the_latest_version_counts_for_nothing() {
    let (_folder, lake, faults) = faulty_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[answer(20, &days([3]))]).await;
    // A run that sees it changed dies before it says so, and is given up.
    *faults.lock().unwrap() = Some(Fault::Refused("meta/absent"));
    let changed = [sale("03", 3, 5_000_000), sale("04", 4, 1)];
    assert!(read_by(&mut lake.ledger(), "run-30", &[answer(30, &changed)], CONFIRM_AFTER).await.is_err());
    *faults.lock().unwrap() = None;
    run(&lake, &[answer(40, &days([3]))]).await;
    assert_eq!(changes(&lake).await, ["04 2 network-change"]);
    assert_eq!(absent(&lake).await, ["00:00:41Z run-40"]);
}

/// All that happens in these runs is in raw: built again from it, the tables are the same.
#[tokio::test]
async fn a_rebuild_comes_to_what_the_runs_came_to() {
    let (_folder, lake) = new_lake().await;
    let runs = [(10, days([3, 4, 5, 6])), (20, days([3, 4])), (30, days([3, 5])), (40, days([3, 4])), (50, days([3]))];
    for (secs, days) in &runs {
        run(&lake, &[answer(*secs, days)]).await;
    }
    let (live, missing) = (changes(&lake).await, absent(&lake).await);
    assert_eq!(live, ["05 2 vanished", "06 2 vanished"]);
    assert_eq!(missing, ["00:00:51Z run-50"]);
    let rebuild = lake.rebuild("1", &["awin-test".to_owned()], None).await.unwrap();
    let mut ledger = rebuild.lake().ledger();
    for (secs, days) in &runs {
        read_by(&mut ledger, &format!("run-{secs}"), &[answer(*secs, days)], CONFIRM_AFTER).await.unwrap();
    }
    rebuild.put_in_place().await.unwrap();
    assert_eq!((changes(&lake).await, absent(&lake).await), (live, missing));
    run(&lake, &[answer(60, &days([3]))]).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished", "05 2 vanished", "06 2 vanished"]);
}
