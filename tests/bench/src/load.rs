//! Many networks due at once, in one `sluice serve` and in two over one PostgreSQL and S3.
//!
//! The same accounts are one network, then many of one connector, then many of connectors of their own. Time is from the
//! start of the service until the last run is over, so with all rows in the tables. After it all rows are counted, and
//! what [`CLAIMS`](sluice_tests::CLAIMS) says must hold.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use serde_json::json;
use sluice_tests::{Operator, PostgresServer, S3Server, broken_claims, renamed};

use crate::network::{Address, FIRST_PUBLISHER, Network, ROWS_PER_REQUEST, WINDOW_DAYS};
use crate::process::{self, Usage};
use crate::yardstick;

const TOKEN: &str = "BENCH_TOKEN";
/// What the log says of a commit that another writer was faster than.
const CONFLICT: &str = "another writer was first";
/// What the log says of a run that is over.
pub(crate) const OVER: &str = "new versions";
/// What the log says once the API can be asked.
const LISTENS: &str = "the HTTP API listens on http://";
/// Settings of a service that answers HTTP at a port of the system's choice.
pub(crate) const LISTENING: &str = "\n[server]\nlisten = \"127.0.0.1:0\"\n";
/// How long a service may take in all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1_800);
/// The connector's id, and so long are those of its copies.
const CONNECTOR: &str = "awin";

/// How much is due at once.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) networks: usize,
    /// Of each network.
    pub(crate) accounts: usize,
    /// Windows of 31 days of each account.
    pub(crate) windows: usize,
    /// Rows of each window.
    pub(crate) rows_each: usize,
}

impl Load {
    /// What the limits hold for: 180 accounts.
    pub(crate) const FULL: Self = Self { networks: 60, accounts: 3, windows: 3, rows_each: ROWS_PER_REQUEST };
    /// For two processes over a store that answers one request at a time.
    pub(crate) const SHARED: Self = Self { networks: 20, accounts: 3, windows: 2, rows_each: ROWS_PER_REQUEST };
    /// For trying.
    pub(crate) const QUICK: Self = Self { networks: 4, accounts: 2, windows: 1, rows_each: ROWS_PER_REQUEST };

    /// Windows in all.
    pub(crate) fn slices(self) -> usize {
        self.networks * self.accounts * self.windows
    }

    /// Rows in all.
    pub(crate) fn rows(self) -> usize {
        self.slices() * self.rows_each
    }
}

/// What a load took.
#[derive(Serialize)]
pub(crate) struct Served {
    /// What was served.
    pub(crate) what: &'static str,
    /// Networks that were due at once.
    pub(crate) networks: usize,
    /// Tables of networks that got rows, all of them made by this.
    pub(crate) native_tables: usize,
    /// Rows that were read.
    pub(crate) rows: usize,
    /// Of each process; their time ends with the last run of all.
    pub(crate) processes: Vec<Usage>,
    /// Commits that another writer was faster than.
    pub(crate) conflicts: usize,
    /// Commits to all tables.
    pub(crate) commits: usize,
    /// Data files of all tables, those too that no snapshot names any more.
    pub(crate) data_files: usize,
    /// What isn't exact.
    pub(crate) faults: Vec<String>,
}

/// How the accounts are parted into networks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Parts {
    One,
    Same,
    Distinct,
}

/// Serves all loads, the same accounts as one network first.
pub(crate) fn measure(quick: bool, sluice: &Path, connectors: &Path) -> anyhow::Result<Vec<Served>> {
    let (load, shared) = if quick { (Load::QUICK, Load::QUICK) } else { (Load::FULL, Load::SHARED) };
    let network = Network::start(ROWS_PER_REQUEST)?;
    let mut served = Vec::new();
    for (what, parts) in [
        ("one network", Parts::One),
        ("networks of one connector", Parts::Same),
        ("networks of their own connectors", Parts::Distinct),
    ] {
        served.push(measure_one(what, (load, parts), &network.address, sluice, connectors)?);
    }
    served.push(two_processes(shared, &network.address, sluice, connectors)?);
    Ok(served)
}

fn two_processes(load: Load, address: &Address, sluice: &Path, connectors: &Path) -> anyhow::Result<Served> {
    let (postgres, s3) = (PostgresServer::start()?, S3Server::start()?);
    let make = || -> anyhow::Result<Operator> {
        let mut operator = operator(load, Parts::Same, address, sluice, connectors)?;
        s3.share_lake_of(&mut operator, "load", &postgres.url())?;
        Ok(operator)
    };
    let (here, there) = (make()?, make()?);
    let mut taken = serve("two processes on PostgreSQL and S3", load, Parts::Same, &[&here, &there])?;
    (taken.commits, taken.data_files) = objects(&s3.objects("load/tables/")?);
    Ok(taken)
}

/// An operator of one network with all accounts, that was never read.
pub(crate) fn one_network(load: Load, address: &Address, sluice: &Path, connectors: &Path) -> anyhow::Result<Operator> {
    operator(load, Parts::One, address, sluice, connectors)
}

/// Serves a load alone.
pub(crate) fn measure_one(
    what: &'static str,
    (load, parts): (Load, Parts),
    address: &Address,
    sluice: &Path,
    connectors: &Path,
) -> anyhow::Result<Served> {
    let operator = operator(load, parts, address, sluice, connectors)?;
    let mut taken = serve(what, load, parts, &[&operator])?;
    (taken.commits, taken.data_files) = objects(&files(&operator.join("lake/tables"))?);
    Ok(taken)
}

/// An operator whose networks have all accounts between them and were never read.
pub(crate) fn operator(
    load: Load,
    parts: Parts,
    address: &Address,
    sluice: &Path,
    connectors: &Path,
) -> anyhow::Result<Operator> {
    let mut operator = Operator::using(sluice, connectors)?;
    operator.set(TOKEN, &address.token);
    let (networks, accounts) =
        if parts == Parts::One { (1, load.networks * load.accounts) } else { (load.networks, load.accounts) };
    let component = connectors.join(format!("{CONNECTOR}.wasm"));
    let component =
        std::fs::read(&component).with_context(|| format!("no {}: run `just build`", component.display()))?;
    if parts != Parts::Distinct {
        operator.install(CONNECTOR, "awin.wasm")?;
    }
    for number in 0..networks {
        let mut id = CONNECTOR.to_owned();
        if parts == Parts::Distinct {
            id = format!("aw{number:02}");
            operator.put_connector(&format!("{id}.wasm"), &renamed(&component, CONNECTOR, &id)?)?;
        }
        let account = |place: usize| {
            let number = number * accounts + place;
            let publisher = (FIRST_PUBLISHER + number).to_string();
            let secrets = json!({"token": format!("env:{TOKEN}")});
            json!({"name": format!("a{number:03}"), "settings": {"publisher_id": publisher}, "secrets": secrets})
        };
        let file = json!({
            "connector": id, "schedule": "* * * * *", "hosts": [], "base_url": address.origin,
            "look_back": [{"every": "1d", "days": load.windows * WINDOW_DAYS, "axis": "transaction"}],
            "rate": {"requests": 100_000, "per_secs": 1, "concurrency": yardstick::CONCURRENCY},
            "accounts": (0..accounts).map(account).collect::<Vec<_>>(),
        });
        operator.write(&format!("networks/n{number:02}.json"), &file.to_string())?;
    }
    // Compiling a connector costs 0.1 s once per version, not per run.
    operator.succeed(&["check"])?;
    Ok(operator)
}

/// A running `sluice serve`, killed when dropped.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) fn start(operator: &Operator, log: Sender<String>) -> anyhow::Result<Self> {
        let mut command = operator.command(&["serve"]);
        command
            .env("SLUICE_LOG", "info,sluice_lake=debug,sluice_runtime=debug,sluice_state=debug")
            .env("NO_COLOR", "1");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().context("cannot run `serve`")?;
        let lines = BufReader::new(child.stderr.take().context("no log")?).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| log.send(line)));
        Ok(Self(child))
    }

    /// Its process.
    pub(crate) fn child(&self) -> &Child {
        &self.0
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// `host:port` of a service's API, by the lines of its log.
pub(crate) fn listening_at(log: &mut impl Iterator<Item = String>) -> anyhow::Result<String> {
    let address = log.find_map(|line| {
        let (_, address) = line.split_once(LISTENS)?;
        Some(address.split(['"', ' ', '\u{1b}']).next()?.to_owned())
    });
    address.context("the service doesn't listen")
}

/// Serves until each network was run once.
fn serve(what: &'static str, load: Load, parts: Parts, operators: &[&Operator]) -> anyhow::Result<Served> {
    let networks = if parts == Parts::One { 1 } else { load.networks };
    let start = Instant::now();
    let (sender, log) = channel();
    let services: Vec<Service> =
        operators.iter().map(|operator| Service::start(operator, sender.clone())).collect::<anyhow::Result<_>>()?;
    drop(sender);
    let conflicts = until_all_are_over(networks, start, &log)?;
    let processes: Vec<Usage> =
        services.iter().map(|service| process::of_running(&service.0, start)).collect::<anyhow::Result<_>>()?;
    drop(services);
    let [operator, ..] = operators else { bail!("nobody serves") };
    let mut faults = broken_claims(operator)?;
    for table in ["unified.transactions", "unified.transaction_versions"] {
        let rows = operator.sql(&format!("SELECT count(*) AS n FROM {table}"))?[0]["n"].clone();
        if rows != load.rows() {
            faults.push(format!("{table} has {rows} rows, not {}", load.rows()));
        }
    }
    let native_tables = if parts == Parts::Distinct { networks } else { 1 };
    Ok(Served {
        what,
        networks,
        native_tables,
        rows: load.rows(),
        processes,
        conflicts,
        commits: 0,
        data_files: 0,
        faults,
    })
}

/// Reads the log until so many runs are over, and gives how many conflicts it tells of.
fn until_all_are_over(networks: usize, start: Instant, log: &Receiver<String>) -> anyhow::Result<usize> {
    let (mut over, mut conflicts, mut problems) = (0, 0, Vec::new());
    while over < networks {
        let left = PATIENCE.saturating_sub(start.elapsed());
        let line = log.recv_timeout(left);
        let line = line.with_context(|| format!("{over} of {networks} runs are over; of the others: {problems:#?}"))?;
        over += usize::from(line.contains(OVER));
        conflicts += usize::from(line.contains(CONFLICT));
        if line.contains(" ERROR ") || line.contains(" WARN ") {
            problems.push(line);
            ensure!(problems.len() < 1_000, "the service has nothing but problems: {:#?}", &problems[..10]);
        }
    }
    Ok(conflicts)
}

/// All files below a folder.
fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

/// Commits and data files among the objects of tables.
fn objects(names: &[String]) -> (usize, usize) {
    let is_commit = |name: &&String| name.contains("/_delta_log/") && name.ends_with(".json");
    let is_data = |name: &&String| !name.contains("/_delta_log/") && name.ends_with(".parquet");
    (names.iter().filter(is_commit).count(), names.iter().filter(is_data).count())
}
