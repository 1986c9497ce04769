//! The reads of one stream and axis, folded.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use rangemap::{RangeMap, RangeSet};
use sluice_model::Window;

use super::{Coverage, Gap, GapKind, StreamAxis};

/// How long before a stream's last read it is remembered when exactly a window was read: as late as that may a failed
/// read be recorded and still be compared with complete ones exactly.
const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// A failed read; of several the greatest is the last one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failure {
    pub(super) at: DateTime<Utc>,
    pub(super) error: Option<String>,
}

/// Its fields don't depend on the order in which reads were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamFold {
    /// When each moment was last read completely; none for one that was read long ago.
    pub(super) read: RangeMap<DateTime<Utc>, Option<DateTime<Utc>>>,
    pub(super) read_at: Option<DateTime<Utc>>,
    pub(super) failed_at: Option<DateTime<Utc>>,
    /// Failed reads that no later complete read overlaps.
    pub(super) standing: BTreeSet<(Failure, Window)>,
    /// What no complete read covers of the others, and the last failure of each moment.
    pub(super) unread: RangeMap<DateTime<Utc>, Failure>,
}

impl StreamFold {
    /// Adds a complete read of a window that isn't empty.
    pub(super) fn complete(&mut self, window: Window, at: DateTime<Utc>) {
        self.read_at = self.read_at.max(Some(at));
        insert_greatest(&mut self.read, range(window), Some(at));
        self.unread.remove(range(window));
        let overlapped = |(failure, failed): &(Failure, Window)| {
            failure.at < at && failed.since < window.until && window.since < failed.until
        };
        let standing = std::mem::take(&mut self.standing);
        let (overlapped, standing): (BTreeSet<_>, BTreeSet<_>) = standing.into_iter().partition(overlapped);
        self.standing = standing;
        overlapped.into_iter().for_each(|(failure, window)| self.overlapped(window, &failure));
    }

    /// Adds a failed read of a window that isn't empty.
    pub(super) fn failed(&mut self, window: Window, at: DateTime<Utc>, error: Option<String>) {
        self.failed_at = self.failed_at.max(Some(at));
        let failure = Failure { at, error };
        // Of a complete and a failed read at one moment the failed one counts: which came first isn't known.
        if self.read.overlapping(range(window)).any(|(_, read_at)| *read_at > Some(at)) {
            self.overlapped(window, &failure);
        } else {
            self.standing.insert((failure, window));
        }
    }

    /// What no complete read covers of a failed one that a later one overlaps.
    fn overlapped(&mut self, window: Window, failure: &Failure) {
        let unread: Vec<_> = self.read.gaps(&range(window)).collect();
        unread.into_iter().for_each(|unread| insert_greatest(&mut self.unread, unread, failure.clone()));
    }

    /// Adds a complete read of a stream without windows.
    pub(super) fn complete_whole(&mut self, window: Window, at: DateTime<Utc>) {
        self.read_at = self.read_at.max(Some(at));
        self.standing.retain(|(failure, _)| failure.at >= at);
        let known = span(&self.read).unwrap_or(window);
        let all = Window { since: known.since.min(window.since), until: known.until.max(window.until) };
        self.read.insert(range(all), None);
    }

    /// Adds a failed read of a stream without windows.
    pub(super) fn failed_whole(&mut self, window: Window, at: DateTime<Utc>, error: Option<String>) {
        self.failed_at = self.failed_at.max(Some(at));
        if self.read_at.is_none_or(|read_at| read_at <= at) {
            self.standing.insert((Failure { at, error }, window));
            let last = self.standing.pop_last();
            self.standing = last.into_iter().collect();
        }
    }

    pub(super) fn forget(&mut self) {
        let Some(remembered) = self.read_at.map(|read_at| read_at - REMEMBERED) else { return };
        let old = |(range, read_at): (&Range<_>, &Option<_>)| {
            read_at.is_some_and(|read_at| read_at < remembered).then(|| range.clone())
        };
        let old: Vec<_> = self.read.iter().filter_map(old).collect();
        old.into_iter().for_each(|range| self.read.insert(range, None));
    }

    pub(super) fn coverage(&self, of: &StreamAxis) -> Coverage {
        let failed = |window: Window, failure: &Failure| Gap {
            window,
            kind: GapKind::Failed,
            failed_at: Some(failure.at),
            error: failure.error.clone(),
        };
        let standing = self.standing.iter().map(|(failure, window)| failed(*window, failure));
        let unread = self.unread.iter().map(|(range, failure)| failed(window(range), failure));
        let mut gaps = joined(standing.chain(unread).collect());
        let read = span(&self.read);
        if of.axis != "none" {
            let known: RangeSet<_> = gaps.iter().map(|gap| range(gap.window)).collect();
            let holes: Vec<_> =
                read.iter().flat_map(|span| self.read.gaps(&range(*span)).collect::<Vec<_>>()).collect();
            for hole in holes.iter().flat_map(|hole| known.gaps(hole)) {
                gaps.push(Gap { window: window(&hole), kind: GapKind::NeverRead, failed_at: None, error: None });
            }
        }
        gaps.sort_by_key(|gap| gap.window);
        Coverage { of: of.clone(), read, read_at: self.read_at, failed_at: self.failed_at, gaps }
    }
}

/// Sets a range to a value, except where it has a greater one.
fn insert_greatest<V: Ord + Clone>(map: &mut RangeMap<DateTime<Utc>, V>, range: Range<DateTime<Utc>>, value: V) {
    let greater = map.overlapping(&range).filter(|(_, known)| **known > value);
    let greater: Vec<_> = greater.map(|(range, known)| (range.clone(), known.clone())).collect();
    map.insert(range, value);
    greater.into_iter().for_each(|(range, known)| map.insert(range, known));
}

pub(super) fn range(window: Window) -> Range<DateTime<Utc>> {
    window.since..window.until
}

pub(super) fn window(range: &Range<DateTime<Utc>>) -> Window {
    Window { since: range.start, until: range.end }
}

fn span<V: Eq + Clone>(map: &RangeMap<DateTime<Utc>, V>) -> Option<Window> {
    let ((first, _), (last, _)) = (map.first_range_value()?, map.last_range_value()?);
    Some(Window { since: first.start, until: last.end })
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
mod tests;
