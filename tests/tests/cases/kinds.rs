//! Further situations of the kinds of `tests/cases/README.md`, with other inputs and of other networks.

use serde_json::{Value, json};
use sluice_tests::{Answer, Operator};

use crate::course::cases_dir;
use crate::held::{DOUBTS, changed, doubted, january, pounds, run, steps_of, undoubted};
use crate::network::Network;
use crate::oddities::{JSON, TOTAL, collect, network, rows, shareasale};
use crate::pages::{daisycon, daisycon_page, daisycon_sign_in};

fn output(answer: &Answer) -> String {
    format!("{}{}", answer.stdout, answer.stderr)
}

/// CJ's answer with four sales, changed.
fn cj(change: impl Fn(&mut Value)) -> Vec<u8> {
    let text = std::fs::read(cases_dir().join("55-cj-fewer-than-stated/four-of-four.json")).unwrap();
    let mut answer: Value = serde_json::from_slice(&text).unwrap();
    answer["data"]["publisherCommissions"]["records"].as_array_mut().unwrap().iter_mut().for_each(change);
    serde_json::to_vec(&answer).unwrap()
}

/// A network whose steps answer with these bodies.
fn bodies(folder: &tempfile::TempDir, name: &str, content_type: &str, bodies: &[&[u8]]) -> (Network, Operator) {
    let names: Vec<String> = (0..bodies.len()).map(|at| at.to_string()).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(bodies.iter().copied()).collect();
    let rule = |file: &String| json!([{"file": file, "headers": {"content-type": content_type}}]);
    network(folder.path(), name, &files, &names.iter().map(rule).collect())
}

#[test]
fn an_amount_that_cj_gives_in_dollars_only_is_doubted() {
    let lost = |name: &'static str| move |record: &mut Value| _ = record.as_object_mut().unwrap().remove(name);
    let null = |record: &mut Value| record["pubCommissionAmountPubCurrency"] = Value::Null;
    for now in [cj(lost("pubCommissionAmountPubCurrency")), cj(null)] {
        let folder = tempfile::tempdir().unwrap();
        let (network, operator) = bodies(&folder, "cj", JSON, &[&cj(|_| ()), &now]);
        assert_eq!(january(&operator, "run", "cj", "modified").code, 0);
        let total = rows(&operator, TOTAL);
        network.set_step(1);
        let answer = january(&operator, "run", "cj", "modified");
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(output(&answer).contains("pubCommissionAmountPubCurrency"), "{answer:?}");
        assert_eq!(rows(&operator, TOTAL), total, "nothing moves");
    }
}

#[test]
fn a_page_with_one_row_less_than_asked_for_is_not_the_last() {
    let base: Value =
        serde_json::from_slice(&std::fs::read(cases_dir().join("08-rakuten-realtime-and-batch/page.json")).unwrap())
            .unwrap();
    let row = |at: usize| {
        let mut row = base[0].clone();
        (row["etransaction_id"], row["order_id"]) = (json!(format!("{at:032x}")), json!(format!("O-{at}")));
        (row["commissions"], row["u1"]) = (json!(1.0), json!(format!("m-{at}")));
        row
    };
    let page = |from, until| serde_json::to_vec(&(from..until).map(row).collect::<Vec<_>>()).unwrap();
    let (first, second) = (page(0, 999), page(999, 1_040));
    let headers = json!({"content-type": JSON});
    let steps = json!([[
        {"path": "^/token$", "headers": headers,
            "text": "{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":3600}"},
        {"query": "page=1$", "file": "first", "headers": headers},
        {"query": "page=2$", "file": "second", "headers": headers},
        {"text": "[]", "headers": headers},
    ]]);
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = network(folder.path(), "rakuten", &[("first", &first), ("second", &second)], &steps);
    let run =
        operator.sluice(&["run", "rakuten", "--since", "2026-01-01", "--until", "2026-01-15", "--axis", "modified"]);
    assert_eq!(run.as_ref().unwrap().code, 0, "{run:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 1040, "s": "1040.000000"}]));
}

#[test]
fn one_account_in_two_files_is_refused_by_a_run_of_either() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = steps_of(&folder, "awin", &[pounds()]);
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    operator.write("networks/awin-2.json", &file.replace("\"uk\"", "\"other\"")).unwrap();
    for command in [["run", "awin"], ["run", "awin-2"], ["run", "--due"], ["collect", "awin"]] {
        let answer = operator.sluice(&command).unwrap();
        assert!(answer.code != 0 && output(&answer).contains("publisher_id"), "{command:?}: {answer:?}");
    }
    let answer = operator.sluice(&["sql", "SELECT count(*) n FROM unified.transactions", "--format", "json"]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&answer.stdout).unwrap(), json!([{"n": 0}]), "{answer:?}");
}

#[test]
fn amounts_that_all_turn_to_zero_are_doubted() {
    let zero = changed(pounds(), |record| record["commissionAmount"]["amount"] = json!(0));
    doubted(pounds(), zero, "fill", "commission_amount");
}

/// What returns look like where a network has no word for them, and leads, which have no sale.
#[test]
fn one_or_two_amounts_that_turn_to_zero_are_not_doubted() {
    let zero = |record: &mut Value| record["commissionAmount"]["amount"] = json!(0);
    for returned in [1, 2] {
        let some = |records: Vec<Value>| records.into_iter().take(returned).collect::<Vec<_>>();
        undoubted(pounds(), changed(some(pounds()), zero));
        let lead = |record: &mut Value| record["saleAmount"]["amount"] = json!(0);
        undoubted(changed(pounds(), lead), changed(changed(some(pounds()), lead), zero));
    }
}

#[test]
fn amounts_that_all_change_their_sign_are_doubted() {
    let negative = |record: &mut Value| record["commissionAmount"]["amount"] = json!(-8.0);
    doubted(pounds(), changed(pounds(), negative), "unit", "commission_amount");
    // Rows of their own take something back.
    undoubted(pounds(), changed(more_by(pounds(), 500), negative));
}

#[test]
fn amounts_that_change_places_are_doubted() {
    let swapped = changed(pounds(), |record| {
        (record["commissionAmount"]["amount"], record["saleAmount"]["amount"]) = (json!(100.0), json!(8.0));
    });
    doubted(pounds(), swapped, "unit", "commission_amount");
}

/// What a network does that gives each account the list of all, or an operator who names one account by two settings.
#[test]
fn ids_that_two_accounts_share_are_suspected() {
    for (others, shared) in [(pounds(), 20), (more_by(pounds(), 500), 0)] {
        let folder = tempfile::tempdir().unwrap();
        let (network, operator) = steps_of(&folder, "awin", &[pounds(), others]);
        let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
        operator.write("networks/awin-2.json", &file.replace("\"uk\"", "\"us\"").replace("123456", "654321")).unwrap();
        assert_eq!(run(&operator).code, 0);
        network.set_step(1);
        let answer = january(&operator, "run", "awin-2", "transaction");
        let warning = "were reported to the accounts uk and us under the same ids";
        assert_eq!((answer.code, output(&answer).contains(warning)), (0, shared > 0), "{answer:?}");
        let all = "SELECT count(*) n FROM unified.suspected_duplicates WHERE duplicate_account = 'uk'";
        assert_eq!(rows(&operator, all), json!([{"n": shared}]));
    }
}

/// The same under ids that are so much higher.
fn more_by(records: Vec<Value>, by: u64) -> Vec<Value> {
    changed(records, |record| record["id"] = json!(record["id"].as_u64().unwrap() + by))
}

#[test]
fn ids_in_another_form_are_suspected() {
    let folder = tempfile::tempdir().unwrap();
    let other = changed(pounds(), |record| record["id"] = json!(format!("AW-{}", record["id"])));
    let (network, operator) = steps_of(&folder, "awin", &[pounds(), other]);
    assert_eq!(run(&operator).code, 0);
    network.set_step(1);
    let answer = run(&operator);
    assert!(output(&answer).contains("may be others under another id"), "{answer:?}");
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.suspected_duplicates"), json!([{"n": 20}]));
}

#[test]
fn a_list_inside_another_object_is_no_empty_list() {
    for body in [json!({"data": pounds()}), json!({}), json!({"message": "try later"}), json!([[]]), json!("")] {
        let folder = tempfile::tempdir().unwrap();
        let body = serde_json::to_vec(&body).unwrap();
        let (_network, operator) = bodies(&folder, "awin", JSON, &[&body]);
        let answer = run(&operator);
        assert_ne!(answer.code, 0, "{}: {answer:?}", String::from_utf8_lossy(&body));
        let complete = rows(&operator, "SELECT count(*) n FROM meta.coverage WHERE complete");
        assert_eq!(complete, json!([{"n": 0}]));
    }
}

#[test]
fn an_answer_that_is_only_accepted_or_a_part_is_no_list() {
    for status in [202, 206] {
        let folder = tempfile::tempdir().unwrap();
        let steps = json!([[{"status": status, "text": "[]", "headers": {"content-type": JSON}, "times": 1},
            {"file": "rows", "headers": {"content-type": JSON}}]]);
        let body = serde_json::to_vec(&pounds()).unwrap();
        let (_network, operator) = network(folder.path(), "awin", &[("rows", &body)], &steps);
        let answer = run(&operator);
        assert_eq!(answer.code, 0, "{answer:?}");
        assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "80.000000"}]), "it is asked again");
    }
}

#[test]
fn what_follows_a_document_is_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (pounds()[..5].to_vec(), pounds()[5..].to_vec());
    let body = [serde_json::to_vec(&first).unwrap(), serde_json::to_vec(&second).unwrap()].concat();
    let (_network, operator) = bodies(&folder, "awin", JSON, &[&body]);
    let answer = run(&operator);
    let total = rows(&operator, "SELECT count(*) n FROM unified.transactions");
    assert!(answer.code != 0 || total == json!([{"n": 10}]), "{total}: {answer:?}");
}

#[test]
fn a_text_in_two_bytes_a_character_is_read() {
    let text = shareasale();
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = bodies(&folder, "shareasale", "text/plain", &[&wide]);
    let answer = collect(&operator, "shareasale");
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 31, "s": "150.000000"}]));
}

#[test]
fn two_columns_of_one_name_are_not_mixed_up() {
    let text = shareasale();
    let (header, rest) = text.split_once('\n').unwrap();
    let with = |line: &str, more: &str| format!("{}|{more}\n", line.trim_end_matches(['\r', '\n']));
    let body: String = with(header, "Commission") + &rest.lines().map(|line| with(line, "999.00")).collect::<String>();
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = bodies(&folder, "shareasale", "text/plain", &[body.as_bytes()]);
    let answer = collect(&operator, "shareasale");
    let total = rows(&operator, TOTAL);
    assert!(answer.code != 0 || total == json!([{"n": 31, "s": "150.000000"}]), "{total}: {answer:?}");
}

#[test]
fn amounts_as_people_write_them_are_read_or_rejected() {
    for (text, micros) in
        [("1,234.50", "1234.500000"), ("1.234,50", "1234.500000"), ("1 234.50", "1234.500000"), ("8,00", "8.000000")]
    {
        let folder = tempfile::tempdir().unwrap();
        let one = changed(pounds()[..1].to_vec(), |record| record["commissionAmount"]["amount"] = json!(text));
        let (_network, operator) = steps_of(&folder, "awin", &[one]);
        let answer = run(&operator);
        let total = rows(&operator, TOTAL);
        assert!(answer.code != 0 || total == json!([{"n": 1, "s": micros}]), "{text}: {total}: {answer:?}");
    }
}

#[test]
fn status_words_in_another_case_are_the_same() {
    undoubted(pounds(), changed(pounds(), |record| record["commissionStatus"] = json!("Pending ")));
    let folder = tempfile::tempdir().unwrap();
    let declined = changed(pounds(), |record| record["commissionStatus"] = json!("DECLINED"));
    let (_network, operator) = steps_of(&folder, "awin", &[declined]);
    assert_eq!(run(&operator).code, 0);
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 10, "s": "0.000000"}]));
}

/// Daisycon's transactions, whose amounts are in parts that the host doesn't see.
#[test]
fn an_amount_that_moved_inside_a_list_is_doubted() {
    let record = |at: usize, name: &str| {
        let mut part = json!({"id": "1", "status": "open", "revenue": 10.0, "date": "2026-01-10 10:00:00"});
        part[name] = json!(1.0);
        json!({"affiliatemarketing_id": format!("AM{at}"), "program_id": 7, "date": "2026-01-10 10:00:00", "parts": [part]})
    };
    let list = |name: &str| serde_json::to_vec(&(0..6).map(|at| record(at, name)).collect::<Vec<_>>()).unwrap();
    let (first, second) = (list("commission"), list("commission_amount"));
    let headers = json!({"content-type": JSON, "x-total-count": "6"});
    let step = |file: &str| json!([daisycon_sign_in(), {"file": file, "headers": headers}]);
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 2] = [("first", &first), ("second", &second)];
    let (network, operator) = daisycon(folder.path(), &files, &json!([step("first"), step("second")]));
    assert_eq!(january(&operator, "run", "daisycon", "transaction").code, 0);
    network.set_step(1);
    let answer = january(&operator, "run", "daisycon", "transaction");
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 6, "s": "6.000000"}]));
}

/// A list whose pages come in another order each time: as many records as the network states, and some of them twice.
#[test]
fn records_that_come_twice_do_not_stand_for_others() {
    let (first, second) = (daisycon_page(0..6), daisycon_page(2..8));
    let headers = json!({"content-type": JSON, "x-total-count": "12"});
    let steps = json!([[
        daisycon_sign_in(),
        {"query": "page=1&", "file": "first", "headers": headers},
        {"query": "page=2&", "file": "second", "headers": headers},
        {"status": 204, "headers": {}},
    ]]);
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = daisycon(folder.path(), &[("first", &first), ("second", &second)], &steps);
    let answer = january(&operator, "run", "daisycon", "transaction");
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "total", "f": null, "s": "open"}]));
}
