//! What happens to a service besides crashes: it reports what is wrong, loses nothing, and continues by itself once that is
//! mended.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;
use std::time::{Duration, Instant};

use chrono::Utc;
use sluice_simulator::Options;
use sluice_tests::{Service, Simulated, StateLock, check_exact, check_runs_once, state_rows};

const NETWORK: &str = "awin";
/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(180);

/// A service that reads every second, and what it reads.
fn world() -> Simulated {
    let options = Options { start: Utc::now(), history_days: 2, rows_per_day: 4, ..Options::default() };
    let mut world = Simulated::start(options, &[NETWORK]).unwrap();
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[schedule]\nretry_secs = 1\n";
    world.operator.write("sluice.toml", settings).unwrap();
    world.operator.read_every_second(&world.simulator, NETWORK).unwrap();
    world
}

fn is_exact(world: &Simulated) {
    check_exact(&world.operator, &world.simulator, &[NETWORK]).unwrap();
    check_runs_once(&world.operator).unwrap();
}

#[test]
fn a_service_that_is_told_to_stop_finishes_its_run_and_gives_its_accounts_back() {
    let world = world();
    world.simulator.allow(1);
    let mut service = Service::start(&world.operator).unwrap();
    world.runtime.block_on(world.simulator.wait_for_requests(1));
    assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
    service.wait_for(&["stopping; runs in flight may finish"]).unwrap();
    world.simulator.allow(usize::MAX);
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    assert!(service.wait().unwrap().success());
    is_exact(&world);
    let asked = world.simulator.requests().len();
    // Nothing is left to do, and nobody has to be waited for; the next moment comes within a second.
    let deadline = Instant::now() + PATIENCE;
    while world.simulator.requests().len() == asked {
        assert!(Instant::now() < deadline, "the next moment never came");
        let ended = world.operator.succeed(&["--output", "json", "run", "--due"]).unwrap();
        assert!(!ended.contains("\"reused\":1"), "{ended}");
    }
}

#[test]
fn a_service_that_is_stopped_in_the_midst_of_a_run_gives_its_accounts_back() {
    let world = world();
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
    is_exact(&world);
}

#[test]
fn a_network_whose_file_becomes_nonsense_is_named_and_read_again_once_it_is_mended() {
    let world = world();
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
    is_exact(&world);
}

#[test]
fn a_state_store_that_is_locked_is_reported_and_waited_for() {
    let world = world();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    let lock = StateLock::hold(&world.operator).unwrap();
    service.wait_for(&["database is locked"]).unwrap();
    service.wait_for(&["`fuser -v` on it names that process"]).unwrap();
    drop(lock);
    service.wait_for(&["run begins", NETWORK]).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    drop(service);
    is_exact(&world);
}

#[test]
fn a_run_in_flight_is_resumed_after_a_state_store_that_was_locked_past_its_lease() {
    let world = world();
    let settings = std::fs::read_to_string(world.operator.join("sluice.toml")).unwrap();
    // SQLite waits for ten seconds.
    let settings = settings.replace("[schedule]", "lease_secs = 4\n[schedule]");
    world.operator.write("sluice.toml", &settings).unwrap();
    world.simulator.allow(1);
    let mut service = Service::start(&world.operator).unwrap();
    // It waits for its second answer.
    world.runtime.block_on(world.simulator.wait_for_requests(1));
    let lock = StateLock::hold(&world.operator).unwrap();
    let reported = ["the lease of network `awin` was lost", "database is locked"];
    service.wait_for_all(&reported.map(|text| (text.to_owned(), String::new()))).unwrap();
    world.simulator.allow(usize::MAX);
    drop(lock);
    service.wait_for(&["an interrupted run is resumed"]).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    assert_eq!(service.terminate().unwrap(), Some(0));
    is_exact(&world);
}
