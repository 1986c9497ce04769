//! State on PostgreSQL: the service remembers there what it looked at.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use chrono::{DateTime, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, PostgresServer, lake_sums, runtime, true_sums, whole_window};

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
    let runtime = runtime();
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
    let daily = || {
        server.query("SELECT happened_at FROM schedule_times WHERE network = 'awin' AND entry LIKE '86400s%'").unwrap()
    };
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
    assert_eq!(answer.code, 78, "{answer:?}");
    assert!(answer.stderr.contains("127.0.0.1:1/none") && answer.stderr.contains("hint: "), "{answer:?}");
    assert!(!answer.stderr.contains("a-password"), "{answer:?}");
}

/// Two machines: their settings are the same, and the lake and the state are shared.
fn two_machines(simulator: &Simulator, server: &PostgresServer) -> [Operator; 2] {
    let [here, there] = [(), ()].map(|()| Operator::of(simulator, &["awin"]).unwrap());
    let lake = here.join("lake").display().to_string();
    for operator in [&here, &there] {
        let settings = format!("[lake]\nurl = \"file:{lake}\"\n[state]\nurl = \"{}\"\n", server.url());
        operator.write("sluice.toml", &settings).unwrap();
    }
    [here, there]
}

#[test]
fn two_machines_take_turns_and_one_goes_on_with_what_the_other_died_at() {
    let runtime = runtime();
    let start = "2025-11-10T12:00:00Z".parse().unwrap();
    let options = Options { start, history_days: 40, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let server = PostgresServer::start().unwrap();
    let [here, there] = two_machines(&simulator, &server);
    let [since, until] = whole_window(&simulator, start, 40);
    let arguments = ["--output", "json", "run", "awin", "--since", &since, "--until", &until];

    let died = here.command(&arguments).env("SLUICE_STOP_AT", "response-kept:2").output().unwrap();
    assert_eq!(died.status.code(), None, "{died:?}");
    let noted = server.query("SELECT run_id FROM runs").unwrap();
    assert_eq!(noted.len(), 1, "{noted:?}");
    let asked = simulator.requests().len();
    let report = there.run("awin", &[since.clone(), until.clone()]).unwrap();
    assert!(noted[0].contains(report["run_id"].as_str().unwrap()), "it is the run that was interrupted: {noted:?}");
    assert!(report["reused"].as_u64() >= Some(2), "what was answered isn't asked again: {report}");
    assert!(simulator.requests().len() - asked < report["requests"].as_u64().unwrap() as usize);
    assert_eq!(lake_sums(&there, "awin").unwrap(), true_sums(&simulator, "awin"));
    assert_eq!(server.query("SELECT run_id FROM runs").unwrap().len(), 0, "it is over");

    simulator.advance(chrono::TimeDelta::days(6));
    let [since, until] = whole_window(&simulator, start, 40);
    let arguments = ["--output", "json", "run", "awin", "--since", &since, "--until", &until];
    let before = simulator.requests().len();
    let both = [&here, &there]
        .map(|operator| operator.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let versions = both.map(|run| {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let reports: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        reports[0]["new_versions"].as_u64().unwrap()
    });
    assert!(
        versions.contains(&0) && versions.iter().sum::<u64>() > 0,
        "one sees what is new, the other nothing: {versions:?}"
    );
    assert_eq!(lake_sums(&here, "awin").unwrap(), true_sums(&simulator, "awin"));
    let runs =
        here.sql("SELECT started_at, finished_at, requests FROM meta.runs ORDER BY finished_at DESC LIMIT 2").unwrap();
    let moment =
        |run: &serde_json::Value, name: &str| -> DateTime<Utc> { run[name].as_str().unwrap().parse().unwrap() };
    assert!(moment(&runs[0], "started_at") >= moment(&runs[1], "finished_at"), "one waited for the other: {runs:?}");
    let asked: u64 = runs.iter().map(|run| run["requests"].as_u64().unwrap()).sum();
    assert_eq!((simulator.requests().len() - before) as u64, asked);
}
