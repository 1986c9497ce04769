//! A response gives the same rows by each way of mapping it: live, resumed, built from raw, on trial, in shadow.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};
use sluice_guests::Guest;
use sluice_model::Step;
use sluice_tests::{HostileServer, Operator, all_tables, differences, noted, response};

const WINDOW: [&str; 6] = ["--since", "2026-01-01", "--until", "2026-02-01", "--axis", "transaction"];

/// A network that answers every request with one body, and what the tables hold of it.
struct Case {
    network: &'static str,
    account: Value,
    content_type: &'static str,
    body: Vec<u8>,
    /// Records, transactions, rejects, unknown status words.
    counts: [u64; 4],
}

fn awin() -> Case {
    let row = |id: u32, status: &str, amount: f64, reference: &str| {
        format!(
            r#"{{"id":{id},"advertiserId":7777,"publisherId":123456,"commissionStatus":"{status}",
                "commissionAmount":{{"amount":{amount},"currency":"GBP"}},
                "saleAmount":{{"amount":100.0,"currency":"GBP"}},"clickRefs":{{"clickRef":"{reference}"}},
                "transactionDate":"2026-01-10T10:00:00","type":"Commission group transaction"}}"#
        )
    };
    let rows = [
        row(1, "pending", 8.0, r"promo-\ud83d"),
        row(2, "mislaid", 8.0, r"a\u0000b"),
        row(3, "pending", 30.0, "twice"),
        row(3, "pending", 12.0, "twice"),
        row(4, "approved", 1.0, "equal"),
        row(4, "approved", 1.0, "equal"),
    ];
    Case {
        network: "awin",
        account: json!({"name": "uk", "settings": {"publisher_id": "123456"}, "secrets": {"token": "env:TOKEN"}}),
        content_type: "application/json",
        body: format!("[{}]", rows.join(",")).into_bytes(),
        counts: [6, 4, 2, 1],
    }
}

fn shareasale() -> Case {
    let header = "TransID|UserID|MerchantID|TransDate|TransAmount|Commission|Comment|Voided|PendingDate|Locked|\
                  AffComment|BannerPage|ReversalDate|ClickDate|ClickTime|BannerId|SKUList|QuantityList|LockDate|PaidDate|\
                  MerchantOrganization|MerchantWebsite|TransType|MerchantDefinedType|ReferenceTrans|StoreID";
    let row = |id: u32, amount: &str, comment: &str| {
        format!(
            "{id}|123456|46483|01/15/2026 09:30:00 AM|50.00|{amount}|{comment}||||nl-7|||01/14/2026|09:00:00 AM|771|\
             POT-1|1|02/20/2026||Kettle Works|www.kettle.example|Sale|||0"
        )
    };
    let rows = [
        header.to_owned(),
        row(1, "5.00", "caf\u{1}"),
        row(2, "5.00", "a\0b"),
        row(3, "30.00", "twice"),
        row(3, "12.00", "twice"),
        "5|123456|46483|01/15/2026 09:30:00 AM|50.00".to_owned(),
    ];
    // One byte of another character set.
    let body = rows.join("\n").bytes().map(|byte| if byte == 1 { 0xe9 } else { byte }).collect();
    Case {
        network: "shareasale",
        account: json!({
            "name": "main", "settings": {"affiliate_id": "123456"},
            "secrets": {"token": "env:TOKEN", "secret_key": "env:TOKEN"},
        }),
        content_type: "text/plain",
        body,
        counts: [5, 2, 3, 0],
    }
}

/// An operator of one network. All that is odd passes its guard.
fn operator(network: &str, account: &Value, server: &HostileServer, component: Option<&[u8]>) -> Operator {
    let mut operator = Operator::empty().unwrap();
    operator.set("TOKEN", "token-of-the-account");
    match component {
        Some(component) => operator.put_connector(&format!("{network}.wasm"), component).unwrap(),
        None => operator.install(network, &format!("{network}.wasm")).unwrap(),
    }
    let file = json!({
        "connector": network, "base_url": server.origin(), "accounts": [account], "max_reject_share": 1.0,
        "rate": {"requests": 1000, "per_secs": 1, "concurrency": 4}, "swap": {"mode": "shadow", "slices": 100},
        "doubt": {"cut": false, "empty": false},
    });
    operator.write(&format!("networks/{network}.json"), &file.to_string()).unwrap();
    operator
}

fn run(operator: &Operator, network: &str) {
    operator.succeed(&[&["run", network], &WINDOW[..]].concat()).unwrap();
}

/// Rows that follow from responses alone.
fn rows(operator: &Operator, network: &str) -> sluice_tests::Tables {
    let mut tables = all_tables(operator).unwrap();
    let native = format!("{network}.transactions");
    tables.retain(|name, _| {
        [&native, "unified.transaction_versions", "unified.transactions", "meta.rejects"].contains(&name.as_str())
    });
    tables
}

/// What a trial and a shadow found: records, transactions, rejects and unknown status words of both versions.
fn compared(operator: &Operator, network: &str) -> [Value; 2] {
    let text = operator.succeed(&["--output", "json", "connectors", "diff", network]).unwrap();
    let diff: Value = serde_json::from_str(&text).unwrap();
    [diff["kept"]["comparison"].clone(), diff["live"].clone()]
}

#[test]
fn odd_responses_give_the_same_rows_by_each_way() {
    for Case { network, account, content_type, body, counts } in [awin(), shareasale()] {
        let server = HostileServer::saying(response(200, &[("content-type", content_type)], &body)).unwrap();
        let live = operator(network, &account, &server, None);
        let resumed = live.fork().unwrap();
        run(&live, network);
        let wanted = rows(&live, network);
        let length = |table: &str| wanted[table].len() as u64;
        let found = ["unified.transaction_versions", "meta.rejects"].map(length);
        assert_eq!(found, [counts[1] - u64::from(network == "awin"), counts[2]], "{network}: {wanted:#?}");

        for step in [Step::ResponseKept, Step::OutcomeKept, Step::FilesWritten] {
            let resumed = resumed.fork().unwrap();
            let mut dying = resumed.command(&[&["run", network], &WINDOW[..]].concat());
            let died = dying.env("SLUICE_STOP_AT", step.name()).output().unwrap();
            assert_eq!(died.status.signal(), Some(9), "{died:?}");
            run(&resumed, network);
            let different = differences(&wanted, &rows(&resumed, network));
            assert!(different.is_empty(), "{network}, resumed after {step:?}: {different}");
        }

        let built = live.fork().unwrap();
        std::fs::remove_dir_all(built.join("lake/tables")).unwrap();
        built.succeed(&["build", "--from-raw"]).unwrap();
        let different = differences(&wanted, &rows(&built, network));
        assert!(different.is_empty(), "{network}, built: {different}");

        let component = std::fs::read(sluice_tests::connectors_dir().join(format!("{network}.wasm"))).unwrap();
        live.put_connector(&format!("{network}.wasm"), &noted(&component, 7)).unwrap();
        run(&live, network);
        for (way, comparison) in ["trial", "shadow"].into_iter().zip(compared(&live, network)) {
            for (what, count) in ["records", "transactions", "rejects", "unknown_statuses"].into_iter().zip(counts) {
                let both = json!({"running": count, "candidate": count});
                assert_eq!(comparison[what], both, "{network}, {way}, {what}: {comparison}");
            }
            let differing = ["added", "removed", "changed", "faults"].map(|what| comparison[what].as_u64());
            assert_eq!(differing, [Some(0); 4], "{network}, {way}: {comparison}");
        }
    }
}

/// What a connector takes for an answer though it has no records, as a 404 for an empty window.
#[test]
fn an_answer_without_records_is_one_by_each_way() {
    let answers: [(u16, &[u8]); 2] = [(404, br#"{"error":"no sales"}"#), (200, b"no sales")];
    for (status, body) in answers {
        let server = HostileServer::saying(response(status, &[], body)).unwrap();
        let component = Guest::new("quiet", &json!({})).component().unwrap();
        let live = operator("quiet", &json!({"name": "main"}), &server, Some(&component));
        run(&live, "quiet");
        let none = |operator: &Operator, way: &str| {
            let rejects = operator.sql("SELECT reason FROM meta.rejects").unwrap();
            assert!(rejects.is_empty(), "{status}, {way}: {rejects:?}");
        };
        none(&live, "live");
        let built = live.fork().unwrap();
        built.succeed(&["build", "quiet"]).unwrap();
        built.succeed(&["build", "--from-raw"]).unwrap();
        none(&built, "built");
        live.put_connector("quiet.wasm", &noted(&component, 7)).unwrap();
        run(&live, "quiet");
        let [trial, shadow] = compared(&live, "quiet");
        assert_eq!(trial["faults"].as_u64(), Some(0), "{status}: {trial}");
        assert!(shadow.is_null(), "{status}: there is nothing to compare: {shadow}");
    }
}

/// What breaks its format, or the host's limits, may hold records: a connector that doesn't look at it loses them.
#[test]
fn a_body_that_can_not_be_read_is_no_answer_whatever_the_connector_takes_it_for() {
    let wide: Vec<String> = (0..12_000).map(|n| format!("\"f{n}\":1")).collect();
    let wide = format!("{{\"data\":[{{{}}}]}}", wide.join(","));
    for (body, problem) in
        [(br#"{"data":[{"id":"1"},{"id":x}]}"#.as_slice(), "bad JSON"), (wide.as_bytes(), "body has more than")]
    {
        let server = HostileServer::saying(response(200, &[("content-type", "application/json")], body)).unwrap();
        let component = Guest::new("quiet", &json!({})).component().unwrap();
        let operator = operator("quiet", &json!({"name": "main"}), &server, Some(&component));
        let answer = operator.sluice(&[&["run", "quiet"], &WINDOW[..]].concat()).unwrap();
        assert!(answer.code != 0 && answer.stderr.contains(problem), "{answer:?}");
        let covered = operator.sql("SELECT complete FROM meta.coverage").unwrap();
        assert_eq!(covered, [json!({"complete": false})], "{problem}");
    }
}

/// A body that only the operator's limits allow is shown as it was mapped.
#[test]
fn a_kept_response_is_shown_within_the_limits_of_the_settings() {
    let body = [br#"{"data":[{"id":"1"}]}"#.as_slice(), &vec![b' '; 6 << 20]].concat();
    let packed = zstd::bulk::compress(&body, 1).unwrap();
    let server = HostileServer::saying(response(200, &[("content-encoding", "zstd")], &packed)).unwrap();
    let component = Guest::new("quiet", &json!({})).component().unwrap();
    let operator = operator("quiet", &json!({"name": "main"}), &server, Some(&component));
    let settings = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    operator.write("sluice.toml", &format!("{settings}\n[fetch]\nmax_ratio = 1000000\n")).unwrap();
    run(&operator, "quiet");
    let digest = operator.sql("SELECT raw_object FROM raw.objects").unwrap().remove(0);
    let shown = operator.succeed(&["raw", digest["raw_object"].as_str().unwrap(), "--record", "0"]).unwrap();
    assert!(shown.contains("id: 1"), "{shown}");
}
