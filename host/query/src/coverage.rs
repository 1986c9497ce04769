//! What was read of each stream, and what is missing: pure logic over the rows of `meta.coverage`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sluice_model::Window;

use crate::windows::WindowSet;

/// A stream of an account, by the date that its windows filter on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamAxis {
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream.
    pub stream: String,
    /// The date.
    pub axis: String,
}

/// Why a window counts as a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapKind {
    /// No read of it was complete or failed, though one before and one after it was complete.
    NeverRead,
    /// The last read of it failed. What an earlier one gave is in the tables.
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
    /// The window.
    pub window: Window,
    /// Why it is one.
    pub kind: GapKind,
    /// When a read of it last failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// What that read said.
    pub error: Option<String>,
}

/// What was read of one stream and axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The stream and the axis.
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

/// A read of a window, as a row of `meta.coverage` tells it.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) window: Window,
    pub(crate) at: DateTime<Utc>,
    pub(crate) complete: bool,
    pub(crate) error: Option<String>,
}

/// The reads of all streams, taken in one by one, the newest first.
#[derive(Default)]
pub(crate) struct Reads(BTreeMap<StreamAxis, StreamReads>);

#[derive(Default)]
struct StreamReads {
    complete: WindowSet,
    read_at: Option<DateTime<Utc>>,
    failed: WindowSet,
    failed_at: Option<DateTime<Utc>>,
    failures: Vec<Gap>,
}

impl Reads {
    /// Takes in a read. None that was taken in before it may be older.
    pub(crate) fn take(&mut self, of: StreamAxis, read: Read) {
        // A stream without windows is read whole each time: the last read alone counts, whatever its window says.
        let whole = of.axis == "none";
        let stream = self.0.entry(of).or_default();
        if read.complete {
            stream.read_at = stream.read_at.max(Some(read.at));
            stream.complete.insert(read.window);
            return;
        }
        let first = stream.failed_at.is_none();
        stream.failed_at = stream.failed_at.max(Some(read.at));
        let unread = match whole {
            true if stream.read_at.is_some() || !first => Vec::new(),
            true => vec![read.window],
            false => stream.complete.missing_of(read.window),
        };
        // Of several failures the last one says why.
        for window in unread.into_iter().flat_map(|window| stream.failed.missing_of(window)) {
            let (failed_at, error) = (Some(read.at), read.error.clone());
            stream.failures.push(Gap { window, kind: GapKind::Failed, failed_at, error });
        }
        stream.failed.insert(read.window);
    }

    /// What was read of each stream, sorted.
    pub(crate) fn coverage(self) -> Vec<Coverage> {
        self.0.into_iter().map(|(of, stream)| stream.coverage(of)).collect()
    }
}

impl StreamReads {
    fn coverage(self, of: StreamAxis) -> Coverage {
        let mut gaps = joined(self.failures);
        let mut failed = WindowSet::default();
        gaps.iter().for_each(|gap| failed.insert(gap.window));
        let holes = if of.axis == "none" { Vec::new() } else { self.complete.holes() };
        for window in holes.into_iter().flat_map(|hole| failed.missing_of(hole)) {
            gaps.push(Gap { window, kind: GapKind::NeverRead, failed_at: None, error: None });
        }
        gaps.sort_by_key(|gap| gap.window);
        Coverage { of, read: self.complete.span(), read_at: self.read_at, failed_at: self.failed_at, gaps }
    }
}

/// Failures that touch each other are one: an outage fails every hour, each time an hour further.
fn joined(mut failures: Vec<Gap>) -> Vec<Gap> {
    failures.sort_by_key(|gap| gap.window);
    let mut gaps: Vec<Gap> = Vec::new();
    for failure in failures {
        match gaps.last_mut().filter(|last| last.window.until >= failure.window.since) {
            Some(last) => {
                last.window.until = last.window.until.max(failure.window.until);
                if failure.failed_at > last.failed_at {
                    (last.failed_at, last.error) = (failure.failed_at, failure.error);
                }
            }
            None => gaps.push(failure),
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn moment(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).unwrap()
    }

    fn read(at: i64, since: i64, until: i64, complete: bool) -> Read {
        let error = (!complete).then(|| format!("failed at {at}"));
        Read { window: Window { since: moment(since), until: moment(until) }, at: moment(at), complete, error }
    }

    fn coverage_of(axis: &str, mut reads: Vec<Read>) -> Coverage {
        reads.sort_by_key(|read| std::cmp::Reverse(read.at));
        let of = StreamAxis {
            network: "awin".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            axis: axis.to_owned(),
        };
        let mut all = Reads::default();
        reads.into_iter().for_each(|read| all.take(of.clone(), read));
        all.coverage().remove(0)
    }

    /// Kind, since, until and time of failure of each gap.
    fn gaps(coverage: &Coverage) -> Vec<(&'static str, i64, i64, Option<i64>)> {
        let secs = |t: DateTime<Utc>| t.timestamp();
        let gap = |gap: &Gap| {
            (gap.kind.name(), secs(gap.window.since), secs(gap.window.until), gap.failed_at.map(|at| at.timestamp()))
        };
        coverage.gaps.iter().map(gap).collect()
    }

    #[test]
    fn a_hole_between_reads_was_never_read() {
        let coverage = coverage_of("transaction", vec![read(10, 0, 10, true), read(30, 20, 30, true)]);
        assert_eq!(gaps(&coverage), [("never-read", 10, 20, None)]);
        assert_eq!(coverage.read.unwrap().until, moment(30));
    }

    #[test]
    fn a_later_read_heals_a_failure_in_as_many_pieces_as_it_likes() {
        let failed = read(5, 0, 10, false);
        let half = coverage_of("transaction", vec![failed.clone(), read(6, 0, 4, true)]);
        assert_eq!(gaps(&half), [("failed", 4, 10, Some(5))]);
        let whole = coverage_of("transaction", vec![failed.clone(), read(6, 0, 4, true), read(7, 4, 12, true)]);
        assert_eq!(gaps(&whole), []);
        let before = coverage_of("transaction", vec![failed, read(4, 0, 10, true)]);
        assert_eq!(gaps(&before), [("failed", 0, 10, Some(5))], "an earlier read heals nothing");
    }

    #[test]
    fn an_outage_is_one_gap_that_tells_its_last_failure() {
        let mut reads: Vec<Read> = (0..5).map(|hour| read(100 + hour, hour, hour + 10, false)).collect();
        reads.push(read(200, 12, 20, true));
        let coverage = coverage_of("transaction", reads);
        assert_eq!(gaps(&coverage), [("failed", 0, 12, Some(104))]);
        assert_eq!(coverage.gaps[0].error.as_deref(), Some("failed at 104"));
    }

    #[test]
    fn a_failure_inside_a_hole_is_told_once() {
        let reads = vec![read(1, 0, 10, true), read(2, 12, 15, false), read(3, 20, 30, true)];
        let expected = [("never-read", 10, 12, None), ("failed", 12, 15, Some(2)), ("never-read", 15, 20, None)];
        assert_eq!(gaps(&coverage_of("transaction", reads)), expected);
    }

    #[test]
    fn a_stream_without_windows_has_gaps_only_while_its_last_read_failed() {
        let failed = vec![read(1, 0, 10, true), read(2, 90, 100, false), read(3, 91, 101, false)];
        assert_eq!(gaps(&coverage_of("none", failed.clone())), [("failed", 91, 101, Some(3))]);
        let healed = [failed, vec![read(4, 200, 210, true)]].concat();
        assert_eq!(gaps(&coverage_of("none", healed)), []);
    }

    proptest! {
        /// Moment by moment: a gap is what failed last, or what was never read between what was.
        #[test]
        fn gaps_are_what_each_moment_says(
            rows in prop::collection::vec((0..40_i64, 1..10_i64, prop::bool::ANY), 1..16)
        ) {
            let reads: Vec<Read> = (100..).zip(rows).map(|(at, (since, length, complete))| {
                read(at, since, since + length, complete)
            }).collect();
            let last = |t: i64| {
                reads.iter().rev().find(|read| read.window.since <= moment(t) && moment(t) < read.window.until)
            };
            let complete: Vec<&Read> = reads.iter().filter(|read| read.complete).collect();
            let first_read = complete.iter().map(|read| read.window.since).min();
            let last_read = complete.iter().map(|read| read.window.until).max();
            let coverage = coverage_of("transaction", reads.clone());
            for t in 0..50 {
                let told: Vec<&Gap> =
                    coverage.gaps.iter().filter(|gap| gap.window.since <= moment(t) && moment(t) < gap.window.until).collect();
                let inside = first_read.is_some_and(|first| first <= moment(t)) && last_read.is_some_and(|end| moment(t) < end);
                let expected = match last(t) {
                    Some(read) if !read.complete => Some(GapKind::Failed),
                    None if inside => Some(GapKind::NeverRead),
                    _ => None,
                };
                prop_assert_eq!(told.iter().map(|gap| gap.kind).collect::<Vec<_>>(), Vec::from_iter(expected), "at {}", t);
            }
        }
    }
}
