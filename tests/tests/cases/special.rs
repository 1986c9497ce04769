//! Cases whose right result isn't a table: requests and their times, a pooler, a table that others wrote.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, Days, NaiveTime, TimeDelta, Utc, Weekday};
use serde_json::Value;
use sluice_tests::{Background, Operator, PgBouncer, PostgresServer};

use crate::course::laid_out;
use crate::vector::delete_by_vector;

const JANUARY: [&str; 8] = ["run", "awin", "--since", "2026-01-01", "--until", "2026-02-01", "--axis", "transaction"];

/// A sale of ten days ago that is booked today lies in a window by transaction date.
pub(crate) fn booked_late(folder: &str) {
    let (network, operator) = laid_out(folder);
    operator.succeed(&["run", "awin"]).unwrap();
    let ten_days_ago = (Utc::now() - TimeDelta::days(10)).format("%Y-%m-%dT%H:%M:%S").to_string();
    let asked = network.asked();
    let holds = |query: &str| {
        let value =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap_or_default().to_owned();
        value("dateType=") == "transaction" && value("startDate=") <= ten_days_ago && ten_days_ago < value("endDate=")
    };
    assert!(asked.iter().any(|asked| holds(&asked.query)), "none asks for {ten_days_ago}: {asked:#?}");
}

/// A transaction that another writer deleted by a vector stays deleted, or the table is refused by name.
pub(crate) fn deleted_by_others(folder: &str) {
    for tables in [&["transactions", "transaction_versions"][..], &["transactions"]] {
        let (network, operator) = laid_out(folder);
        operator.succeed(&JANUARY).unwrap();
        for table in tables {
            delete_by_vector(&operator.join("lake/tables/unified").join(table), "8401");
        }
        let is_honoured = look(&operator, "2.000000") && run(&operator, &JANUARY);
        let is_honoured = is_honoured && look(&operator, "2.000000") && run(&operator, &["maintain"]);
        if !is_honoured {
            // Refused by name, which is as good.
            continue;
        }
        assert!(look(&operator, "2.000000"), "after maintenance");
        network.set_step(1);
        for command in [&JANUARY[..], &["maintain"]] {
            assert!(run(&operator, command), "what was honoured once is honoured again");
            assert!(look(&operator, "2.500000"), "after {command:?}");
        }
    }
}

/// Whether a command succeeded. One that fails must name the feature.
fn run(operator: &Operator, command: &[&str]) -> bool {
    let answer = operator.sluice(command).unwrap();
    assert!(answer.code == 0 || answer.stderr.contains("deletionVectors"), "{command:?}: {answer:?}");
    answer.code == 0
}

/// Whether the tables can be read, and then hold 8402 only.
fn look(operator: &Operator, commission: &str) -> bool {
    let query = "SELECT transaction_id t, CAST(commission_effective AS VARCHAR) c FROM unified.transactions ORDER BY 1";
    if !run(operator, &["sql", query]) {
        return false;
    }
    let rows = Value::from(operator.sql(query).unwrap());
    assert_eq!(rows, serde_json::json!([{"t": "8402", "c": commission}]));
    true
}

/// Runs take turns though each statement may go to another backend, and none waits for a dead one.
pub(crate) fn behind_a_pooler(folder: &str) {
    let server = PostgresServer::start().unwrap();
    let pooler = PgBouncer::start(&server, "ignore_startup_parameters = extra_float_digits").unwrap();
    let (network, operator) = laid_out(folder);
    let settings = format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{}\"\n", pooler.url());
    operator.write("sluice.toml", &settings).unwrap();
    operator.succeed(&["check"]).unwrap();

    let runs = [(); 2].map(|()| Background::start(operator.command(&JANUARY)).unwrap());
    let is_waiting = || runs.iter().any(|run| run.printed("stderr").contains("waiting for up to"));
    let held = network.wait_for_held(2, is_waiting);
    assert!(held <= 1, "both runs ask at once");
    network.release(true);
    for run in runs {
        let ended = run.end().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }

    network.release(false);
    let mut killed: Child = operator.command(&JANUARY).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    network.wait_for_held(1, || false);
    killed.kill().unwrap();
    killed.wait().unwrap();
    network.release(true);
    let started = Instant::now();
    operator.succeed(&JANUARY).unwrap();
    assert!(started.elapsed() < Duration::from_secs(60), "the killed run is waited for: {:?}", started.elapsed());
    operator.succeed(&["check"]).unwrap();
    let rows = operator.sql("SELECT count(*) n, count(DISTINCT transaction_key) k FROM unified.transactions").unwrap();
    assert_eq!(rows[0]["n"], rows[0]["k"]);
}

/// A network that says when to come again isn't asked before, and never at once.
pub(crate) fn retry_after(folder: &str) {
    let (network, operator) = laid_out(folder);
    let answer = operator.sluice(&JANUARY).unwrap();
    assert!((0..=100).contains(&answer.code), "{answer:?}");
    let asked = network.asked();
    let gaps: Vec<Duration> = asked.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let at_least = |gap: usize, wanted: u64| assert!(gaps[gap] >= Duration::from_millis(wanted), "{gap}: {gaps:?}");
    at_least(0, 2_500);
    // A normal pause: what is asked for is none.
    at_least(1, 400);
    at_least(2, 400);
    // A date in 2033: the slice is put off.
    assert_eq!(asked.len(), 4, "{gaps:?}");
    assert_ne!(answer.code, 0, "a slice that is put off isn't done: {answer:?}");
}

/// A day of the month or of the week: either starts a run, and the next moments are shown.
pub(crate) fn day_or_weekday(folder: &str) {
    let (_network, operator) = laid_out(folder);
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    let scheduled = file.replacen("\"connector\"", "\"schedule\": \"0 6 1 * MON\", \"connector\"", 1);
    operator.write("networks/awin.json", &scheduled).unwrap();
    let next = next_moments(Utc::now());
    operator.succeed(&["run", "awin"]).unwrap();
    let status: Value = serde_json::from_str(&operator.succeed(&["--output", "json", "status"]).unwrap()).unwrap();
    // When it should have been read again. A first that is a Monday would be months away.
    let stale_at: DateTime<Utc> = status["streams"][0]["stale_at"].as_str().unwrap().parse().unwrap();
    assert!(next[0] < stale_at && stale_at < next[2] + TimeDelta::days(1), "{stale_at}, not of {next:?}");
    let shown = operator.succeed(&["check"]).unwrap() + &operator.succeed(&["status"]).unwrap();
    for moment in next {
        let day = moment.format("%Y-%m-%d").to_string();
        assert!(shown.contains(&day) && shown.contains("06:00"), "{moment} isn't shown:\n{shown}");
    }
}

/// The next three moments at six on a first or on a Monday.
fn next_moments(now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let days = (0..40).filter_map(|days| now.date_naive().checked_add_days(Days::new(days)));
    let days = days.filter(|day| day.day() == 1 || day.weekday() == Weekday::Mon);
    let moments = days.map(|day| day.and_time(NaiveTime::from_hms_opt(6, 0, 0).unwrap()).and_utc());
    moments.filter(|moment| *moment > now).take(3).collect()
}

/// A run that is killed while it doubts is doubtful when it is resumed, once.
#[test]
fn a_doubt_survives_a_kill_at_each_step() {
    for step in ["response-kept", "outcome-kept", "slice-read", "coverage-noted", "requests-indexed", "run-noted"] {
        let (network, operator) = laid_out("01-awin-amount-moved");
        operator.succeed(&JANUARY).unwrap();
        network.set_step(1);
        let killed = operator.command(&JANUARY).env("SLUICE_STOP_AT", step).output().unwrap();
        assert!(killed.status.code().is_none(), "{step}: {killed:?}");
        let resumed = operator.sluice(&JANUARY).unwrap();
        assert_eq!(resumed.code, 3, "{step}: {resumed:?}");
        let doubts = operator.sql("SELECT DISTINCT run_id FROM meta.doubts").unwrap();
        let runs = operator.sql("SELECT outcome FROM meta.runs ORDER BY started_at").unwrap();
        assert_eq!((doubts.len(), runs.len(), &runs[1]["outcome"]), (1, 2, &"doubtful".into()), "{step}: {runs:?}");
        let sum =
            operator.sql("SELECT CAST(sum(commission_effective) AS VARCHAR) s FROM unified.transactions").unwrap();
        assert_eq!(sum[0]["s"], "80.000000", "{step}");
    }
}
