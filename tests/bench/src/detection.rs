//! Change detection: what reading a window again costs, against histories of several sizes.

use anyhow::ensure;
use serde::Serialize;

use crate::history::{History, SCATTERED};

/// Measured so often; the least counts, since whatever else the machine does only adds.
const ROUNDS: usize = 2;
/// One in so many transactions of the second reading is new.
const NEW: u64 = 100;

/// What one size of history gave.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Detection {
    /// Transactions of the lake.
    pub(crate) history: u64,
    /// Transactions that were read again.
    pub(crate) read: u64,
    /// CPU seconds with nothing changed.
    pub(crate) unchanged_cpu_secs: f64,
    /// Seconds with nothing changed.
    pub(crate) unchanged_wall_secs: f64,
    /// CPU seconds with one in a hundred new, so that all other months are asked for it.
    pub(crate) new_cpu_secs: f64,
    /// CPU seconds with one in five hundred changed, so that every file of the latest state is written again.
    pub(crate) changed_cpu_secs: f64,
}

/// Measures against the history as it is.
pub(crate) async fn measure(history: &mut History) -> anyhow::Result<Detection> {
    let mut best = Detection {
        history: history.transactions(),
        read: history.window,
        unchanged_cpu_secs: f64::INFINITY,
        unchanged_wall_secs: f64::INFINITY,
        new_cpu_secs: f64::INFINITY,
        changed_cpu_secs: f64::INFINITY,
    };
    for _ in 0..ROUNDS {
        let (counts, usage) = history.read_window_again(0).await?;
        ensure!((counts.new_versions, counts.native_written) == (0, 0), "nothing changed, and it added {counts:?}");
        best.unchanged_cpu_secs = best.unchanged_cpu_secs.min(usage.cpu_secs);
        best.unchanged_wall_secs = best.unchanged_wall_secs.min(usage.wall_secs);
        let new = history.window / NEW;
        let (counts, usage) = history.read_window_again(new).await?;
        ensure!((counts.new_versions, counts.native_written) == (new, new), "{new} were new, and it added {counts:?}");
        best.new_cpu_secs = best.new_cpu_secs.min(usage.cpu_secs);
        let changed = history.window.div_ceil(SCATTERED);
        let (counts, usage) = history.read_changes().await?;
        ensure!((counts.new_versions, counts.native_written) == (changed, changed), "{changed} changed: {counts:?}");
        best.changed_cpu_secs = best.changed_cpu_secs.min(usage.cpu_secs);
    }
    Ok(best)
}
