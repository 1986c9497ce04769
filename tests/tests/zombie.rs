//! A process that is stopped past its lease, while another one takes over its work: when it continues, what it still
//! wants to write is refused, and the tables don't show that it was there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sluice_model::Step;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    Background, Ended, Operator, PostgresServer, Service, broken_claims, lake_sums, runtime, true_sums, whole_window,
};
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Runtime;

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
struct World {
    runtime: Runtime,
    simulator: Simulator,
    operator: Operator,
}

impl World {
    fn new() -> Self {
        let runtime = runtime();
        let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &[NETWORK]).unwrap();
        operator.write("sluice.toml", &settings("file:./lake", "sqlite:./state.db")).unwrap();
        operator.run(NETWORK, &whole_window(&simulator, start(), HISTORY_DAYS.into())).unwrap();
        simulator.advance(TimeDelta::days(7));
        Self { runtime, simulator, operator }
    }

    /// A run of all that there is, in the background.
    fn begin(&self, operator: &Operator, pause_at: Option<&str>) -> Background {
        let window = whole_window(&self.simulator, start(), HISTORY_DAYS.into());
        let mut command =
            operator.command(&["--output", "json", "run", NETWORK, "--since", &window[0], "--until", &window[1]]);
        command.env("NO_COLOR", "1").envs(pause_at.map(|step| ("SLUICE_PAUSE_AT", step)));
        Background::start(command).unwrap()
    }

    /// Has another process take over what a stopped one was about, on the same machine or another one.
    fn take_over(&self, there: &Operator, stopped: u32, when: &str) {
        self.runtime.block_on(release_writers_lock(there, stopped)).unwrap();
        let heir = self.begin(there, None).end().unwrap();
        assert!(heir.status.success(), "{when}: {heir:?}");
        assert!(heir.stderr.contains(&stopped.to_string()), "{when}: its error doesn't name the holder: {heir:?}");
        self.assert_exact(there, when);
    }

    fn assert_exact(&self, operator: &Operator, when: &str) {
        let broken = broken_claims(operator).unwrap();
        assert!(broken.is_empty(), "{when}: {broken:#?}");
        assert_eq!(lake_sums(operator, NETWORK).unwrap(), true_sums(&self.simulator, NETWORK), "{when}");
        let twice = "SELECT run_id, count(*) AS n FROM meta.runs GROUP BY run_id HAVING count(*) > 1";
        assert_eq!(operator.sql(twice).unwrap(), Vec::<serde_json::Value>::new(), "{when}: a run is noted twice");
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
    [Step::ResponseKept, Step::FilesWritten, Step::UnifiedCommitted].iter().map(|step| step.name())
}

#[test]
fn a_run_whose_work_was_taken_over_writes_nothing_more() {
    let world = World::new();
    for step in steps() {
        let operator = world.operator.fork().unwrap();
        let stopped = world.begin(&operator, Some(step));
        stopped.wait_until_stopped().unwrap();
        world.take_over(&operator, stopped.id(), step);
        let before = tables(&operator);
        stopped.go_on().unwrap();
        assert_lost(&stopped.end().unwrap(), step);
        let after = tables(&operator);
        for (name, rows) in &after {
            let came: Vec<&String> = rows.iter().filter(|row| !before[name].contains(row)).collect();
            assert!(*rows == before[name], "{step}: it still wrote to {name}: {came:?}");
        }
        // Nobody stands in the way of the next run, and what was kept in raw makes the same tables.
        let next = world.begin(&operator, None).end().unwrap();
        assert!(next.status.success(), "{step}: {next:?}");
        operator.succeed(&["build", "--from-raw"]).unwrap();
        world.assert_exact(&operator, &format!("{step}, from raw"));
    }
}

#[test]
fn a_run_on_another_machine_takes_over_by_postgresql() {
    let world = World::new();
    let server = PostgresServer::start().unwrap();
    let [here, there] = [(), ()].map(|()| world.operator.fork().unwrap());
    let lake = format!("file:{}", here.join("lake").display());
    for operator in [&here, &there] {
        operator.write("sluice.toml", &settings(&lake, &server.url())).unwrap();
    }
    let stopped = world.begin(&here, Some("files-written"));
    stopped.wait_until_stopped().unwrap();
    world.take_over(&there, stopped.id(), "files written");
    stopped.go_on().unwrap();
    assert_lost(&stopped.end().unwrap(), "files written");
    world.assert_exact(&there, "continued");
}

#[test]
fn a_service_that_was_stopped_too_long_lets_its_run_go_and_serves_on() {
    let world = World::new();
    let mut operator = world.operator.fork().unwrap();
    operator.read_every_second(&world.simulator, NETWORK).unwrap();
    // The service's run waits for its second answer.
    let asked = world.simulator.requests().len();
    world.simulator.allow(asked + 1);
    let mut service = Service::start(&operator).unwrap();
    world.runtime.block_on(world.simulator.wait_for_requests(asked + 1));
    service.pause().unwrap();
    world.simulator.allow(usize::MAX);
    world.take_over(&operator, service.id(), "mid-run");
    let before = operator.sql("SELECT run_id FROM meta.runs").unwrap();
    service.go_on().unwrap();
    service.wait_for(&[NETWORK, "lease"]).unwrap();
    // It runs the network again, as if nothing had been.
    service.wait_for(&["run begins", NETWORK]).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    drop(service);
    let after = operator.sql("SELECT run_id FROM meta.runs").unwrap();
    assert!(after.len() > before.len(), "{after:?}");
    world.assert_exact(&operator, "served on");
}
