//! The console in a real browser, driven by the scripts in `tests/console`, against a real service.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod described;
mod hostile;
mod world;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sluice_tests::{Operator, http, repository};

use described::differences;
use world::{Console, SETTINGS, five_networks};

#[test]
fn every_view_does_its_work() {
    let (console, _simulator) = five_networks();
    console.drive("views.mjs");
    let calls =
        console.operator.sql("SELECT count(*) AS n FROM meta.gaps WHERE kind = 'never-read' AND account = 'alpha'");
    assert_eq!(calls.unwrap(), [json!({"n": 0})], "the gap is read");
}

#[test]
fn every_decision_is_made_in_the_page() {
    let (console, _simulator) = five_networks();
    console.drive("work.mjs");
    let doubts = console.operator.sql("SELECT account, state, decision FROM meta.doubts ORDER BY account").unwrap();
    let decided = |account: &str, state: &str, why: &str| json!({"account": account, "state": state, "decision": why});
    let expected = [
        decided("alpha", "accepted", "the field has moved for good"),
        decided("beta", "rejected", "Awin puts the field back"),
    ];
    assert_eq!(doubts, expected);
}

#[test]
fn answers_have_the_fields_that_their_description_states() {
    let (console, _simulator) = five_networks();
    let description: Value = serde_json::from_slice(&console.get("/openapi.json").body).unwrap();
    let token = console.token("ops", "admin");
    let get = |path: &str| http(&console.address, "GET", path, Some(&token), None).unwrap().json().unwrap();
    let sql = |query: &str| console.operator.sql(query).unwrap()[0]["text"].as_str().unwrap().to_owned();
    let doubt = sql("SELECT doubt_id AS text FROM meta.doubts LIMIT 1");
    let body = sql("SELECT raw_object AS text FROM unified.transaction_versions WHERE network = 'cj' LIMIT 1");
    let key = sql("SELECT transaction_key AS text FROM unified.transactions WHERE change = 'vanished' LIMIT 1");
    let mut found = Vec::new();
    for (route, path) in [
        ("/v1/alarms", "/v1/alarms".to_owned()),
        ("/v1/alarms/open", "/v1/alarms/open".to_owned()),
        ("/v1/audit", "/v1/audit".to_owned()),
        ("/v1/check", "/v1/check".to_owned()),
        ("/v1/connectors", "/v1/connectors".to_owned()),
        ("/v1/connectors/{network}/diff", "/v1/connectors/cj/diff".to_owned()),
        ("/v1/coverage", "/v1/coverage".to_owned()),
        ("/v1/doubts", "/v1/doubts".to_owned()),
        ("/v1/doubts/{id}", format!("/v1/doubts/{doubt}")),
        ("/v1/networks", "/v1/networks".to_owned()),
        ("/v1/accounts", "/v1/accounts".to_owned()),
        ("/v1/raw/{digest}/envelope", format!("/v1/raw/{body}/envelope")),
        ("/v1/raw/{digest}/rows", format!("/v1/raw/{body}/rows")),
        ("/v1/status", "/v1/status".to_owned()),
        ("/v1/transactions/{key}", format!("/v1/transactions/{key}")),
    ] {
        let answer = get(&path);
        let is_empty = answer.as_array().is_some_and(Vec::is_empty) && route != "/v1/audit";
        assert!(!is_empty && answer["error"].is_null(), "{path}: {answer}");
        found.extend(differences(&description, route, &answer));
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_token_that_reads_is_shown_what_it_may_not_do() {
    let (console, _simulator) = five_networks();
    console.drive("rights.mjs");
}

/// Awin with one account, which the schedule leaves alone.
pub(crate) fn paused_awin(operator: &mut Operator, base_url: &str) {
    operator.set("AWIN_TOKEN", "token-of-awin-1");
    let settings = json!({"publisher_id": "123456"});
    let account = json!({"name": "alpha", "settings": settings, "secrets": {"token": "env:AWIN_TOKEN"}});
    operator.write_network("awin", base_url, vec![account]).unwrap();
    operator.install("awin", "awin.wasm").unwrap();
    operator.succeed(&["pause", "awin"]).unwrap();
}

#[test]
fn what_is_empty_forbidden_or_away_is_shown_on_purpose() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    operator.set("NO_COLOR", "1");
    Console::of(operator).drive("states.mjs");
}

/// What the page makes of bodies, without a browser.
#[test]
fn bodies_are_laid_out_and_decoded() {
    let folder = repository().join("host/server/console");
    let output =
        Command::new("node").arg("--test").current_dir(folder).output().expect("node, which builds the console");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn events_count_what_changed_and_end_with_the_service() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    paused_awin(&mut operator, "http://127.0.0.1:9");
    let console = Console::of(operator);
    let (address, token) = (&console.address, console.token("ops", "operate"));
    let once = http(address, "GET", "/v1/events", Some(&token), None).unwrap().json().unwrap();
    assert_eq!(
        (&once["token"], &once["role"], &once["changes"]["runs"]),
        (&"ops".into(), &"operate".into(), &0.into())
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut next = |event: &str| -> Value {
        assert!(lines.any(|line| line == format!("event: {event}")), "the stream ended before {event}");
        serde_json::from_str(lines.next().unwrap().strip_prefix("data: ").unwrap()).unwrap()
    };
    assert_eq!(next("session"), once);
    let resumed = http(address, "POST", "/v1/networks/awin/pause", Some(&token), Some(&json!({"account": "alpha"})));
    assert_eq!(resumed.unwrap().status, 200);
    let changes = next("changes");
    assert_eq!((&changes["networks"], &changes["connectors"]), (&1.into(), &0.into()), "{changes}");
    kill_process(Pid::from_raw(console.service.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(lines.all(|line| !line.starts_with("event:")), "it ends");
}

#[test]
fn the_page_is_the_same_at_every_view_and_may_load_nothing_else() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    operator.set("NO_COLOR", "1");
    let console = Console::of(operator);
    let page = console.get("/");
    for view in ["/runs", "/transactions/0f", "/doubts/0123/x", "/nothing"] {
        let answer = console.get(view);
        assert_eq!((answer.status, &answer.body), (200, &page.body), "{view}");
        let header = answer.header.to_lowercase();
        for part in
            ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "nosniff", "no-cache", "no-referrer"]
        {
            assert!(header.contains(part), "{view} lacks {part}: {header}");
        }
        assert!(!header.contains("unsafe-") && !header.contains("set-cookie"), "{header}");
    }
    let markup = page.text();
    assert!(!markup.contains("<style") && !markup.contains("style=") && !markup.contains("onload"), "{markup}");
    assert!(markup.matches("<script").count() == 1 && markup.contains("<script type=\"module\""), "{markup}");
    let script = markup.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let script = console.get(script);
    assert!(script.status == 200 && script.header.contains("immutable"), "{}", script.header);
    for (method, path) in [("GET", "/v1/nothing"), ("GET", "/assets/old-0123.js"), ("POST", "/runs"), ("DELETE", "/")] {
        let answer = http(&console.address, method, path, None, None).unwrap();
        assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
    }
}

/// The client's types are made of `openapi.json`, which describes the API as it is; `just bless` writes it.
#[test]
fn the_client_is_built_for_the_api_as_it_is() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    operator.set("NO_COLOR", "1");
    let console = Console::of(operator);
    let served: Value = serde_json::from_slice(&console.get("/openapi.json").body).unwrap();
    let path = repository().join("host/server/console/openapi.json");
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&served).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(kept == served, "{} describes another API: run `just bless`", path.display());
}
