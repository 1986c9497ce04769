//! What a slice that was read says of earlier doubts.

use chrono::{DateTime, TimeDelta, Utc};
use sluice_lake::DoubtRow;
use sluice_model::{Axis, Slice, Window};

use crate::doubt::DoubtKind;

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

/// Whether a doubt says the same as an earlier one of about the same window.
pub(super) fn replaces(new: &DoubtRow, old: &DoubtRow) -> bool {
    let of = |row: &DoubtRow| {
        (row.account.clone(), row.stream.clone(), row.axis.clone(), row.kind.clone(), row.field.clone())
    };
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

pub(super) fn length(window: Window) -> TimeDelta {
    window.until - window.since
}

pub(super) fn overlap(a: Window, b: Window) -> TimeDelta {
    (a.until.min(b.until) - a.since.max(b.since)).max(TimeDelta::zero())
}
