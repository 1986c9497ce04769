//! What the schedule reads, what it leaves alone, and history that is read beside it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_guests::Guest;
use sluice_simulator::{Options, SeenRequest, Simulator};
use sluice_tests::{
    HostileServer, Operator, Service, change_state, lake_sums, response, runtime, state_rows, true_sums, whole_window,
};
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

/// Replaces keys of a network's file.
fn edit(operator: &Operator, network: &str, edit: impl Fn(&mut Value)) {
    let path = format!("networks/{network}.json");
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(operator.join(&path)).unwrap()).unwrap();
    edit(&mut file);
    operator.write(&path, &file.to_string()).unwrap();
}

/// The beginning of the window that a request to Awin asks for, in days ago.
fn days_back(request: &SeenRequest) -> i64 {
    let from = request.uri.split("startDate=").nth(1).unwrap().split('&').next().unwrap().replace("%3A", ":");
    (Utc::now().naive_utc() - from.parse::<chrono::NaiveDateTime>().unwrap()).num_days()
}

/// Runs what is due until something is, and gives the exit code and the requests to Awin for an account.
fn requests_of_next_run(operator: &Operator, simulator: &Simulator, account: &str) -> (i32, Vec<SeenRequest>) {
    let of = simulator.accounts().iter().find(|of| of.name == account).unwrap();
    let path = format!("/publishers/{}/", of.settings["publisher_id"].to_string().trim_matches('"'));
    loop {
        let before = simulator.requests().len();
        let answer = operator.sluice(&["--output", "json", "run", "--due"]).unwrap();
        if answer.stdout.trim() != "[]" {
            let new = simulator.requests().into_iter().skip(before);
            return (answer.code, new.filter(|request| request.uri.contains(&path)).collect());
        }
    }
}

#[test]
fn an_account_that_fails_is_read_again_and_no_other_one() {
    let (_runtime, simulator, mut operator) = operator(Utc::now(), &json!("* * * * * *"));
    edit(&operator, "awin", |file| {
        file["look_back"] = json!([{"every": "1s", "days": 2}, {"every": "1d", "days": 25}])
    });
    let token = simulator.accounts().iter().find(|of| of.name == "alpha").unwrap().secrets["token"].clone();
    operator.set("AWIN_ALPHA_TOKEN", "00000000-0000-0000-0000-000000000000");
    let reaches = |requests: &[SeenRequest]| requests.iter().map(days_back).max();
    let (code, first) = requests_of_next_run(&operator, &simulator, "beta");
    assert_eq!((code, reaches(&first)), (1, Some(25)), "all is due: {first:?}");
    for turn in 0..2 {
        let (code, next) = requests_of_next_run(&operator, &simulator, "beta");
        assert_eq!((code, reaches(&next)), (1, Some(2)), "turn {turn}: {next:?}");
    }
    operator.set("AWIN_ALPHA_TOKEN", &token);
    let (code, mended) = requests_of_next_run(&operator, &simulator, "alpha");
    assert_eq!((code, reaches(&mended)), (0, Some(25)), "{mended:?}");
    let (code, after) = requests_of_next_run(&operator, &simulator, "alpha");
    assert_eq!((code, reaches(&after)), (0, Some(2)), "{after:?}");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
}

#[test]
fn moments_that_were_missed_are_made_up_for_as_the_schedule_says() {
    for (missed, back) in [("all", 10), ("last", 2)] {
        let (_runtime, simulator, operator) = operator(Utc::now(), &json!({"cron": "* * * * * *", "missed": missed}));
        edit(&operator, "awin", |file| file["look_back"] = json!([{"every": "1s", "days": 2}]));
        assert_eq!(run_due(&operator), ["awin"]);
        let long_ago = (Utc::now() - TimeDelta::days(10)).to_rfc3339();
        change_state(
            &operator,
            &format!("UPDATE schedule_times SET happened_at = '{long_ago}' WHERE network = 'awin'"),
        );
        let (_, requests) = requests_of_next_run(&operator, &simulator, "beta");
        assert_eq!(requests.iter().map(days_back).max(), Some(back), "{missed}: {requests:?}");
    }
}

#[test]
fn a_clock_that_was_ahead_and_went_back_keeps_nothing_waiting() {
    let (_runtime, simulator, operator) = operator(Utc::now(), &json!("* * * * * *"));
    edit(&operator, "awin", |file| file["look_back"] = json!([{"every": "1s", "days": 25}]));
    assert_eq!(run_due(&operator), ["awin"]);
    let ahead = Utc::now() + TimeDelta::days(365);
    let millis = i64::MAX / 4_000_000;
    change_state(
        &operator,
        &format!(
            "UPDATE schedule_times SET happened_at = '{}';
             UPDATE budgets SET noted_at = noted_at + {millis}, paused_until = paused_until + {millis}, ends_at = ends_at + {millis},
                 grants = (SELECT json_group_array(json_array(value ->> 0 + {millis}, value ->> 1)) FROM json_each(grants))",
            ahead.to_rfc3339()
        ),
    );
    let (code, requests) = requests_of_next_run(&operator, &simulator, "beta");
    assert!(code == 0 && !requests.is_empty(), "{requests:?}");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
}

#[test]
fn one_broken_file_stops_its_network_and_no_other_one() {
    let (_runtime, simulator, operator) = operator(Utc::now(), &json!("* * * * * *"));
    edit(&operator, "awin", |file| file["look_back"] = json!([{"every": "1s", "days": 25}]));
    operator.write("networks/broken.json", "{ nonsense").unwrap();
    let answer = operator.sluice(&["--output", "json", "run", "--due"]).unwrap();
    assert!(answer.code == 78 && answer.stderr.contains("broken.json"), "{answer:?}");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
    let [since, until] = whole_window(&simulator, Utc::now(), 2);
    operator.succeed(&["run", "awin", "--since", &since, "--until", &until]).unwrap();
    for command in [&["check"][..], &["run", "broken"]] {
        let answer = operator.sluice(command).unwrap();
        assert!(answer.code == 78 && answer.stderr.contains("broken.json is wrong"), "{command:?}: {answer:?}");
    }
    let alarms = operator.succeed(&["alarms"]).unwrap();
    assert!(alarms.contains("networks/broken.json can't be used"), "{alarms}");
    // An account in two files is wrong in both.
    let copy = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    operator.write("networks/broken.json", &copy).unwrap();
    for network in ["awin", "broken"] {
        let answer = operator.sluice(&["run", network]).unwrap();
        assert!(answer.code == 78 && answer.stderr.contains("is in"), "{answer:?}");
    }
}

#[test]
fn a_stream_with_a_schedule_of_its_own_is_read_by_it_alone() {
    let server =
        HostileServer::saying(response(200, &[("Content-Type", "application/json")], b"{\"data\": []}")).unwrap();
    let stream = |name: &str| {
        json!({
            "name": name, "unified": false, "complete-windows": true, "axes": ["transaction"], "grain": "second",
            "timezone": "UTC", "layout": {"format": {"json": "/data"}, "inputs": ["id"], "key": ["id"]},
        })
    };
    let guest = Guest::new("shop", &json!({"manifest": {"streams": [stream("sales"), stream("payments")]}}));
    let operator = Operator::empty().unwrap();
    operator.put_connector("shop.wasm", &guest.component().unwrap()).unwrap();
    let file = json!({
        "connector": "shop", "base_url": server.origin(), "look_back": [{"every": "1s", "days": 1}],
        "schedule": {"cron": "* * * * * *", "streams": {"payments": "0 0 29 2 *"}},
        "accounts": [{"name": "main"}],
    });
    operator.write("networks/shop.json", &file.to_string()).unwrap();
    let reads = || {
        let query = "SELECT stream, count(*) AS n FROM meta.coverage GROUP BY stream ORDER BY stream";
        operator.sql(query).unwrap().iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    // At first both are due, each in a run of its own.
    assert_eq!(run_due(&operator), ["shop", "shop"]);
    assert_eq!(reads(), [1, 1]);
    while run_due(&operator).is_empty() {}
    assert_eq!(reads(), [1, 2], "payments wait for the end of February");
    let year_ago = (Utc::now() - TimeDelta::days(1_500)).to_rfc3339();
    let moment = format!("UPDATE schedule_times SET happened_at = '{year_ago}' WHERE entry = 'start/payments'");
    change_state(&operator, &moment);
    change_state(
        &operator,
        "UPDATE schedule_times SET happened_at = '2020-01-01T00:00:00+00:00' WHERE entry LIKE '%@payments'",
    );
    while !reads().starts_with(&[2]) {
        run_due(&operator);
    }
}

#[test]
fn what_is_due_is_no_queued_history() {
    let (_runtime, simulator, operator) = operator(start(), &json!("0 0 29 2 *"));
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    operator.succeed(&["backfill", "awin", "--since", &since, "--until", &until, "--queue"]).unwrap();
    assert_eq!(run_due(&operator), ["awin"], "the schedule's run alone");
    assert!(run_due(&operator).is_empty());
}

/// Has a worker do what is queued.
fn work_off(operator: &Operator) {
    let mut worker = Service::start_as(operator, &["--role", "worker"]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !state_rows(operator, "SELECT run_id FROM runs").unwrap().is_empty() {
        assert!(Instant::now() < deadline, "something is queued still: {}", worker.log());
    }
    assert_eq!(worker.terminate().unwrap(), Some(0));
}

#[test]
fn a_queued_run_that_ended_after_the_state_store_was_backed_up_is_not_recorded_twice() {
    let (_runtime, simulator, operator) = operator(start(), &json!("0 0 29 2 *"));
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    operator.succeed(&["backfill", "awin", "--since", &since, "--until", &until, "--queue"]).unwrap();
    let backup = operator.fork().unwrap();
    work_off(&operator);
    let (runs, asked) = ("SELECT run_id, outcome FROM meta.runs ORDER BY run_id", simulator.requests().len());
    let before = operator.sql(runs).unwrap();
    assert!(before.len() > 1 && asked > 0, "{before:?}");
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(operator.join(file));
        let _ = std::fs::copy(backup.join(file), operator.join(file));
    }
    assert_eq!(state_rows(&operator, "SELECT run_id FROM runs").unwrap().len(), before.len());
    work_off(&operator);
    assert_eq!(operator.sql(runs).unwrap(), before);
    assert_eq!(simulator.requests().len(), asked, "they are of months that were read");
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
