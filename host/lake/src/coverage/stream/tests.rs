#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::{CoverageFold, WindowRead};
use super::*;

fn moment(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(secs, 0).unwrap()
}

/// A read at `at` seconds after all windows, so that it is cut nowhere.
fn read(at: i64, since: i64, until: i64, complete: bool) -> WindowRead {
    let error = (!complete).then(|| format!("failed at {at}"));
    let window = Window { since: moment(since), until: moment(until) };
    WindowRead { window, at: moment(1_000 + at), complete, error }
}

fn of(axis: &str) -> StreamAxis {
    let [network, account, stream, axis] = ["awin", "uk", "transactions", axis].map(str::to_owned);
    StreamAxis { network, account, stream, axis }
}

fn fold(axis: &str, reads: &[WindowRead]) -> CoverageFold {
    let mut fold = CoverageFold::default();
    reads.iter().for_each(|read| fold.add(of(axis), read.clone()));
    fold
}

fn coverage(axis: &str, reads: &[WindowRead]) -> Coverage {
    fold(axis, reads).coverage().remove(0)
}

/// Kind, since, until and time of failure of each gap.
fn gaps(coverage: &Coverage) -> Vec<(&'static str, i64, i64, Option<i64>)> {
    let secs = |t: DateTime<Utc>| t.timestamp();
    let failed_at = |gap: &Gap| gap.failed_at.map(|at| at.timestamp() - 1_000);
    coverage
        .gaps
        .iter()
        .map(|gap| (gap.kind.name(), secs(gap.window.since), secs(gap.window.until), failed_at(gap)))
        .collect()
}

#[test]
fn a_hole_between_reads_was_never_read() {
    let coverage = coverage("transaction", &[read(10, 0, 10, true), read(30, 20, 30, true)]);
    assert_eq!(gaps(&coverage), [("never-read", 10, 20, None)]);
    assert_eq!(coverage.read.unwrap().until, moment(30));
}

#[test]
fn a_later_read_heals_a_failure_in_as_many_pieces_as_it_likes() {
    let failed = read(5, 0, 10, false);
    let half = coverage("transaction", &[failed.clone(), read(6, 0, 4, true)]);
    assert_eq!(gaps(&half), [("failed", 4, 10, Some(5))]);
    let whole = coverage("transaction", &[failed.clone(), read(6, 0, 4, true), read(7, 4, 12, true)]);
    assert_eq!(gaps(&whole), []);
    let before = coverage("transaction", &[failed, read(4, 0, 10, true)]);
    assert_eq!(gaps(&before), [("failed", 0, 10, Some(5))], "an earlier read heals nothing");
}

#[test]
fn a_failure_between_two_reads_of_a_window_that_moves_on_leaves_no_sliver() {
    let hours = |at: i64, complete| read(at, at, at + 72, complete);
    let failed = [hours(0, true), hours(1, false)];
    assert_eq!(gaps(&coverage("transaction", &failed)), [("failed", 1, 73, Some(1))]);
    let healed = [failed.to_vec(), vec![hours(2, true)]].concat();
    assert_eq!(gaps(&coverage("transaction", &healed)), [], "of 1 to 2 the first read is the last one that there is");
    // What nobody ever read stays a gap, though a later read overlaps the failed one.
    let first = [read(1, 0, 20, false), read(2, 10, 30, true)];
    assert_eq!(gaps(&coverage("transaction", &first)), [("failed", 0, 10, Some(1))]);
    let much_later = [first.to_vec(), vec![read(3, 0, 10, true)]].concat();
    assert_eq!(gaps(&coverage("transaction", &much_later)), []);
}

#[test]
fn an_outage_is_one_gap_with_its_last_failure() {
    let mut reads: Vec<WindowRead> = (0..5).map(|hour| read(100 + hour, hour, hour + 10, false)).collect();
    reads.push(read(200, 12, 20, true));
    let coverage = coverage("transaction", &reads);
    assert_eq!(gaps(&coverage), [("failed", 0, 12, Some(104))]);
    assert_eq!(coverage.gaps[0].error.as_deref(), Some("failed at 104"));
}

#[test]
fn a_failure_inside_a_hole_is_one_gap() {
    let reads = [read(1, 0, 10, true), read(2, 12, 15, false), read(3, 20, 30, true)];
    let expected = [("never-read", 10, 12, None), ("failed", 12, 15, Some(2)), ("never-read", 15, 20, None)];
    assert_eq!(gaps(&coverage("transaction", &reads)), expected);
}

#[test]
fn a_stream_without_windows_has_gaps_only_while_its_last_read_failed() {
    let failed = [read(1, 0, 10, true), read(2, 90, 100, false), read(3, 91, 101, false)];
    assert_eq!(gaps(&coverage("none", &failed)), [("failed", 91, 101, Some(3))]);
    let healed = [failed.to_vec(), vec![read(4, 200, 210, true)]].concat();
    assert_eq!(gaps(&coverage("none", &healed)), []);
    let reversed: Vec<WindowRead> = healed.iter().rev().cloned().collect();
    assert_eq!(fold("none", &reversed), fold("none", &healed));
}

#[test]
fn a_window_counts_as_far_as_its_moments_had_come() {
    // An older release recorded days to their end, and what a mistyped year asked for.
    let at = |at: i64, since: i64, until: i64, complete: bool| {
        let window = Window { since: moment(since), until: moment(until) };
        WindowRead { window, at: moment(at), complete, error: None }
    };
    let reads = [at(12, 0, 24, true), at(12, 100, 200, true), at(40, 36, 48, true)];
    let read = coverage("transaction", &reads);
    assert_eq!(gaps(&read), [("never-read", 12, 36, None)], "the rest of the day and the next one");
    assert_eq!(read.read.unwrap(), Window { since: moment(0), until: moment(40) });
    let failed = coverage("transaction", &[at(12, 0, 24, false)]);
    assert_eq!(failed.gaps[0].window.until, moment(12), "nothing is missing of what is still to come");
    assert!(fold("transaction", &[at(12, 100, 200, true)]).coverage().is_empty());
}

#[test]
fn how_long_ago_something_was_read_is_forgotten_after_a_week() {
    const HOUR: i64 = 3_600;
    let mut folded = CoverageFold::default();
    for hour in 0..24 * 90_i64 {
        let window = Window { since: moment((hour - 72) * HOUR), until: moment(hour * HOUR) };
        folded.add(of("modified"), WindowRead { window, at: moment(hour * HOUR), complete: true, error: None });
        folded.forget();
    }
    let stream = folded.0.values().next().unwrap();
    assert!(stream.read.len() <= 24 * 7 + 3, "{} windows are remembered of 2160 reads", stream.read.len());
    let coverage = folded.coverage().remove(0);
    assert_eq!((coverage.read.unwrap().since, coverage.gaps), (moment(-72 * HOUR), vec![]));
}

/// What a read is made from: since, length, whether it was complete.
type Drawn = (i64, i64, bool);

fn drawn(rows: &[Drawn]) -> Vec<WindowRead> {
    (0..).zip(rows).map(|(at, (since, length, complete))| read(at, *since, since + length, *complete)).collect()
}

fn holds(window: Window, t: i64) -> bool {
    window.since <= moment(t) && moment(t) < window.until
}

fn overlap(a: Window, b: Window) -> bool {
    a.since < b.until && b.since < a.until
}

/// The failures for which a moment is missing, as the rule says it of one moment.
fn missing_for(reads: &[WindowRead], t: i64) -> Vec<&WindowRead> {
    let complete: Vec<&WindowRead> = reads.iter().filter(|read| read.complete).collect();
    let covered = complete.iter().any(|read| holds(read.window, t));
    let stands = |failed: &&WindowRead| {
        let overlapped = complete.iter().any(|read| read.at > failed.at && overlap(read.window, failed.window));
        !failed.complete && holds(failed.window, t) && (!covered || !overlapped)
    };
    reads.iter().filter(stands).collect()
}

proptest! {
    #[test]
    fn gaps_are_those_of_each_moment(rows in prop::collection::vec((0..40_i64, 1..10_i64, prop::bool::ANY), 1..16)) {
        let reads = drawn(&rows);
        let coverage = coverage("transaction", &reads);
        let complete: Vec<&WindowRead> = reads.iter().filter(|read| read.complete).collect();
        let span = (complete.iter().map(|read| read.window.since).min()).zip(complete.iter().map(|read| read.window.until).max());
        prop_assert_eq!(coverage.read, span.map(|(since, until)| Window { since, until }));
        for t in 0..50 {
            let covered = complete.iter().any(|read| holds(read.window, t));
            let inside = span.is_some_and(|(since, until)| holds(Window { since, until }, t));
            let expected = if missing_for(&reads, t).is_empty() {
                (inside && !covered).then_some(GapKind::NeverRead)
            } else {
                Some(GapKind::Failed)
            };
            let found: Vec<&Gap> = coverage.gaps.iter().filter(|gap| holds(gap.window, t)).collect();
            prop_assert_eq!(found.iter().map(|gap| gap.kind).collect::<Vec<_>>(), Vec::from_iter(expected), "at {}", t);
        }
        for gap in coverage.gaps.iter().filter(|gap| gap.kind == GapKind::Failed) {
            let inside = (0..50).filter(|t| holds(gap.window, *t));
            let last = inside.flat_map(|t| missing_for(&reads, t)).max_by_key(|read| read.at).unwrap();
            prop_assert_eq!((gap.failed_at, &gap.error), (Some(last.at), &last.error));
        }
    }

    /// Two hosts record what they read in any order; the state is the same as if they had done so in turn.
    #[test]
    fn the_order_in_which_reads_are_recorded_does_not_matter(
        rows in prop::collection::vec((0..40_i64, 1..10_i64, prop::bool::ANY), 1..16),
        keys in prop::collection::vec(any::<u32>(), 16),
        axis in prop::sample::select(vec!["transaction", "none"]),
    ) {
        let reads = drawn(&rows);
        let mut shuffled: Vec<(u32, WindowRead)> = keys.into_iter().zip(reads.clone()).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<WindowRead> = shuffled.into_iter().map(|(_, read)| read).collect();
        prop_assert_eq!(fold(axis, &shuffled), fold(axis, &reads));
    }
}
