//! Answers that move money otherwise than the cases of the folder: few records, records of which some are as before, windows of
//! changes, raw that is built later.

use serde_json::{Value, json};
use sluice_tests::{Answer, Operator};

use crate::course::cases_dir;
use crate::network::Network;
use crate::oddities::{JSON, TOTAL, network, rows, shareasale};

pub(crate) const DOUBTS: &str = "SELECT kind k, field f, state s FROM meta.doubts ORDER BY found_at";

/// The records of a case's body.
fn records(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(cases_dir().join(path)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Awin's ten records of 8.00 and 100.00 pounds.
pub(crate) fn pounds() -> Vec<Value> {
    records("01-awin-amount-moved/1-as-documented.json")
}

/// The same with the amount in another place.
pub(crate) fn moved() -> Vec<Value> {
    records("01-awin-amount-moved/2-amount-is-a-number.json")
}

pub(crate) fn changed(mut records: Vec<Value>, change: impl Fn(&mut Value)) -> Vec<Value> {
    records.iter_mut().for_each(change);
    records
}

pub(crate) fn times(record: &mut Value, factor: f64) {
    for name in ["commissionAmount", "saleAmount"] {
        record[name]["amount"] = json!(record[name]["amount"].as_f64().unwrap() * factor);
    }
}

/// A network whose steps answer with these lists.
pub(crate) fn steps_of(folder: &tempfile::TempDir, name: &str, lists: &[Vec<Value>]) -> (Network, Operator) {
    let bodies: Vec<Vec<u8>> = lists.iter().map(|list| serde_json::to_vec(list).unwrap()).collect();
    let names: Vec<String> = (0..lists.len()).map(|at| at.to_string()).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(bodies.iter().map(Vec::as_slice)).collect();
    let rule = |file: &String| json!([{"file": file, "headers": {"content-type": JSON}}]);
    network(folder.path(), name, &files, &names.iter().map(rule).collect())
}

pub(crate) fn january(operator: &Operator, verb: &str, network: &str, axis: &str) -> Answer {
    operator.sluice(&[verb, network, "--since", "2026-01-01", "--until", "2026-02-01", "--axis", axis]).unwrap()
}

pub(crate) fn run(operator: &Operator) -> Answer {
    january(operator, "run", "awin", "transaction")
}

/// Runs both lists; the second must be doubted for this field, and move nothing.
pub(crate) fn doubted(before: Vec<Value>, now: Vec<Value>, kind: &str, field: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[before, now]);
    assert_eq!(run(&operator).code, 0);
    let total = rows(&operator, TOTAL);
    network.set_step(1);
    let answer = run(&operator);
    assert_eq!(answer.code, 3, "{kind}: {answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": kind, "f": field, "s": "open"}]), "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), total, "nothing moves");
}

/// Runs both lists; nothing is odd.
pub(crate) fn undoubted(before: Vec<Value>, now: Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[before, now]);
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    let answer = run(&operator);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([]));
}

#[test]
fn a_first_answer_without_any_commission_is_doubted_by_the_name_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[moved(), pounds()]);
    let answer = run(&operator);
    assert_eq!(answer.code, 3, "{answer:?}");
    let output = format!("{}{}", answer.stdout, answer.stderr);
    assert!(output.contains("commissionAmount.amount"), "{output}");
    let doubts = rows(&operator, "SELECT reason r FROM meta.doubts");
    assert!(doubts[0]["r"].as_str().unwrap().contains("`commissionAmount`"), "{doubts}");
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
    network.set_step(1);
    assert_eq!(run(&operator).code, 0);
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]));
}

#[test]
fn a_first_answer_without_commissions_is_usual_once_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = steps_of(&folder, "awin", &[moved()]);
    assert_eq!(run(&operator).code, 3);
    let id = rows(&operator, "SELECT doubt_id i FROM meta.doubts")[0]["i"].as_str().unwrap().to_owned();
    operator.succeed(&["doubts", "accept", &id]).unwrap();
    assert_eq!(run(&operator).code, 0);
}

#[test]
fn an_amount_that_moved_in_nine_of_ten_records_is_doubted() {
    let mut mixed = moved();
    mixed[9] = pounds()[9].clone();
    doubted(pounds(), mixed, "fill", "commissionAmount.amount");
}

#[test]
fn an_amount_that_moved_in_three_of_three_records_is_doubted() {
    let three = |list: Vec<Value>| list.into_iter().take(3).collect::<Vec<_>>();
    doubted(three(pounds()), three(moved()), "fill", "commissionAmount.amount");
    doubted(pounds(), three(moved()), "fill", "commissionAmount.amount");
}

#[test]
fn few_known_transactions_in_another_unit_are_doubted() {
    for count in [1, 4, 9] {
        let few: Vec<Value> = pounds().into_iter().take(count).collect();
        doubted(few.clone(), changed(few.clone(), |record| times(record, 100.0)), "unit", "commission_amount");
        doubted(few.clone(), changed(few, |record| times(record, 0.01)), "unit", "commission_amount");
    }
}

#[test]
fn few_known_transactions_in_another_currency_are_doubted() {
    let few: Vec<Value> = pounds().into_iter().take(4).collect();
    let dollars = changed(few.clone(), |record| record["commissionAmount"]["currency"] = json!("USD"));
    doubted(few, dollars, "currency", "commission_currency");
}

#[test]
fn sales_in_another_currency_are_doubted_though_commissions_are_not() {
    let euros = |record: &mut Value| record["saleAmount"]["currency"] = json!("EUR");
    doubted(pounds(), changed(pounds(), euros), "currency", "sale_currency");
    let few: Vec<Value> = pounds().into_iter().take(4).collect();
    doubted(few.clone(), changed(few, euros), "currency", "sale_currency");
    let new = changed(pounds(), |record| record["id"] = json!(record["id"].as_u64().unwrap() + 500));
    doubted(pounds(), changed(new, euros), "currency", "sale_currency");
}

#[test]
fn new_transactions_of_which_most_are_in_another_currency_are_doubted() {
    let mut dollars = changed(pounds(), |record| {
        record["id"] = json!(record["id"].as_u64().unwrap() + 500);
        record["commissionAmount"]["currency"] = json!("USD");
    });
    dollars[0]["commissionAmount"]["currency"] = json!("GBP");
    doubted(pounds(), dollars, "currency", "commission_currency");
}

#[test]
fn sub_ids_that_known_transactions_lose_are_doubted() {
    let blank = changed(pounds(), |record| record["clickRefs"]["clickRef"] = json!(""));
    doubted(pounds(), blank, "fill", "clickRefs.clickRef");
}

#[test]
fn what_networks_correct_is_not_doubted() {
    // One of ten in another unit, and one without its amount.
    let mut corrected = pounds();
    times(&mut corrected[0], 100.0);
    corrected[1]["commissionAmount"]["amount"] = Value::Null;
    undoubted(pounds(), corrected);
    // All are declined, at nothing; all are paid twice as much.
    undoubted(
        pounds(),
        changed(pounds(), |record| {
            record["commissionStatus"] = json!("declined");
            record["commissionAmount"]["amount"] = json!(0);
        }),
    );
    undoubted(pounds(), changed(pounds(), |record| times(record, 2.0)));
    // One transaction whose decision takes its amount.
    let one: Vec<Value> = pounds().into_iter().take(1).collect();
    undoubted(
        one.clone(),
        changed(one, |record| {
            record["commissionStatus"] = json!("declined");
            record["commissionAmount"]["amount"] = Value::Null;
        }),
    );
}

#[test]
fn what_was_collected_is_judged_when_it_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[pounds(), moved(), pounds()]);
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    assert_eq!(january(&operator, "collect", "awin", "transaction").code, 0);
    let built = operator.sluice(&["build", "awin"]).unwrap();
    assert_eq!(built.code, 3, "{built:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]), "nothing moves");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "fill", "f": "commissionAmount.amount", "s": "open"}]));
    assert_eq!(operator.sluice(&["build", "awin"]).unwrap().code, 0, "what is doubted isn't built from");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]));
    network.set_step(2);
    assert_eq!(january(&operator, "collect", "awin", "transaction").code, 0);
    assert_eq!(operator.sluice(&["build", "awin"]).unwrap().code, 0);
    assert_eq!(rows(&operator, "SELECT state s FROM meta.doubts"), json!([{"s": "superseded"}]));
}

#[test]
fn a_doubt_of_a_build_can_be_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = steps_of(&folder, "awin", &[pounds(), moved()]);
    for step in [0, 1] {
        network.set_step(step);
        assert_eq!(january(&operator, "collect", "awin", "transaction").code, 0);
    }
    let built = operator.sluice(&["build", "awin"]).unwrap();
    assert_eq!(built.code, 3, "the second is judged by the first: {built:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]));
    let id = rows(&operator, "SELECT doubt_id i FROM meta.doubts")[0]["i"].as_str().unwrap().to_owned();
    operator.succeed(&["doubts", "accept", &id]).unwrap();
    assert_eq!(rows(&operator, "SELECT count(commission_amount) n FROM unified.transactions"), json!([{"n": 0}]));
    assert_eq!(operator.sluice(&["build", "awin"]).unwrap().code, 0, "it was judged once");
    let covered = rows(&operator, "SELECT count(*) n FROM meta.coverage WHERE complete");
    assert_eq!(covered, json!([{"n": 2}]));
}

/// An empty answer where there was one with records, by the axis that the network is asked by.
fn emptied(name: &str, full: &[u8], empty: &[u8], token: bool) {
    let folder = tempfile::tempdir().unwrap();
    let headers = json!({"content-type": JSON});
    let sign_in = json!({"path": "^/token$", "headers": headers,
        "text": "{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":3600}"});
    let more = json!({"query": "page=2", "text": "[]", "headers": headers});
    let answers = |file: &str| {
        let rule = json!({"file": file, "headers": headers});
        if token { json!([sign_in, more, rule]) } else { json!([rule]) }
    };
    let steps = json!([answers("full"), answers("empty")]);
    let (network, operator) = network(folder.path(), name, &[("full", full), ("empty", empty)], &steps);
    let run = || {
        let until = if token { "2026-01-15" } else { "2026-02-01" };
        operator.sluice(&["run", name, "--since", "2026-01-01", "--until", until, "--axis", "modified"]).unwrap()
    };
    assert_eq!(run().code, 0);
    let total = rows(&operator, TOTAL);
    assert_ne!(total[0]["n"], 0);
    network.set_step(1);
    let answer = run();
    assert_eq!(answer.code, 3, "{name}: {answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "empty", "f": null, "s": "open"}]), "{name}");
    assert_eq!(rows(&operator, TOTAL), total);
    let complete = "SELECT complete c FROM meta.coverage WHERE records = 0";
    assert!(rows(&operator, complete).as_array().unwrap().iter().all(|row| row["c"] == false), "{name}");
    network.set_step(0);
    assert_eq!(run().code, 0);
    assert_eq!(rows(&operator, "SELECT state s FROM meta.doubts"), json!([{"s": "superseded"}]));
}

#[test]
fn an_empty_window_of_changes_that_held_records_is_doubted() {
    let rakuten = std::fs::read(cases_dir().join("17-rakuten-lower-case-currency/page.json")).unwrap();
    emptied("rakuten", &rakuten, b"[]", true);
    let cj = std::fs::read(cases_dir().join("55-cj-fewer-than-stated/four-of-four.json")).unwrap();
    let empty = r#"{"data":{"publisherCommissions":{"count":0,"limit":10000,"maxCommissionId":null,"payloadComplete":true,"records":[]}}}"#;
    emptied("cj", &cj, empty.as_bytes(), false);
}

#[test]
fn an_account_that_becomes_another_one_in_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = steps_of(&folder, "awin", &[pounds()]);
    assert_eq!(run(&operator).code, 0);
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    let other = file.replace("123456", "654321");
    operator.write("networks/awin.json", &other).unwrap();
    for command in [vec!["check"], vec!["run", "awin"]] {
        let answer = operator.sluice(&command).unwrap();
        assert!(answer.code != 0, "{answer:?}");
        let output = format!("{}{}", answer.stdout, answer.stderr);
        assert!(output.contains("publisher_id 123456") && output.contains("654321"), "{output}");
    }
    operator
        .write("networks/awin.json", &other.replace("\"uk\"", "\"uk\", \"was\": {\"publisher_id\": \"123456\"}"))
        .unwrap();
    assert_eq!(run(&operator).code, 0, "the network numbered it anew");
}

#[test]
fn an_account_that_never_was_read_may_be_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let steps = json!([[{"status": 403, "text": "{}", "headers": {"content-type": JSON}}],
        [{"file": "rows", "headers": {"content-type": JSON}}]]);
    let body = serde_json::to_vec(&pounds()).unwrap();
    let (network, operator) = network(folder.path(), "awin", &[("rows", &body)], &steps);
    assert_ne!(run(&operator).code, 0);
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    operator.write("networks/awin.json", &file.replace("123456", "654321")).unwrap();
    network.set_step(1);
    assert_eq!(run(&operator).code, 0);
}

#[test]
fn two_references_to_one_secret_are_one_account() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, mut operator) = steps_of(&folder, "awin", &[pounds()]);
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    // Another origin excuses nothing by itself.
    let proxied = file.replace("\"uk\"", "\"proxied\"").replace("127.0.0.1", "127.0.0.2");
    operator.write("networks/awin-2.json", &proxied).unwrap();
    let answer = operator.sluice(&["check"]).unwrap();
    assert!(answer.code != 0 && format!("{answer:?}").contains("publisher_id 123456"), "{answer:?}");
    std::fs::remove_file(operator.join("networks/awin-2.json")).unwrap();
    operator.install("clickbank", "clickbank.wasm").unwrap();
    let account = |name: &str, key: &str| json!({"name": name, "secrets": {"api_key": format!("env:{key}")}});
    let settings = |second: &str| json!({"connector": "clickbank", "accounts": [account("one", "CLICKBANK_ONE"), account("two", second)]});
    for (name, value) in [("CLICKBANK_ONE", "key-1"), ("CLICKBANK_SAME", "key-1"), ("CLICKBANK_TWO", "key-2")] {
        operator.set(name, value);
    }
    operator.write("networks/clickbank.json", &settings("CLICKBANK_SAME").to_string()).unwrap();
    let answer = operator.sluice(&["check"]).unwrap();
    assert!(answer.code != 0 && format!("{answer:?}").contains("are one account"), "{answer:?}");
    operator.write("networks/clickbank.json", &settings("CLICKBANK_TWO").to_string()).unwrap();
    let answer = operator.sluice(&["check"]).unwrap();
    assert!(!format!("{answer:?}").contains("are one account"), "{answer:?}");
}

#[test]
fn a_first_text_that_ends_with_its_connection_is_asked_for_again() {
    let whole = shareasale();
    let (cut, _) = whole.trim_end().rsplit_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let headers = json!({"content-type": "text/plain"});
    let closed = json!({"file": "whole", "headers": headers, "close": true});
    let cut_once = json!({"file": "whole", "headers": headers, "close": true, "cut": cut.len() + 1, "times": 1});
    let (network, operator) =
        network(folder.path(), "shareasale", &[("whole", whole.as_bytes())], &json!([[cut_once, closed]]));
    let run = || operator.sluice(&["run", "shareasale", "--since", "2026-01-01", "--until", "2026-02-01"]).unwrap();
    assert_eq!(run().code, 0);
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 31, "s": "150.000000"}]));
    assert_eq!(network.asked().len(), 3, "until the same comes twice");
    assert_eq!(run().code, 0);
    assert_eq!(network.asked().len(), 4, "it is known by now");
}
