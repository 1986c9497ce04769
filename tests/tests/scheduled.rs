//! What the schedule reads, what it leaves alone, and history that is read beside it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, lake_sums, runtime, true_sums, whole_window};
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 20;

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

/// An operator of Awin's simulated accounts with this schedule.
fn operator(start: DateTime<Utc>, schedule: &Value) -> (Runtime, Simulator, Operator) {
    let runtime = runtime();
    let options = Options { start, history_days: HISTORY_DAYS, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    let file = json!({
        "connector": "awin", "schedule": schedule, "look_back": [{"every": "1h", "days": 15}],
        "base_url": simulator.origin("awin"), "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8},
        "accounts": operator.accounts(&simulator, "awin"),
    });
    operator.write("networks/awin.json", &file.to_string()).unwrap();
    (runtime, simulator, operator)
}

/// Networks whose runs `sluice run --due` reports.
fn run_due(operator: &Operator) -> Vec<String> {
    let reports: Value =
        serde_json::from_str(&operator.succeed(&["--output", "json", "run", "--due"]).unwrap()).unwrap();
    reports.as_array().unwrap().iter().map(|report| report["network"].as_str().unwrap().to_owned()).collect()
}

fn rows(operator: &Operator, account: &str) -> u64 {
    let sums = lake_sums(operator, "awin").unwrap();
    sums.iter().filter(|((name, ..), _)| name == account).map(|(_, (rows, _))| rows).sum()
}

#[test]
fn what_is_due_is_run_once_and_a_paused_network_never() {
    let (_runtime, simulator, operator) = operator(Utc::now(), &json!("0 0 29 2 *"));
    operator.succeed(&["pause", "awin", "--reason", "the contract ended"]).unwrap();
    assert!(run_due(&operator).is_empty());
    let status = operator.succeed(&["status"]).unwrap();
    assert!(status.contains("awin: paused since ") && status.contains("(the contract ended)"), "{status}");
    assert!(status.contains("sluice resume awin"), "{status}");
    operator.succeed(&["resume", "awin"]).unwrap();
    assert_eq!(run_due(&operator), ["awin"]);
    assert!(lake_sums(&operator, "awin").unwrap().values().map(|(rows, _)| rows).sum::<u64>() > 0);
    assert!(run_due(&operator).is_empty(), "the schedule names no further moment");
    assert_eq!(operator.succeed(&["run", "--due"]).unwrap(), "nothing is due\n");
    drop(simulator);
}

#[test]
fn a_paused_account_is_left_out_unless_it_is_named() {
    let (_runtime, simulator, operator) = operator(start(), &json!("0 0 29 2 *"));
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    let unknown = operator.sluice(&["pause", "awin", "--account", "gamma"]).unwrap();
    assert_eq!(unknown.code, 2, "{unknown:?}");
    operator.succeed(&["pause", "awin", "--account", "alpha"]).unwrap();
    let run = ["run", "awin", "--since", &since, "--until", &until];
    let answer = operator.sluice(&run).unwrap();
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.stderr.contains("account `alpha` is not read: paused since"), "{answer:?}");
    assert_eq!(rows(&operator, "alpha"), 0);
    assert!(rows(&operator, "beta") > 0);
    operator.succeed(&[&run[..], &["--account", "alpha"]].concat()).unwrap();
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
}

#[test]
fn an_interrupted_run_does_not_ask_for_an_account_that_was_paused_since() {
    let (_runtime, simulator, operator) = operator(start(), &json!("0 0 29 2 *"));
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    let run = ["run", "awin", "--since", &since, "--until", &until];
    let killed = operator.command(&run).env("SLUICE_STOP_AT", "planned").output().unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    operator.succeed(&["pause", "awin", "--account", "alpha"]).unwrap();
    let resumed = operator.sluice(&run).unwrap();
    assert_eq!(resumed.code, 78, "{resumed:?}");
    assert!(resumed.stderr.contains("account `alpha` is paused: sluice resume awin --account alpha"), "{resumed:?}");
    assert!(rows(&operator, "alpha") == 0 && rows(&operator, "beta") > 0);
}

#[test]
fn a_backfill_goes_on_where_it_was_killed_and_moves_no_schedule() {
    let (_runtime, simulator, operator) =
        operator(start(), &json!({"cron": "0 6 29 2 *", "timezone": "Europe/Berlin"}));
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    let backfill = ["--output", "json", "backfill", "awin", "--since", &since, "--until", &until];
    // October is read, November is planned.
    let killed = operator.command(&backfill).env("SLUICE_STOP_AT", "planned:2").output().unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    let windows = "SELECT count(DISTINCT run_id) AS runs FROM meta.coverage";
    assert_eq!(operator.sql(windows).unwrap()[0]["runs"], 1);
    let reports: Value = serde_json::from_str(&operator.succeed(&backfill).unwrap()).unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 1, "October isn't read again: {reports}");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
    assert_eq!(operator.sql(windows).unwrap()[0]["runs"], 2);
    assert_eq!(run_due(&operator), ["awin"], "no look-back rule was read");
    // It is over: the same command begins anew.
    let reports: Value = serde_json::from_str(&operator.succeed(&backfill).unwrap()).unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 2, "{reports}");
}

#[test]
fn a_backfill_stops_at_the_first_month_that_fails() {
    let (_runtime, simulator, operator) = operator(start(), &json!("0 0 29 2 *"));
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    let backfill = ["backfill", "awin", "--since", &since, "--until", &until];
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    let mut wrong: Value = serde_json::from_str(&file).unwrap();
    for account in wrong["accounts"].as_array_mut().unwrap() {
        account["secrets"] = json!({"token": "env:WRONG_TOKEN"});
    }
    operator.write("networks/awin.json", &wrong.to_string()).unwrap();
    let failed =
        operator.command(&backfill).env("WRONG_TOKEN", "00000000-0000-0000-0000-000000000000").output().unwrap();
    let text = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("the backfill stopped at 2025-10-11T12:00:00Z: the same command goes on there"), "{text}");
    operator.write("networks/awin.json", &file).unwrap();
    operator.succeed(&backfill).unwrap();
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
}

#[test]
fn a_schedule_says_its_zone_and_is_refused_for_a_stream_that_is_not_there() {
    let (_runtime, _simulator, operator) =
        operator(start(), &json!({"cron": "0 6 * * *", "timezone": "Europe/Berlin"}));
    let checked = operator.succeed(&["check"]).unwrap();
    assert!(checked.contains("schedule 0 6 * * * Europe/Berlin: next "), "{checked}");
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    let mut wrong: Value = serde_json::from_str(&file).unwrap();
    wrong["schedule"] = json!({"streams": {"payments": "0 7 1 * *"}});
    operator.write("networks/awin.json", &wrong.to_string()).unwrap();
    let refused = operator.sluice(&["check"]).unwrap();
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(
        refused.stderr.contains("`schedule` names stream `payments`, which connector `awin` doesn't have"),
        "{refused:?}"
    );
}
