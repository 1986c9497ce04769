//! What was read of each stream, and what is missing: folded from the rows of `meta.coverage`, in any order.
//!
//! The rules, moment by moment:
//! - a moment that some complete read covers was read;
//! - a failed read is *overlapped* once a later complete read of its stream and axis overlaps its window. Until then all
//!   of its window is a gap: an earlier read heals nothing. From then on only those of its moments are one that no
//!   complete read ever covered, so that a look-back window which moved on in the meantime leaves no sliver behind;
//! - a moment between complete reads that no read covers is a gap that was never read;
//! - a window counts as far as its moments had come when it was read.
//!
//! [`CoverageState`] follows `meta.coverage` and keeps the folded state in `meta.coverage_state`.

mod follower;
mod read;
mod rows;
mod stream;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sluice_model::Window;

pub(crate) use follower::CoverageState;
use stream::StreamFold;

/// A stream of an account, by the date that its windows filter on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamAxis {
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// The date.
    pub axis: String,
}

/// Why a window counts as a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapKind {
    /// No read of it was complete or failed, though one before and one after it was complete.
    NeverRead,
    /// A read of it failed. What an earlier one gave is in the tables.
    Failed,
}

impl GapKind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverRead => "never-read",
            Self::Failed => "failed",
        }
    }
}

/// A window that the tables may lack rows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The window: since ≤ t < until.
    pub window: Window,
    /// Why it is one.
    pub kind: GapKind,
    /// When a read of it last failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// That read's error.
    pub error: Option<String>,
}

/// What was read of one stream and axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Of which network, account, stream and axis.
    pub of: StreamAxis,
    /// From the first moment that was read to the last; none if nothing was. There may be gaps in it.
    pub read: Option<Window>,
    /// When it was last read completely.
    pub read_at: Option<DateTime<Utc>>,
    /// When a read last failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// What is missing, oldest first; no two overlap.
    pub gaps: Vec<Gap>,
}

/// A read of a window, as a row of `meta.coverage` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRead {
    /// The window: since ≤ t < until.
    pub window: Window,
    /// When it was read to its end.
    pub at: DateTime<Utc>,
    /// Whether all of it was answered and is in the tables.
    pub complete: bool,
    /// Why it isn't complete.
    pub error: Option<String>,
}

/// The folded reads of all streams. Reads may come in any order: only those of long ago that come late may count for
/// less, see `CoverageFold::forget`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverageFold(BTreeMap<StreamAxis, StreamFold>);

impl CoverageFold {
    /// Takes a read into account; the order in which reads come makes no difference.
    pub fn add(&mut self, of: StreamAxis, read: WindowRead) {
        // Releases before 0.2 recorded windows as they were requested, up to the end of a day that was still to come.
        let window = Window { until: read.window.until.min(read.at), ..read.window };
        if window.since >= window.until {
            return;
        }
        // A stream without windows is read whole each time: the last read alone counts, whatever its window.
        let whole = of.axis == "none";
        let stream = self.0.entry(of).or_default();
        match (read.complete, whole) {
            (true, false) => stream.complete(window, read.at),
            (true, true) => stream.complete_whole(window, read.at),
            (false, false) => stream.failed(window, read.at, read.error),
            (false, true) => stream.failed_whole(window, read.at, read.error),
        }
    }

    /// What was read of each stream, sorted.
    pub fn coverage(&self) -> Vec<Coverage> {
        self.0.iter().map(|(of, stream)| stream.coverage(of)).collect()
    }

    /// Forgets when windows were read that were read long before their stream's last read, so that the state doesn't
    /// grow with every read. A failed read that comes after this and failed before those is taken for one that no later
    /// read overlaps: a gap, until it is read again.
    pub(crate) fn forget(&mut self) {
        self.0.values_mut().for_each(StreamFold::forget);
    }
}
