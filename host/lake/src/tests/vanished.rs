use sluice_model::{Reject, Window};

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

/// A run that reads some slices whole.
async fn run(lake: &Lake, answers: &[Answer]) {
    let run = format!("run-{}", answers[0].secs);
    let mut ledger = lake.ledger();
    for answer in answers {
        let slice = add(&mut ledger, &run, answer).await;
        ledger.window_read(&slice, moment(answer.secs + 1));
    }
    ledger.commit().await.unwrap();
    assert_latest(lake).await;
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
async fn what_a_whole_window_no_longer_holds_vanishes_and_may_reappear() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[answer(20, &days([3]))]).await;
    let columns = ["transaction_id", "change", "commission_amount", "commission_effective", "observed_at", "run_id"];
    let latest = values(&lake, "unified", "transactions", &columns).await;
    let expected = [
        "03 first-seen 5.000000 5.000000 2026-01-01T00:00:10Z run-10",
        "04 vanished 5.000000 0.000000 2026-01-01T00:00:21Z run-20",
    ];
    assert_eq!(latest, expected);
    let row = rows(&lake, "unified", "transactions").await.into_iter().find(|row| row["change"] == "vanished").unwrap();
    assert_eq!((row["request_id"].as_str(), row["content_hash"].as_str()), ("r10", "0".repeat(32).as_str()));
    run(&lake, &[answer(30, &days([3]))]).await;
    run(&lake, &[answer(40, &days([3, 4]))]).await;
    run(&lake, &[answer(50, &days([3, 4]))]).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished", "04 3 reappeared"]);
    // Built again from raw, in one go and without windows, nothing is new.
    let mut ledger = lake.ledger();
    for (secs, days) in [(10, days([3, 4])), (20, days([3])), (40, days([3, 4]))] {
        add(&mut ledger, &format!("run-{secs}"), &answer(secs, &days)).await;
    }
    assert_eq!(ledger.commit().await.unwrap().new_versions, 0);
}

#[tokio::test]
async fn other_axes_and_rejects_let_nothing_vanish() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[Answer { axis: Axis::Modified, ..answer(20, &days([3])) }]).await;
    run(&lake, &[Answer { rejects: vec![reject(1, "no id")], ..answer(30, &days([3])) }]).await;
    assert!(changes(&lake).await.is_empty());
    // What another axis showed in the same run is there.
    let modified = Answer { axis: Axis::Modified, ..answer(41, &days([4])) };
    run(&lake, &[answer(40, &days([3])), modified]).await;
    assert!(changes(&lake).await.is_empty());
}

#[tokio::test]
async fn an_empty_answer_and_one_with_half_of_many_are_doubted() {
    let (_folder, lake) = new_lake().await;
    let many: Vec<Sale> = (0..60).map(|n| sale(&format!("{n:02}"), 3, 1)).collect();
    run(&lake, &[answer(10, &many)]).await;
    run(&lake, &[answer(20, &[])]).await;
    run(&lake, &[answer(30, &many[..30])]).await;
    assert!(changes(&lake).await.is_empty());
    run(&lake, &[answer(40, &many[..40])]).await;
    assert_eq!(changes(&lake).await.len(), 20);
}

#[tokio::test]
async fn only_the_window_of_the_account_is_judged_and_not_its_ends() {
    let (_folder, lake) = new_lake().await;
    // The first is at the window's beginning, the last after its end.
    run(&lake, &[answer(10, &days([0, 3, 5, 40])), Answer { account: "de", ..answer(11, &days([4, 5])) }]).await;
    run(&lake, &[answer(20, &days([3]))]).await;
    assert_eq!(changes(&lake).await, ["05 2 vanished"]);
}

#[tokio::test]
async fn times_that_are_not_exact_need_a_wider_window() {
    let (_folder, lake) = new_lake().await;
    let read = |secs, days: Vec<Sale>| Answer { time_basis: "date", ..answer(secs, &days) };
    run(&lake, &[read(10, days([0, 1, 10, 29, 30]))]).await;
    run(&lake, &[read(20, days([10]))]).await;
    assert_eq!(changes(&lake).await, ["01 2 vanished", "29 2 vanished"]);
    // The same in pieces: between them, nothing is close to an end.
    let (_folder, lake) = new_lake().await;
    run(&lake, &[read(10, days([0, 1, 14, 15, 28, 29, 30]))]).await;
    let piece = |secs, window, days| Answer { window, ..read(secs, days) };
    let first = "2026-01-01T00:00:00Z/2026-01-16T00:00:00Z";
    let second = "2026-01-16T00:00:00Z/2026-02-01T00:00:00Z";
    run(&lake, &[piece(20, first, days([1])), piece(21, second, days([29]))]).await;
    assert_eq!(changes(&lake).await, ["14 2 vanished", "15 2 vanished", "28 2 vanished"]);
}

#[tokio::test]
async fn a_half_that_failed_is_not_judged_and_a_transaction_may_be_in_the_other() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4, 20, 21]))]).await;
    let first = "2026-01-01T00:00:00Z/2026-01-16T00:00:00Z";
    let second = "2026-01-16T00:00:00Z/2026-02-01T00:00:00Z";
    let mut ledger = lake.ledger();
    let slice = add(&mut ledger, "run-20", &Answer { window: first, ..answer(20, &days([3])) }).await;
    // 4 moved to the second half, of which the rest wasn't answered.
    let moved = [sale("04", 20, 5_000_000)];
    add(&mut ledger, "run-20", &Answer { window: second, ..answer(21, &moved) }).await;
    ledger.window_read(&slice, moment(22));
    ledger.commit().await.unwrap();
    assert_eq!(changes(&lake).await, ["04 2 network-change"]);
}

#[tokio::test]
async fn a_moved_transaction_is_found_in_the_month_that_it_lives_in() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[Answer { window: "2026-01-01T00:00:00Z/2026-03-01T00:00:00Z", ..answer(10, &days([40, 41])) }]).await;
    let moved = [sale("40", 5, 5_000_000), sale("03", 3, 1)];
    run(&lake, &[answer(20, &moved)]).await;
    run(&lake, &[answer(30, &moved[1..])]).await;
    assert_eq!(changes(&lake).await, ["40 2 network-change", "40 3 vanished"]);
}

#[tokio::test]
async fn what_another_saw_meanwhile_does_not_vanish() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3]))]).await;
    let mut slow = lake.ledger();
    let slice = add(&mut slow, "run-20", &answer(20, &days([3]))).await;
    run(&lake, &[answer(25, &days([3, 4]))]).await;
    slow.window_read(&slice, moment(30));
    slow.commit().await.unwrap();
    assert!(changes(&lake).await.is_empty());
}

#[tokio::test]
async fn each_run_in_a_ledger_is_judged_by_what_it_saw_itself() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4, 5]))]).await;
    let mut ledger = lake.ledger();
    let gone = add(&mut ledger, "run-20", &answer(20, &days([3, 4]))).await;
    ledger.window_read(&gone, moment(21));
    add(&mut ledger, "run-30", &answer(30, &days([3, 5]))).await;
    // Of this one, only a part is known: another run's answers came between its own.
    let late = add(&mut ledger, "run-20", &answer(22, &days([3]))).await;
    ledger.window_read(&late, moment(31));
    ledger.commit().await.unwrap();
    assert_eq!(changes(&lake).await, ["05 2 vanished", "05 3 reappeared"]);
    assert_latest(&lake).await;
}
