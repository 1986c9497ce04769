//! What a row costs as bodies grow, as networks become more, and on one core.
//!
//! How it grows with requests is measured by `scale.rs`, with versions by `detection.rs`.

use std::path::Path;

use serde::Serialize;

use crate::end_to_end::Operator;
use crate::load::{self, Load, Parts};
use crate::network::{Network, Work};

/// Rows of an answer, accounts and windows: bodies of 10 kB, 600 kB, 6 MB and 128 MB, some 100,000 to 200,000 rows in all.
const BODIES: [(&str, usize, Work); 4] = [
    ("bodies of 10 kB", 8, Work { accounts: 1_000, windows: 12 }),
    ("bodies of 600 kB", 500, Work { accounts: 20, windows: 12 }),
    ("bodies of 6 MB", 5_000, Work { accounts: 2, windows: 12 }),
    ("bodies of 128 MB", 107_000, Work { accounts: 1, windows: 2 }),
];
/// The same for trying.
const QUICK: [(&str, usize, Work); 1] = [("bodies of 10 kB", 8, Work { accounts: 10, windows: 2 })];
/// Networks that 90 accounts are parted into.
const NETWORKS: [(&str, usize); 3] = [("90 accounts of one network", 1), ("of 9 networks", 9), ("of 90 networks", 90)];
/// Rows of each of their three windows.
const ROWS_EACH: usize = 500;

/// A point of a curve.
#[derive(Serialize)]
pub(crate) struct Grown {
    /// What grows.
    pub(crate) what: String,
    /// Rows in all.
    pub(crate) rows: usize,
    /// From start to end.
    pub(crate) wall_secs: f64,
    /// Microseconds of CPU time for each row.
    pub(crate) cpu_us: f64,
    /// Most memory resident at once.
    pub(crate) peak_mib: f64,
}

/// Measures all curves.
pub(crate) fn measure(quick: bool, sluice: &Path, connectors: &Path) -> anyhow::Result<Vec<Grown>> {
    let mut grown = Vec::new();
    let bodies = if quick { &QUICK[..] } else { &BODIES[..] };
    for (what, rows_each, work) in bodies {
        grown.push(of_bodies(what, *rows_each, *work, &[], (sluice, connectors))?);
    }
    let (_, rows_each, work) = bodies[bodies.len().min(2) - 1];
    // The network goes on using both.
    grown.push(of_bodies("the same on one core", rows_each, work, &["taskset", "-c", "0"], (sluice, connectors))?);
    if !quick {
        let network = Network::start(ROWS_EACH)?;
        for (what, networks) in NETWORKS {
            let load = Load { networks, accounts: 90 / networks, windows: 3, rows_each: ROWS_EACH };
            let served = load::measure_one(what, (load, Parts::Same), &network.address, sluice, connectors)?;
            anyhow::ensure!(served.faults.is_empty(), "{:?}", served.faults);
            let usage = served.processes[0];
            grown.push(Grown::of(what, served.rows, usage));
        }
    }
    Ok(grown)
}

fn of_bodies(
    what: &str,
    rows_each: usize,
    work: Work,
    under: &[&str],
    (sluice, connectors): (&Path, &Path),
) -> anyhow::Result<Grown> {
    let network = Network::start(rows_each)?;
    let operator = Operator::new(work, &network.address, sluice, connectors)?;
    operator.succeed(&["check"])?;
    let (_, usage) = operator.run_under(under, work)?;
    let rows = work.requests() * rows_each;
    operator.holds(rows)?;
    Ok(Grown::of(what, rows, usage))
}

impl Grown {
    fn of(what: &str, rows: usize, usage: crate::process::Usage) -> Self {
        let cpu_us = usage.cpu_secs * 1e6 / rows as f64;
        Self { what: what.to_owned(), rows, wall_secs: usage.wall_secs, cpu_us, peak_mib: usage.peak_mib }
    }
}

/// Prints them.
pub(crate) fn print(grown: &[Grown]) {
    println!("\ngrowth: what a row of a first read costs\n");
    println!("{:<28} {:>8} {:>8} {:>12} {:>9}", "", "rows", "wall s", "CPU us a row", "peak MiB");
    for Grown { what, rows, wall_secs, cpu_us, peak_mib } in grown {
        println!("{what:<28} {rows:>8} {wall_secs:>8.1} {cpu_us:>12.1} {peak_mib:>9.0}");
    }
}
