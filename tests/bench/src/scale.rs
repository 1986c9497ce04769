//! An hour of a service with many accounts: each has a window with few rows, and all are due at once.

use std::path::Path;

use serde::Serialize;

use crate::load::{self, Load, Parts, Served};
use crate::network::Network;

/// Rows of a window: an hour's, or those of a few days that are read again.
pub(crate) const ROWS_EACH: usize = 10;

/// What so many slices took.
#[derive(Serialize)]
pub(crate) struct Scaled {
    /// Windows in all.
    pub(crate) slices: usize,
    /// What was served.
    pub(crate) served: Served,
}

/// Serves 70 networks of 50 accounts, then twenty networks of ever more accounts. The network has 44,640 accounts with ids
/// of their own: as many as a window has minutes.
pub(crate) fn measure(quick: bool, sluice: &Path, connectors: &Path) -> anyhow::Result<Vec<Scaled>> {
    let network = Network::start(ROWS_EACH)?;
    let mut loads = vec![("70 networks of 50, one window", 70, 50, 1), ("20 networks of 17, three", 20, 17, 3)];
    if !quick {
        loads.extend([("20 networks of 170, three", 20, 170, 3), ("20 networks of 1,700, three", 20, 1_700, 3)]);
    }
    let one = |(what, networks, accounts, windows)| {
        let load = Load { networks, accounts, windows, rows_each: ROWS_EACH };
        let served = load::measure_one(what, (load, Parts::Same), &network.address, sluice, connectors)?;
        Ok(Scaled { slices: load.slices(), served })
    };
    loads.into_iter().map(one).collect()
}
