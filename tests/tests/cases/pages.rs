//! Lists in pages: where they end, and what two pages of one list report of one transaction.

use serde_json::{Value, json};
use sluice_tests::Operator;

use crate::course::cases_dir;
use crate::held::january;
use crate::network::Network;
use crate::oddities::{JSON, network, rows};

/// Daisycon, whose pages have half of what is asked for.
#[test]
fn smaller_pages_than_asked_for_are_followed_to_the_stated_total() {
    let (first, second, short) = (daisycon_page(0..500), daisycon_page(500..800), daisycon_page(500..799));
    for (total, last, code, asked, count) in
        [(Some("800"), &second, 0, 2, 800), (None, &second, 0, 3, 800), (Some("800"), &short, 3, 3, 0)]
    {
        let mut headers = json!({"content-type": JSON});
        if let Some(total) = total {
            headers["x-total-count"] = total.into();
        }
        let steps = json!([[
            daisycon_sign_in(),
            {"query": "page=1&", "file": "first", "headers": headers},
            {"query": "page=2&", "file": "last", "headers": headers},
            {"status": 204, "headers": {}},
        ]]);
        let folder = tempfile::tempdir().unwrap();
        let (network, operator) = daisycon(folder.path(), &[("first", &first), ("last", last)], &steps);
        let answer = january(&operator, "run", "daisycon", "transaction");
        assert_eq!(answer.code, code, "{total:?}: {answer:?}");
        let pages = network.asked().iter().filter(|asked| asked.query.contains("page=")).count();
        assert_eq!(pages, asked, "{total:?}");
        assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": count}]), "{total:?}");
    }
}

/// A network of one account, with these answers.
pub(crate) fn network_of(
    folder: &std::path::Path,
    (name, settings, secrets): (&str, Value, Value),
    files: &[(&str, &[u8])],
    steps: &Value,
) -> (Network, Operator) {
    std::fs::create_dir(folder.join("networks")).unwrap();
    let content = json!({"connector": name, "base_url": "http://127.0.0.1:@PORT@",
        "rate": {"requests": 1000, "per_secs": 1, "concurrency": 4},
        "accounts": [{"name": "one", "settings": settings, "secrets": secrets}]});
    std::fs::write(folder.join(format!("networks/{name}.json")), content.to_string()).unwrap();
    let (network, operator) = network(folder, name, files, steps);
    operator.install(name, &format!("{name}.wasm")).unwrap();
    (network, operator)
}

pub(crate) fn daisycon(folder: &std::path::Path, files: &[(&str, &[u8])], steps: &Value) -> (Network, Operator) {
    let secrets =
        json!({"client_id": "env:AWIN_TOKEN", "client_secret": "env:CJ_TOKEN", "refresh_token": "env:TT_PASS"});
    let settings = json!({"publisher_id": "123456", "currency": "EUR"});
    network_of(folder, ("daisycon", settings, secrets), files, steps)
}

pub(crate) fn daisycon_sign_in() -> Value {
    json!({"path": "^/oauth/access-token$", "headers": {"content-type": JSON},
        "text": "{\"access_token\":\"t\",\"refresh_token\":\"r\",\"expires_in\":1800}"})
}

/// Transactions of 1.00 each.
pub(crate) fn daisycon_page(ids: std::ops::Range<usize>) -> Vec<u8> {
    let records: Vec<Value> = ids.map(|at| part(&format!("AM{at}"), 1.0, "open", None)).collect();
    serde_json::to_vec(&records).unwrap()
}

const DOUBTS: &str = "SELECT kind k, state s FROM meta.doubts ORDER BY found_at";

/// A part of a transaction as Daisycon lists it.
fn part(id: &str, commission: f64, status: &str, changed: Option<&str>) -> Value {
    json!({"affiliatemarketing_id": id, "program_id": 7, "date": "2026-01-10 10:00:00", "last_modified": changed,
        "parts": [{"id": "1", "status": status, "commission": commission, "revenue": 10.0, "date": "2026-01-10 10:00:00",
            "last_modified": changed}]})
}

/// What a run says of two pages of one list, and the doubts and transactions after it.
fn two_pages(first: Value, second: Value) -> (sluice_tests::Answer, Value, Value) {
    let pages = [first, second].map(|page| serde_json::to_vec(&page).unwrap());
    let steps = json!([[
        daisycon_sign_in(),
        {"query": "page=1&", "file": "first", "headers": {"content-type": JSON}},
        {"query": "page=2&", "file": "second", "headers": {"content-type": JSON}},
        {"status": 204, "headers": {}},
    ]]);
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = daisycon(folder.path(), &[("first", &pages[0]), ("second", &pages[1])], &steps);
    let answer = january(&operator, "run", "daisycon", "transaction");
    let transactions = "SELECT count(*) n, CAST(sum(commission_effective) AS VARCHAR) s FROM unified.transactions";
    (answer, rows(&operator, DOUBTS), rows(&operator, transactions))
}

#[test]
fn two_pages_with_other_money_for_one_id_are_doubted() {
    let (answer, doubts, transactions) = two_pages(
        json!([part("AM1", 5.0, "open", None), part("AM2", 1.0, "open", None)]),
        json!([part("AM1", 7.0, "open", None), part("AM3", 1.0, "open", None)]),
    );
    assert_eq!(answer.code, 3, "{answer:?}");
    let text = format!("{}{}", answer.stdout, answer.stderr);
    assert!(text.contains("AM1") && text.contains("commissions 5.00 and 7.00"), "{text}");
    assert_eq!(doubts, json!([{"k": "conflict", "s": "open"}]));
    assert_eq!(transactions, json!([{"n": 0, "s": null}]));
}

#[test]
fn a_newer_state_on_a_later_page_counts_and_is_reported() {
    let (answer, doubts, transactions) = two_pages(
        json!([part("AM1", 5.0, "open", Some("2026-01-11 10:00:00"))]),
        json!([part("AM1", 7.0, "open", Some("2026-01-12 10:00:00"))]),
    );
    assert_eq!((answer.code, doubts), (0, json!([])), "{answer:?}");
    assert_eq!(transactions, json!([{"n": 1, "s": "7.000000"}]));
    let text = format!("{}{}", answer.stdout, answer.stderr);
    assert!(text.contains("1 transaction is in two responses with different contents"), "{text}");
}

#[test]
fn a_row_that_moves_to_the_next_page_is_nothing_odd() {
    let row = |id: &str| part(id, 5.0, "open", None);
    let (answer, doubts, transactions) =
        two_pages(json!([row("AM0"), row("AM1")]), json!([row("AM1"), part("AM2", 1.0, "open", None)]));
    assert_eq!((answer.code, doubts), (0, json!([])), "{answer:?}");
    assert_eq!(transactions, json!([{"n": 3, "s": "11.000000"}]));
    assert!(!format!("{answer:?}").contains("two responses"), "{answer:?}");
}

/// One of each page, so that no page is odd by itself.
#[test]
fn three_transactions_in_another_unit_are_doubted_though_each_is_on_a_page_of_its_own() {
    let mut files = Vec::new();
    for (at, ids) in [0..100, 100..200, 200..300].into_iter().enumerate() {
        let before = daisycon_page(ids);
        let mut now: Vec<Value> = serde_json::from_slice(&before).unwrap();
        now[0]["parts"][0]["commission"] = json!(0.01);
        files.push((format!("before-{at}"), before));
        files.push((format!("now-{at}"), serde_json::to_vec(&now).unwrap()));
    }
    let rule = |when: &str, at: usize| json!({"query": format!("page={}&", at + 1), "file": format!("{when}-{at}"), "headers": {"content-type": JSON}});
    let step = |when: &str| json!([daisycon_sign_in(), rule(when, 0), rule(when, 1), rule(when, 2), {"status": 204, "headers": {}}]);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, body)| (name.as_str(), body.as_slice())).collect();
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = daisycon(folder.path(), &files, &json!([step("before"), step("now")]));
    assert_eq!(january(&operator, "run", "daisycon", "transaction").code, 0);
    network.set_step(1);
    let answer = january(&operator, "run", "daisycon", "transaction");
    assert_eq!(answer.code, 3, "{answer:?}");
    let doubts = rows(&operator, "SELECT kind k, reason r FROM meta.doubts");
    assert_eq!(doubts[0]["k"], "unit", "{doubts}");
    assert!(doubts[0]["r"].as_str().is_some_and(|reason| reason.starts_with("3 of 300 transactions ")), "{doubts}");
}

/// A page of Webgains' transactions of 8.00 each.
fn webgains_page(ids: std::ops::Range<u64>, last: u64) -> Vec<u8> {
    let row = |at: u64| {
        json!({"id": at.to_string(), "date": 1_767_960_000 + at, "status": 30, "program": {"id": 5, "name": "p"},
            "value": {"amount": "1000000", "currency_code": "GBP"}, "click_reference": "m",
            "commission": {"amount": "80000", "currency_code": "GBP"}})
    };
    let data: Vec<Value> = ids.map(row).collect();
    serde_json::to_vec(&json!({"data": data, "pagination": {"current_page": 1, "last_page": last}})).unwrap()
}

fn webgains(folder: &std::path::Path, first: &[u8], second: &[u8]) -> (Network, Operator) {
    let headers = json!({"content-type": JSON});
    let steps = json!([[
        {"path": "/campaigns$", "headers": headers, "text": "{\"data\":[{\"id\":11}],\"pagination\":{\"last_page\":1}}"},
        {"query": "page=2", "file": "second", "headers": headers},
        {"file": "first", "headers": headers},
    ]]);
    let of = ("webgains", json!({"publisher_id": "123"}), json!({"token": "env:AWIN_TOKEN"}));
    network_of(folder, of, &[("first", first), ("second", second)], &steps)
}

#[test]
fn a_last_page_that_repeats_the_one_before_is_doubted() {
    let (first, second) = (webgains_page(0..10, 2), webgains_page(10..20, 2));
    for (last, code, count) in [(&second, 0, 20), (&first, 3, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let (_network, operator) = webgains(folder.path(), &first, last);
        let command = ["run", "webgains", "--since", "2026-01-09", "--until", "2026-01-10", "--stream", "transactions"];
        let answer = operator.sluice(&command).unwrap();
        assert_eq!(answer.code, code, "{answer:?}");
        assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": count}]), "{answer:?}");
        if code == 3 {
            let doubts = rows(&operator, "SELECT kind k, reason r FROM meta.doubts");
            assert_eq!(doubts[0]["k"], "total");
            assert!(doubts[0]["r"].as_str().unwrap().starts_with("page 2 repeats page 1: "), "{doubts}");
        }
    }
}

/// Pages that come in a circle, as a list does whose pages are counted anew.
#[test]
fn a_page_that_comes_again_after_another_is_doubted() {
    let (first, second) = (daisycon_page(0..12), daisycon_page(12..24));
    let headers = json!({"content-type": JSON});
    let steps = json!([[
        daisycon_sign_in(),
        {"query": "page=1&", "file": "first", "headers": headers},
        {"query": "page=2&", "file": "second", "headers": headers},
        {"query": "page=3&", "file": "first", "headers": headers},
        {"status": 204, "headers": {}},
    ]]);
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = daisycon(folder.path(), &[("first", &first), ("second", &second)], &steps);
    let answer = january(&operator, "run", "daisycon", "transaction");
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "total", "s": "open"}]));
    let text = format!("{}{}", answer.stdout, answer.stderr);
    assert!(text.contains("page 3 repeats page 1"), "{text}");
    let id = rows(&operator, "SELECT doubt_id i FROM meta.doubts")[0]["i"].as_str().unwrap().to_owned();
    operator.succeed(&["doubts", "accept", &id]).unwrap();
    let answer = january(&operator, "run", "daisycon", "transaction");
    assert_eq!(answer.code, 0, "it is usual now: {answer:?}");
    let text = format!("{}{}", answer.stdout, answer.stderr);
    assert!(text.contains("page 3 repeats page 1"), "it is reported all the same: {text}");
}

/// Ten records in an answer of 2Performant, ClickBank and ValueCommerce.
fn ten(record: impl Fn(u64) -> Value) -> Vec<Value> {
    (0..10).map(record).collect()
}

fn performant() -> Value {
    let commissions = ten(|at| {
        json!({"id": at, "amount": "8.0", "currency": "RON", "status": "pending", "actiontype": "sale",
            "created_at": "2026-01-10T10:00:00Z", "updated_at": "2026-01-10T10:00:00Z", "stats_tags": "m", "program_id": 3,
            "public_action_data": {"amount": 100.0, "created_at": "2026-01-10T10:00:00Z"}})
    });
    json!({"commissions": commissions, "metadata": {"pagination": {"pages": 2, "current_page": 1}}})
}

fn clickbank() -> Value {
    let orders = ten(|at| {
        json!({"receipt": format!("R{at}"), "transactionTime": "2026-01-10T10:00:00-08:00", "transactionType": "SALE",
            "vendor": "v", "affiliate": "me", "role": "AFFILIATE", "trackingId": "m", "currency": "USD",
            "totalOrderAmount": "100.00", "country": "US",
            "lineItemData": {"itemNo": "1", "accountAmount": "8.00", "role": "AFFILIATE"}})
    });
    json!({"orderData": orders})
}

fn value_commerce(next: &str) -> Value {
    let sales = ten(|at| {
        json!({"transactionOid": at.to_string(), "programOid": "5", "programName": "p", "approvalStatus": "p",
            "clickDate": "2026-01-09 10:00:00", "orderDate": "2026-01-10 10:00:00", "orderId": format!("o{at}"),
            "itemPriceTotal": "1000", "affilPayment": "80", "vcptn": "m"})
    });
    json!({"resultSet": {"responseInfo": {"numberOfResult": 20, "nextOffset": next}, "rowData": sales}})
}

/// Each asks for a second page, by its own rule, and gets the first one again as the last.
#[test]
fn no_network_takes_a_page_again_for_its_last() {
    let headers = json!({"content-type": JSON});
    let sign_in = json!({"path": "sign_in", "text": "{\"user\":{\"id\":1}}", "headers": {"content-type": JSON,
        "access-token": "abcdefgh12345678", "client": "ccccccc1234", "uid": "u@example.org"}});
    let token = json!({"path": "token", "headers": headers,
        "text": "{\"resultSet\":{\"rowData\":{\"bearer_token\":\"abcdefgh12345678\"}}}"});
    let secrets = |names: [&str; 2]| json!({(names[0]): "env:AWIN_TOKEN", (names[1]): "env:CJ_TOKEN"});
    let once = |status: u64| json!({"file": "page", "status": status, "headers": headers, "times": 1});
    let login = secrets(["email", "password"]);
    let client = secrets(["client_key", "client_secret"]);
    let key = json!({"api_key": "env:AWIN_TOKEN"});
    let cases = [
        ("2performant", login, [performant(), performant()], json!([sign_in, once(200)])),
        ("clickbank", key, [clickbank(), clickbank()], json!([once(206)])),
        ("value-commerce", client, [value_commerce("10"), value_commerce("")], json!([token, once(200)])),
    ];
    for (name, secrets, pages, mut step) in cases {
        step.as_array_mut().unwrap().push(json!({"file": "last", "headers": headers}));
        let [first, last] = pages.map(|page| serde_json::to_vec(&page).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 2] = [("page", &first), ("last", &last)];
        let (_network, operator) = network_of(folder.path(), (name, json!({}), secrets), &files, &json!([step]));
        let command = ["run", name, "--since", "2026-01-10", "--until", "2026-01-11", "--axis", "transaction"];
        let run = operator.sluice(&command).unwrap();
        assert!(matches!(run.code, 1 | 3), "{name}: {run:?}");
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(text.contains("no paging takes place") || text.contains("repeats page"), "{name}: {text}");
    }
}

/// Rakuten's pages are followed until one is empty, and each is compared only with the one before it.
#[test]
fn pages_of_rakuten_that_come_in_a_circle_are_doubted() {
    let text = std::fs::read(cases_dir().join("08-rakuten-realtime-and-batch/page.json")).unwrap();
    let base: Value = serde_json::from_slice(&text).unwrap();
    let row = |at: usize| {
        let mut row = base[0].clone();
        (row["etransaction_id"], row["order_id"]) = (json!(format!("{at:032x}")), json!(format!("O-{at}")));
        (row["commissions"], row["u1"]) = (json!(1.0), json!(format!("m-{at}")));
        row
    };
    let page = |ids: std::ops::Range<usize>| serde_json::to_vec(&ids.map(row).collect::<Vec<_>>()).unwrap();
    let (first, second) = (page(0..5), page(5..10));
    let headers = json!({"content-type": JSON});
    let steps = json!([[
        {"path": "^/token$", "headers": headers,
            "text": "{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":3600}"},
        {"query": "page=1$", "file": "first", "headers": headers},
        {"query": "page=2$", "file": "second", "headers": headers},
        {"query": "page=3$", "file": "first", "headers": headers},
        {"text": "[]", "headers": headers},
    ]]);
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = network(folder.path(), "rakuten", &[("first", &first), ("second", &second)], &steps);
    let command = ["run", "rakuten", "--since", "2026-01-01", "--until", "2026-01-15", "--axis", "modified"];
    let answer = operator.sluice(&command).unwrap();
    assert_eq!(answer.code, 3, "{answer:?}");
    let doubts = rows(&operator, "SELECT kind k, reason r FROM meta.doubts");
    assert!(doubts[0]["r"].as_str().is_some_and(|reason| reason.starts_with("page 3 repeats page 1")), "{doubts}");
}
