//! One network on one, two and three hosts: workers over one PostgreSQL and one lake, and how long they take until all accounts
//! are read. The network answers late, as networks do, so what hosts share is the waiting; they share this machine's cores too.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use sluice_simulator::{AccountSpec, Fault, FaultPlan, Options, Simulator};
use sluice_tests::{Operator, PostgresServer, Service, broken_claims};
use tokio::runtime::Runtime;

const NETWORK: &str = "awin";
const HISTORY_DAYS: u32 = 90;
/// How late the network answers.
const LATE_MS: u64 = 400;
const PATIENCE: Duration = Duration::from_secs(900);

/// What so many hosts took.
#[derive(Serialize)]
pub(crate) struct Shared {
    /// Workers.
    pub(crate) hosts: usize,
    /// Accounts of the network.
    pub(crate) accounts: usize,
    /// From the schedule's moment until all accounts were read.
    pub(crate) secs: f64,
    /// Runs, one or more for each host.
    pub(crate) runs: u64,
    /// Requests that were sent.
    pub(crate) requests: usize,
    /// What isn't exact.
    pub(crate) faults: Vec<String>,
}

/// Has one, two and three hosts read the same.
pub(crate) fn measure(
    quick: bool,
    sluice: &std::path::Path,
    connectors: &std::path::Path,
) -> anyhow::Result<Vec<Shared>> {
    let accounts = if quick { 12 } else { 96 };
    (1..=3).map(|hosts| share(hosts, accounts, sluice, connectors)).collect()
}

fn share(
    hosts: usize,
    accounts: usize,
    sluice: &std::path::Path,
    connectors: &std::path::Path,
) -> anyhow::Result<Shared> {
    let (_runtime, simulator) = late_network(accounts)?;
    let server = PostgresServer::start()?;
    let operator = operator(&simulator, &server, sluice, connectors)?;
    let workers: Vec<Service> =
        (0..hosts).map(|_| Service::start_as(&operator, &["--role", "worker"])).collect::<anyhow::Result<_>>()?;
    wait_until(&server, "SELECT id FROM services", |rows| rows.len() == hosts)?;
    let start = Instant::now();
    let scheduler = Service::start_as(&operator, &["--role", "scheduler"])?;
    wait_until(&server, "SELECT entry FROM schedule_times WHERE entry LIKE '86400s/%'", |rows| !rows.is_empty())?;
    let secs = start.elapsed().as_secs_f64();
    drop((workers, scheduler));
    let runs = operator.sql("SELECT count(*) AS n FROM meta.runs")?[0]["n"].as_u64().context("no count")?;
    let faults = broken_claims(&operator)?;
    Ok(Shared { hosts, accounts, secs, runs, requests: simulator.requests().len(), faults })
}

fn late_network(accounts: usize) -> anyhow::Result<(Runtime, Simulator)> {
    let runtime = sluice_tests::runtime();
    let faults = FaultPlan { share: 1.0, kinds: vec![Fault::Slow], max_per_request: u32::MAX, slow_millis: LATE_MS };
    let options = Options {
        start: Utc::now() - TimeDelta::hours(1),
        history_days: HISTORY_DAYS,
        rows_per_day: 3,
        accounts: (0..accounts).map(|number| AccountSpec::new(NETWORK, &format!("a{number}"))).collect(),
        faults,
        ..Options::default()
    };
    let simulator = runtime.block_on(Simulator::start(options))?;
    Ok((runtime, simulator))
}

fn operator(
    simulator: &Simulator,
    server: &PostgresServer,
    sluice: &std::path::Path,
    connectors: &std::path::Path,
) -> anyhow::Result<Operator> {
    let mut operator = Operator::using(sluice, connectors)?;
    let settings = format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{}\"\n", server.url());
    operator.write("sluice.toml", &settings)?;
    operator.install(NETWORK, "awin.wasm")?;
    let file = json!({
        "connector": NETWORK, "schedule": "0 0 29 2 *", "look_back": [{"every": "1d", "days": HISTORY_DAYS}],
        "base_url": simulator.origin(NETWORK), "rate": {"requests": 1000, "per_secs": 1, "concurrency": 1},
        "accounts": operator.accounts(simulator, NETWORK),
    });
    operator.write(&format!("networks/{NETWORK}.json"), &file.to_string())?;
    operator.succeed(&["check"])?;
    Ok(operator)
}

fn wait_until(server: &PostgresServer, query: &str, holds: impl Fn(&[String]) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds(&server.query(query)?) {
        ensure!(Instant::now() < deadline, "it never came to be: {query}");
        #[expect(clippy::disallowed_methods, reason = "another process's rows are only seen by asking")]
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
