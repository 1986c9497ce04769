//! What operators see of a running service besides its tables: log lines, use, the end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};
use sluice_simulator::{FaultPlan, Options, Simulator};
use sluice_tests::{Api, Background, HostileServer, Operator, response, runtime, whole_window};

const START: &str = "2025-11-10T12:00:00Z";

#[test]
fn a_log_line_names_its_run_slice_account_and_request() {
    let runtime = runtime();
    let faults = FaultPlan::all(0.5, 2);
    let start = START.parse().unwrap();
    let options = Options { start, history_days: 10, rows_per_day: 2, faults, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let [since, until] = whole_window(&simulator, start, 10);
    let mut command = operator.command(&["--output", "json", "run", "awin", "--since", &since, "--until", &until]);
    command.env("SLUICE_LOG", "sluice_runtime=debug").env("SLUICE_LOG_FORMAT", "json");
    let ended = Background::start(command).unwrap().end().unwrap();
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let lines: Vec<Value> = ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let retry = lines.iter().find(|line| line["fields"]["message"] == "retry").expect("half of the requests fail once");
    let spans = retry["spans"].as_array().unwrap();
    let field = |span: &str, name: &str| {
        let of = spans.iter().find(|of| of["name"] == span).unwrap_or_else(|| panic!("no span {span}: {retry}"));
        of[name].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(field("run", "run_id"), report[0]["run_id"].as_str().unwrap());
    assert_eq!(field("run", "network"), "awin");
    let account = field("slice", "account");
    assert!(field("slice", "slice").contains(&account), "{retry}");
    let known = format!("SELECT account FROM meta.requests WHERE request_id = '{}'", field("request", "request_id"));
    assert_eq!(operator.sql(&known).unwrap()[0]["account"], account.as_str(), "{retry}");
}

#[test]
#[ignore = "it needs a binary with the feature otlp: just test-otlp"]
fn traces_of_a_run_are_sent_to_the_collector_before_the_process_ends() {
    let runtime = runtime();
    let start = START.parse().unwrap();
    let options = Options { start, history_days: 2, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    let collector = HostileServer::saying(response(200, &[("Content-Type", "application/x-protobuf")], b"")).unwrap();
    operator.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.origin());
    let report = operator.run("awin", &whole_window(&simulator, start, 2)).unwrap();
    let asked = collector.asked();
    assert!(!asked.is_empty(), "nothing was sent");
    assert!(asked.iter().all(|ask| ask.head.starts_with("POST /v1/traces ")), "{:?}", asked[0].head);
    let sent: String = asked.iter().map(|ask| ask.body.as_str()).collect();
    for text in [report["run_id"].as_str().unwrap(), "request_id", "slice", "awin"] {
        assert!(sent.contains(text), "no {text} in {sent:?}");
    }
    assert!(!sent.contains(&simulator.accounts()[0].secrets["token"]), "a secret is in no trace");
}

#[test]
fn use_is_metered_by_account_and_priced_exactly() {
    let mut api = Api::with_settings("[usage]\ncurrency = \"EUR\"\nper_thousand_requests = \"0.10\"\n").unwrap();
    let token = api.token("reader", "read").unwrap();
    // The service reads once at its start.
    api.service.wait_for(&["new versions"]).unwrap();
    let truth = api
        .operator
        .sql(
            "SELECT account, count(*) AS requests, sum(body_bytes) AS bytes FROM meta.requests GROUP BY ALL ORDER BY 1",
        )
        .unwrap();
    let usage = api.get("/v1/usage?since=2020-01-01", &token).unwrap().json().unwrap();
    let accounts = usage["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), truth.len(), "{usage}");
    let mut micros = 0;
    for (line, truth) in accounts.iter().zip(&truth) {
        for field in ["account", "requests", "bytes"] {
            assert_eq!(line[field], truth[field], "{line}");
        }
        assert!(line["stored_bytes"].as_u64().unwrap() > 0 && line["records"].as_u64().unwrap() > 0, "{line}");
        assert!(line["guest_cpu_ms"].as_u64().unwrap() + line["host_cpu_ms"].as_u64().unwrap() > 0, "{line}");
        let cost = line["requests"].as_u64().unwrap() * 100;
        assert_eq!(line["cost"], format!("0.{cost:06}"), "{line}");
        micros += cost;
    }
    assert_eq!((&usage["cost"], &usage["currency"]), (&json!(format!("0.{micros:06}")), &json!("EUR")));
    // A replay asks no account.
    api.operator.succeed(&["replay", "awin", "--apply"]).unwrap();
    let csv = api.operator.succeed(&["usage", "--since", "2020-01-01", "--format", "csv"]).unwrap();
    assert!(csv.starts_with("network,account,requests,bytes,"), "{csv}");
    assert!(csv.contains("awin,alpha,") && csv.contains("awin,,0,0,"), "{csv}");
    let shown = api.operator.succeed(&["usage", "--since", "2020-01-01"]).unwrap();
    assert!(shown.contains("awin alpha: ") && shown.contains(&format!("all: 0.{micros:06} EUR")), "{shown}");
    let empty = api.operator.sluice(&["usage", "--since", "2026-01-01", "--until", "2026-01-01"]).unwrap();
    assert!(empty.code == 2 && empty.stderr.contains("is empty"), "{empty:?}");
    let later = api.operator.succeed(&["usage", "--since", "2020-01-01", "--until", "2020-02-01", "--format", "json"]);
    assert!(later.unwrap().contains("\"accounts\":[]"));
}
