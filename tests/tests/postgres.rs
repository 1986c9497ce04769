//! State on PostgreSQL: the service remembers there what it looked at.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use chrono::Utc;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, PostgresServer, lake_sums, true_sums, whole_window};

/// Serves until the log says that a run is done.
fn serve_until_a_run_is_done(operator: &Operator) {
    let mut command = operator.command(&["serve"]);
    command.env("SLUICE_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let found = lines.any(|line| line.contains("awin") && line.contains("new versions"));
    let looks_are_kept = lines.any(|line| line.contains("run begins"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found && looks_are_kept, "the service ended before it had run twice");
}

#[test]
fn state_on_postgresql_serves_a_run_and_a_service() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let now = Utc::now();
    let options = Options { start: now, history_days: 5, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let server = PostgresServer::start().unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    let settings = format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{}\"\n", server.url());
    operator.write("sluice.toml", &settings).unwrap();
    let window = whole_window(&simulator, now, 5);
    assert!(operator.run("awin", &window).unwrap()["new_versions"].as_u64().unwrap() > 0);
    assert_eq!(operator.run("awin", &window).unwrap()["new_versions"], 0);
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
    assert!(!operator.join("state.db").exists(), "nothing of the state is on the disk");
    let accounts = simulator.accounts().iter().filter(|account| account.network == "awin");
    let file = serde_json::json!({
        "connector": "awin", "schedule": "* * * * * *",
        "look_back": [{"every": "1s", "days": 1}, {"every": "1d", "days": 3}],
        "base_url": simulator.origin("awin"), "rate": {"requests": 100, "per_secs": 1, "concurrency": 4},
        "accounts": accounts.map(|account| operator.account(account)).collect::<Vec<_>>(),
    });
    operator.write("networks/awin.json", &file.to_string()).unwrap();
    serve_until_a_run_is_done(&operator);
    let daily = || server.query("SELECT looked_at FROM looks WHERE network = 'awin' AND rule = 1").unwrap();
    let first = daily();
    assert_eq!(first.len(), 1, "the daily look is noted");
    serve_until_a_run_is_done(&operator);
    assert_eq!(daily(), first, "another service doesn't look again on the same day");
}

#[test]
fn a_server_that_is_not_there_is_named_without_its_password() {
    let operator = Operator::empty().unwrap();
    let url = "postgres://sluice:a-password@127.0.0.1:1/none";
    operator.write("sluice.toml", &format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{url}\"\n")).unwrap();
    let answer = operator.sluice(&["serve"]).unwrap();
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("127.0.0.1:1/none") && answer.stderr.contains("hint: "), "{answer:?}");
    assert!(!answer.stderr.contains("a-password"), "{answer:?}");
}
