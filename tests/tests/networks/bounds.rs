//! What a connector and its network make of small answers: the process's memory and the lake's disk stay bounded.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};
use sluice_guests::{Guest, follows_with_nuls};
use sluice_tests::{HostileServer, Operator, repository, response};

use super::run;

const SIGKILL: i32 = 9;
/// Most memory of a run with `memory_mb = 16`; a debug build takes 150 MiB for nothing.
const MAX_PEAK_KIB: u64 = 256 << 10;
/// Bytes of the body of each request: in JSON six times as many, and a debug build reads 2 MB of it in a second.
const BODY_BYTES: usize = 1 << 20;
/// Most bytes of its envelopes: a fraction of one body.
const MAX_ENVELOPE_BYTES: u64 = 256 << 10;

fn operator(network: &str, guest: &Guest, server: &HostileServer, settings: &str) -> Operator {
    let operator = Operator::empty().unwrap();
    let account = json!({"name": "main", "settings": {}, "secrets": {}});
    operator.write_network(network, &server.origin(), vec![account]).unwrap();
    operator.put_connector(&format!("{network}.wasm"), &guest.component().unwrap()).unwrap();
    let sections = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    operator.write("sluice.toml", &format!("{sections}{settings}")).unwrap();
    operator
}

fn envelope_bytes(operator: &Operator) -> u64 {
    let runs = std::fs::read_dir(operator.join("lake/raw/envelopes")).into_iter().flatten().flatten();
    let files = runs.flat_map(|run| std::fs::read_dir(run.path()).unwrap().flatten());
    files.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn answers_that_lead_to_large_requests_take_little_memory_and_disk() {
    let page = json!({"data": [{"id": "1"}]}).to_string();
    let server = HostileServer::start(move |ask, stream| {
        use std::io::Write as _;
        let body = format!("{}{}", page, " ".repeat(ask.number));
        stream.write_all(&response(200, &[super::JSON], body.as_bytes()))
    })
    .unwrap();
    let limits = "[limits]\nmemory_mb = 16\nrequests_per_slice = 4\n";
    let operator = operator("libraries", &follows_with_nuls("libraries", BODY_BYTES), &server, limits);
    // Interrupted in the middle first: what is kept is read again.
    let arguments = ["run", "libraries", "--since", "2026-01-01", "--until", "2026-01-02"];
    let mut child = operator.command(&arguments).env("SLUICE_STOP_AT", "outcome-kept:2").spawn().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
    let outcome = run(&operator, "libraries");
    assert!(outcome.errors.contains("more than 4 requests for one slice"), "{outcome:?}");
    assert!(outcome.peak_kib < MAX_PEAK_KIB, "{} MiB", outcome.peak_kib >> 10);
    assert!(envelope_bytes(&operator) < MAX_ENVELOPE_BYTES, "{}", envelope_bytes(&operator));
    let large = server.asked().iter().filter(|ask| ask.body.len() == BODY_BYTES).count();
    assert_eq!((large, server.asked().len()), (3, 4), "what is kept isn't asked for again");
}

/// Slices of a second each.
fn seconds(manifest: &Value) -> Guest {
    Guest::new("seconds", &json!({"stream": {"max-window-secs": 1}, "manifest": manifest}))
}

#[test]
fn a_hundred_doubtful_slices_are_a_few_lines_of_the_log() {
    let server = HostileServer::saying(response(200, &[super::JSON], br#"{"data":[{"id":"1"},{"id":"#)).unwrap();
    let operator = operator("seconds", &seconds(&json!({})), &server, "[fetch]\nmax_attempts = 1\n");
    let window = ["--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T00:01:40Z"];
    let answer = operator.sluice(&[&["--output", "json", "run", "seconds"][..], &window].concat()).unwrap();
    let doubts = operator.sql("SELECT count(*) AS n, max(length(reason)) <= 1030 AS short FROM meta.doubts").unwrap();
    assert_eq!(doubts[0], json!({"n": 100, "short": true}), "{answer:?}");
    let lines = |words: &str| answer.stderr.lines().filter(|line| line.contains(words)).count();
    assert_eq!((lines("doubtful: "), lines("further doubtful slices")), (20, 1), "{answer:?}");
    assert!(answer.stderr.lines().count() < 30, "{}", answer.stderr);
}

#[test]
fn a_run_of_which_all_is_doubtful_ends_after_a_thousand_slices() {
    let server = HostileServer::saying(response(200, &[super::JSON], br#"{"data":[{"id":"1"},{"id":"#)).unwrap();
    let operator = operator("seconds", &seconds(&json!({})), &server, "[fetch]\nmax_attempts = 1\n");
    let outcome = super::run_window(&operator, "seconds", ["2026-01-01T00:00:00Z", "2026-01-01T00:17:30Z"]);
    let words = "1000 slices of this run are doubtful, so no further one is read";
    assert!(outcome.errors.contains(words), "{outcome:?}");
    let doubts = operator.sql("SELECT count(*) AS n FROM meta.doubts").unwrap();
    // Those that were being read are judged.
    let count = doubts[0]["n"].as_u64().unwrap();
    assert!((1_000..1_032).contains(&count), "{count}");
    assert_eq!(server.asked().len() as u64, count, "nothing is asked for the others");
}

/// The same that says what it does.
fn seconds_that(behaviour: Value) -> Guest {
    let mut description = behaviour;
    description["stream"] = json!({"max-window-secs": 1});
    Guest::new("seconds", &description)
}

#[test]
fn cursors_of_all_slices_are_bounded() {
    let server = HostileServer::saying(response(200, &[super::JSON], br#"{"data":[{"id":"1"}]}"#)).unwrap();
    let cursor = json!({"ok": {"verdict": "done", "cursor": "x".repeat(60_000)}});
    let operator = operator("seconds", &seconds_that(json!({"follow": cursor})), &server, "");
    // Of 279 there is room.
    let few = super::run_window(&operator, "seconds", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:20Z"]);
    assert_eq!(few.code, 0, "{few:?}");
    let many = super::run_window(&operator, "seconds", ["2026-01-01T01:00:00Z", "2026-01-01T01:05:00Z"]);
    assert_eq!(many.code, 1, "{many:?}");
    assert!(many.errors.contains("the cursors of this run's slices would have more than 16777216 bytes"), "{many:?}");
    let read = operator.sql("SELECT count(*) AS n FROM meta.coverage WHERE complete").unwrap();
    assert_eq!(read[0]["n"], 20 + 279, "{many:?}");
}

#[test]
fn what_a_guest_names_is_no_longer_in_errors_than_people_read() {
    let server = HostileServer::saying(response(200, &[super::JSON], br#"{"data":[{"id":"1"}]}"#)).unwrap();
    let long = "a.".repeat(1 << 14);
    let plan = |url: &str, headers: Value, body: Value| {
        let request =
            json!({"key": "1", "url": [{"text": url}], "headers": headers, "body": body, "yields-records": true});
        seconds_that(json!({"plan": {"ok": [request]}}))
    };
    let url = "https://api.example.com/sales";
    for (guest, words) in [
        (plan(&format!("https://{long}example.com/"), json!([]), Value::Null), "its host is longer than a host may be"),
        (plan(url, json!([[long, [{"text": "x"}]]]), Value::Null), "a header's name has more than 256 bytes"),
        (plan(url, json!([]), json!([{"now": "%c".repeat(1 << 20)}])), "the pattern of a time has more than 256 bytes"),
    ] {
        let operator = operator("seconds", &guest, &server, "[limits]\nmemory_mb = 16\n");
        let outcome = super::run_window(&operator, "seconds", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.errors.contains(words), "{words}: {}", &outcome.errors[..outcome.errors.len().min(1_000)]);
        assert!(outcome.errors.len() + outcome.stderr.len() < 50_000, "{} bytes", outcome.errors.len());
        assert!(outcome.peak_kib < MAX_PEAK_KIB, "{} MiB", outcome.peak_kib >> 10);
    }
    assert!(server.asked().is_empty());
}

#[test]
fn settings_of_all_slices_are_bounded_before_a_slice_is_made() {
    let server = HostileServer::saying(response(200, &[super::JSON], b"{}")).unwrap();
    let settings: Vec<Value> = (0..15)
        .map(|n| json!({"name": format!("s{n}"), "meaning": "m", "required": false, "default": "x".repeat(4_000)}))
        .collect();
    let operator = operator("seconds", &seconds(&json!({"settings": settings})), &server, "");
    let plan = |until: &str| operator.sluice(&["plan", "seconds", "--since", "2026-01-01T00:00:00Z", "--until", until]);
    assert_eq!(plan("2026-01-01T00:01:00Z").unwrap().code, 0);
    let refused = plan("2026-01-01T02:00:00Z").unwrap();
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.stderr.contains("more than 33554432 bytes of settings: account `main`"), "{refused:?}");
}

#[test]
fn the_largest_plan_that_the_limit_allows_takes_little_memory() {
    let server = HostileServer::saying(response(200, &[super::JSON], b"{}")).unwrap();
    // An account that can't be read, so that its slices are made and nothing is asked.
    let slot = json!({"secrets": [{"name": "key", "meaning": "A key.", "required": true}]});
    let operator = operator("seconds", &seconds(&slot), &server, "");
    let account = json!({"name": "main", "settings": {}, "secrets": {"key": "env:NOT_SET"}});
    operator.write_network("seconds", &server.origin(), vec![account]).unwrap();
    let peak = |until: &str| {
        let window = ["--since", "2026-01-01T00:00:00Z", "--until", until];
        let (answer, peak_kib) = super::measured(&operator, &[&["run", "seconds"][..], &window].concat());
        assert!(answer.contains("NOT_SET"), "{answer}");
        peak_kib
    };
    let (one, most) = (peak("2026-01-01T00:00:01Z"), peak("2026-01-02T03:30:00Z"));
    assert!(most < one + (128 << 10), "a hundred thousand slices take {} MiB", (most - one) >> 10);
    assert!(server.asked().is_empty());
}

/// A sale as Awin gives it.
fn sale(id: usize, date: &str) -> Value {
    let body = std::fs::read(repository().join("connectors/awin/fixtures/normal/body")).unwrap();
    let mut sale = serde_json::from_slice::<Vec<Value>>(&body).unwrap().remove(0);
    (sale["id"], sale["transactionDate"]) = (json!(1_000 + id), json!(date));
    sale
}

/// Sales of Awin, one in each of these months after 1900.
fn sales_of_months(months: impl Iterator<Item = u32>) -> HostileServer {
    let date = |month: u32| format!("{}-{:02}-10T10:00:00", 1900 + month / 12, month % 12 + 1);
    let sales: Vec<Value> = months.enumerate().map(|(id, month)| sale(id, &date(month))).collect();
    super::saying(&[super::JSON], Value::from(sales).to_string().as_bytes())
}

#[test]
fn a_row_in_every_month_of_three_centuries_makes_no_file_for_each() {
    let operator = super::operator("awin", &sales_of_months(0..3_600), "[fetch]\nmax_attempts = 1\n");
    let outcome = run(&operator, "awin");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.errors.contains("facts in more than 600 months"), "{outcome:?}");
    let rows = operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap();
    assert_eq!(rows[0]["n"], 0, "nothing of such an answer is in the tables");
}

#[test]
fn two_rows_three_centuries_apart_are_read_like_others() {
    let operator = super::operator("awin", &sales_of_months([1, 3_599].into_iter()), "[fetch]\nmax_attempts = 1\n");
    let outcome = run(&operator, "awin");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.stderr.contains("WARN"), "{}", outcome.stderr);
}
