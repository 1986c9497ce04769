//! Hot swap, first form: a new file serves the next slice, a broken one is refused while the old one goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Service, connectors_dir, runtime};

/// Rolls back and forth from another process.
fn beside_a_service(operator: &Operator, service: &mut Service) {
    let entry = || {
        let text = operator.succeed(&["--output", "json", "connectors"]).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0].clone()
    };
    let second = entry()["digest"].as_str().unwrap()[..12].to_owned();
    operator.succeed(&["connectors", "rollback", "awin"]).unwrap();
    let first = entry()["digest"].as_str().unwrap()[..12].to_owned();
    assert_ne!(first, second);
    service.wait_for(&["connector serves", &first]).unwrap();
    service.wait_for(&["connector is waiting", "rolled back"]).unwrap();
    service.wait_for(&["awin", "run begins"]).unwrap();
    operator.succeed(&["connectors", "approve", "awin", &second]).unwrap();
    service.wait_for(&["connector serves", &second]).unwrap();
}

#[test]
fn a_broken_file_is_refused_and_a_good_one_serves() {
    let runtime = runtime();
    // The service looks back from the real clock.
    let options = Options { start: chrono::Utc::now(), history_days: 5, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    operator.read_every_second(&simulator, "awin").unwrap();
    let mut service = Service::start(&operator).unwrap();
    service.wait_for(&["awin", "new versions"]).unwrap();
    let file = operator.join("connectors.d/awin.wasm");
    std::fs::write(&file, b"broken").unwrap();
    service.wait_for(&["awin.wasm", "refused"]).unwrap();
    // The schedule names every second: the next run is by the old version.
    service.wait_for(&["awin", "run begins"]).unwrap();
    service.wait_for(&["awin", "0 new versions"]).unwrap();
    // Another version of the same network: the same component with one more custom section.
    let mut other = std::fs::read(connectors_dir().join("awin.wasm")).unwrap();
    other.extend_from_slice(&[0, 5, 4, b'n', b'o', b't', b'e']);
    std::fs::write(operator.join("connectors.d/awin.part"), &other).unwrap();
    std::fs::rename(operator.join("connectors.d/awin.part"), &file).unwrap();
    service.wait_for(&["awin.wasm", "serv"]).unwrap();
    service.wait_for(&["awin", "run begins"]).unwrap();
    service.wait_for(&["awin", "0 new versions"]).unwrap();
    beside_a_service(&operator, &mut service);
    drop(service);
    let digests = operator.sql("SELECT DISTINCT digest FROM meta.connectors WHERE network = 'awin'").unwrap();
    assert_eq!(digests.len(), 2, "every version that was active is kept");
}
