//! Bodies that aren't quite what their format allows: each gives its rows, the odd record is marked, and raw keeps every
//! byte.

use std::path::Path;

use serde_json::{Value, json};
use sluice_tests::Operator;

use crate::course::{cases_dir, laid_out};
use crate::network::Network;

/// A response that is odd, and what must come of it.
struct Oddity {
    name: &'static str,
    network: &'static str,
    content_type: &'static str,
    content_encoding: Option<&'static str>,
    body: Vec<u8>,
    /// How many transactions it has, and their commission.
    rows: (u64, &'static str),
    /// The record that is marked, and how; none if nothing is worth a mark.
    note: Option<(&'static str, &'static str)>,
    /// A value that was read: a query for it, and it.
    value: Option<(&'static str, Value)>,
}

pub(crate) const JSON: &str = "application/json;charset=UTF-8";
pub(crate) const XML: &str = "text/xml; charset=utf-8";

/// Awin's answer with two sales, of which `new` stands in for `old` in the second.
pub(crate) fn awin(old: &str, new: &[u8]) -> Vec<u8> {
    let text = std::fs::read_to_string(cases_dir().join("26-awin-nan-token/answer.json")).unwrap();
    swapped(&text.replace("NaN", "2.5"), old, new)
}

/// TradeTracker's answer with two sales.
pub(crate) fn tradetracker(old: &str, new: &[u8]) -> Vec<u8> {
    let text =
        std::fs::read_to_string(cases_dir().join("30-tradetracker-odd-characters/cdata-and-prefix.xml")).unwrap();
    swapped(&text, old, new)
}

/// ShareASale's answer with 31 sales.
pub(crate) fn shareasale() -> String {
    std::fs::read_to_string(cases_dir().join("03-shareasale-torn-line/whole.txt")).unwrap()
}

fn swapped(text: &str, old: &str, new: &[u8]) -> Vec<u8> {
    let (before, after) = text.split_once(old).unwrap_or_else(|| panic!("no {old}"));
    [before.as_bytes(), new, after.as_bytes()].concat()
}

/// A response of which nothing is worth a mark.
fn unmarked(name: &'static str, network: &'static str, rows: (u64, &'static str), body: Vec<u8>) -> Oddity {
    let content_type = match network {
        "awin" => JSON,
        "tradetracker" => XML,
        _ => "text/plain",
    };
    Oddity { name, network, content_type, content_encoding: None, body, rows, note: None, value: None }
}

impl Oddity {
    /// This record is marked so.
    fn noted(self, record: &'static str, note: &'static str) -> Self {
        Self { note: Some((record, note)), ..self }
    }

    /// This value is read by a query for it.
    fn reads(self, query: &'static str, value: &str) -> Self {
        Self { value: Some((query, value.into())), ..self }
    }
}

fn odd_json() -> Vec<Oddity> {
    let base = |name, body| unmarked(name, "awin", (2, "10.000000"), body);
    let sub_id = "SELECT sub_ids['clickRef'] v FROM unified.transactions WHERE transaction_id = '8102'";
    let order = "SELECT order_id v FROM unified.transactions WHERE transaction_id = '8102'";
    let twice = awin(r#""orderRef": "ORD-8102""#, br#""orderRef": "x", "orderRef": "ORD-8102""#);
    vec![
        base("a lone surrogate", awin("m-8102", br"m-\ud83d"))
            .noted("8102", "clickRefs.clickRef: lone-surrogate")
            .reads(sub_id, "m-\u{fffd}"),
        base("a Latin-1 byte in UTF-8", awin("m-8102", b"Caf\xe9"))
            .noted("8102", "clickRefs.clickRef: charset")
            .reads(sub_id, "Café"),
        base("a NUL", awin("m-8102", b"m-\x008102"))
            .noted("8102", "clickRefs.clickRef: nul")
            .reads(sub_id, "m-\u{fffd}8102"),
        base("NaN", awin("2.5", b"NaN")).noted("8102", "trackedCurrencyAmount.amount: not-a-number"),
        base("a duplicated name", twice).noted("8102", "orderRef: duplicate-name").reads(order, "ORD-8102"),
        base("a byte-order mark", [b"\xef\xbb\xbf", &awin("m-8102", b"m")[..]].concat()),
        Oddity { content_encoding: Some("gzip"), ..base("an encoding in name only", awin("m-8102", b"m-8102")) },
    ]
}

fn odd_xml() -> Vec<Oddity> {
    let base = |name, body| unmarked(name, "tradetracker", (2, "3.000000"), body);
    let reference = "SELECT sub_ids['reference'] v FROM unified.transactions WHERE transaction_id = '8902'";
    let campaign = "SELECT DISTINCT advertiser_name v FROM unified.transactions";
    let refs = std::fs::read_to_string(cases_dir().join("19-tradetracker-multi-reference/refs.xml")).unwrap();
    let (before, after) = refs.rsplit_once("#ref1").unwrap();
    vec![
        base("a control character in XML", tradetracker("<![CDATA[a<b&c]]>", b"a\x01b"))
            .noted("8902", "reference: control")
            .reads(reference, "a\u{1}b"),
        base("undeclared entities", tradetracker("<![CDATA[a<b&c]]>", b"a&nbsp;b&nosuch;"))
            .noted("8902", "reference: entity")
            .reads(reference, "a\u{a0}b&nosuch;"),
        Oddity {
            rows: (3, "10.000000"),
            ..base("a SOAP reference to nothing", [before, "#ref9", after].concat().into_bytes())
        }
        .noted("8003", "campaign: reference"),
        Oddity { rows: (3, "10.000000"), ..base("SOAP references", refs.into_bytes()) }.reads(campaign, "Fietswinkel"),
        base("a byte-order mark before XML", [b"\xef\xbb\xbf", &tradetracker("Order", b"Order")[..]].concat()),
    ]
}

fn odd_text() -> Vec<Oddity> {
    let marked = [b"\xef\xbb\xbf", shareasale().as_bytes()].concat();
    vec![unmarked("a byte-order mark before a header", "shareasale", (31, "150.000000"), marked)]
}

/// A network of one response, and its operator. `answers` are the steps of its state, each a list of rules.
pub(crate) fn network(folder: &Path, network: &str, files: &[(&str, &[u8])], steps: &Value) -> (Network, Operator) {
    std::fs::write(folder.join("NETWORK"), network).unwrap();
    for (name, body) in files {
        std::fs::write(folder.join(name), body).unwrap();
    }
    std::fs::write(folder.join("script.json"), json!({"steps": steps}).to_string()).unwrap();
    laid_out(folder.to_str().unwrap())
}

/// TradeTracker's sign-in.
pub(crate) fn sign_in() -> Value {
    let body = "<E:Envelope xmlns:E=\"http://schemas.xmlsoap.org/soap/envelope/\"><E:Body><authenticateResponse/></E:Body></E:Envelope>";
    let headers = json!({"content-type": XML, "set-cookie": "PHPSESSID=s1; path=/"});
    json!({"body": "tns:authenticate", "headers": headers, "text": body})
}

/// Collects January; gives what the command printed.
pub(crate) fn collect(operator: &Operator, network: &str) -> sluice_tests::Answer {
    let mut command = vec!["run", network, "--since", "2026-01-01", "--until", "2026-02-01"];
    if network != "shareasale" {
        command.extend(["--axis", "transaction"]);
    }
    operator.sluice(&command).unwrap()
}

pub(crate) fn rows(operator: &Operator, query: &str) -> Value {
    Value::from(operator.sql(query).unwrap())
}

pub(crate) const TOTAL: &str =
    "SELECT count(*) n, CAST(sum(commission_effective) AS VARCHAR) s FROM unified.transactions";

#[test]
fn an_odd_response_gives_its_rows_and_marks_what_is_odd() {
    for oddity in odd_json().into_iter().chain(odd_xml()).chain(odd_text()) {
        let Oddity { name, network: slug, content_type, content_encoding, body, rows: (count, sum), note, value } =
            oddity;
        let mut headers = json!({"content-type": content_type});
        if let Some(encoding) = content_encoding {
            headers["content-encoding"] = encoding.into();
        }
        let folder = tempfile::tempdir().unwrap();
        let steps = json!([[sign_in(), {"file": "body", "headers": headers}]]);
        let (_network, operator) = network(folder.path(), slug, &[("body", &body)], &steps);
        let answer = collect(&operator, slug);
        assert_eq!(answer.code, 0, "{name}: {answer:?}");
        assert_eq!(rows(&operator, TOTAL), json!([{"n": count, "s": sum}]), "{name}");
        if let Some((query, value)) = value {
            assert_eq!(rows(&operator, query), json!([{"v": value}]), "{name}");
        }
        let id = if slug == "shareasale" { "trans_id" } else { "id" };
        let marked = format!(
            "SELECT CAST({id} AS VARCHAR) t, _decode_notes n FROM {slug}.transactions WHERE _decode_notes IS NOT NULL"
        );
        let wanted: Vec<Value> = note.iter().map(|(id, note)| json!({"t": id, "n": note})).collect();
        assert_eq!(rows(&operator, &marked), json!(wanted), "{name}");
        assert_eq!(answer.stdout.contains("odd, and read all the same"), note.is_some(), "{name}: {answer:?}");
        let counted = rows(&operator, "SELECT decode_notes > 0 v FROM meta.runs");
        assert_eq!(counted, json!([{"v": note.is_some()}]), "{name}");
        let objects = rows(&operator, &format!("SELECT DISTINCT _raw_object r FROM {slug}.transactions"));
        let kept = operator.command(&["raw", objects[0]["r"].as_str().unwrap(), "--body"]).output().unwrap();
        assert!(kept.stdout == body, "{name}: raw differs");
        // From raw alone it is the same: a build decodes as a run does.
        std::fs::remove_dir_all(operator.join("lake/tables")).unwrap();
        operator.succeed(&["build", slug]).unwrap();
        assert_eq!(rows(&operator, TOTAL), json!([{"n": count, "s": sum}]), "{name}, built from raw");
        assert_eq!(rows(&operator, &marked), json!(wanted), "{name}, built from raw");
    }
}

#[test]
fn a_torn_row_is_shown_by_its_line() {
    let torn = std::fs::read(cases_dir().join("03-shareasale-torn-line/torn.txt")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let steps = json!([[{"file": "torn", "headers": {"content-type": "text/plain"}}]]);
    let (_network, operator) = network(folder.path(), "shareasale", &[("torn", &torn)], &steps);
    collect(&operator, "shareasale");
    let rejects = rows(
        &operator,
        "SELECT raw_object r, record_index i, reason FROM meta.rejects WHERE reason LIKE '%fewer fields%' ORDER BY 2",
    );
    assert_eq!(rejects.as_array().unwrap().len(), 2, "{rejects}");
    assert_eq!(rejects[0]["reason"], "line 32 has fewer fields than the header: 7 instead of 26");
    let record = rejects[0]["i"].to_string();
    let shown = operator.succeed(&["raw", rejects[0]["r"].as_str().unwrap(), "--record", &record]).unwrap();
    assert!(shown.contains("line 32: 9100031|") && shown.contains("Left at door"), "{shown}");
}
