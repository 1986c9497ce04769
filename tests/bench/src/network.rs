//! The network of the end-to-end measurement: a process of its own, so that its work isn't counted.
//!
//! The simulator's `bulk` account gives 500 rows for any window. A backfill of 1,200 windows of one account would be
//! a century, which no lake is partitioned for; a hundred accounts over a year is what a company has. So a front
//! (`front.rs`) lets the one account play a hundred.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context;
use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};
use sluice_model::Window;
use sluice_simulator::{Options, Simulator};

use crate::front::Front;

/// Rows of one answer, of about 1.2 kB each.
pub(crate) const ROWS_PER_REQUEST: usize = 500;
/// The publisher of the first account; the others count on.
pub(crate) const FIRST_PUBLISHER: usize = 1_000_000;
/// 2025-01-01.
const SINCE: i64 = 1_735_689_600;
/// Awin's longest window.
pub(crate) const WINDOW_DAYS: usize = 31;

/// How much there is to fetch.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// Accounts.
    pub(crate) accounts: usize,
    /// Windows of 31 days of each.
    pub(crate) windows: usize,
}

impl Work {
    /// What the limits hold for: 1,200 requests.
    pub(crate) const FULL: Self = Self { accounts: 100, windows: 12 };
    /// For trying: 60 requests.
    pub(crate) const QUICK: Self = Self { accounts: 5, windows: 12 };

    /// Requests in all.
    pub(crate) fn requests(self) -> usize {
        self.accounts * self.windows
    }

    /// Rows in all.
    pub(crate) fn rows(self) -> usize {
        self.requests() * ROWS_PER_REQUEST
    }

    /// The bound after so many windows, as Awin writes times.
    pub(crate) fn bound(windows: usize) -> String {
        let days = TimeDelta::days((windows * WINDOW_DAYS) as i64);
        let bound = DateTime::from_timestamp(SINCE, 0).unwrap_or_default() + days;
        bound.format("%Y-%m-%dT%H:%M:%S").to_string()
    }

    /// Its windows.
    pub(crate) fn bounds(self) -> anyhow::Result<Vec<Window>> {
        let at = |windows| anyhow::Ok(format!("{}Z", Self::bound(windows)).parse()?);
        (0..self.windows).map(|window| Ok(Window { since: at(window)?, until: at(window + 1)? })).collect()
    }

    /// What the Awin connector asks for, request by request.
    pub(crate) fn targets(self) -> Vec<String> {
        let target = |request: usize| {
            let (account, window) = (request / self.windows, request % self.windows);
            let bound = |window| Self::bound(window).replace(':', "%3A");
            format!(
                "/publishers/{}/transactions/?startDate={}&endDate={}&timezone=UTC&dateType=transaction",
                FIRST_PUBLISHER + account,
                bound(window),
                bound(window + 1)
            )
        };
        (0..self.requests()).map(target).collect()
    }
}

/// How to reach the network.
#[derive(Serialize, Deserialize)]
pub(crate) struct Address {
    /// `http://127.0.0.1:…`
    pub(crate) origin: String,
    /// The token that all accounts share.
    pub(crate) token: String,
}

/// A network that runs until this is dropped.
pub(crate) struct Network {
    /// How to reach it.
    pub(crate) address: Address,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Network {
    /// Starts this binary's `network`, each of whose answers has so many rows.
    pub(crate) fn start(rows: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child =
            command.args(["network", &rows.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().context("no output")?);
        stdout.read_line(&mut line)?;
        let address = serde_json::from_str(&line).context("the network doesn't start")?;
        Ok(Self { address, stdin: child.stdin.take(), child, stdout })
    }

    /// Has all rows be those of a state, from 0 to 9.
    pub(crate) fn advance(&mut self, state: u8) -> anyhow::Result<()> {
        writeln!(self.stdin.as_mut().context("no input")?, "{state}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        anyhow::ensure!(line.trim() == state.to_string(), "the network doesn't advance");
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.stdin.take());
        let _ended = self.child.wait();
    }
}

/// Prints the address, then serves until the input is closed. A line of the input is the state to be in from then on.
pub(crate) fn serve(rows: Option<&String>) -> anyhow::Result<()> {
    let rows = rows.and_then(|rows| rows.parse().ok()).context("how many rows?")?;
    let state: Arc<AtomicU8> = Arc::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _serving = runtime.block_on(async {
        let options = Options { bulk_rows: Some(rows), history_days: 1, ..Options::default() };
        let simulator = Simulator::start(options).await?;
        let bulk = simulator.accounts().iter().find(|account| account.name == "bulk").context("no bulk account")?;
        let setting = |of: &std::collections::BTreeMap<String, String>, name| of.get(name).cloned().unwrap_or_default();
        let (publisher, token) = (setting(&bulk.settings, "publisher_id"), setting(&bulk.secrets, "token"));
        let front = Front { behind: simulator.origin("awin").to_string(), publisher, state: state.clone() };
        let origin = front.start().await?;
        println!("{}", serde_json::to_string(&Address { origin, token })?);
        anyhow::Ok(simulator)
    })?;
    for line in std::io::stdin().lines() {
        let next = line?.trim().parse()?;
        state.store(next, Ordering::Relaxed);
        println!("{next}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_work_is_what_the_issue_asks_for() {
        assert_eq!((Work::FULL.requests(), Work::FULL.rows()), (1_200, 600_000));
        assert_eq!(Work::bound(0), "2025-01-01T00:00:00");
        assert_eq!(Work::bound(1), "2025-02-01T00:00:00");
    }
}
