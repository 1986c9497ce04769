//! Runs that die, at every named step and at random moments, and are resumed: the tables are those of a run that
//! nobody disturbed, and no request is sent again whose response was stored.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sluice_model::{RawObject, Step};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Tables, all_tables, broken_claims, differences, runtime, whole_window};
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 40;
const KILLED: Option<i32> = Some(9);

/// A request as both sides know it: method, path with query, body.
type Asked = (String, String, String);

/// A network and an operator who has read it up to some moment, and what a further run would make of it.
struct World {
    runtime: Runtime,
    simulator: Simulator,
    network: &'static str,
    operator: Operator,
    window: [String; 2],
    /// The tables after an undisturbed run.
    wanted: Tables,
    /// How many requests that takes.
    requests: usize,
}

impl World {
    /// An operator with an empty lake, or with that of a run some days ago.
    fn new(network: &'static str, has_history: bool) -> Self {
        let runtime = runtime();
        let start: DateTime<Utc> = "2025-11-10T12:00:00Z".parse().unwrap();
        let options =
            Options { start, history_days: HISTORY_DAYS, rows_per_day: 2, cj_page_limit: 25, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &[network]).unwrap();
        if has_history {
            operator.run(network, &whole_window(&simulator, start, HISTORY_DAYS.into())).unwrap();
            simulator.advance(TimeDelta::days(7));
        }
        let window = whole_window(&simulator, start, HISTORY_DAYS.into());
        let asked = simulator.requests().len();
        let undisturbed = operator.fork().unwrap();
        undisturbed.run(network, &window).unwrap();
        let wanted = all_tables(&undisturbed).unwrap();
        assert!(!wanted["unified.transaction_versions"].is_empty());
        let requests = simulator.requests().len() - asked;
        Self { runtime, simulator, network, operator, window, wanted, requests }
    }

    fn arguments(&self) -> [&str; 6] {
        ["run", self.network, "--since", &self.window[0], "--until", &self.window[1]]
    }

    /// Runs until the process kills itself at a step.
    fn die_at(&self, operator: &Operator, step: &str) {
        let mut command = operator.command(&self.arguments());
        let output = command.env("SLUICE_STOP_AT", step).output().unwrap();
        assert_eq!(output.status.signal(), KILLED, "the step {step} isn't passed: {output:?}");
    }

    /// Runs until the network has been asked so often, and kills the process.
    fn die_after(&self, operator: &Operator, requests: usize) {
        let asked = self.simulator.requests().len();
        let mut child =
            operator.command(&self.arguments()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let reached = async {
            tokio::time::timeout(Duration::from_secs(120), self.simulator.wait_for_requests(asked + requests)).await
        };
        let reached = self.runtime.block_on(reached);
        child.kill().unwrap();
        child.wait().unwrap();
        reached.expect("the network was asked so often");
    }

    /// Checks that what a dead run left is no lie: no version twice, and no window noted as read whose transactions
    /// aren't in the tables.
    fn left_no_lie(&self, operator: &Operator, when: &str) {
        if !operator.join("lake/tables").exists() {
            return;
        }
        let broken = broken_claims(operator).unwrap();
        let broken: Vec<&String> = broken.iter().filter(|claim| !claim.starts_with("the latest state is")).collect();
        assert!(broken.is_empty(), "{when}: {broken:#?}");
        let windows = format!(
            "SELECT account, since, until FROM meta.coverage WHERE network = '{}' AND axis = 'transaction' AND complete",
            self.network
        );
        let ids = format!(
            "SELECT account, transaction_id FROM unified.transaction_versions WHERE network = '{}'",
            self.network
        );
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let ids = operator.sql(&ids).unwrap();
        let there: BTreeSet<(String, String)> =
            ids.iter().map(|row| (text(row, "account"), text(row, "transaction_id"))).collect();
        for window in operator.sql(&windows).unwrap() {
            let [since, until]: [DateTime<Utc>; 2] =
                ["since", "until"].map(|name| text(&window, name).parse().unwrap());
            let account = text(&window, "account");
            let truth = self.simulator.truth(self.network, &account);
            let of_window = truth.iter().filter(|row| since <= row.transacted_at && row.transacted_at < until);
            let missing: Vec<&str> = of_window
                .map(|row| row.transaction_id.as_str())
                .filter(|id| !there.contains(&(account.clone(), (*id).to_owned())))
                .collect();
            assert!(missing.is_empty(), "{when}: {window} is noted as read, and {missing:?} aren't in the tables");
        }
    }

    /// Checks that a lake has all rows of transactions, whatever runs it took.
    fn has_the_rows(&self, operator: &Operator) {
        let tables = all_tables(operator).unwrap();
        for table in ["unified.transactions", "unified.transaction_versions", "awin.transactions"] {
            assert_eq!(tables[table], self.wanted[table], "{table}");
        }
    }

    /// Goes on to the end, and checks that nothing is asked whose answer was kept, and that no table shows it.
    fn goes_on(&self, operator: &Operator, when: &str) {
        let kept = kept(operator);
        let asked = self.simulator.requests().len();
        let report = operator.run(self.network, &self.window).unwrap();
        assert_eq!(report["status"], "done", "{when}: {report}");
        let of_run = kept.into_iter().filter(|(run, _)| report["run_id"] == *run.as_str()).map(|(_, asked)| asked);
        self.asked_nothing_again(&of_run.collect(), asked, when);
        let different = differences(&self.wanted, &all_tables(operator).unwrap());
        assert!(different.is_empty(), "{when}: a run that nobody disturbed has - and this one +:\n{different}");
        let broken = broken_claims(operator).unwrap();
        assert!(broken.is_empty(), "{when}: {broken:#?}");
    }

    /// Checks that of some requests none is among those that came after the first `asked`.
    fn asked_nothing_again(&self, kept: &BTreeSet<Asked>, asked: usize, when: &str) {
        let seen = self.simulator.requests().split_off(asked);
        let again: Vec<Asked> = seen
            .into_iter()
            .map(|seen| (seen.method, seen.uri, seen.body))
            .filter(|asked| kept.contains(asked))
            .collect();
        assert!(again.is_empty(), "{when}: asked again though the answer was kept: {again:?}");
    }
}

/// The requests whose responses are in raw, by run.
fn kept(operator: &Operator) -> BTreeSet<(String, Asked)> {
    let mut kept = BTreeSet::new();
    let Ok(runs) = std::fs::read_dir(operator.join("lake/raw/envelopes")) else { return kept };
    for run in runs {
        for envelope in std::fs::read_dir(run.unwrap().path()).unwrap() {
            let path = envelope.unwrap().path();
            // What was being written when the process was killed has another name yet.
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
            let raw: RawObject = serde_json::from_slice(&text).unwrap();
            let (_, rest) = raw.sent.url.split_once("://").unwrap();
            let uri = rest.find('/').map_or("/", |at| &rest[at..]).to_owned();
            kept.insert((raw.run_id, (raw.sent.method, uri, raw.sent.body.unwrap_or_default())));
        }
    }
    kept
}

/// Dies at every step once, and goes on.
fn dies_at_every_step(world: &World) {
    for step in Step::ALL {
        let operator = world.operator.fork().unwrap();
        world.die_at(&operator, step.name());
        world.left_no_lie(&operator, step.name());
        world.goes_on(&operator, step.name());
    }
}

#[test]
fn a_first_run_survives_every_step() {
    dies_at_every_step(&World::new("awin", false));
}

#[test]
fn a_later_run_survives_every_step() {
    dies_at_every_step(&World::new("cj", true));
}

#[test]
fn the_second_passing_of_every_step_is_survived() {
    let world = World::new("awin", true);
    let mut died = 0;
    for step in Step::ALL {
        let (operator, when) = (world.operator.fork().unwrap(), format!("{}:2", step.name()));
        let output = operator.command(&world.arguments()).env("SLUICE_STOP_AT", &when).output().unwrap();
        // Some steps are passed once in a run.
        if output.status.signal() == KILLED {
            died += 1;
            world.left_no_lie(&operator, &when);
            world.goes_on(&operator, &when);
        }
    }
    assert!(died > 3, "only {died} steps are passed twice");
}

/// One transaction is missing for the second time, one for the first, and one is there again.
#[test]
fn a_run_that_finds_what_vanished_survives_its_steps() {
    let mut world = World::new("awin", true);
    let operator = &world.operator;
    let mut settings: Value =
        serde_json::from_str(&std::fs::read_to_string(operator.join("networks/awin.json")).unwrap()).unwrap();
    settings["vanish"] = serde_json::json!({"confirm_after": "0"});
    operator.write("networks/awin.json", &settings.to_string()).unwrap();
    let truth = world.simulator.truth("awin", "alpha");
    let ids: Vec<&str> = [2, 3, 4].map(|part| truth[truth.len() * part / 8].transaction_id.as_str()).into();
    let withhold = |id: &str| assert!(world.simulator.withhold("awin", "alpha", id));
    operator.run("awin", &world.window).unwrap();
    ids[..2].iter().for_each(|id| withhold(id));
    operator.run("awin", &world.window).unwrap();
    world.simulator.deliver_all();
    ids[1..].iter().for_each(|id| withhold(id));
    let undisturbed = operator.fork().unwrap();
    let asked = world.simulator.requests().len();
    undisturbed.run("awin", &world.window).unwrap();
    world.requests = world.simulator.requests().len() - asked;
    world.wanted = all_tables(&undisturbed).unwrap();
    let count = |table: &str, word: &str| world.wanted[table].iter().filter(|row| row.contains(word)).count();
    assert_eq!((count("unified.transaction_versions", "\"vanished\""), count("meta.absent", "alpha")), (1, 1));
    for step in [Step::FilesWritten, Step::UnifiedCommitted, Step::VanishedMarked, Step::LatestCaughtUp] {
        let operator = world.operator.fork().unwrap();
        world.die_at(&operator, step.name());
        world.goes_on(&operator, step.name());
    }
}

#[test]
fn steps_in_the_midst_of_requests_are_survived() {
    let world = World::new("cj", false);
    assert!(world.requests > 6, "only {} requests", world.requests);
    for step in ["response-came:4", "body-kept:5", "response-kept:3", "slice-read:2"] {
        let operator = world.operator.fork().unwrap();
        world.die_at(&operator, step);
        world.goes_on(&operator, step);
    }
}

#[test]
fn a_run_survives_random_moments() {
    for network in ["awin", "cj", "tradetracker"] {
        let world = World::new(network, network == "awin");
        let mut dice = 0x2545_f491_4f6c_dd1d_u64;
        let mut roll = |sides: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice as usize % sides
        };
        for round in 0..3 {
            let operator = world.operator.fork().unwrap();
            let first = 1 + roll(world.requests);
            world.die_after(&operator, first);
            // What is left to be asked is at least what wasn't answered at the first death.
            let left = world.requests.saturating_sub(first);
            if left > 1 {
                world.die_after(&operator, 1 + roll(left - 1));
            }
            world.goes_on(&operator, &format!("{network}, round {round}"));
        }
    }
}

#[test]
fn another_question_waits_until_the_first_is_answered() {
    let world = World::new("awin", false);
    let operator = world.operator.fork().unwrap();
    world.die_at(&operator, "response-kept:2");
    let text = operator.succeed(&["--output", "json", "run", "awin", "--since", "2025-11-01", "--until", "2025-11-02"]);
    let reports: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let runs = operator.sql("SELECT run_id, outcome, slices FROM meta.runs ORDER BY started_at").unwrap();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[1]["run_id"], reports[0]["run_id"], "the second answers what was asked now");
    assert!(runs[0]["slices"].as_u64() > runs[1]["slices"].as_u64(), "{runs:?}");
    world.has_the_rows(&operator);
}

#[test]
fn a_run_that_comes_to_no_end_is_given_up() {
    let world = World::new("awin", false);
    let operator = world.operator.fork().unwrap();
    for _ in 0..4 {
        world.die_at(&operator, "native-committed");
        // The data files must be written again, so that the step is passed again.
        std::fs::remove_dir_all(operator.join("lake/tables/awin")).unwrap();
    }
    let report = operator.run("awin", &world.window).unwrap();
    let runs = operator.sql("SELECT run_id, outcome, error FROM meta.runs ORDER BY started_at").unwrap();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!((&runs[0]["outcome"], &runs[1]["outcome"]), (&"failed".into(), &"done".into()), "{runs:?}");
    assert!(runs[0]["error"].as_str().unwrap().contains("sluice build awin --run"), "{runs:?}");
    assert_eq!(runs[1]["run_id"], report["run_id"]);
    world.has_the_rows(&operator);
}

#[test]
fn a_lake_that_cant_be_read_while_a_run_is_resumed_has_nothing_asked_again() {
    let world = World::new("cj", false);
    for step in ["response-kept:3", "outcome-kept:3"] {
        let operator = world.operator.fork().unwrap();
        world.die_at(&operator, step);
        let (kept, asked) = (kept(&operator), world.simulator.requests().len());
        let run_id = kept.first().unwrap().0.clone();
        let folders = std::fs::read_dir(operator.join("lake/raw/bodies")).unwrap();
        let bodies = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        let hidden: Vec<PathBuf> = bodies.map(|body| body.unwrap().path()).collect();
        for path in &hidden {
            std::fs::rename(path, path.with_extension("hidden")).unwrap();
            // A link to itself can't be opened, and isn't missing.
            std::os::unix::fs::symlink(path, path).unwrap();
        }
        let answer = operator.sluice(&world.arguments()).unwrap();
        assert!(answer.code == 1 && answer.stderr.contains("cannot read "), "{step}: {answer:?}");
        world.asked_nothing_again(&kept.into_iter().map(|(_, asked)| asked).collect(), asked, step);
        for path in &hidden {
            std::fs::remove_file(path).unwrap();
            std::fs::rename(path.with_extension("hidden"), path).unwrap();
        }
        world.goes_on(&operator, step);
        let runs = operator.sql("SELECT run_id, outcome FROM meta.runs").unwrap();
        assert_eq!(runs, [serde_json::json!({"run_id": run_id, "outcome": "done"})]);
    }
}

#[test]
fn a_lake_that_cant_be_written_for_a_while_costs_no_run() {
    let world = World::new("awin", false);
    let operator = world.operator.fork().unwrap();
    world.die_at(&operator, "native-committed");
    let run_id = kept(&operator).first().unwrap().0.clone();
    let tables = operator.join("lake/tables/awin");
    std::fs::remove_dir_all(&tables).unwrap();
    std::fs::write(&tables, "in the way").unwrap();
    for _ in 0..5 {
        let answer = operator.sluice(&world.arguments()).unwrap();
        assert_eq!(answer.code, 1, "{}", answer.stderr);
    }
    std::fs::remove_file(&tables).unwrap();
    world.goes_on(&operator, "once it can be written");
    let runs = operator.sql("SELECT run_id, outcome FROM meta.runs").unwrap();
    assert_eq!(runs, [serde_json::json!({"run_id": run_id, "outcome": "done"})]);
}

#[test]
fn without_the_state_store_the_next_run_reads_again() {
    let world = World::new("awin", false);
    let operator = world.operator.fork().unwrap();
    world.die_at(&operator, "unified-committed");
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(operator.join(file));
    }
    operator.run("awin", &world.window).unwrap();
    let tables = all_tables(&operator).unwrap();
    for table in ["unified.transactions", "unified.transaction_versions", "awin.transactions"] {
        assert_eq!(tables[table], world.wanted[table], "{table}");
    }
}

#[test]
fn a_service_goes_on_at_its_start() {
    let world = World::new("awin", false);
    let operator = world.operator.fork().unwrap();
    world.die_at(&operator, "response-kept:2");
    let run_id = kept(&operator).first().unwrap().0.clone();
    let mut command = operator.command(&["serve"]);
    command.env("SLUICE_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped()).stdout(Stdio::null());
    let mut service = command.spawn().unwrap();
    let (mut log, mut output) = (BufReader::new(service.stderr.take().unwrap()), String::new());
    // Its own run follows: then the interrupted one is over.
    while !output.contains("run begins") {
        assert!(log.read_line(&mut output).unwrap() > 0, "the service ended:\n{output}");
    }
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(output.contains("is resumed") && output.contains(&run_id), "{output}");
    let runs = operator.sql(&format!("SELECT outcome, requests FROM meta.runs WHERE run_id = '{run_id}'")).unwrap();
    assert_eq!((&runs[0]["outcome"], runs.len()), (&"done".into(), 1), "{runs:?}");
    assert_eq!(runs[0]["requests"].as_u64(), Some(world.requests as u64), "requests of both lives count once");
}
