//! Doubts that another read confirms, or not.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_tests::{Answer, Operator};

use crate::course::run as run_at;
use crate::held::{DOUBTS, changed, pounds, run, steps_of};
use crate::oddities::{JSON, network, rows};

/// So many transactions of a day of January, with ids from this one on.
fn of_day(day: u64, first: u64, count: u64) -> Vec<Value> {
    let one = pounds()[0].clone();
    let rows = changed(vec![one; count as usize], |record| {
        record["transactionDate"] = json!(format!("2026-01-{day:02}T10:00:00"));
    });
    (first..)
        .zip(rows)
        .map(|(id, mut row)| {
            row["id"] = json!(id);
            row
        })
        .collect()
}

/// Reads the last Friday of January, with the clock ahead by so many hours.
fn last_friday(operator: &Operator, hours: i64) -> Answer {
    let command = "run awin --since 2026-01-30 --until 2026-01-31 --axis transaction";
    run_at(operator, command, (hours > 0).then_some(hours * 3600))
}

const STATES: &str = "SELECT state s, count(*) n FROM meta.doubts GROUP BY 1 ORDER BY 1";

#[test]
fn a_day_that_is_read_otherwise_confirms_nothing() {
    let usual: Vec<Value> = [2, 9, 16, 23].into_iter().flat_map(|day| of_day(day, day * 1_000, 300)).collect();
    let folder = tempfile::tempdir().unwrap();
    let few = of_day(30, 90_000, 10);
    let (network, operator) = steps_of(&folder, "awin", &[usual, few.clone(), of_day(30, 90_000, 6_500), few]);
    let command = "run awin --since 2026-01-01 --until 2026-01-30 --axis transaction";
    assert_eq!(run_at(&operator, command, None).code, 0);
    network.set_step(1);
    assert_eq!(last_friday(&operator, 0).code, 3);
    network.set_step(2);
    let answer = last_friday(&operator, 2);
    assert_eq!(answer.code, 3, "6,500 aren't what 10 were: {answer:?}");
    network.set_step(3);
    let answer = last_friday(&operator, 2);
    assert_eq!(answer.code, 3, "nor are 10 what 6,500 were: {answer:?}");
    assert_eq!(rows(&operator, STATES), json!([{"s": "open", "n": 1}, {"s": "superseded", "n": 2}]));
    let answer = last_friday(&operator, 4);
    assert_eq!(answer.code, 0, "ten again, an hour later: {answer:?}");
    assert_eq!(rows(&operator, STATES), json!([{"s": "accepted", "n": 1}, {"s": "superseded", "n": 2}]));
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 1_210}]));
    let answer = last_friday(&operator, 4);
    assert_eq!(answer.code, 0, "what was accepted isn't doubted again: {answer:?}");
}

#[test]
fn a_day_with_one_of_a_hundred_transactions_is_doubted() {
    let usual: Vec<Value> = [2, 9, 16, 23].into_iter().flat_map(|day| of_day(day, day * 1_000, 100)).collect();
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[usual, of_day(30, 90_000, 1)]);
    let command = "run awin --since 2026-01-01 --until 2026-01-30 --axis transaction";
    assert_eq!(run_at(&operator, command, None).code, 0);
    network.set_step(1);
    let answer = last_friday(&operator, 0);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, "SELECT kind k FROM meta.doubts"), json!([{"k": "bands"}]));
}

#[test]
fn one_transaction_without_a_commission_after_a_thousand_with_one_is_doubted() {
    let lost = changed(of_day(30, 90_000, 1), |record| record["commissionAmount"] = Value::Null);
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[of_day(20, 1_000, 1_000), lost]);
    let command = "run awin --since 2026-01-01 --until 2026-01-30 --axis transaction";
    assert_eq!(run_at(&operator, command, None).code, 0);
    network.set_step(1);
    let answer = last_friday(&operator, 0);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "fill", "f": "commission_amount", "s": "open"}]));
}

#[test]
fn small_slices_that_all_lack_their_sales_are_doubted_together() {
    let without_sales = |first: u64, month: &str| {
        let rows = changed(of_day(10, first, 4), |record| {
            record["saleAmount"] = Value::Null;
            record["transactionDate"] = json!(format!("2026-{month}-10T10:00:00"));
        });
        serde_json::to_vec(&rows).unwrap()
    };
    let (usual, february, march) =
        (serde_json::to_vec(&pounds()).unwrap(), without_sales(2_000, "02"), without_sales(3_000, "03"));
    let files: [(&str, &[u8]); 3] = [("usual", &usual), ("february", &february), ("march", &march)];
    let rule = |query: &str, file: &str| json!({"query": query, "file": file, "headers": {"content-type": JSON}});
    let later = [rule("startDate=2026-02-01", "february"), rule("", "march")];
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = network(folder.path(), "awin", &files, &json!([[rule("", "usual")], later]));
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    let command = "run awin --since 2026-02-01 --until 2026-04-01 --axis transaction";
    let answer = run_at(&operator, command, None);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 10}]));
    let doubt = json!({"k": "fill", "f": "saleAmount.amount", "s": "open"});
    assert_eq!(rows(&operator, DOUBTS), json!([doubt, doubt]));
}

#[test]
fn first_answers_without_any_commission_are_doubted_however_few_they_are() {
    let without = |first| changed(of_day(20, first, 3), |record| record["commissionAmount"] = json!(8.0));
    let folder = tempfile::tempdir().unwrap();
    let plain = |first| changed(of_day(20, first, 3), |record| record["commissionAmount"] = Value::Null);
    for answers in [[without(1), without(4)], [plain(1), plain(4)]] {
        let folder = tempfile::tempdir_in(folder.path()).unwrap();
        let (network, operator) = steps_of(&folder, "awin", &answers);
        assert_eq!(run(&operator).code, 0, "three tell nothing");
        network.set_step(1);
        let answer = run(&operator);
        assert_eq!(answer.code, 3, "{answer:?}");
    }
}

#[test]
fn inputs_that_no_record_has_are_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = steps_of(&folder, "awin", &[of_day(20, 1_000, 200)]);
    let output = |answer: Answer| format!("{}{}", answer.stdout, answer.stderr);
    let first = output(run(&operator));
    assert!(first.contains("none of 200 records has `"), "{first}");
    assert!(!output(run(&operator)).contains("records has `"), "once");
}

#[test]
fn records_that_are_read_again_name_no_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = steps_of(&folder, "awin", &[of_day(20, 1_000, 10)]);
    for read in 0..4 {
        let answer = run(&operator);
        assert!(answer.code == 0 && !answer.stdout.contains("records has `"), "{read}: {answer:?}");
        assert!(!answer.stderr.contains("records has `"), "{read}: {answer:?}");
    }
}

/// The window has moved on since it was read, and what was decided in it is in it still.
#[test]
fn an_empty_answer_is_doubted_if_the_tables_hold_what_was_decided_in_its_window() {
    let decided = changed(of_day(10, 1_000, 3), |record| {
        record["commissionStatus"] = json!("approved");
        record["transactionDate"] = json!("{{now-9d}}");
        record["validationDate"] = json!("{{now-2d}}");
    });
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[decided, Vec::new()]);
    let since = |days| (Utc::now() - TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    let read = |days| run_at(&operator, &format!("run awin --since {} --axis validation", since(days)), None);
    assert_eq!(read(6).code, 0);
    network.set_step(1);
    let answer = read(5);
    assert_eq!(answer.code, 3, "{answer:?}");
    let reason = "SELECT reason r FROM meta.doubts";
    let expected = "the answer is empty, and the tables hold 3 transactions of its window";
    assert_eq!(rows(&operator, reason), json!([{"r": expected}]));
}
