//! Exactness at size: no version twice, no transaction twice, sums that equal the truth; and the same from raw alone.
//!
//! First simulated networks of many accounts, read by two dates while their state advances. Then the bulk network,
//! whose every row changes from state to state: more rows than an index keeps, made anew from raw.

use std::path::Path;

use anyhow::{Context, ensure};
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sluice_simulator::{AccountSpec, Options, Simulator};
use sluice_tests::{Micros, Operator, broken_claims, lake_sums, true_sums};
use tokio::runtime::Runtime;

use crate::front::{COMMISSION, find};
use crate::http::Client;
use crate::network::{FIRST_PUBLISHER, Network, ROWS_PER_REQUEST, Work};
use crate::yardstick;

const TOKEN: &str = "BENCH_TOKEN";
/// States in which a network is read.
const STATES: u8 = 3;
/// Days from one state of a simulated network to the next.
const ADVANCE_DAYS: i64 = 20;

/// A simulated network.
#[derive(Clone, Copy)]
struct History {
    accounts: usize,
    days: u32,
    /// Of each account.
    rows_per_day: u32,
}

/// Sixty accounts with half a year of history.
const ACCOUNTS: History = History { accounts: 60, days: 180, rows_per_day: 12 };
/// Two hundred thousand transactions in eight months.
const TRANSACTIONS: History = History { accounts: 10, days: 243, rows_per_day: 80 };
/// 1.1 million transactions that all change twice: 3.3 million rows of raw.
const RAW: Work = Work { accounts: 184, windows: 12 };

/// What was checked.
#[derive(Serialize)]
pub(crate) struct Exact {
    /// What was read.
    pub(crate) what: String,
    /// Records of all responses.
    pub(crate) records: u64,
    /// Transactions.
    pub(crate) transactions: u64,
    /// Versions of them.
    pub(crate) versions: u64,
    /// What isn't exact, by when.
    pub(crate) faults: Vec<String>,
}

/// Checks all of it, or much less of it for trying.
pub(crate) fn measure(quick: bool, sluice: &Path, connectors: &Path) -> anyhow::Result<Vec<Exact>> {
    let few = History { accounts: 6, days: 60, rows_per_day: 4 };
    let histories = if quick { [few, History { accounts: 2, ..few }] } else { [ACCOUNTS, TRANSACTIONS] };
    let mut checked = Vec::new();
    for history in histories {
        checked.push(simulated(history, sluice, connectors)?);
    }
    checked.push(bulk(if quick { Work::QUICK } else { RAW }, sluice, connectors)?);
    Ok(checked)
}

fn simulated(history: History, sluice: &Path, connectors: &Path) -> anyhow::Result<Exact> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let advances = i64::from(STATES - 1);
    let options = Options {
        // The last state is of the past still: what is read ends now.
        start: Utc::now() - TimeDelta::days(advances * ADVANCE_DAYS + 1),
        history_days: history.days,
        rows_per_day: history.rows_per_day,
        accounts: (0..history.accounts).map(|number| AccountSpec::new("awin", &format!("a{number:02}"))).collect(),
        ..Options::default()
    };
    let simulator = runtime.block_on(Simulator::start(options))?;
    let mut operator = Operator::using(sluice, connectors)?;
    let accounts: Vec<Value> = simulator.accounts().iter().map(|account| operator.account(account)).collect();
    let days = i64::from(history.days) + advances * ADVANCE_DAYS + 10;
    let rule = |axis: &str| json!({"every": "1s", "days": days, "axis": axis});
    write_settings(&operator, &simulator.origin("awin"), &[rule("modified"), rule("transaction")], accounts)?;
    let History { accounts, days, .. } = history;
    let mut exact = Exact::new(format!("{accounts} accounts × {days} days, by two dates"));
    for state in 0..STATES {
        simulator.advance(TimeDelta::days(if state == 0 { 0 } else { ADVANCE_DAYS }));
        exact.run(&operator, &["run", "awin"])?;
        exact.check(&operator, &format!("state {state}"), || {
            Ok((lake_sums(&operator, "awin")? != true_sums(&simulator, "awin")).then(|| "sums differ".to_owned()))
        })?;
    }
    exact.rebuild(&operator, || {
        Ok((lake_sums(&operator, "awin")? != true_sums(&simulator, "awin")).then(|| "sums differ".to_owned()))
    })?;
    Ok(exact)
}

fn bulk(work: Work, sluice: &Path, connectors: &Path) -> anyhow::Result<Exact> {
    let mut network = Network::start(ROWS_PER_REQUEST)?;
    let mut operator = Operator::using(sluice, connectors)?;
    operator.set(TOKEN, &network.address.token);
    let account = |number: usize| {
        let publisher = (FIRST_PUBLISHER + number).to_string();
        let secrets = json!({"token": format!("env:{TOKEN}")});
        json!({"name": format!("a{number:03}"), "settings": {"publisher_id": publisher}, "secrets": secrets})
    };
    write_settings(&operator, &network.address.origin, &[], (0..work.accounts).map(account).collect())?;
    let [since, until] = [0, work.windows].map(|windows| format!("{}Z", Work::bound(windows)));
    let mut exact = Exact::new(format!("{} rows in {STATES} states", work.rows()));
    let mut expected = Micros::default();
    for state in 0..STATES {
        network.advance(state)?;
        exact.run(&operator, &["run", "awin", "--since", &since, "--until", &until])?;
        // All responses of a state have the same commissions.
        let one = commissions_of_one_response(work, &network)?;
        expected = Micros(one.0 * work.requests() as i128);
        exact.check(&operator, &format!("state {state}"), || differs(&operator, work, expected))?;
    }
    exact.rebuild(&operator, || differs(&operator, work, expected))?;
    ensure!(exact.records == u64::from(STATES) * work.rows() as u64, "it read {} records", exact.records);
    Ok(exact)
}

/// Writes the settings of one network, whose connector is compiled then.
fn write_settings(operator: &Operator, origin: &str, look_back: &[Value], accounts: Vec<Value>) -> anyhow::Result<()> {
    let mut file = json!({
        "connector": "awin", "schedule": "0 0 * * *", "hosts": [], "base_url": origin,
        "rate": {"requests": 100_000, "per_secs": 1, "concurrency": yardstick::CONCURRENCY}, "accounts": accounts,
    });
    if !look_back.is_empty() {
        file["look_back"] = look_back.into();
    }
    operator.write("networks/awin.json", &file.to_string())?;
    operator.install("awin", "awin.wasm")?;
    operator.succeed(&["check"])?;
    Ok(())
}

fn commissions_of_one_response(work: Work, network: &Network) -> anyhow::Result<Micros> {
    let runtime = Runtime::new()?;
    let target = work.targets().into_iter().next().context("no request")?;
    let mut body = Vec::new();
    let authorization = format!("Bearer {}", network.address.token);
    let status = runtime.block_on(async {
        let mut client = Client::connect(&network.address.origin).await?;
        client.get(&target, &authorization, &mut body).await
    })?;
    ensure!(status == 200, "{target} is answered with {status}");
    let (mut sum, mut rest) = (Micros::default(), body.as_slice());
    while let Some(at) = find(rest, COMMISSION) {
        rest = &rest[at + COMMISSION.len()..];
        let end = rest.iter().position(|byte| *byte == b',').context("a number without end")?;
        sum += Micros::parse(std::str::from_utf8(&rest[..end])?);
    }
    Ok(sum)
}

/// What of the bulk network's tables isn't as it is true.
fn differs(operator: &Operator, work: Work, expected: Micros) -> anyhow::Result<Option<String>> {
    let query = "SELECT count(*) AS n, CAST(sum(commission_amount) AS VARCHAR) AS commission FROM unified.transactions";
    let row = operator.sql(query)?[0].clone();
    let sum = Micros::parse(row["commission"].as_str().unwrap_or("0"));
    let right = row["n"] == work.rows() && sum == expected;
    Ok((!right).then(|| format!("{row} instead of {} with {expected:?}", work.rows())))
}

impl Exact {
    fn new(what: String) -> Self {
        println!("exact: {what}");
        Self { what, records: 0, transactions: 0, versions: 0, faults: Vec::new() }
    }

    fn run(&mut self, operator: &Operator, arguments: &[&str]) -> anyhow::Result<()> {
        let text = operator.succeed(&[&["--output", "json"], arguments].concat())?;
        let reports: Value = serde_json::from_str(&text)?;
        ensure!(reports[0]["status"] == "done", "{reports}");
        self.records += reports[0]["records"].as_u64().unwrap_or_default();
        Ok(())
    }

    fn check(
        &mut self,
        operator: &Operator,
        when: &str,
        differs: impl Fn() -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<()> {
        let broken = broken_claims(operator)?.into_iter().chain(differs()?);
        let before = self.faults.len();
        self.faults.extend(broken.map(|fault| format!("{when}: {fault}")));
        self.faults[before..].iter().for_each(|fault| println!("  {fault}"));
        let count = |table: &str| -> anyhow::Result<u64> {
            let rows = operator.sql(&format!("SELECT count(*) AS n FROM {table}"))?;
            rows[0]["n"].as_u64().context("no count")
        };
        self.transactions = count("unified.transactions")?;
        self.versions = count("unified.transaction_versions")?;
        Ok(())
    }

    /// Makes all tables anew from raw: they must be as exact, and as many.
    fn rebuild(
        &mut self,
        operator: &Operator,
        differs: impl Fn() -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<()> {
        let before = (self.transactions, self.versions);
        operator.succeed(&["build", "--from-raw"])?;
        self.check(operator, "from raw", differs)?;
        let after = (self.transactions, self.versions);
        if before != after {
            self.faults.push(format!("from raw: {after:?} transactions and versions, not {before:?}"));
        }
        Ok(())
    }
}
