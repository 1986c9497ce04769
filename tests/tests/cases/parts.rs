//! Faults in a part of what the tables have: half of the transactions, one advertiser's.

use serde_json::{Value, json};

use crate::held::{DOUBTS, changed, doubted, pounds, run, steps_of, times, undoubted};
use crate::oddities::{JSON, TOTAL, network, rows};

/// The first of a list, changed.
fn first(count: usize, mut records: Vec<Value>, change: impl Fn(&mut Value)) -> Vec<Value> {
    records.iter_mut().take(count).for_each(change);
    records
}

fn commission(amount: f64) -> impl Fn(&mut Value) {
    move |record: &mut Value| record["commissionAmount"]["amount"] = json!(amount)
}

#[test]
fn half_of_the_known_transactions_in_another_unit_are_doubted() {
    doubted(pounds(), first(5, pounds(), |record| times(record, 100.0)), "unit", "commission_amount");
    doubted(pounds(), first(3, pounds(), |record| times(record, 0.01)), "unit", "commission_amount");
}

#[test]
fn three_of_hundreds_of_known_transactions_in_another_unit_are_doubted() {
    let record = |at: u64| {
        let mut record = pounds()[0].clone();
        (record["id"], record["orderRef"]) = (json!(5_000 + at), json!(format!("P-{at}")));
        record
    };
    let records: Vec<Value> = (0..280).map(record).collect();
    doubted(records.clone(), first(3, records, |record| times(record, 0.01)), "unit", "commission_amount");
}

#[test]
fn half_of_the_known_transactions_with_other_money_are_doubted() {
    let dollars = |record: &mut Value| record["commissionAmount"]["currency"] = json!("USD");
    doubted(pounds(), first(5, pounds(), dollars), "currency", "commission_currency");
    doubted(pounds(), first(5, pounds(), commission(-8.0)), "unit", "commission_amount");
    doubted(pounds(), first(5, pounds(), commission(100.0)), "unit", "commission_amount");
    doubted(pounds(), first(5, pounds(), commission(0.0)), "fill", "commission_amount");
}

#[test]
fn all_known_transactions_at_ten_times_as_much_are_doubted() {
    doubted(pounds(), changed(pounds(), commission(80.0)), "unit", "commission_amount");
}

/// Forty of five advertisers, of which one's amounts move.
#[test]
fn an_amount_that_one_advertiser_loses_is_doubted() {
    let mut records = Vec::new();
    for at in 0..40_u64 {
        let mut record = pounds()[0].clone();
        (record["id"], record["orderRef"]) = (json!(5_000 + at), json!(format!("P-{at}")));
        record["advertiserId"] = json!(7_000 + at % 5);
        records.push(record);
    }
    let lost = changed(records.clone(), |record| {
        if record["advertiserId"] == json!(7_000) {
            record["commissionAmount"] = json!({"value": 8.0, "currency": "GBP"});
        }
    });
    doubted(records, lost, "fill", "commission_amount");
}

#[test]
fn a_run_reports_which_money_changed_and_how() {
    let mut now = pounds();
    times(&mut now[0], 100.0);
    now[1]["commissionAmount"]["amount"] = json!(0);
    now[2]["commissionAmount"]["currency"] = json!("USD");
    now[3]["commissionStatus"] = json!("odd");
    now[4]["clickRefs"]["clickRef"] = json!("");
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[pounds(), now]);
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    let answer = run(&operator);
    assert_eq!((answer.code, rows(&operator, DOUBTS)), (0, json!([])), "{answer:?}");
    let changes = "1 commission became zero, 1 commission changed by a unit, 1 commission changed its currency, \
                   1 transaction lost its sub-ids, 1 status became unknown";
    assert!(answer.stdout.contains(changes), "{answer:?}");
    assert_ne!(rows(&operator, TOTAL)[0]["n"], 0);
}

/// All is committed by then. Only the months of the run are read for it.
#[test]
fn what_cannot_be_counted_of_the_money_that_changed_fails_no_run() {
    let february = changed(pounds(), |record| {
        record["id"] = json!(record["id"].as_u64().unwrap() + 500);
        record["transactionDate"] = json!("2026-02-10T10:00:00");
    });
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[february, pounds(), first(1, pounds(), commission(0.0))]);
    let command = ["run", "awin", "--since", "2026-02-01", "--until", "2026-03-01", "--axis", "transaction"];
    operator.succeed(&command).unwrap();
    network.set_step(1);
    assert_eq!(run(&operator).code, 0);
    let versions = operator.join("lake/tables/unified/transaction_versions/network=awin/month=2026-02");
    std::fs::remove_dir_all(versions).unwrap();
    network.set_step(2);
    let answer = run(&operator);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 20, "s": "152.000000"}]));
}

#[test]
fn two_transactions_that_change_so_are_corrections() {
    undoubted(pounds(), first(2, pounds(), |record| times(record, 100.0)));
    undoubted(pounds(), first(2, pounds(), commission(-8.0)));
    undoubted(pounds(), first(3, pounds(), |record| times(record, -1.0)));
}

/// Half an emoji and a NUL in an id: under what is left of it the transaction would count beside the right one.
#[test]
fn an_id_that_was_repaired_is_a_reject() {
    let text = serde_json::to_string(&pounds()).unwrap();
    for broken in ["\"10\\u000001\"", "\"1001\\ud83d\""] {
        let body = text.replace("\"id\":1001,", &format!("\"id\":{broken},"));
        assert_ne!(body, text);
        let folder = tempfile::tempdir().unwrap();
        let steps = ["first", "second"].map(|file| json!([{"file": file, "headers": {"content-type": JSON}}]));
        let files: [(&str, &[u8]); 2] = [("first", text.as_bytes()), ("second", body.as_bytes())];
        let (network, operator) = network(folder.path(), "awin", &files, &json!(steps));
        assert_eq!(run(&operator).code, 0);
        network.set_step(1);
        let answer = run(&operator);
        assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]), "{broken}: {answer:?}");
        let rejects = rows(&operator, "SELECT reason r FROM meta.rejects");
        assert!(rejects[0]["r"].as_str().is_some_and(|reason| reason.starts_with("`id` identifies")), "{rejects}");
    }
}

#[test]
fn first_amounts_without_a_currency_are_doubted() {
    let without = changed(pounds(), |record| {
        record["commissionAmount"] = json!({"amount": 8.0});
        record["saleAmount"] = json!({"amount": 100.0});
    });
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[without, pounds()]);
    let answer = run(&operator);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, "SELECT kind k FROM meta.doubts"), json!([{"k": "fill"}]));
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
    network.set_step(1);
    assert_eq!(run(&operator).code, 0);
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]));
}

#[test]
fn transactions_of_another_decade_than_was_asked_for_are_doubted() {
    let future = changed(pounds(), |record| record["transactionDate"] = json!("2036-01-10T10:00:00"));
    doubted(pounds(), future, "window", "transacted_at");
    undoubted(pounds(), changed(pounds(), |record| record["transactionDate"] = json!("2026-02-02T10:00:00")));
}

/// A network that lists by another date: the window is doubted once.
#[test]
fn dates_outside_of_the_window_that_were_accepted_are_usual() {
    let earlier = |first: u64| {
        changed(pounds(), |record| {
            record["id"] = json!(record["id"].as_u64().unwrap() + first);
            record["transactionDate"] = json!("2025-11-10T10:00:00");
        })
    };
    let future = changed(earlier(9_000), |record| record["transactionDate"] = json!("2036-01-10T10:00:00"));
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[earlier(0), earlier(500), future]);
    let answer = run(&operator);
    assert_eq!(answer.code, 3, "{answer:?}");
    let id = rows(&operator, "SELECT doubt_id i FROM meta.doubts")[0]["i"].as_str().unwrap().to_owned();
    operator.succeed(&["doubts", "accept", &id]).unwrap();
    for step in [0, 1] {
        network.set_step(step);
        let answer = run(&operator);
        assert_eq!(answer.code, 0, "{step}: {answer:?}");
    }
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 20, "s": "160.000000"}]));
    network.set_step(2);
    assert_eq!(run(&operator).code, 3, "another decade is doubted all the same");
}

/// What is accepted once isn't asked of a person again; what comes back, and is gone once more, is.
#[test]
fn an_empty_window_that_was_accepted_is_doubted_again_only_if_something_came() {
    let folder = tempfile::tempdir().unwrap();
    let new = changed(pounds(), |record| record["id"] = json!(record["id"].as_u64().unwrap() + 500));
    let (network, operator) = steps_of(&folder, "awin", &[pounds(), Vec::new(), new]);
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    assert_eq!(run(&operator).code, 3);
    let id = rows(&operator, "SELECT doubt_id i FROM meta.doubts")[0]["i"].as_str().unwrap().to_owned();
    operator.succeed(&["doubts", "accept", &id]).unwrap();
    let answer = run(&operator);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]), "they stay");
    network.set_step(2);
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    let answer = run(&operator);
    assert_eq!(answer.code, 3, "{answer:?}");
}

/// The same rows make no new version, so that the tables alone don't show that they came.
#[test]
fn an_accepted_empty_window_that_had_the_same_rows_again_is_doubted_again() {
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[pounds(), Vec::new()]);
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    assert_eq!(run(&operator).code, 3);
    let id = rows(&operator, "SELECT doubt_id i FROM meta.doubts")[0]["i"].as_str().unwrap().to_owned();
    operator.succeed(&["doubts", "accept", &id]).unwrap();
    for (step, code) in [(1, 0), (0, 0), (1, 3)] {
        network.set_step(step);
        let answer = run(&operator);
        assert_eq!(answer.code, code, "{step}: {answer:?}");
    }
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]));
}
