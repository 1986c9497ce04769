//! A process that is stopped past its lease, while another one takes over its work: when it continues, what it still
//! wants to write is refused, and the tables don't show that it was there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sluice_model::Step;
use sluice_simulator::Options;
use sluice_tests::{
    Background, Ended, Operator, PostgresServer, Service, Simulated, broken_claims, change_state, check_exact,
    check_runs_once, state_rows, variant, whole_window,
};
use sqlx::{Connection, SqliteConnection};

const NETWORK: &str = "awin";
const HISTORY_DAYS: u32 = 40;

/// The settings of a process whose lease is short, and still longer than a busy machine holds up a heartbeat.
fn settings(lake: &str, state: &str) -> String {
    format!("[lake]\nurl = \"{lake}\"\n[state]\nurl = \"{state}\"\nlease_secs = 3\n")
}

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

/// A network that was read once, and has advanced since.
fn world() -> Simulated {
    let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
    let world = Simulated::start(options, &[NETWORK]).unwrap();
    world.operator.write("sluice.toml", &settings("file:./lake", "sqlite:./state.db")).unwrap();
    world.operator.run(NETWORK, &whole_window(&world.simulator, start(), HISTORY_DAYS.into())).unwrap();
    world.simulator.advance(TimeDelta::days(7));
    world
}

/// A run of all that there is, in the background.
fn begin(world: &Simulated, operator: &Operator, pause_at: Option<&str>) -> Background {
    let window = whole_window(&world.simulator, start(), HISTORY_DAYS.into());
    let mut command =
        operator.command(&["--output", "json", "run", NETWORK, "--since", &window[0], "--until", &window[1]]);
    command.env("NO_COLOR", "1").envs(pause_at.map(|step| ("SLUICE_PAUSE_AT", step)));
    Background::start(command).unwrap()
}

/// Has another process take over what a stopped one was about, on the same machine or another one.
fn take_over(world: &Simulated, there: &Operator, stopped: u32, when: &str) {
    world.runtime.block_on(release_writers_lock(there, stopped)).unwrap();
    let heir = begin(world, there, None).end().unwrap();
    assert!(heir.status.success(), "{when}: {heir:?}");
    assert!(heir.stderr.contains(&stopped.to_string()), "{when}: its error doesn't name the holder: {heir:?}");
    assert_exact(world, there, when);
}

fn assert_exact(world: &Simulated, operator: &Operator, when: &str) {
    let checked = check_exact(operator, &world.simulator, &[NETWORK]).and_then(|()| check_runs_once(operator));
    checked.with_context(|| when.to_owned()).unwrap();
}

/// No row is there twice, and no run is noted twice.
fn assert_sound(operator: &Operator, when: &str) {
    let broken = broken_claims(operator).unwrap();
    assert!(broken.is_empty(), "{when}: {broken:#?}");
    check_runs_once(operator).with_context(|| when.to_owned()).unwrap();
}

/// Fails if a table has other rows than before.
fn assert_same(operator: &Operator, before: &BTreeMap<String, Vec<String>>, when: &str) {
    for (name, rows) in &tables(operator) {
        let came: Vec<&String> = rows.iter().filter(|row| !before[name].contains(row)).collect();
        assert!(*rows == before[name], "{when}: it still wrote to {name}: {came:?}");
    }
}

/// A process may be stopped while one of its threads writes to SQLite: nobody else can write then, whoever has the lease. It
/// continues until the test has the lock instead, and is stopped again.
async fn release_writers_lock(operator: &Operator, stopped: u32) -> anyhow::Result<()> {
    let process = i32::try_from(stopped).ok().and_then(Pid::from_raw).context("no process")?;
    let mut store = SqliteConnection::connect(&format!("sqlite:{}", operator.join("state.db").display())).await?;
    sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut store).await?;
    if sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut store).await.is_err() {
        kill_process(process, Signal::CONT)?;
        sqlx::raw_sql("PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE").execute(&mut store).await?;
        kill_process(process, Signal::STOP)?;
        waitpid(Some(process), WaitOptions::UNTRACED)?;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut store).await?;
    Ok(store.close().await?)
}

/// All rows of all tables, sorted.
fn tables(operator: &Operator) -> BTreeMap<String, Vec<String>> {
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let mut tables = BTreeMap::new();
    for table in operator.sql("SHOW TABLES").unwrap() {
        let name = format!("{}.{}", text(&table, "table_schema"), text(&table, "table_name"));
        if !name.starts_with("information_schema.") && !name.starts_with("raw.") {
            let rows = operator.sql(&format!("SELECT * FROM {name}")).unwrap();
            let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
            rows.sort();
            tables.insert(name, rows);
        }
    }
    tables
}

/// A run that lost its lease: it failed, and says why.
fn assert_lost(ended: &Ended, when: &str) {
    assert!(ended.status.code().is_some_and(|code| code != 0), "{when}: it went well: {ended:?}");
    for word in ["lease", NETWORK] {
        assert!(ended.stderr.contains(word), "{when}: it doesn't say why it failed: {ended:?}");
    }
}

/// Some of the steps after which a run still has something to write: each takes half a minute.
fn steps() -> impl Iterator<Item = &'static str> {
    [Step::ResponseKept, Step::FilesWritten, Step::UnifiedCommitted, Step::RequestsIndexed]
        .iter()
        .map(|step| step.name())
}

#[test]
fn a_run_whose_work_was_taken_over_writes_nothing_more() {
    let world = world();
    for step in steps() {
        let operator = world.operator.fork().unwrap();
        let stopped = begin(&world, &operator, Some(step));
        stopped.wait_until_stopped().unwrap();
        take_over(&world, &operator, stopped.id(), step);
        let before = tables(&operator);
        stopped.go_on().unwrap();
        assert_lost(&stopped.end().unwrap(), step);
        assert_same(&operator, &before, step);
        // Nobody stands in the way of the next run, and what was kept in raw makes the same tables.
        let next = begin(&world, &operator, None).end().unwrap();
        assert!(next.status.success(), "{step}: {next:?}");
        operator.succeed(&["build", "--from-raw"]).unwrap();
        assert_exact(&world, &operator, &format!("{step}, from raw"));
    }
}

#[test]
fn a_run_on_another_machine_takes_over_by_postgresql() {
    let world = world();
    let server = PostgresServer::start().unwrap();
    let [here, there] = [(), ()].map(|()| world.operator.fork().unwrap());
    let lake = format!("file:{}", here.join("lake").display());
    for operator in [&here, &there] {
        operator.write("sluice.toml", &settings(&lake, &server.url())).unwrap();
    }
    let stopped = begin(&world, &here, Some("files-written"));
    stopped.wait_until_stopped().unwrap();
    take_over(&world, &there, stopped.id(), "files written");
    stopped.go_on().unwrap();
    assert_lost(&stopped.end().unwrap(), "files written");
    assert_exact(&world, &there, "continued");
}

#[test]
fn a_service_that_was_stopped_too_long_lets_its_run_go_and_serves_on() {
    let world = world();
    let mut operator = world.operator.fork().unwrap();
    operator.read_every_second(&world.simulator, NETWORK).unwrap();
    // The service's run waits for its second answer.
    let asked = world.simulator.requests().len();
    world.simulator.allow(asked + 1);
    let mut service = Service::start(&operator).unwrap();
    world.runtime.block_on(world.simulator.wait_for_requests(asked + 1));
    service.pause().unwrap();
    world.simulator.allow(usize::MAX);
    take_over(&world, &operator, service.id(), "mid-run");
    let before = operator.sql("SELECT run_id FROM meta.runs").unwrap();
    service.go_on().unwrap();
    service.wait_for(&[NETWORK, "lease"]).unwrap();
    // It runs the network again, as if nothing had been.
    service.wait_for(&["run begins", NETWORK]).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    drop(service);
    let after = operator.sql("SELECT run_id FROM meta.runs").unwrap();
    assert!(after.len() > before.len(), "{after:?}");
    assert_exact(&world, &operator, "served on");
}

/// A copy of what was read, with a connector that takes nothing for a transaction: each one is removed, and rejected.
fn with_dateless(world: &Simulated) -> Operator {
    let operator = world.operator.fork().unwrap();
    let dateless = variant(NETWORK, "transactionDate", "transactionTage").unwrap();
    std::fs::write(operator.join("dateless.wasm"), dateless).unwrap();
    operator
}

const APPLY: [&str; 7] = ["--output", "json", "replay", NETWORK, "--connector", "dateless.wasm", "--apply"];

#[test]
fn a_replay_whose_work_was_taken_over_writes_nothing_more() {
    let world = world();
    for step in ["files-written", "unified-committed"] {
        let operator = with_dateless(&world);
        let mut command = operator.command(&APPLY);
        command.env("NO_COLOR", "1").env("SLUICE_PAUSE_AT", step);
        let stopped = Background::start(command).unwrap();
        stopped.wait_until_stopped().unwrap();
        world.runtime.block_on(release_writers_lock(&operator, stopped.id())).unwrap();
        operator.succeed(&APPLY).unwrap();
        let before = tables(&operator);
        stopped.go_on().unwrap();
        let ended = stopped.end().unwrap();
        assert!(!ended.status.success() && ended.stderr.contains("lease"), "{step}: {ended:?}");
        assert_same(&operator, &before, step);
        assert_sound(&operator, step);
        let n = "SELECT count(DISTINCT transaction_key) AS keys, count(*) AS n FROM unified.transaction_versions
                 WHERE change = 'mapping-change'";
        let written = operator.sql(n).unwrap().remove(0);
        assert!(written["n"].as_u64() > Some(0) && written["n"] == written["keys"], "{step}: {written}");
    }
}

/// Queues the replay, and gives what the command reports and a service that stops itself in its first month.
fn stopped_in_a_month(world: &Simulated, operator: &Operator, step: &str) -> (serde_json::Value, Service) {
    let queued = operator.succeed(&[&APPLY[..], &["--queue"]].concat()).unwrap();
    let queued: serde_json::Value = serde_json::from_str(&queued).unwrap();
    let mut command = operator.command(&["serve", "--role", "worker"]);
    command.env("SLUICE_PAUSE_AT", step);
    let stopped = Service::run(command).unwrap();
    let child = i32::try_from(stopped.id()).ok().and_then(Pid::from_raw).unwrap();
    let (_, status) = waitpid(Some(child), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "{step}: {status:?}");
    world.runtime.block_on(release_writers_lock(operator, stopped.id())).unwrap();
    (queued, stopped)
}

#[test]
fn a_month_of_a_replay_that_was_rolled_back_while_its_host_was_stopped_is_not_written() {
    let world = world();
    for step in ["files-written", "unified-committed"] {
        let operator = with_dateless(&world);
        let first = operator.sql("SELECT * FROM unified.transactions ORDER BY transaction_key").unwrap();
        let (queued, mut stopped) = stopped_in_a_month(&world, &operator, step);
        operator.succeed(&["replay", NETWORK, "--rollback", queued["replay"].as_str().unwrap()]).unwrap();
        let before = tables(&operator);
        stopped.go_on().unwrap();
        stopped.wait_for(&["lease"]).unwrap();
        stopped.terminate().unwrap();
        assert_same(&operator, &before, step);
        let last = operator.sql("SELECT * FROM unified.transactions ORDER BY transaction_key").unwrap();
        assert_eq!(last, first, "{step}: the rollback left something");
    }
}

#[test]
fn a_month_of_a_replay_that_another_host_took_over_is_noted_once() {
    let world = world();
    for step in ["unified-committed", "latest-caught-up"] {
        let operator = with_dateless(&world);
        let (queued, mut stopped) = stopped_in_a_month(&world, &operator, step);
        let mut heir = Service::start_as(&operator, &["--role", "worker"]).unwrap();
        heir.wait_for(&["a month was replayed"]).unwrap();
        stopped.go_on().unwrap();
        // Whoever of the two does the other months, the one that was stopped has done by then what it was about.
        let months = queued["queued"].as_u64().unwrap();
        assert!(months > 1, "{queued}");
        let noted = "SELECT DISTINCT run_id FROM meta.runs WHERE command = 'replay'";
        let deadline = Instant::now() + Duration::from_secs(120);
        while (operator.sql(noted).unwrap().len() as u64) < months {
            assert!(Instant::now() < deadline, "{step}: the other months aren't done: {}", heir.log());
        }
        stopped.terminate().unwrap();
        heir.terminate().unwrap();
        assert_sound(&operator, step);
    }
}

#[test]
fn a_month_of_a_replay_that_is_given_up_is_recorded_as_failed() {
    let world = world();
    let operator = with_dateless(&world);
    let queued = operator.succeed(&[&APPLY[..], &["--queue"]].concat()).unwrap();
    let queued: serde_json::Value = serde_json::from_str(&queued).unwrap();
    // As if it had ended its process three times.
    change_state(&operator, "UPDATE runs SET starts = 3 WHERE run_id = (SELECT min(run_id) FROM runs)");
    let mut service = Service::start_as(&operator, &["--role", "worker"]).unwrap();
    service.wait_for(&["this month of a replay ended its process 3 times: given up"]).unwrap();
    assert_eq!(service.terminate().unwrap(), Some(0));
    let failed = "SELECT error, error_kind FROM meta.runs WHERE command = 'replay' AND outcome = 'failed'";
    let failed = operator.sql(failed).unwrap();
    let error = "this month of a replay ended its process 3 times";
    assert_eq!(failed, [serde_json::json!({"error": error, "error_kind": "host"})]);
    operator.succeed(&["replay", NETWORK, "--rollback", queued["replay"].as_str().unwrap()]).unwrap();
}

/// A month whose connector can't be read for a while ends no process, however often it is tried.
#[test]
fn a_month_of_a_replay_that_fails_before_it_begins_is_not_given_up() {
    let world = world();
    let operator = with_dateless(&world);
    let queued = operator.succeed(&[&APPLY[..], &["--queue"]].concat()).unwrap();
    let queued: serde_json::Value = serde_json::from_str(&queued).unwrap();
    // As if each had ended its process twice.
    change_state(&operator, "UPDATE runs SET starts = 2");
    let (kept, aside) = (operator.path().join("lake/connectors"), operator.path().join("aside"));
    std::fs::rename(&kept, &aside).unwrap();
    let mut service = Service::start_as(&operator, &["--role", "worker"]).unwrap();
    service.wait_for(&["tried again in"]).unwrap();
    service.terminate().unwrap();
    std::fs::rename(&aside, &kept).unwrap();
    let mut service = Service::start_as(&operator, &["--role", "worker"]).unwrap();
    let months = queued["queued"].as_u64().unwrap();
    for _ in 0..months {
        service.wait_for(&["a month was replayed"]).unwrap();
    }
    assert_eq!(service.terminate().unwrap(), Some(0));
    let ended = operator.sql("SELECT outcome, count(*) AS n FROM meta.runs WHERE command = 'replay' GROUP BY outcome");
    assert_eq!(ended.unwrap(), [serde_json::json!({"outcome": "done", "n": months})]);
    assert_sound(&operator, "after its connector came back");
}

/// Whoever had a run may store a response while another process has taken it over.
#[test]
fn a_response_that_is_stored_once_its_run_was_taken_over_is_not_asked_for_again() {
    let world = world();
    let operator = world.operator.fork().unwrap();
    let window = whole_window(&world.simulator, start(), HISTORY_DAYS.into());
    let mut command = operator.command(&["run", NETWORK, "--since", &window[0], "--until", &window[1]]);
    let died = command.env("SLUICE_STOP_AT", "response-kept:2").output().unwrap();
    assert_eq!(died.status.code(), None, "{died:?}");
    let run_id = state_rows(&operator, "SELECT run_id FROM runs").unwrap().remove(0);
    let (envelopes, aside) = (operator.join(&format!("lake/raw/envelopes/{run_id}")), operator.join("aside"));
    std::fs::rename(&envelopes, &aside).unwrap();
    // It has listed what there is by then, and sent nothing.
    let heir = begin(&world, &operator, Some("planned"));
    heir.wait_until_stopped().unwrap();
    std::fs::rename(&aside, &envelopes).unwrap();
    heir.go_on().unwrap();
    let ended = heir.end().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let twice = "SELECT request_id FROM meta.requests GROUP BY request_id HAVING count(*) > 1";
    assert_eq!(operator.sql(twice).unwrap(), Vec::<serde_json::Value>::new());
    assert_exact(&world, &operator, "resumed");
}
