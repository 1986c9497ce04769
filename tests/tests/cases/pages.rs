//! Lists in pages: where they end, and what two pages of one list report of one transaction.

use serde_json::{Value, json};
use sluice_tests::Operator;

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
