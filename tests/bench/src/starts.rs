//! How long it takes until something happens: `sluice serve` with ninety compiled connectors until its first request, and
//! the smallest query.

use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Instant;

use serde::Serialize;
use sluice_tests::Operator;

use crate::load::{self, Load, Parts};
use crate::network::Address;

/// Connectors, each of a network of its own.
const CONNECTORS: usize = 90;
/// Starts and queries of which the median is taken.
const ROUNDS: usize = 7;
/// Milliseconds until a service's first request: the limit.
const MAX_SERVE_MS: f64 = 1_000.0;
/// Milliseconds that the smallest query takes: the limit.
const MAX_QUERY_MS: f64 = 50.0;

/// Medians, in milliseconds.
#[derive(Serialize)]
pub(crate) struct Starts {
    /// From the start of `sluice serve` until the network is asked.
    pub(crate) serve_ms: f64,
    /// `sluice sql 'select 1'`, from start to end.
    pub(crate) query_ms: f64,
}

impl Starts {
    /// What takes too long.
    pub(crate) fn faults(&self) -> Vec<String> {
        let late = |what: &str, took: f64, most: f64| (took > most).then(|| format!("{what} takes {took:.0} ms"));
        let serve = late("the start of a service", self.serve_ms, MAX_SERVE_MS);
        serve.into_iter().chain(late("the smallest query", self.query_ms, MAX_QUERY_MS)).collect()
    }

    /// Prints them.
    pub(crate) fn print(&self) {
        println!("\nstarts, medians of {ROUNDS}\n");
        println!(
            "`sluice serve` with {CONNECTORS} compiled connectors, until its first request: {:.0} ms, at most {MAX_SERVE_MS}",
            self.serve_ms
        );
        println!("`sluice sql 'select 1'`: {:.0} ms, at most {MAX_QUERY_MS}", self.query_ms);
    }
}

/// Measures both.
pub(crate) fn measure(sluice: &Path, connectors: &Path) -> anyhow::Result<Starts> {
    // Whoever is asked first ends the measurement: it never answers.
    let network = TcpListener::bind("127.0.0.1:0")?;
    let address = Address { origin: format!("http://{}", network.local_addr()?), token: "t0ken-of-the-bench".into() };
    let load = Load { networks: CONNECTORS, accounts: 1, windows: 1, rows_each: 1 };
    let mut serve = Vec::new();
    for _ in 0..ROUNDS {
        // A lake and a state of its own: what an earlier one left isn't due.
        let operator = load::operator(load, Parts::Distinct, &address, sluice, connectors)?;
        serve.push(until_asked(&operator, &network)?);
    }
    let operator = load::operator(Load { networks: 1, ..load }, Parts::One, &address, sluice, connectors)?;
    let mut query = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        operator.succeed(&["sql", "select 1"])?;
        query.push(ms_since(start));
    }
    Ok(Starts { serve_ms: median(serve), query_ms: median(query) })
}

fn until_asked(operator: &Operator, network: &TcpListener) -> anyhow::Result<f64> {
    let (sender, _log) = channel();
    let start = Instant::now();
    let service = load::Service::start(operator, sender)?;
    let _asked = network.accept()?;
    let took = ms_since(start);
    drop(service);
    // What it asked before it was stopped waits in the listener's queue.
    network.set_nonblocking(true)?;
    while network.accept().is_ok() {}
    network.set_nonblocking(false)?;
    Ok(took)
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1_000.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
