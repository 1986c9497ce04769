//! Replay against the first build: the same raw responses mapped again by the same connector.

use std::path::Path;

use anyhow::ensure;
use serde::Serialize;

use crate::end_to_end::Operator;
use crate::network::{Network, ROWS_PER_REQUEST, Work};
use crate::process::Usage;

/// What was measured.
#[derive(Serialize)]
pub(crate) struct Replay {
    /// Rows of raw.
    pub(crate) rows: usize,
    /// Building the tables from raw for the first time.
    pub(crate) build: Usage,
    /// Saying what the connector would change: nothing.
    pub(crate) diff: Usage,
    /// Making it so.
    pub(crate) apply: Usage,
}

/// Collects, builds, and replays.
pub(crate) fn measure(work: Work, sluice: &Path, connectors: &Path) -> anyhow::Result<Replay> {
    let network = Network::start(ROWS_PER_REQUEST)?;
    let operator = Operator::new(work, &network.address, sluice, connectors)?;
    let [since, until] = [0, work.windows].map(|windows| format!("{}Z", Work::bound(windows)));
    operator.succeed(&["collect", "awin", "--since", &since, "--until", &until])?;
    let (_, build) = operator.succeed(&["build", "awin"])?;
    operator.holds(work.rows())?;
    let (output, diff) = operator.succeed(&["--output", "json", "replay", "awin", "--diff", "--fail-if", "rows>0"])?;
    ensure!(!output.trim().is_empty(), "the replay says nothing");
    let (_, apply) = operator.succeed(&["--output", "json", "replay", "awin", "--apply"])?;
    operator.holds(work.rows())?;
    Ok(Replay { rows: work.rows(), build, diff, apply })
}
