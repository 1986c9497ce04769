//! Leases and claims: one process at a time works on a network's account, whatever lies before the state store, and whoever
//! dies or hangs loses its lease.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    Operator, PgBouncer, PostgresServer, can_be_written, claim_elsewhere, lake_sums, runtime, true_sums, whole_window,
};
use tokio::runtime::Runtime;

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(120);
/// Settings that PgBouncer needs for clients like sqlx.
const FOR_SQLX: &str = "ignore_startup_parameters = extra_float_digits";

/// PostgreSQL's clock as leases have it.
const NOW: &str = "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)";

/// A simulated network that an operator reads, with the state store at this URL and settings.
struct World {
    runtime: Runtime,
    simulator: Simulator,
    operator: Operator,
    window: [String; 2],
}

impl World {
    fn new(url: &str, state: &str) -> Self {
        let runtime = runtime();
        let start: DateTime<Utc> = "2025-11-10T12:00:00Z".parse().unwrap();
        let options = Options { start, history_days: 60, rows_per_day: 2, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &["awin"]).unwrap();
        let settings = format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{url}\"\n{state}\n");
        operator.write("sluice.toml", &settings).unwrap();
        let window = whole_window(&simulator, start, 60);
        Self { runtime, simulator, operator, window }
    }

    /// Starts a run, and doesn't wait for it.
    fn begin(&self) -> Child {
        let [since, until] = &self.window;
        let mut command =
            self.operator.command(&["--output", "json", "run", "awin", "--since", since, "--until", until]);
        command.env("NO_COLOR", "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts a run that is in its middle, with no answer to some of its requests.
    fn begin_and_hold(&self) -> Child {
        let answered = self.simulator.requests().len() + 2;
        self.simulator.allow(answered);
        let run = self.begin();
        let reached = async { tokio::time::timeout(PATIENCE, self.simulator.wait_for_requests(answered)).await };
        self.runtime.block_on(reached).expect("the network was asked");
        let deadline = Instant::now() + PATIENCE;
        while self.kept() < 2 {
            assert!(Instant::now() < deadline, "the answers aren't kept");
            #[expect(clippy::disallowed_methods, reason = "a file written by another process is only seen by looking")]
            std::thread::sleep(Duration::from_millis(10));
        }
        run
    }

    /// How many responses are in raw.
    fn kept(&self) -> usize {
        let folders = std::fs::read_dir(self.operator.join("lake/raw/envelopes")).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count()
    }

    /// Lets at most one request of an account be on its way.
    fn ask_one_after_another(&mut self) {
        let accounts = self.simulator.accounts().iter().filter(|account| account.network == "awin");
        let file = serde_json::json!({
            "connector": "awin", "base_url": self.simulator.origin("awin"),
            "rate": {"requests": 2000, "per_secs": 1, "concurrency": 1},
            "accounts": accounts.map(|account| self.operator.account(account)).collect::<Vec<_>>(),
        });
        self.operator.write("networks/awin.json", &file.to_string()).unwrap();
    }

    fn answer_all(&self) {
        self.simulator.allow(usize::MAX);
    }

    fn is_read(&self) -> bool {
        lake_sums(&self.operator, "awin").unwrap() == true_sums(&self.simulator, "awin")
    }
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    reports[0].clone()
}

fn signal(run: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &run.id().to_string()]).status().unwrap().success());
}

/// Stops a process while it doesn't write to the SQLite store: that would lock out all others for as long as it is stopped.
fn stop_between_writes(world: &World, run: &Child) {
    for _ in 0..50 {
        signal(run, "-STOP");
        if can_be_written(&world.operator) {
            return;
        }
        signal(run, "-CONT");
    }
    panic!("it writes whenever it is stopped");
}

/// Reads what a run logs until a line holds these words.
fn wait_for(run: &mut Child, words: &str) -> String {
    let mut log = BufReader::new(run.stderr.take().unwrap());
    let mut output = String::new();
    while !output.contains(words) {
        assert!(log.read_line(&mut output).unwrap() > 0, "it never logged `{words}`:\n{output}");
    }
    // What follows is read too, so that the run isn't held up.
    std::thread::spawn(move || log.read_to_string(&mut String::new()));
    output
}

/// PgBouncer in transaction mode is what a state store on PostgreSQL must bear: each statement may go to another
/// backend, and a session outlives its client.
#[test]
fn behind_a_pooler_one_process_does_an_interrupted_run_and_none_waits_for_the_dead() {
    let server = PostgresServer::start().unwrap();
    let pooler = PgBouncer::start(&server, FOR_SQLX).unwrap();
    // Nobody gets a lease here by waiting for its end.
    let world = World::new(&pooler.url(), "lease_secs = 600");
    let mut killed = world.begin_and_hold();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let noted = server.query("SELECT run_id FROM runs").unwrap();
    assert_eq!(noted.len(), 1, "{noted:?}");

    world.answer_all();
    let started = Instant::now();
    let both = [world.begin(), world.begin()].map(|run| report(&run.wait_with_output().unwrap()));
    assert!(started.elapsed() < Duration::from_secs(300), "the killed process is waited for");
    let resumed: Vec<&Value> = both.iter().filter(|report| report["run_id"] == *noted[0].as_str()).collect();
    assert_eq!(resumed.len(), 1, "one of them is the interrupted run: {both:?}");
    assert!(resumed[0]["reused"].as_u64() > Some(0), "{resumed:?}");
    let runs =
        world.operator.sql("SELECT run_id, started_at, finished_at FROM meta.runs ORDER BY finished_at").unwrap();
    let ids: BTreeSet<&str> = runs.iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    assert_eq!((runs.len(), ids.len()), (2, 2), "{runs:?}");
    let moment = |run: &Value, name: &str| -> DateTime<Utc> { run[name].as_str().unwrap().parse().unwrap() };
    assert!(moment(&runs[1], "started_at") >= moment(&runs[0], "finished_at"), "one waited for the other: {runs:?}");
    assert!(world.is_read());
    assert_eq!(server.query("SELECT count(*) FROM runs").unwrap(), ["0"]);
    assert_eq!(server.query("SELECT DISTINCT holder FROM leases").unwrap(), [""]);
    assert_eq!(server.query("SELECT count(*) FROM claims").unwrap(), ["0"]);
}

#[test]
fn a_pooler_that_refuses_sqlx_is_named_with_the_line_that_it_needs() {
    let server = PostgresServer::start().unwrap();
    let pooler = PgBouncer::start(&server, "").unwrap();
    let world = World::new(&pooler.url(), "");
    let answer = world.operator.sluice(&["check"]).unwrap();
    assert_eq!(answer.code, 78, "{answer:?}");
    assert!(
        answer.stderr.contains(&format!("hint: the server is PgBouncer; add to its [pgbouncer] section: {FOR_SQLX}"))
    );
}

#[test]
fn processes_that_start_at_once_make_the_tables_once() {
    let server = PostgresServer::start().unwrap();
    let pooler = PgBouncer::start(&server, FOR_SQLX).unwrap();
    let world = World::new(&pooler.url(), "");
    let checks: Vec<Child> = (0..4)
        .map(|_| world.operator.command(&["check"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for check in checks {
        let output = check.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let applied = server.query("SELECT count(*), count(DISTINCT version) FROM _sqlx_migrations").unwrap();
    let files = |folder: &str| {
        let migrations = sluice_tests::repository().join("host/state/migrations").join(folder);
        std::fs::read_dir(migrations).unwrap().count()
    };
    let all = files("both") + files("postgres");
    assert_eq!(applied, [format!("{all}|{all}")]);
    server.query("ALTER ROLE sluice SET default_transaction_read_only = on").unwrap();
    // A pooler keeps its connections, and with them the default of before.
    let pooler = PgBouncer::start(&server, FOR_SQLX).unwrap();
    let settings = format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{}\"\n", pooler.url());
    world.operator.write("sluice.toml", &settings).unwrap();
    world.operator.succeed(&["check"]).unwrap();
}

#[test]
fn a_lease_of_another_host_is_waited_for_until_it_expires() {
    let server = PostgresServer::start().unwrap();
    let world = World::new(&server.url(), "");
    let mut killed = world.begin_and_hold();
    killed.kill().unwrap();
    killed.wait().unwrap();
    // As if it had run elsewhere, where nobody here can see that it is dead.
    let moved = format!(
        "UPDATE leases SET host = 'elsewhere', machine = 'another', expires_at = {NOW} + 10000 RETURNING epoch"
    );
    let epoch: i64 = server.query(&moved).unwrap()[0].parse().unwrap();
    world.answer_all();
    let mut run = world.begin();
    let output = wait_for(&mut run, "waiting for up to 900 s");
    let holder = format!("network `awin` is in use by process {} on elsewhere since 20", killed.id());
    assert!(output.contains(&holder), "{output}");
    assert!(run.wait().unwrap().success());
    assert!(world.is_read());
    let next = "SELECT epoch FROM leases WHERE resource = 'process/1'";
    let next: i64 = server.query(next).unwrap()[0].parse().unwrap();
    assert!(next > epoch);
}

#[test]
fn whatever_writes_a_network_claims_it() {
    let server = PostgresServer::start().unwrap();
    let world = World::new(&server.url(), "lease_wait_secs = 0");
    world.operator.run("awin", &world.window).unwrap();
    let held = format!(
        "WITH held AS (
             UPDATE leases SET holder = 'x', host = 'elsewhere', machine = '', process_id = 17, since = {NOW},
             expires_at = {NOW} + 3600000 RETURNING resource, epoch)
         INSERT INTO claims (claim_id, network, accounts, lease, epoch, since)
         SELECT 'c', 'awin', '[]', resource, epoch, {NOW} FROM held RETURNING lease"
    );
    assert_eq!(server.query(&held).unwrap(), ["process/1"]);
    let asked = world.simulator.requests().len();
    let commands: [&[&str]; 6] = [
        &["run", "awin"],
        &["collect", "awin"],
        &["build", "awin"],
        &["build", "--from-raw"],
        &["rejects", "retry", "awin"],
        &["replay", "awin", "--apply"],
    ];
    for command in commands {
        let answer = world.operator.sluice(command).unwrap();
        assert_eq!(answer.code, 1, "{command:?}: {answer:?}");
        let expected = "network `awin` is in use by process 17 on elsewhere since";
        assert!(answer.stderr.contains(expected), "{command:?}: {answer:?}");
        assert!(answer.stderr.contains("hint: wait until that run has ended, or stop process 17 on elsewhere"));
    }
    assert_eq!(world.simulator.requests().len(), asked);
}

/// Several files may name one connector: what rewrites its history is about all of them.
#[test]
fn whatever_rewrites_history_claims_all_files_of_its_connector() {
    let world = World::new("sqlite:./state.db", "lease_wait_secs = 0");
    world.operator.run("awin", &world.window).unwrap();
    let file = std::fs::read_to_string(world.operator.join("networks/awin.json")).unwrap();
    let mut second: Value = serde_json::from_str(&file).unwrap();
    for (number, account) in second["accounts"].as_array_mut().unwrap().iter_mut().enumerate() {
        account["id"] = format!("second-{}", account["name"].as_str().unwrap()).into();
        account["settings"]["publisher_id"] = format!("99999{number}").into();
    }
    world.operator.write("networks/second.json", &second.to_string()).unwrap();
    claim_elsewhere(&world.operator, "second", &["second-alpha"]);
    for command in [&["build", "awin"][..], &["rejects", "retry", "awin"], &["replay", "awin", "--apply"]] {
        let answer = world.operator.sluice(command).unwrap();
        assert_eq!(answer.code, 1, "{command:?}: {answer:?}");
        let expected = "network `second` is in use by process 17 on elsewhere since";
        assert!(answer.stderr.contains(expected), "{command:?}: {answer:?}");
    }
    // A run is of one file.
    world.operator.run("awin", &world.window).unwrap();
}

/// A process that is stopped for longer than its lease can't know that another one has taken its work over.
#[test]
fn a_process_that_was_stopped_past_its_lease_ends_with_a_failure() {
    let mut world = World::new("sqlite:./state.db", "lease_secs = 6");
    world.ask_one_after_another();
    let mut stopped = world.begin_and_hold();
    stop_between_writes(&world, &stopped);
    world.answer_all();
    let next = report(&world.begin().wait_with_output().unwrap());
    assert_eq!(next["status"], "done", "{next}");
    // What it still waits for isn't answered before it has seen the clock.
    world.simulator.allow(0);
    signal(&stopped, "-CONT");
    let output = wait_for(&mut stopped, "lease of network `awin` was lost");
    assert!(!output.contains("panicked"), "{output}");
    assert_eq!(stopped.wait().unwrap().code(), Some(1));
    world.answer_all();
    assert!(world.is_read());
    assert_eq!(world.operator.sql("SELECT count(*) AS n FROM meta.runs").unwrap()[0]["n"], 1);
}

#[test]
fn a_process_that_was_stopped_past_its_lease_keeps_it_if_nobody_took_it_over() {
    let server = PostgresServer::start().unwrap();
    let world = World::new(&server.url(), "lease_secs = 2");
    let stopped = world.begin_and_hold();
    let epoch = server.query("SELECT epoch FROM leases").unwrap();
    signal(&stopped, "-STOP");
    let deadline = Instant::now() + PATIENCE;
    while server.query(&format!("SELECT expires_at < {NOW} FROM leases")).unwrap() != ["t"] {
        assert!(Instant::now() < deadline, "the lease doesn't expire");
        #[expect(clippy::disallowed_methods, reason = "PostgreSQL's clock is only seen by asking")]
        std::thread::sleep(Duration::from_millis(50));
    }
    world.answer_all();
    signal(&stopped, "-CONT");
    assert_eq!(report(&stopped.wait_with_output().unwrap())["status"], "done");
    assert_eq!(server.query("SELECT epoch FROM leases").unwrap(), epoch);
    assert!(world.is_read());
}

#[test]
fn a_state_store_that_fails_is_a_settings_failure_of_every_command() {
    let world = World::new("postgres://sluice:a-password@127.0.0.1:1/none", "");
    let commands: [&[&str]; 9] = [
        &["serve"],
        &["check"],
        &["run", "awin"],
        &["collect", "awin"],
        &["build", "awin"],
        &["build", "--from-raw"],
        &["plan", "awin"],
        &["connectors"],
        &["rejects", "retry"],
    ];
    for command in commands {
        let answer = world.operator.sluice(command).unwrap();
        assert_eq!(answer.code, 78, "{command:?}: {answer:?}");
        let has_hint = answer.stderr.contains("hint: check state.url in sluice.toml");
        assert!(answer.stderr.contains("postgres://…@127.0.0.1:1/none") && has_hint, "{command:?}: {answer:?}");
        assert!(!answer.stderr.contains("a-password"), "{command:?}: {answer:?}");
    }
}
