//! What end-to-end tests share: an operator's folder, the real binary, and sums without floats.

mod allocator;
mod api;
mod child;
mod clock;
mod exactness;
mod flight;
mod hostile;
mod http;
mod mail;
mod money;
mod operator;
mod pages;
mod paths;
mod pgbouncer;
mod postgres;
mod proxy;
mod python;
mod questions;
mod s3;
mod sail;
mod service;
mod simulated;
mod state_store;
mod tables;
mod variant;
mod wire;

pub use allocator::CountingAllocator;
pub use api::{API_SETTINGS, Api};
pub use child::{Background, Ended};
pub use clock::WallClock;
pub use exactness::{CLAIMS, broken_claims, check_exact, check_runs_once};
pub use flight::{Flight, FlightClient};
pub use hostile::{Ask, HostileServer, response};
pub use http::{HttpAnswer, http};
pub use mail::{MailReceiver, SecureMailReceiver};
pub use money::Micros;
pub use operator::{Answer, Operator};
pub use pages::{Block, blocks};
pub use paths::{
    componentize_py, connectors_dir, copy_folder, go, python_tool, repository, sail_python, schemathesis,
    sluice_binary, target_dir, visit_files,
};
pub use pgbouncer::PgBouncer;
pub use postgres::PostgresServer;
pub use proxy::Proxy;
pub use python::{Reader, Reading};
pub use questions::{ASKED_TRANSACTION, QUESTIONS, naming_tables};
pub use s3::{BUCKET, S3Server};
pub use sail::{SailAnswer, SailAnswers, sail_table};
pub use service::Service;
pub use simulated::Simulated;
pub use state_store::{StateLock, can_be_written, change_state, claim_elsewhere, state_rows};
pub use tables::{Tables, all_tables, differences};
pub use variant::{noted, patched, renamed, variant};
pub use wire::{Driver, Wire, answer};

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sluice_model::{Axis, Slice, Window};
use sluice_simulator::Simulator;

/// A runtime for a simulator and a test's own work.
///
/// # Panics
/// If the system gives no threads.
pub fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.unwrap_or_else(|error| panic!("no runtime: {error}"))
}

/// The lines of a text in the order of the alphabet: rows of a query that doesn't order them.
pub fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// A day of a stream of the account `main`, without settings.
pub fn day_of(network: &str, stream: &str) -> Slice {
    let since = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_454);
    Slice {
        network: network.to_owned(),
        account: "main".to_owned(),
        stream: stream.to_owned(),
        settings: vec![],
        window: Window { since, until: since + chrono::TimeDelta::days(1) },
        timezone: chrono_tz::UTC,
        axis: Axis::Transaction,
        cursor: None,
    }
}

/// The five networks.
pub const NETWORKS: [&str; 5] = ["awin", "cj", "rakuten", "shareasale", "tradetracker"];

/// Count and sum of commissions by account, raw status and currency.
pub type Sums = BTreeMap<(String, String, String), (u64, Micros)>;

/// What the simulator knows to be true of a network now.
pub fn true_sums(simulator: &Simulator, network: &str) -> Sums {
    let mut sums = Sums::new();
    for account in simulator.accounts().iter().filter(|account| account.network == network) {
        for row in simulator.truth(network, &account.name) {
            let key = (account.name.clone(), row.status_raw.unwrap_or_default(), row.currency.unwrap_or_default());
            let sum = sums.entry(key).or_default();
            sum.0 += 1;
            sum.1 += Micros::parse(&row.commission);
        }
    }
    sums
}

/// What the lake says of a network now.
///
/// # Errors
/// What the binary says.
pub fn lake_sums(operator: &Operator, network: &str) -> anyhow::Result<Sums> {
    let rows = operator.sql(&format!(
        "SELECT account, coalesce(status_raw, '') AS status, coalesce(commission_currency, '') AS currency,
                count(*) AS n, CAST(sum(commission_amount) AS VARCHAR) AS commission
         FROM unified.transactions WHERE network = '{network}' GROUP BY 1, 2, 3"
    ))?;
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    Ok(rows
        .iter()
        .map(|row| {
            let key = (text(row, "account"), text(row, "status"), text(row, "currency"));
            (key, (row["n"].as_u64().unwrap_or_default(), Micros::parse(&text(row, "commission"))))
        })
        .collect())
}

/// The window that holds all that a simulator has reported by now.
pub fn whole_window(simulator: &Simulator, start: DateTime<Utc>, history_days: i64) -> [String; 2] {
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    [text(start - chrono::TimeDelta::days(history_days + 10)), text(simulator.clock() + chrono::TimeDelta::hours(1))]
}
