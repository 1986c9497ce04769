//! What a run leaves behind of slices that didn't go well: kinds of errors, traffic, windows in halves, bodies that end
//! the process, and when a response was observed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_guests::Guest;
use sluice_tests::{Answer, HostileServer, Operator, response};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const KILLED: Option<i32> = Some(9);

/// An operator of Awin at `origin` with an account of this publisher.
fn awin(origin: &str, publisher: &str, settings: &str) -> Operator {
    let mut operator = Operator::empty().unwrap();
    operator.set("TOKEN", "s3cret/token+of=awin");
    let account = json!({
        "name": "main", "settings": {"publisher_id": publisher}, "secrets": {"token": "env:TOKEN"},
    });
    operator.write_network("awin", origin, vec![account]).unwrap();
    operator.install("awin", "awin.wasm").unwrap();
    with_settings(operator, settings)
}

/// An operator of a guest at `origin`.
fn guest(name: &str, description: &Value, origin: &str, settings: &str) -> Operator {
    let operator = Operator::empty().unwrap();
    let account = json!({"name": "main", "settings": {}, "secrets": {}});
    operator.write_network(name, origin, vec![account]).unwrap();
    operator.put_connector(&format!("{name}.wasm"), &Guest::new(name, description).component().unwrap()).unwrap();
    with_settings(operator, settings)
}

fn with_settings(operator: Operator, settings: &str) -> Operator {
    let sections = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    operator.write("sluice.toml", &format!("{sections}{settings}")).unwrap();
    operator
}

const SINGLE_ATTEMPT: &str = "[fetch]\nmax_attempts = 1\n";

fn arguments<'a>(network: &'a str, since: &'a str, until: &'a str) -> [&'a str; 8] {
    ["--output", "json", "run", network, "--since", since, "--until", until]
}

/// Runs a network over a window, and gives its report and how the command ended.
fn run(operator: &Operator, network: &str, since: &str, until: &str) -> (Value, Answer) {
    let answer = operator.sluice(&arguments(network, since, until)).unwrap();
    let reports: Value = serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{answer:?}"));
    (reports[0].clone(), answer)
}

/// A server that answers everything with this status and body.
fn saying(status: u16, body: &str) -> HostileServer {
    HostileServer::saying(response(status, &[JSON], body.as_bytes())).unwrap()
}

/// An origin at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The run's kind of error wherever tools read it, and its exit code.
fn kinds(operator: &Operator, network: &str) -> (Vec<String>, i32) {
    let (report, answer) = run(operator, network, "2026-01-01", "2026-01-02");
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{report}\n{answer:?}")).to_owned();
    let stderr: Value = serde_json::from_str(answer.stderr.lines().last().unwrap()).unwrap();
    let mut kinds = vec![text(&report["error_kind"]), text(&report["failures"][0]["kind"]), text(&stderr["kind"])];
    for table in ["meta.runs", "meta.coverage"] {
        let rows = operator.sql(&format!("SELECT error, error_kind FROM {table}")).unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!(!rows[0]["error"].as_str().unwrap().is_empty());
        kinds.push(text(&rows[0]["error_kind"]));
    }
    assert!(report["errors"][0].is_string(), "errors are texts: {report}");
    (kinds, answer.code)
}

#[test]
fn what_failed_keeps_its_kind_to_tables_json_and_exit_code() {
    let trap = json!({"follow": "unreachable"});
    let (malformed, cut) = (r#"[{"id": 1}}"#, r#"[{"id": 1}"#);
    for (kind, code, operator, network) in [
        ("credentials", 1, awin(&saying(403, "{}").origin(), "123456", SINGLE_ATTEMPT), "awin"),
        ("credentials", 1, awin(&saying(401, "{}").origin(), "123456", SINGLE_ATTEMPT), "awin"),
        ("settings", 78, awin(&saying(200, "[]").origin(), "no number", SINGLE_ATTEMPT), "awin"),
        ("quota", 1, awin(&saying(429, "{}").origin(), "123456", SINGLE_ATTEMPT), "awin"),
        ("network", 1, awin(&saying(502, "{}").origin(), "123456", SINGLE_ATTEMPT), "awin"),
        ("network", 1, awin(&nobody(), "123456", SINGLE_ATTEMPT), "awin"),
        ("format", 1, awin(&saying(200, malformed).origin(), "123456", SINGLE_ATTEMPT), "awin"),
        ("doubt", 3, awin(&saying(200, cut).origin(), "123456", SINGLE_ATTEMPT), "awin"),
        ("format", 1, awin(&saying(200, r#"[{"id": 1}]"#).origin(), "123456", SINGLE_ATTEMPT), "awin"),
        ("guest", 1, guest("traps", &trap, &saying(200, "{}").origin(), SINGLE_ATTEMPT), "traps"),
    ] {
        assert_eq!(kinds(&operator, network), (vec![kind.to_owned(); 5], code), "{kind}");
    }
}

#[test]
fn alike_failures_are_printed_once_with_their_number() {
    let operator = awin(&saying(403, "{}").origin(), "123456", SINGLE_ATTEMPT);
    // Awin answers 31 days at most: four slices.
    let answer = operator.sluice(&["run", "awin", "--since", "2026-01-01", "--until", "2026-04-30"]).unwrap();
    let expected = "error: 4 of 4 slices of `awin` failed\n  credentials, 4 times, first: awin/main/transactions/\
        transaction/2026-01-01T00:00:00Z/2026-02-01T00:00:00Z: request `transactions`: the network forbids it (403)\n\
        \x20   the response: sluice raw 6e46dd10defc\n\
        hint: the network refuses the account's secrets: renew them where networks/awin.json says they are, then `sluice \
        run awin`\n";
    assert!(answer.stderr.ends_with(expected), "{}", answer.stderr);
    assert_eq!(answer.code, 1);
}

#[test]
fn a_run_says_why_there_are_new_versions() {
    let fixture = std::fs::read_to_string(sluice_tests::repository().join("connectors/awin/fixtures/normal/body"));
    let row = serde_json::from_str::<Vec<Value>>(&fixture.unwrap()).unwrap().remove(0);
    let sale = |id: u32, change: fn(&mut Value)| {
        let mut row = row.clone();
        row["id"] = id.into();
        change(&mut row);
        row
    };
    let as_it_is = |_: &mut Value| {};
    let before = json!([sale(1, as_it_is), sale(2, as_it_is), sale(3, as_it_is)]);
    let after = json!([
        sale(1, |row| row["commissionStatus"] = "approved".into()),
        sale(2, |row| row["commissionAmount"] = Value::Null),
        sale(3, as_it_is),
        sale(4, as_it_is),
    ]);
    let server = saying(200, &before.to_string());
    let operator = awin(&server.origin(), "123456", SINGLE_ATTEMPT);
    let (first, _) = run(&operator, "awin", "2026-01-10", "2026-01-11");
    assert_eq!((&first["new_versions"], &first["versions"]["first_seen"]), (&json!(3), &json!(3)), "{first}");
    let server = saying(200, &after.to_string());
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    let mut file: Value = serde_json::from_str(&file).unwrap();
    file["base_url"] = server.origin().into();
    operator.write("networks/awin.json", &file.to_string()).unwrap();
    let answer = operator.sluice(&["run", "awin", "--since", "2026-01-10", "--until", "2026-01-11"]).unwrap();
    let output =
        "awin: 1 slice, 1 request, 4 records; 3 new versions (1 first seen, 2 changed), 1 commission became null, ";
    assert!(answer.stdout.starts_with(output), "{answer:?}");
}

/// A guest that reads days in a zone, and finds every window too wide.
fn splits() -> Value {
    json!({
        "stream": {"grain": "day", "timezone": "Europe/Amsterdam"},
        "follow": {"ok": {"verdict": "split"}},
    })
}

#[test]
fn a_network_that_knows_days_is_asked_for_whole_days() {
    let server = saying(200, r#"{"data": []}"#);
    let operator = guest("splits", &splits(), &server.origin(), "");
    // Three days by the clock of Amsterdam.
    let (report, answer) = run(&operator, "splits", "2026-01-09T23:00:00Z", "2026-01-12T23:00:00Z");
    assert_eq!(answer.code, 1);
    let read = operator.sql("SELECT since, until, error, requests FROM meta.coverage ORDER BY since").unwrap();
    let windows: Vec<_> =
        read.iter().map(|row| (row["since"].as_str().unwrap(), row["until"].as_str().unwrap())).collect();
    let days: Vec<String> = (9..=12).map(|day| format!("2026-01-{day:02}T23:00:00Z")).collect();
    let wanted: Vec<_> = days.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    assert_eq!(windows, wanted, "{read:?}");
    for row in &read {
        assert!(row["error"].as_str().unwrap().contains("the network knows no window shorter than a day"), "{row}");
    }
    // Three days, then one and two, then the two by themselves.
    assert_eq!(server.asked().len(), 5);
    let bytes = 5 * r#"{"data": []}"#.len();
    assert_eq!((&report["requests"], &report["bytes"]), (&json!(5), &json!(bytes)), "also of windows that were halved");
    let usage = operator.sql("SELECT requests, bytes FROM meta.usage").unwrap();
    assert_eq!((&usage[0]["requests"], &usage[0]["bytes"]), (&json!(5), &json!(bytes)));
}

/// The value of a parameter of a request's query, percent-decoded as far as times need it.
fn parameter(head: &str, name: &str) -> String {
    let query = head.split([' ', '?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    query.unwrap().replace("%3A", ":")
}

#[test]
fn a_window_that_had_to_be_halved_starts_narrower_the_next_time() {
    let server = HostileServer::start(|ask, stream| {
        let [since, until] = ["startDate", "endDate"]
            .map(|name| format!("{}Z", parameter(&ask.head, name)).parse::<DateTime<Utc>>().unwrap());
        let is_wide = until - since > TimeDelta::days(8);
        let answer = if is_wide { response(504, &[JSON], b"") } else { response(200, &[JSON], b"[]") };
        std::io::Write::write_all(stream, &answer)
    })
    .unwrap();
    let operator = awin(&server.origin(), "123456", "[fetch]\nmax_attempts = 2\nmax_retry_wait_secs = 1\n");
    let asked = |since: &str, until: &str| {
        let before = server.asked().len();
        let (report, _) = run(&operator, "awin", since, until);
        assert_eq!(report["status"], "done", "{report}");
        server.asked().len() - before
    };
    let first = asked("2026-01-01", "2026-01-31");
    assert!(first > 4, "two attempts of wide windows before the four narrow ones: {first}");
    assert_eq!(asked("2026-01-01", "2026-01-31"), 4, "as narrow as they had to be");
    assert_eq!(asked("2026-02-01", "2026-02-05"), 1);
    let planned = operator.sluice(&["plan", "awin", "--since", "2026-01-01", "--until", "2026-01-31"]).unwrap();
    assert_eq!(planned.stdout.matches("awin/main/transactions/").count(), 4, "{planned:?}");
}

#[test]
fn what_a_network_has_forgotten_is_not_asked_for_and_said() {
    let server = saying(200, r#"{"data": []}"#);
    let description = json!({"contract": "0.2.0", "stream": {"history-days": 5}});
    let operator = guest("forgets", &description, &server.origin(), "");
    let day = |days: i64| (Utc::now() - TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let (report, answer) = run(&operator, "forgets", &day(30), &day(0));
    assert_eq!(answer.code, 0, "{answer:?}");
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("sales: the network keeps 5 days, so nothing before "), "{warning}");
    assert!(warning.ends_with("the window is read from there on"), "{warning}");
    let read = operator.sql("SELECT since FROM meta.coverage").unwrap();
    let since: DateTime<Utc> = read[0]["since"].as_str().unwrap().parse().unwrap();
    assert!(read.len() == 1 && Utc::now() - since < TimeDelta::days(5) + TimeDelta::minutes(5), "{read:?}");
    let planned = operator.sluice(&["plan", "forgets", "--since", &day(30), "--until", &day(0)]).unwrap();
    assert!(
        planned.stderr.contains("the network keeps 5 days") && planned.stdout.contains(&day(5)[..13]),
        "{planned:?}"
    );
    let (report, answer) = run(&operator, "forgets", &day(30), &day(20));
    assert_eq!((answer.code, &report["slices"]), (0, &json!(1)), "{report}");
    assert!(report["warnings"][0].as_str().unwrap().ends_with("what is asked for counts as unread"), "{report}");
    assert_eq!(operator.sql("SELECT since FROM meta.coverage").unwrap(), read, "it covers nothing");
}

#[test]
fn a_slice_that_takes_too_long_reports_what_it_sent() {
    let page = |key: &str, url: &str| json!({"key": key, "url": [{"text": url}], "yields-records": true});
    let plan = ["a", "b", "slow"].map(|key| page(key, &format!("https://api.example.com/{key}")));
    let body = r#"{"data": []}"#;
    let server = HostileServer::start(move |ask, stream| {
        if ask.head.contains("/slow") {
            // As long as the client waits.
            return std::io::Read::read(stream, &mut [0]).map(drop);
        }
        std::io::Write::write_all(stream, &response(200, &[JSON], body.as_bytes()))
    })
    .unwrap();
    let operator =
        guest("slow", &json!({"plan": {"ok": plan}}), &server.origin(), "[limits]\nslice_timeout_secs = 5\n");
    let (report, answer) = run(&operator, "slow", "2026-01-01", "2026-01-02");
    assert_eq!((answer.code, &report["error_kind"]), (1, &json!("network")), "{report}");
    assert!(report["errors"][0].as_str().unwrap().contains("it took longer than 5 s"), "{report}");
    assert_eq!((&report["requests"], &report["bytes"]), (&json!(3), &json!(2 * body.len())), "{report}");
    let usage = operator.sql("SELECT requests, bytes FROM meta.usage").unwrap();
    assert_eq!(usage[0], json!({"requests": 3, "bytes": 2 * body.len()}));
}

/// The envelopes in raw.
fn envelopes(operator: &Operator) -> Vec<Value> {
    let mut found = Vec::new();
    let runs = std::fs::read_dir(operator.join("lake/raw/envelopes")).into_iter().flatten();
    for run in runs {
        for file in std::fs::read_dir(run.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
                found.push(serde_json::from_slice(&text).unwrap());
            }
        }
    }
    found
}

fn body_file(operator: &Operator, envelope: &Value) -> PathBuf {
    let digest = envelope["body"].as_str().unwrap();
    operator.join(&format!("lake/raw/bodies/{}/{digest}.zst", &digest[..2]))
}

#[test]
fn a_body_that_ends_the_process_is_in_raw_and_is_given_up_by_name() {
    let server = saying(200, "[]");
    let operator = awin(&server.origin(), "123456", "");
    let die = |step: &str| {
        let mut command = operator.command(&arguments("awin", "2026-01-01", "2026-01-02"));
        let output = command.env("SLUICE_STOP_AT", step).output().unwrap();
        assert_eq!(output.status.signal(), KILLED, "the step {step} isn't passed: {output:?}");
    };
    for outcome in ["unjudged", "unjudged-2", "unjudged-3"] {
        die("response-decoded");
        let kept = envelopes(&operator);
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(kept[0]["outcome"], outcome);
        assert_eq!(zstd::decode_all(&std::fs::read(body_file(&operator, &kept[0])).unwrap()[..]).unwrap(), b"[]");
    }
    assert_eq!(server.asked().len(), 1, "what is kept is not asked for again");
    let (report, answer) = run(&operator, "awin", "2026-01-01", "2026-01-02");
    let body = envelopes(&operator)[0]["body"].as_str().unwrap().to_owned();
    let error = report["errors"][0].as_str().unwrap();
    assert!(error.contains("the process ended 3 times") && error.contains(&body), "{report}");
    assert_eq!((answer.code, &report["error_kind"]), (1, &json!("host")));
    assert_eq!(envelopes(&operator)[0]["outcome"], "fatal");
    let kept = operator.sql("SELECT outcome, raw_object FROM meta.requests").unwrap();
    assert_eq!(kept, [json!({"outcome": "fatal", "raw_object": body})]);
    // The run is over; the next one reads the window.
    let (report, _) = run(&operator, "awin", "2026-01-01", "2026-01-02");
    assert_eq!((&report["status"], server.asked().len()), (&json!("done"), 2), "{report}");
}

#[test]
fn a_response_that_was_kept_and_not_judged_is_judged_by_the_next_start() {
    let row = r#"[{"id": 1, "transactionDate": "2026-01-01T10:00:00", "commissionAmount": {"amount": 1.5, "currency": "GBP"}}]"#;
    let server = saying(200, row);
    let operator = awin(&server.origin(), "123456", "");
    let mut command = operator.command(&arguments("awin", "2026-01-01", "2026-01-02"));
    assert_eq!(command.env("SLUICE_STOP_AT", "response-kept").output().unwrap().status.signal(), KILLED);
    assert_eq!(envelopes(&operator)[0]["outcome"], "unjudged");
    let (report, _) = run(&operator, "awin", "2026-01-01", "2026-01-02");
    assert_eq!((&report["status"], &report["reused"]), (&json!("done"), &json!(1)), "{report}");
    assert_eq!(server.asked().len(), 1);
    let kept: Vec<Value> = envelopes(&operator);
    assert_eq!((kept.len(), &kept[0]["outcome"]), (1, &json!("answered")));
    assert_eq!(
        operator.sql("SELECT transaction_id FROM unified.transactions").unwrap(),
        [json!({"transaction_id": "1"})]
    );
}

/// A server whose clock shows this time, with one sale.
fn server_at(time: DateTime<Utc>, age: Option<TimeDelta>) -> HostileServer {
    let row = r#"[{"id": 1, "transactionDate": "2026-01-01T10:00:00", "commissionAmount": {"amount": 1.5, "currency": "GBP"}}]"#;
    let date = time.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let age = age.unwrap_or_default().num_seconds().to_string();
    HostileServer::saying(response(200, &[JSON, ("Date", &date), ("Age", &age)], row.as_bytes())).unwrap()
}

/// When the transaction was observed, to the second.
fn observed(operator: &Operator) -> DateTime<Utc> {
    let rows = operator.sql("SELECT observed_at FROM unified.transactions").unwrap();
    rows[0]["observed_at"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_host_that_is_ahead_observes_by_the_networks_clock() {
    let now = Utc::now();
    // To the network this host is 200 days ahead.
    let network = DateTime::from_timestamp(now.timestamp(), 0).unwrap() - TimeDelta::days(200);
    let operator = awin(&server_at(network, None).origin(), "123456", "");
    let (report, answer) = run(&operator, "awin", "2026-01-01", "2026-01-02");
    assert_eq!(report["status"], "done", "{report}");
    assert_eq!(observed(&operator), network);
    let times = [network.to_rfc3339(), "host_time".to_owned(), "check the clock of this host".to_owned()];
    assert!(times.iter().all(|text| answer.stderr.contains(text)), "{}", answer.stderr);
    let sent = operator.sql("SELECT sent_at <= received_at AS is_before, outcome FROM meta.requests").unwrap();
    assert_eq!(sent, [json!({"is_before": true, "outcome": "answered"})]);
    let read = operator.sql("SELECT read_at FROM meta.coverage").unwrap();
    let read_at: DateTime<Utc> = read[0]["read_at"].as_str().unwrap().parse().unwrap();
    assert!((read_at - network).abs() < TimeDelta::minutes(5), "{read_at}");
}

#[test]
fn a_network_behind_what_was_observed_is_observed_by_the_hosts_clock() {
    let began = Utc::now() - TimeDelta::seconds(1);
    let operator = awin(&server_at(Utc::now(), None).origin(), "123456", "");
    run(&operator, "awin", "2026-01-01", "2026-01-02");
    assert!(observed(&operator) >= began, "both clocks agree");
    let before: DateTime<Utc> = "1970-01-01T00:00:00Z".parse().unwrap();
    for network in [Utc::now() - TimeDelta::days(2), before] {
        let later = server_at(network, None);
        operator.write_network("awin", &later.origin(), accounts(&operator)).unwrap();
        let (report, answer) = run(&operator, "awin", "2026-01-01", "2026-01-02");
        assert_eq!((&report["status"], &report["new_versions"]), (&json!("done"), &json!(0)), "{report}");
        assert!(answer.stderr.contains("observed by the host's clock"), "{}", answer.stderr);
        let received = operator.sql("SELECT max(received_at) AS at FROM meta.requests").unwrap();
        let received: DateTime<Utc> = received[0]["at"].as_str().unwrap().parse().unwrap();
        assert!(received >= began, "{}", received.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
}

#[test]
fn a_response_from_a_cache_is_as_old_as_it_says() {
    let began = Utc::now() - TimeDelta::seconds(1);
    let (time, age) = (Utc::now() - TimeDelta::days(3), TimeDelta::days(3));
    let operator = awin(&server_at(time, Some(age)).origin(), "123456", "");
    let (_, answer) = run(&operator, "awin", "2026-01-01", "2026-01-02");
    assert!(observed(&operator) >= began);
    assert!(!answer.stderr.contains("clock"), "{}", answer.stderr);
}

fn accounts(operator: &Operator) -> Vec<Value> {
    let file: Value = serde_json::from_slice(&std::fs::read(operator.join("networks/awin.json")).unwrap()).unwrap();
    file["accounts"].as_array().unwrap().clone()
}
