//! Simulated networks, and an operator with accounts of them.

use sluice_simulator::{Options, Simulator};
use tokio::runtime::Runtime;

use crate::{Operator, runtime};

/// An operator whose networks are simulated, until this is dropped.
pub struct Simulated {
    /// Serves the networks, and does a test's own work.
    pub runtime: Runtime,
    /// The networks.
    pub simulator: Simulator,
    /// Who has accounts of them.
    pub operator: Operator,
}

impl Simulated {
    /// Starts a simulator, and gives an operator these networks of it.
    ///
    /// # Errors
    /// Options that can't be simulated, or as [`Operator::of`].
    pub fn start(options: Options, networks: &[&str]) -> anyhow::Result<Self> {
        let runtime = runtime();
        let simulator = runtime.block_on(Simulator::start(options))?;
        let operator = Operator::of(&simulator, networks)?;
        Ok(Self { runtime, simulator, operator })
    }
}
