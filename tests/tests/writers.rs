//! Several processes and one lake, on a disk and on S3: nothing is lost, nothing is there twice, and what is read again
//! unchanged leaves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, S3Server, all_tables, differences, lake_sums, runtime, true_sums, whole_window};
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 30;
const NETWORKS: [&str; 2] = ["awin", "cj"];

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

fn simulator(history_days: u32) -> (Runtime, Simulator) {
    let runtime = runtime();
    let options = Options { start: start(), history_days, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    (runtime, simulator)
}

/// Starts a run and doesn't wait for it.
fn begin(operator: &Operator, network: &str, window: &[String; 2], account: Option<&str>) -> Child {
    let mut arguments = vec!["run", network, "--since", &window[0], "--until", &window[1]];
    arguments.extend(account.iter().flat_map(|account| ["--account", account]));
    operator.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for runs to their end, all of which must be good.
fn end(runs: Vec<Child>) {
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Two operators on two machines, each with a state store of its own, write one lake at the same time: each its
/// accounts, then both the same ones, then each its network. A third does the same alone in a lake of its own.
fn two_write_one_lake(simulator: &Simulator, here: &Operator, there: &Operator) {
    let alone = Operator::of(simulator, &NETWORKS).unwrap();
    let window = || whole_window(simulator, start(), HISTORY_DAYS.into());
    let both = [here, there];
    let compare = |when: &str| {
        for network in NETWORKS {
            alone.run(network, &window()).unwrap();
            assert_eq!(lake_sums(here, network).unwrap(), true_sums(simulator, network), "{network} {when}");
        }
        let lakes = [&alone, there].map(|operator| {
            let mut tables = all_tables(operator).unwrap();
            tables.retain(|name, _| !name.starts_with("meta."));
            tables
        });
        let different = differences(&lakes[0], &lakes[1]);
        assert!(different.is_empty(), "{when}: one writer leaves - and two leave +:\n{different}");
    };
    for network in NETWORKS {
        let parts = both.iter().zip(["alpha", "beta"]);
        end(parts.map(|(operator, account)| begin(operator, network, &window(), Some(account))).collect());
    }
    compare("of different accounts");
    simulator.advance(TimeDelta::days(6));
    for network in NETWORKS {
        end(both.iter().map(|operator| begin(operator, network, &window(), None)).collect());
    }
    compare("of the same accounts");
    simulator.advance(TimeDelta::days(6));
    end(both.iter().zip(NETWORKS).map(|(operator, network)| begin(operator, network, &window(), None)).collect());
    compare("of different networks");
}

#[test]
fn two_processes_write_one_lake_on_a_disk() {
    let (_runtime, simulator) = simulator(HISTORY_DAYS);
    let [here, there] = [(), ()].map(|()| Operator::of(&simulator, &NETWORKS).unwrap());
    let settings = format!("[lake]\nurl = \"file:{}\"\n", here.join("lake").display());
    there.write("sluice.toml", &settings).unwrap();
    two_write_one_lake(&simulator, &here, &there);
    assert!(!there.join("lake").exists());
}

#[test]
fn two_processes_write_one_lake_on_s3() {
    let (_runtime, simulator) = simulator(HISTORY_DAYS);
    let server = S3Server::start().unwrap();
    let [mut here, mut there] = [(), ()].map(|()| Operator::of(&simulator, &NETWORKS).unwrap());
    for operator in [&mut here, &mut there] {
        server.hold_lake_of(operator, "shared").unwrap();
    }
    two_write_one_lake(&simulator, &here, &there);
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string());
        }
    }
    found
}

#[test]
fn an_unchanged_window_that_is_read_28_times_again_leaves_nothing() {
    let (_runtime, simulator) = simulator(45);
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let window = whole_window(&simulator, start(), 45);
    assert!(operator.run("awin", &window).unwrap()["new_versions"].as_u64().unwrap() > 0);
    let tables = || ["unified", "awin"].map(|schema| files(&operator.join("lake/tables").join(schema)));
    let bodies = || files(&operator.join("lake/raw/bodies"));
    let (before, before_bodies) = (tables(), bodies());
    for again in 1..=28 {
        let report = operator.run("awin", &window).unwrap();
        assert!(report["records"].as_u64().unwrap() > 100, "{again}: {report}");
        assert_eq!((&report["new_versions"], &report["native_rows"]), (&0.into(), &0.into()), "{again}: {report}");
    }
    assert_eq!(tables(), before, "not one file more, not even a commit");
    assert_eq!(bodies(), before_bodies, "the same answers rest once");
    let runs = operator.sql("SELECT count(*) AS n FROM meta.runs WHERE outcome = 'done'").unwrap();
    assert_eq!(runs[0]["n"], 29, "each of them is noted");
}

#[test]
fn a_network_that_another_process_runs_is_waited_for() {
    let (runtime, simulator) = simulator(3);
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let window = whole_window(&simulator, start(), 3);
    simulator.allow(1);
    let first = begin(&operator, "awin", &window, None);
    // It asks, so it has the lease.
    runtime.block_on(simulator.wait_for_requests(1));
    let mut run = begin(&operator, "awin", &window, None);
    let mut output = String::new();
    let mut log = BufReader::new(run.stderr.take().unwrap());
    while !output.contains(&format!("network `awin` is in use by process {} on", first.id())) {
        assert!(log.read_line(&mut output).unwrap() > 0, "the run didn't wait: {output}");
    }
    assert_eq!(simulator.requests().len(), 1, "it waits before it asks");
    simulator.allow(usize::MAX);
    end(vec![first]);
    assert!(run.wait().unwrap().success());
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
}
