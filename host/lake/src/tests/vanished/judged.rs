//! Which windows are judged, and which transactions of them.

use super::*;

#[tokio::test]
async fn other_axes_and_rejects_are_no_reads_without_it() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[Answer { axis: Axis::Modified, ..answer(20, &days([3])) }]).await;
    run(&lake, &[Answer { rejects: vec![reject(1, "no id")], ..answer(30, &days([3])) }]).await;
    // What another axis showed in the same run is there.
    let modified = Answer { axis: Axis::Modified, ..answer(41, &days([4])) };
    run(&lake, &[answer(40, &days([3])), modified]).await;
    assert!(absent(&lake).await.is_empty());
    assert!(changes(&lake).await.is_empty());
}

#[tokio::test]
async fn an_empty_answer_and_one_with_half_of_many_are_doubted() {
    let (_folder, lake) = new_lake().await;
    let many: Vec<Sale> = (0..60).map(|n| sale(&format!("{n:02}"), 3, 1)).collect();
    run(&lake, &[answer(10, &many)]).await;
    for secs in [20, 30] {
        run(&lake, &[answer(secs, &[])]).await;
        run(&lake, &[answer(secs + 1, &many[..30])]).await;
    }
    assert!(absent(&lake).await.is_empty());
    // The empty one between isn't a read without them, and not one with them.
    run(&lake, &[answer(40, &many[..40])]).await;
    run(&lake, &[answer(45, &[])]).await;
    assert!(changes(&lake).await.is_empty());
    run(&lake, &[answer(50, &many[..40])]).await;
    assert_eq!(changes(&lake).await.len(), 20);
}

#[tokio::test]
async fn an_empty_window_beside_others_is_doubted_if_it_held_anything() {
    let piece = |secs, window, days: Vec<Sale>| Answer { window, time_basis: "date", ..answer(secs, &days) };
    let pieces = [
        "2026-01-01T00:00:00Z/2026-01-08T00:00:00Z",
        "2026-01-08T00:00:00Z/2026-01-12T00:00:00Z",
        "2026-01-12T00:00:00Z/2026-02-01T00:00:00Z",
    ];
    let (_folder, lake) = new_lake().await;
    run(&lake, &[Answer { time_basis: "date", ..answer(10, &days([3, 4, 5, 6, 15])) }]).await;
    let read = |secs: i64, middle: Vec<Sale>| {
        let [first, second, third] = pieces;
        [piece(secs, first, days([3])), piece(secs + 1, second, middle), piece(secs + 2, third, days([15]))]
    };
    // The middle one held nothing: it tells of its neighbours' ends. What it held isn't missing from an empty one.
    run(&lake, &read(20, vec![])).await;
    run(&lake, &read(30, vec![])).await;
    assert_eq!(changes(&lake).await, ["04 2 vanished", "05 2 vanished", "06 2 vanished"]);
    run(&lake, &read(40, days([6, 9]))).await;
    for secs in [50, 60] {
        run(&lake, &read(secs, vec![])).await;
    }
    let all = changes(&lake).await;
    assert_eq!(all[2..], ["06 2 vanished", "06 3 reappeared"], "near a doubted window, and in it: {all:?}");
}

#[tokio::test]
async fn only_the_window_of_the_account_is_judged_and_not_its_ends() {
    let (_folder, lake) = new_lake().await;
    // The first is at the window's beginning, the last after its end.
    run(&lake, &[answer(10, &days([0, 3, 5, 40])), Answer { account: "de", ..answer(11, &days([4, 5])) }]).await;
    for secs in [20, 30] {
        run(&lake, &[answer(secs, &days([3]))]).await;
    }
    assert_eq!(changes(&lake).await, ["05 2 vanished"]);
}

#[tokio::test]
async fn times_that_are_not_exact_need_a_wider_window() {
    let (_folder, lake) = new_lake().await;
    let read = |secs, days: Vec<Sale>| Answer { time_basis: "date", ..answer(secs, &days) };
    run(&lake, &[read(10, days([0, 1, 10, 29, 30]))]).await;
    for secs in [20, 30] {
        run(&lake, &[read(secs, days([10]))]).await;
    }
    assert_eq!(changes(&lake).await, ["01 2 vanished", "29 2 vanished"]);
    // The same in pieces: between them, nothing is close to an end.
    let (_folder, lake) = new_lake().await;
    run(&lake, &[read(10, days([0, 1, 14, 15, 28, 29, 30]))]).await;
    let piece = |secs, window, days| Answer { window, ..read(secs, days) };
    let first = "2026-01-01T00:00:00Z/2026-01-16T00:00:00Z";
    let second = "2026-01-16T00:00:00Z/2026-02-01T00:00:00Z";
    for secs in [20, 30] {
        run(&lake, &[piece(secs, first, days([1])), piece(secs + 1, second, days([29]))]).await;
    }
    assert_eq!(changes(&lake).await, ["14 2 vanished", "15 2 vanished", "28 2 vanished"]);
}

#[tokio::test]
async fn a_half_that_failed_is_not_judged_and_a_transaction_may_be_in_the_other() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4, 20, 21]))]).await;
    let first = "2026-01-01T00:00:00Z/2026-01-16T00:00:00Z";
    let second = "2026-01-16T00:00:00Z/2026-02-01T00:00:00Z";
    for secs in [20, 30] {
        let (mut ledger, run) = (lake.ledger(), format!("run-{secs}"));
        let slice = add(&mut ledger, &run, &Answer { window: first, ..answer(secs, &days([3])) }).await;
        // 4 moved to the second half, of which the rest wasn't answered.
        let moved = [sale("04", 20, 5_000_000)];
        add(&mut ledger, &run, &Answer { window: second, ..answer(secs + 1, &moved) }).await;
        ledger.window_read(&slice, moment(secs + 2), CONFIRM_AFTER);
        ledger.commit().await.unwrap();
    }
    assert_eq!(changes(&lake).await, ["04 2 network-change"]);
    assert!(absent(&lake).await.is_empty());
}

#[tokio::test]
async fn a_moved_transaction_is_found_in_the_month_that_it_lives_in() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[Answer { window: "2026-01-01T00:00:00Z/2026-03-01T00:00:00Z", ..answer(10, &days([40, 41])) }]).await;
    let moved = [sale("40", 5, 5_000_000), sale("03", 3, 1)];
    run(&lake, &[answer(20, &moved)]).await;
    for secs in [30, 40] {
        run(&lake, &[answer(secs, &moved[1..])]).await;
    }
    assert_eq!(changes(&lake).await, ["40 2 network-change", "40 3 vanished"]);
}

#[tokio::test]
async fn what_another_saw_meanwhile_is_not_missing() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3]))]).await;
    let mut slow = lake.ledger();
    let slice = add(&mut slow, "run-20", &answer(20, &days([3]))).await;
    run(&lake, &[answer(25, &days([3, 4]))]).await;
    slow.window_read(&slice, moment(30), CONFIRM_AFTER);
    slow.commit().await.unwrap();
    assert!(absent(&lake).await.is_empty());
}

#[tokio::test]
async fn each_run_in_a_ledger_is_judged_by_what_it_saw_itself() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4, 5]))]).await;
    run(&lake, &[answer(15, &days([3, 4]))]).await;
    let mut ledger = lake.ledger();
    let gone = add(&mut ledger, "run-20", &answer(20, &days([3, 4]))).await;
    ledger.window_read(&gone, moment(21), CONFIRM_AFTER);
    add(&mut ledger, "run-30", &answer(30, &days([3, 5]))).await;
    // Of this one, only a part is known: another run's answers came between its own.
    let late = add(&mut ledger, "run-20", &answer(22, &days([3]))).await;
    ledger.window_read(&late, moment(31), CONFIRM_AFTER);
    ledger.commit().await.unwrap();
    assert_eq!(changes(&lake).await, ["05 2 vanished", "05 3 reappeared"]);
    assert!(absent(&lake).await.is_empty());
    assert_latest(&lake).await;
}

/// Responses that another run's came between may have held anything.
#[tokio::test]
async fn a_run_that_is_known_in_part_leaves_nothing_absent() {
    let (_folder, lake) = new_lake().await;
    run(&lake, &[answer(10, &days([3, 4]))]).await;
    run(&lake, &[answer(20, &days([3]))]).await;
    let mut ledger = lake.ledger();
    add(&mut ledger, "run-30", &answer(30, &days([3]))).await;
    add(&mut ledger, "run-31", &Answer { account: "de", ..answer(31, &days([3])) }).await;
    add(&mut ledger, "run-30", &answer(32, &days([4]))).await;
    ledger.commit().await.unwrap();
    assert!(absent(&lake).await.is_empty());
    run(&lake, &[answer(40, &days([3]))]).await;
    assert!(changes(&lake).await.is_empty());
}
