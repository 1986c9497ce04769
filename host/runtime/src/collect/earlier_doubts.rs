//! What a slice that was read says of earlier doubts.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_lake::{DoubtRow, DoubtState};
use sluice_model::{Axis, Slice, Window};

use crate::doubt::{Doubt, DoubtKind, Observation};

/// Accepted empty answers of a part of its window, the latest, that an empty answer is compared with.
const MAX_ACCEPTED: usize = 16;

/// A slice that was read without doubt or failure.
pub(super) struct Clean {
    pub(super) slice: Slice,
    pub(super) read_at: DateTime<Utc>,
    /// Its records were judged, not only whether it came whole.
    pub(super) is_judged: bool,
}

pub(super) fn is_of(row: &DoubtRow, slice: &Slice) -> bool {
    row.account == slice.account && row.stream == slice.stream && row.axis == slice.axis.name()
}

/// Whether a read of about the same window found what an earlier one did: the same is odd about it, and it has about as many
/// records and as much money. Two reads that differ confirm nothing.
pub(super) fn is_like(row: &DoubtRow, slice: &Slice, doubts: &[Doubt], seen: &Observation) -> bool {
    let first = doubts.iter().min_by_key(|doubt| doubt.kind);
    first.is_some_and(|first| row.kind == first.kind.name() && row.field == first.field)
        && is_of(row, slice)
        && overlap(row.window, slice.window) * 2 >= length(row.window)
        && doubts.iter().all(|doubt| is_said(row, doubt))
        && is_about(row.records as f64, seen.records as f64)
        && is_about_as_much(&row.money_in_answer, &seen.money_json())
}

/// Whether a doubt's reason says what another does, but for its numbers. That nothing came is the same in all words.
fn is_said(row: &DoubtRow, doubt: &Doubt) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit() && *c != ',').collect::<String>();
    doubt.kind == DoubtKind::Empty || words(&row.reason).contains(&words(&doubt.reason))
}

/// Whether two numbers are the same but for a tenth: windows move on from read to read.
fn is_about(one: f64, other: f64) -> bool {
    (one - other).abs() <= one.abs().max(other.abs()) / 10.0
}

/// The same of sums by currency, as JSON objects of decimal numbers in text.
fn is_about_as_much(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<BTreeMap<String, String>>(text).unwrap_or_default();
    let (one, other) = (read(one), read(other));
    let sum = |of: &BTreeMap<String, String>, code: &str| of.get(code).and_then(|sum| sum.parse().ok()).unwrap_or(0.0);
    one.keys().chain(other.keys()).all(|code| is_about(sum(&one, code), sum(&other, code)))
}

/// Whether a doubt says the same as an earlier one of about the same window.
pub(super) fn replaces(new: &DoubtRow, old: &DoubtRow) -> bool {
    // Each doubt of a run is compared with each earlier one.
    fn of(row: &DoubtRow) -> ([&str; 4], Option<&str>) {
        ([&row.account, &row.stream, &row.axis, &row.kind], row.field.as_deref())
    }
    of(new) == of(old) && overlap(new.window, old.window) * 2 >= length(old.window)
}

/// Whether half of a doubt's window, or all of a stream without windows, was read again later without doubt: what is
/// left at its beginning had been read before, as look-back windows move on. What was only collected is known to be whole,
/// no more.
pub(super) fn is_read_again(row: &DoubtRow, clean: &[Clean]) -> bool {
    let later = clean.iter().filter(|clean| is_of(row, &clean.slice) && clean.read_at > row.found_at);
    let later = later.filter(|clean| clean.is_judged || row.kind == DoubtKind::Cut.name());
    // What came without a column is in the tables: a later read says nothing of it.
    let later = later.filter(|_| row.kind != DoubtKind::Columns.name());
    let covered: TimeDelta = later.map(|clean| overlap(row.window, clean.slice.window)).sum();
    !covered.is_zero() && (covered * 2 >= length(row.window) || row.axis == Axis::None.name())
}

/// Accepted doubts of empty answers of a slice's account, stream and axis, the latest first.
fn accepted_empty<'a>(earlier: &'a [DoubtRow], slice: &'a Slice) -> impl Iterator<Item = &'a DoubtRow> {
    let accepted = earlier.iter().rev().filter(|row| row.state == DoubtState::Accepted);
    accepted.filter(move |row| row.kind == DoubtKind::Empty.name() && is_of(row, slice))
}

/// The parts of a window for which these were accepted, the latest first, and when. `is_refilled`: records came there since.
pub(super) fn accepted_parts(
    earlier: &[DoubtRow],
    slice: &Slice,
    window: Window,
    is_refilled: impl Fn(&str) -> bool,
) -> Vec<(Window, DateTime<Utc>)> {
    let accepted = accepted_empty(earlier, slice).filter(|row| !is_refilled(&row.doubt_id));
    let parts = accepted.filter_map(|row| Some((row.window.intersection(window)?, row.decided_at?)));
    parts.take(MAX_ACCEPTED).collect()
}

/// The ids of accepted empty answers in whose windows a later read of the slice has records, where transactions are found by
/// their dates: theirs.
pub(super) fn refilled<'a>(
    earlier: &'a [DoubtRow],
    slice: &'a Slice,
    seen: &'a Observation,
    read_at: DateTime<Utc>,
) -> impl Iterator<Item = &'a str> {
    let has_records = move |window: Window| {
        let has_some = |common: Window| slice.axis != Axis::Transaction || seen.has_days_of(common, slice.timezone);
        seen.records > 0 && window.intersection(slice.window).is_some_and(has_some)
    };
    let later = accepted_empty(earlier, slice).filter(move |row| row.decided_at.is_some_and(|at| at < read_at));
    later.filter(move |row| has_records(row.window)).map(|row| row.doubt_id.as_str())
}

/// The parts of a window that another one doesn't cover.
pub(super) fn uncovered(window: Window, by: Window) -> impl Iterator<Item = Window> {
    let before = Window { since: window.since, until: window.until.min(by.since) };
    let behind = Window { since: window.since.max(by.until), until: window.until };
    [before, behind].into_iter().filter(|part| part.since < part.until)
}

pub(super) fn length(window: Window) -> TimeDelta {
    window.until - window.since
}

pub(super) fn overlap(a: Window, b: Window) -> TimeDelta {
    a.intersection(b).map_or(TimeDelta::zero(), |common| common.until - common.since)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn accepted(window: &str) -> DoubtRow {
        let text = String::new;
        DoubtRow {
            doubt_id: window.to_owned(),
            network: "awin".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            axis: Axis::Transaction.name().to_owned(),
            window: window.parse().unwrap(),
            run_id: text(),
            kind: DoubtKind::Empty.name().to_owned(),
            field: None,
            reason: text(),
            request_ids: text(),
            records: 0,
            money_in_tables: text(),
            money_in_answer: text(),
            connector_version: text(),
            found_at: DateTime::UNIX_EPOCH,
            agrees_since: DateTime::UNIX_EPOCH,
            state: DoubtState::Accepted,
            decided_at: Some(DateTime::UNIX_EPOCH),
            decided_by: None,
            decision: None,
        }
    }

    #[test]
    fn acceptances_of_other_windows_hide_none_of_a_window() {
        let slice = Slice {
            network: "awin".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            settings: Vec::new(),
            window: "2026-01-10T00:00:00Z/2026-01-20T00:00:00Z".parse().unwrap(),
            timezone: chrono_tz::UTC,
            axis: Axis::Transaction,
            cursor: None,
        };
        let mut earlier = vec![accepted("2026-01-15T00:00:00Z/2026-02-01T00:00:00Z")];
        earlier.extend(
            (1..=20).map(|day| accepted(&format!("2026-03-{day:02}T00:00:00Z/2026-03-{:02}T00:00:00Z", day + 1))),
        );
        let parts = |is_refilled: bool| accepted_parts(&earlier, &slice, slice.window, |_| is_refilled);
        let common: Window = "2026-01-15T00:00:00Z/2026-01-20T00:00:00Z".parse().unwrap();
        assert_eq!(parts(false), [(common, DateTime::UNIX_EPOCH)]);
        assert_eq!(parts(true), []);
    }

    #[test]
    fn what_a_window_does_not_cover_is_before_and_behind_it() {
        let window = |since: u32, until: u32| -> Window {
            format!("2026-01-{since:02}T00:00:00Z/2026-01-{until:02}T00:00:00Z").parse().unwrap()
        };
        let parts = |by: Window| uncovered(window(10, 20), by).collect::<Vec<_>>();
        assert_eq!(parts(window(10, 20)), []);
        assert_eq!(parts(window(9, 19)), [window(19, 20)]);
        assert_eq!(parts(window(12, 15)), [window(10, 12), window(15, 20)]);
        assert_eq!(parts(window(1, 5)), [window(10, 20)]);
    }
}
