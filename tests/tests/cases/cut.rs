//! Bodies that are cut: they are asked for once more, and if they come so again, their slice is doubtful.

use serde_json::{Value, json};
use sluice_tests::{Answer, Operator};

use crate::held::january;
use crate::network::Network;
use crate::oddities::{JSON, TOTAL, XML, awin, collect, network, rows, shareasale, sign_in, tradetracker};
use crate::pages::network_of;

/// The doubts and their states.
const DOUBTS: &str = "SELECT kind k, state s FROM meta.doubts";

#[test]
fn a_text_that_is_cut_once_is_asked_for_again() {
    let whole = shareasale();
    let cut = &whole[..whole.len() - 60];
    let folder = tempfile::tempdir().unwrap();
    let headers = json!({"content-type": "text/plain"});
    let steps = json!([[{"file": "cut", "headers": headers, "times": 1}, {"file": "whole", "headers": headers}]]);
    let files = [("cut", cut.as_bytes()), ("whole", whole.as_bytes())];
    let (network, operator) = network(folder.path(), "shareasale", &files, &steps);
    let answer = collect(&operator, "shareasale");
    assert_eq!((answer.code, network.asked().len()), (0, 2), "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 31, "s": "150.000000"}]));
    assert_eq!(rows(&operator, "SELECT count(*) n FROM meta.rejects"), json!([{"n": 0}]));
    assert_eq!(
        rows(&operator, "SELECT attempt a, outcome o FROM meta.requests ORDER BY 1"),
        json!([{"a": 1, "o": "retried"}, {"a": 2, "o": "answered"}])
    );
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 31, "s": "150.000000"}]), "what was cut isn't built from");
}

#[test]
fn a_text_that_is_cut_again_is_doubtful() {
    let whole = shareasale();
    let cut = &whole[..whole.len() - 60];
    let folder = tempfile::tempdir().unwrap();
    let headers = json!({"content-type": "text/plain"});
    let steps = json!([[{"file": "cut", "headers": headers}], [{"file": "whole", "headers": headers}]]);
    let files = [("cut", cut.as_bytes()), ("whole", whole.as_bytes())];
    let (network, operator) = network(folder.path(), "shareasale", &files, &steps);
    let answer = collect(&operator, "shareasale");
    assert_eq!(network.asked().len(), 2, "asked again once");
    assert!(answer.code != 0 && answer.stderr.contains("cut off"), "{answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "open"}]));
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
    network.set_step(1);
    assert_eq!(collect(&operator, "shareasale").code, 0);
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 31, "s": "150.000000"}]));
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "superseded"}]));
}

const EBAY_HEADER: &str = "EpnTransactionId,EventDate,UpdateDate,Status,DeltaSales,DeltaEarnings,CustomId,Quantity\n";

/// eBay's answer with so many sales of 5.00.
fn ebay(count: usize) -> String {
    let row = |at: usize| {
        format!("500{at},2026-01-05T10:30:00-0700,2026-01-05T11:00:00-0700,Approved,100.00,5.00,\"member, {at}\",1\n")
    };
    EBAY_HEADER.to_owned() + &(0..count).map(row).collect::<String>()
}

fn ebay_network(folder: &std::path::Path, files: &[(&str, &[u8])], steps: &Value) -> (Network, Operator) {
    let account = json!({"account_sid": "sid1", "currency": "USD"});
    network_of(folder, ("ebay", account, json!({"token": "env:AWIN_TOKEN"})), files, steps)
}

#[test]
fn a_text_that_never_ends_in_a_line_end_is_asked_for_twice_and_then_known() {
    let whole = shareasale();
    let folder = tempfile::tempdir().unwrap();
    let steps = json!([[{"file": "open", "headers": {"content-type": "text/plain"}}]]);
    let (network, operator) = network(folder.path(), "shareasale", &[("open", whole.trim_end().as_bytes())], &steps);
    assert_eq!(collect(&operator, "shareasale").code, 0);
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 31, "s": "150.000000"}]));
    assert_eq!(network.asked().len(), 2);
    assert_eq!(collect(&operator, "shareasale").code, 0);
    assert_eq!(network.asked().len(), 3, "it is known by now");
}

/// Two windows whose texts both end within a row.
#[test]
fn a_text_with_quotes_that_is_cut_within_its_last_row_is_doubtful() {
    let body = ebay(3);
    let folder = tempfile::tempdir().unwrap();
    let steps = json!([[{"query": "Page=1&", "file": "cut", "headers": {"content-type": "text/csv"}},
        {"text": EBAY_HEADER, "headers": {"content-type": "text/csv"}}]]);
    let (_network, operator) = ebay_network(folder.path(), &[("cut", &body.as_bytes()[..body.len() - 9])], &steps);
    let answer = january(&operator, "run", "ebay", "transaction");
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "open"}, {"k": "cut", "s": "open"}]));
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
}

/// A network's answer, and what it gives.
struct Whole {
    network: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    total: Value,
    /// Requests before the answer.
    sign_ins: usize,
}

/// Documents, which say themselves where they end.
fn documents() -> [Whole; 2] {
    [
        Whole {
            network: "awin",
            content_type: JSON,
            body: awin("m-8102", b"m"),
            total: json!([{"n": 2, "s": "10.000000"}]),
            sign_ins: 0,
        },
        Whole {
            network: "tradetracker",
            content_type: XML,
            body: tradetracker("Order", b"Order"),
            total: json!([{"n": 2, "s": "3.000000"}]),
            sign_ins: 1,
        },
    ]
}

/// Its network: steps in which the answer is cut, or not, so often.
fn cutting(whole: &Whole, steps: &[&[(&str, Option<u64>)]]) -> (tempfile::TempDir, Network, Operator) {
    let headers = json!({"content-type": whole.content_type});
    let rule = |(file, times): &(&str, Option<u64>)| json!({"file": file, "headers": headers, "times": times});
    let steps = steps.iter().map(|rules| {
        let rules = rules.iter().map(rule);
        Value::from([sign_in()].into_iter().filter(|_| whole.sign_ins > 0).chain(rules).collect::<Vec<_>>())
    });
    let cut = &whole.body[..whole.body.len() - 60];
    let folder = tempfile::tempdir().unwrap();
    let files = [("cut", cut), ("whole", &whole.body[..])];
    let (network, operator) = network(folder.path(), whole.network, &files, &steps.collect());
    (folder, network, operator)
}

const CUT: (&str, Option<u64>) = ("cut", None);
const CUT_ONCE: (&str, Option<u64>) = ("cut", Some(1));
const WHOLE: (&str, Option<u64>) = ("whole", None);
const OUTCOMES: &str = "SELECT outcome o FROM meta.requests ORDER BY attempt";

#[test]
fn a_document_that_is_cut_once_is_asked_for_again() {
    for whole in documents() {
        let (_folder, network, operator) = cutting(&whole, &[&[CUT_ONCE, WHOLE]]);
        let answer = collect(&operator, whole.network);
        assert_eq!((answer.code, network.asked().len()), (0, 2 + whole.sign_ins), "{answer:?}");
        assert_eq!(rows(&operator, TOTAL), whole.total);
        assert_eq!(rows(&operator, OUTCOMES), json!([{"o": "retried"}, {"o": "answered"}]));
        assert_eq!(rows(&operator, DOUBTS), json!([]));
    }
}

#[test]
fn a_document_that_is_cut_elsewhere_each_time_is_asked_for_until_it_is_whole() {
    let whole = awin("m-8102", b"m");
    let folder = tempfile::tempdir().unwrap();
    let headers = json!({"content-type": JSON});
    let rule = |file: &str, times: u64| json!({"file": file, "headers": headers, "times": times});
    let steps = json!([[rule("first", 1), rule("second", 1), rule("whole", 1)]]);
    let files = [("first", &whole[..90]), ("second", &whole[..200]), ("whole", &whole[..])];
    let (network, operator) = network(folder.path(), "awin", &files, &steps);
    let answer = collect(&operator, "awin");
    assert_eq!((answer.code, network.asked().len()), (0, 3), "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 2, "s": "10.000000"}]));
}

#[test]
fn a_document_that_is_cut_again_is_doubtful_and_moves_nothing() {
    for whole in documents() {
        let name = whole.network;
        let (_folder, network, operator) = cutting(&whole, &[&[WHOLE], &[CUT], &[WHOLE]]);
        assert_eq!(collect(&operator, name).code, 0);
        let before = network.asked().len();
        network.set_step(1);
        let answer = collect(&operator, name);
        assert_eq!((answer.code, network.asked().len() - before), (3, 2 + whole.sign_ins), "{answer:?}");
        assert_eq!(rows(&operator, TOTAL), whole.total, "nothing of the money moves");
        assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "open"}]));
        let outcomes = rows(&operator, &format!("SELECT o FROM ({OUTCOMES}) WHERE o <> 'answered'"));
        assert_eq!(outcomes, json!([{"o": "retried"}, {"o": "cut"}]), "raw keeps both");
        let id = rows(&operator, "SELECT doubt_id i FROM meta.doubts")[0]["i"].as_str().unwrap().to_owned();
        let shown = operator.succeed(&["doubts", "show", &id]).unwrap();
        assert!(shown.contains("body is cut short at byte"), "{shown}");
        assert!(operator.succeed(&["status"]).unwrap().contains(&format!("doubtful: {id}")));
        let accepted = operator.sluice(&["doubts", "accept", &id]).unwrap();
        assert!(accepted.code != 0 && accepted.stderr.contains("can't be accepted"), "{accepted:?}");
        operator.succeed(&["build", "--from-raw"]).unwrap();
        assert_eq!(rows(&operator, TOTAL), whole.total, "what is cut isn't built from");
        network.set_step(2);
        assert_eq!(collect(&operator, name).code, 0);
        assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "superseded"}]));
        assert_eq!(rows(&operator, TOTAL), whole.total);
    }
}

fn text() -> Whole {
    Whole {
        network: "shareasale",
        content_type: "text/plain",
        body: shareasale().into_bytes(),
        total: json!([{"n": 31, "s": "150.000000"}]),
        sign_ins: 0,
    }
}

/// Collects January without tables.
fn fetch(operator: &Operator, network: &str) -> Answer {
    let mut command = vec!["collect", network, "--since", "2026-01-01", "--until", "2026-02-01"];
    if network != "shareasale" {
        command.extend(["--axis", "transaction"]);
    }
    operator.sluice(&command).unwrap()
}

#[test]
fn a_resumed_run_asks_again_for_a_kept_answer_that_is_cut() {
    for whole in documents().into_iter().chain([text()]) {
        for step in ["response-kept", "outcome-kept"] {
            let (_folder, network, operator) = cutting(&whole, &[&[CUT_ONCE, WHOLE]]);
            let mut run = vec!["run", whole.network, "--since", "2026-01-01", "--until", "2026-02-01"];
            if whole.network != "shareasale" {
                run.extend(["--axis", "transaction"]);
            }
            let killed = operator.command(&run).env("SLUICE_STOP_AT", step).output().unwrap();
            assert!(killed.status.code().is_none(), "{step}: {killed:?}");
            let answer = collect(&operator, whole.network);
            let place = format!("{} {step}", whole.network);
            assert_eq!(answer.code, 0, "{place}: {answer:?}");
            let asked = network.asked().len() - whole.sign_ins * 2;
            assert_eq!(asked, 2, "{place}: once more, at once");
            assert_eq!(rows(&operator, TOTAL), whole.total, "{place}");
            assert_eq!(rows(&operator, DOUBTS), json!([]), "{place}");
        }
    }
}

#[test]
fn a_resumed_run_does_not_ask_a_third_time() {
    for whole in documents().into_iter().chain([text()]) {
        let (_folder, network, operator) = cutting(&whole, &[&[CUT]]);
        let mut run = vec!["run", whole.network, "--since", "2026-01-01", "--until", "2026-02-01"];
        if whole.network != "shareasale" {
            run.extend(["--axis", "transaction"]);
        }
        for step in ["response-kept:2", "slice-read"] {
            let killed = operator.command(&run).env("SLUICE_STOP_AT", step).output().unwrap();
            assert!(killed.status.code().is_none(), "{step}: {killed:?}");
        }
        let asked = network.asked().len();
        let answer = collect(&operator, whole.network);
        assert_eq!((answer.code, network.asked().len()), (3, asked), "{}: {answer:?}", whole.network);
        assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "open"}]));
        assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
    }
}

#[test]
fn collecting_alone_asks_again_for_what_is_cut() {
    for whole in documents().into_iter().chain([text()]) {
        let (_folder, network, operator) = cutting(&whole, &[&[CUT_ONCE, WHOLE]]);
        let answer = fetch(&operator, whole.network);
        assert_eq!((answer.code, network.asked().len()), (0, 2 + whole.sign_ins), "{answer:?}");
        operator.succeed(&["build", whole.network]).unwrap();
        assert_eq!(rows(&operator, TOTAL), whole.total);
    }
}

#[test]
fn collecting_alone_doubts_what_is_cut_again_until_it_comes_whole() {
    for whole in documents().into_iter().chain([text()]) {
        let (_folder, network, operator) = cutting(&whole, &[&[CUT], &[WHOLE]]);
        let answer = fetch(&operator, whole.network);
        assert_eq!((answer.code, network.asked().len()), (3, 2 + whole.sign_ins), "{answer:?}");
        assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "open"}]));
        operator.succeed(&["build", whole.network]).unwrap();
        assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
        network.set_step(1);
        assert_eq!(fetch(&operator, whole.network).code, 0);
        assert_eq!(rows(&operator, DOUBTS), json!([{"k": "cut", "s": "superseded"}]));
        operator.succeed(&["build", whole.network]).unwrap();
        assert_eq!(rows(&operator, TOTAL), whole.total);
    }
}

/// A gateway that ends each body after 40,000 bytes: halves of the window come whole.
#[test]
fn a_large_document_that_is_cut_is_asked_for_in_halves() {
    let whole = awin("m-8102", b"m");
    let large = [" ".repeat(40_000).as_bytes(), &whole].concat();
    let folder = tempfile::tempdir().unwrap();
    let headers = json!({"content-type": JSON});
    let of = |query: &str, file: &str| json!({"query": query, "file": file, "headers": headers});
    let steps = json!([[
        of("startDate=2026-01-01T00:00:00&endDate=2026-02-01T00:00:00", "cut"),
        of("startDate=2026-01-01T00:00:00", "whole"),
        {"text": "[]", "headers": headers},
    ]]);
    let files = [("cut", &large[..40_000 + whole.len() / 2]), ("whole", &whole[..])];
    let (network, operator) = network(folder.path(), "awin", &files, &steps);
    let answer = collect(&operator, "awin");
    assert_eq!((answer.code, network.asked().len()), (0, 4), "{answer:?}");
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 2, "s": "10.000000"}]));
    assert_eq!(rows(&operator, DOUBTS), json!([]));
}
