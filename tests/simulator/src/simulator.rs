//! The running simulator.

use crate::accounts::{Played, played};
use crate::core::Core;
use crate::network::Network;
use crate::server::{Endpoint, serve};
use crate::{Account, Error, Fault, Options, TruthRow};
use chrono::{DateTime, Days, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that a network served (or refused to).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRequest {
    /// The network's slug.
    pub network: String,
    /// The method.
    pub method: String,
    /// Path and query as sent; ShareASale's holds its token.
    pub uri: String,
    /// The body as text; logins hold secrets.
    pub body: String,
    /// The status answered; 0 when the connection was closed without an answer.
    pub status: u16,
    /// The fault that happened.
    pub fault: Option<Fault>,
}

/// Networks that serve until this is dropped.
#[derive(Debug)]
pub struct Simulator {
    core: Arc<Core>,
    accounts: Vec<Account>,
    origins: BTreeMap<String, String>,
    control: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Simulator {
    /// Binds a listener for each network and one for control, on 127.0.0.1, and serves in tasks of this runtime.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let accounts: Vec<Played> = played(&options)?;
        let first_day = options.start.date_naive().checked_sub_days(Days::new(u64::from(options.history_days)));
        let first_day = first_day.ok_or(Error::History { days: options.history_days, start: options.start })?;
        let port_base = options.port_base;
        let core = Arc::new(Core::new(options, accounts, first_day));
        let mut simulator = Self {
            accounts: core.accounts.iter().map(|played| played.account.clone()).collect(),
            core,
            origins: BTreeMap::new(),
            control: String::new(),
            tasks: Vec::new(),
        };
        let mut by_data: Vec<Network> = simulator.core.accounts.iter().map(|played| played.network).collect();
        by_data.retain(|network| network.facts().is_some());
        by_data.dedup();
        let doors = Network::ALL.into_iter().map(Some).chain([None]).chain(by_data.into_iter().map(Some));
        for (offset, network) in (0_u16..).zip(doors) {
            let port = port_base.map_or(0, |base| base.saturating_add(offset));
            let origin = simulator.open(port, network).await?;
            match network {
                Some(network) => drop(simulator.origins.insert(network.slug().to_owned(), origin)),
                None => simulator.control = origin,
            }
        }
        Ok(simulator)
    }

    async fn open(&mut self, port: u16, network: Option<Network>) -> Result<String, Error> {
        let failed = |source| Error::Bind { port, source };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let endpoint = Endpoint { core: Arc::clone(&self.core), network };
        self.tasks.push(tokio::spawn(serve(listener, endpoint)));
        Ok(format!("http://{address}"))
    }

    /// Where a network listens, as `http://127.0.0.1:PORT`; for any other name the control listener, which serves
    /// all networks with code of their own too.
    pub fn origin(&self, network: &str) -> String {
        self.origins.get(network).unwrap_or(&self.control).clone()
    }

    /// Where the control listener is: `/_sim/…`, and all networks' paths.
    pub fn control(&self) -> String {
        self.control.clone()
    }

    /// The origins by network.
    pub fn origins(&self) -> &BTreeMap<String, String> {
        &self.origins
    }

    /// All accounts, the bench's last.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The simulated clock.
    pub fn clock(&self) -> DateTime<Utc> {
        self.core.clock()
    }

    /// Moves the simulated clock and returns it.
    pub fn advance(&self, by: TimeDelta) -> DateTime<Utc> {
        self.core.advance(by)
    }

    /// Every row that a network delivers for an account at the present clock; none for an unknown account and for
    /// the bench's.
    pub fn truth(&self, network: &str, account: &str) -> Vec<TruthRow> {
        self.core.truth(network, account)
    }

    /// Has a network deliver the conversion of this row no longer, and says whether it delivered it. What the truth is
    /// follows.
    pub fn withhold(&self, network: &str, account: &str, transaction_id: &str) -> bool {
        self.core.withhold(network, account, transaction_id)
    }

    /// Has Awin give commissions in the field `commission`, as it once did for hours, or again where its documents say.
    pub fn move_commissions(&self, moved: bool) {
        self.core.move_commissions(moved);
    }

    /// Has all networks deliver again what they were to withhold.
    pub fn deliver_all(&self) {
        self.core.deliver_all();
    }

    /// Ends when there were so many requests in all, the last of them about to be answered.
    pub async fn wait_for_requests(&self, requests: usize) {
        self.core.wait_for_requests(requests).await;
    }

    /// Lets so many requests in all be answered, counted as they come; further ones wait for a greater number. Until
    /// it is called all are answered.
    pub fn allow(&self, requests: usize) {
        self.core.allow(requests);
    }

    /// Every request so far, in the order of their answers; without those to `/_sim/`.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.core.log()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
