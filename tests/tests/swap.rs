//! Hot swap, first form: a new file serves the next slice, a broken one is refused while the old one goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, connectors_dir};

/// A service under test, killed at the end.
struct Service {
    child: Child,
    log: BufReader<ChildStderr>,
    seen: String,
}

impl Service {
    fn start(operator: &Operator) -> Self {
        let mut command = operator.command(&["serve"]);
        command.env("SLUICE_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("the binary");
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, seen: String::new() }
    }

    /// Reads the log until a line holds all of `words`.
    fn wait_for(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut line = String::new();
        while Instant::now() < deadline {
            line.clear();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the service ended:\n{}", self.seen);
            self.seen.push_str(&line);
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
        panic!("no line with {words:?} in:\n{}", self.seen);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    service.wait_for(&["connector serves", &first]);
    service.wait_for(&["connector is waiting", "rolled back"]);
    service.wait_for(&["awin", "run begins"]);
    operator.succeed(&["connectors", "approve", "awin", &second]).unwrap();
    service.wait_for(&["connector serves", &second]);
}

#[test]
fn a_broken_file_is_refused_and_a_good_one_serves() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The service looks back from the real clock.
    let options = Options { start: chrono::Utc::now(), history_days: 5, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    let accounts = simulator.accounts().iter().filter(|account| account.network == "awin");
    let file = serde_json::json!({
        "connector": "awin", "schedule": "* * * * * *", "look_back": [{"every": "1s", "days": 3}],
        "base_url": simulator.origin("awin"), "rate": {"requests": 100, "per_secs": 1, "concurrency": 4},
        "accounts": accounts.map(|account| operator.account(account)).collect::<Vec<_>>(),
    });
    operator.write("networks/awin.json", &file.to_string()).unwrap();
    let mut service = Service::start(&operator);
    service.wait_for(&["awin", "new versions"]);
    let file = operator.join("connectors.d/awin.wasm");
    std::fs::write(&file, b"broken").unwrap();
    service.wait_for(&["awin.wasm", "refused"]);
    // The schedule names every second: the next run is by the old version.
    service.wait_for(&["awin", "run begins"]);
    service.wait_for(&["awin", "0 new versions"]);
    // Another version of the same network: the same component with one more custom section.
    let mut other = std::fs::read(connectors_dir().join("awin.wasm")).unwrap();
    other.extend_from_slice(&[0, 5, 4, b'n', b'o', b't', b'e']);
    std::fs::write(operator.join("connectors.d/awin.part"), &other).unwrap();
    std::fs::rename(operator.join("connectors.d/awin.part"), &file).unwrap();
    service.wait_for(&["awin.wasm", "serv"]);
    service.wait_for(&["awin", "run begins"]);
    service.wait_for(&["awin", "0 new versions"]);
    beside_a_service(&operator, &mut service);
    drop(service);
    let digests = operator.sql("SELECT DISTINCT digest FROM meta.connectors WHERE network = 'awin'").unwrap();
    assert_eq!(digests.len(), 2, "every version that was active is kept");
}
