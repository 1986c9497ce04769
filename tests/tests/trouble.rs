//! What happens to a service besides crashes: it reports what is wrong, loses nothing, and continues by itself once that is
//! mended.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use chrono::Utc;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Service, StateLock, broken_claims, lake_sums, runtime, state_rows, true_sums};
use tokio::runtime::Runtime;

const NETWORK: &str = "awin";

/// A service that reads every second, and what it reads.
struct World {
    runtime: Runtime,
    simulator: Simulator,
    operator: Operator,
}

impl World {
    fn new() -> Self {
        let runtime = runtime();
        let options = Options { start: Utc::now(), history_days: 2, rows_per_day: 4, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let mut operator = Operator::of(&simulator, &[NETWORK]).unwrap();
        let settings =
            "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[schedule]\nretry_secs = 1\n";
        operator.write("sluice.toml", settings).unwrap();
        operator.read_every_second(&simulator, NETWORK).unwrap();
        Self { runtime, simulator, operator }
    }

    fn is_exact(&self) {
        let broken = broken_claims(&self.operator).unwrap();
        assert!(broken.is_empty(), "{broken:#?}");
        assert_eq!(lake_sums(&self.operator, NETWORK).unwrap(), true_sums(&self.simulator, NETWORK));
        let twice = "SELECT run_id FROM meta.runs GROUP BY run_id HAVING count(*) > 1";
        assert!(self.operator.sql(twice).unwrap().is_empty(), "a run is recorded twice");
    }
}

#[test]
fn a_service_that_is_told_to_stop_finishes_its_run_and_gives_its_accounts_back() {
    let world = World::new();
    world.simulator.allow(1);
    let mut service = Service::start(&world.operator).unwrap();
    world.runtime.block_on(world.simulator.wait_for_requests(1));
    assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
    service.wait_for(&["stopping; runs in flight may finish"]).unwrap();
    world.simulator.allow(usize::MAX);
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    assert!(service.wait().unwrap().success());
    world.is_exact();
    let asked = world.simulator.requests().len();
    // Nothing is left to do, and nobody has to be waited for.
    let ended = world.operator.succeed(&["--output", "json", "run", "--due"]).unwrap();
    assert!(!ended.contains("\"reused\":1"), "{ended}");
    assert!(world.simulator.requests().len() > asked, "the next moment has come since");
}

#[test]
fn a_service_that_is_stopped_in_the_midst_of_a_run_gives_its_accounts_back() {
    let world = World::new();
    // The network never answers.
    world.simulator.allow(0);
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["run begins", NETWORK]).unwrap();
    let of_network = "SELECT network FROM claims WHERE network = 'awin'";
    assert_eq!(state_rows(&world.operator, of_network).unwrap(), [NETWORK]);
    assert_eq!(service.terminate().unwrap(), Some(0));
    assert!(service.log().contains("runs were cut off"), "{}", service.seen());
    let claimed = state_rows(&world.operator, "SELECT network FROM claims").unwrap();
    let held = state_rows(&world.operator, "SELECT resource FROM leases WHERE holder <> ''").unwrap();
    assert!(claimed.is_empty() && held.is_empty(), "{claimed:?} {held:?}");
    world.simulator.allow(usize::MAX);
    world.operator.succeed(&["run", "--due"]).unwrap();
    world.is_exact();
}

#[test]
fn a_network_whose_file_becomes_nonsense_is_named_and_read_again_once_it_is_mended() {
    let world = World::new();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    let path = format!("networks/{NETWORK}.json");
    let good = std::fs::read_to_string(world.operator.join(&path)).unwrap();
    world.operator.write(&path, &good.replace("\"schedule\"", "\"shedule\"")).unwrap();
    service.wait_for(&["ERROR", "awin.json", "shedule"]).unwrap();
    world.operator.write(&path, "{ nonsense").unwrap();
    service.wait_for(&["ERROR", "awin.json"]).unwrap();
    world.operator.write(&path, &good).unwrap();
    service.wait_for(&["run begins", NETWORK]).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    assert!(service.is_alive());
    drop(service);
    world.is_exact();
}

#[test]
fn a_state_store_that_is_locked_is_reported_and_waited_for() {
    let world = World::new();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    let lock = StateLock::hold(&world.operator).unwrap();
    service.wait_for(&["database is locked"]).unwrap();
    service.wait_for(&["`fuser -v` on it names that process"]).unwrap();
    drop(lock);
    service.wait_for(&["run begins", NETWORK]).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    drop(service);
    world.is_exact();
}
