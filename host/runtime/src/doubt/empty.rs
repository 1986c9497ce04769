//! Windows without records that had some before, on axes other than the event's.
//!
//! The tables tell what happened in a window of events. Of another axis they don't know the date of every network, so two
//! things are compared: windows that the axis had records in, and, in a window that reaches the present, what the tables hold of
//! it. What happened in it, and was reported, was changed last in it too; what was decided or paid in it is decided or paid in it
//! still, or later.

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Axis, Window};

use super::{Profile, WindowsBy};

/// How far a window's end may be from the moment of the request to reach the present.
const PRESENT: TimeDelta = TimeDelta::hours(1);

/// What is known of the window of an empty answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptied {
    /// An earlier read of it, or of a part, had so many records.
    Window(u64),
    /// An earlier read of a window that overlaps it had records: what happened, was decided or was paid in this part must be in
    /// it.
    EventsOf(Window),
}

/// Whether an answer without records for a window may be wrong, since there were some.
pub fn emptied(profile: &Profile, by: WindowsBy, window: Window, read_at: DateTime<Utc>) -> Option<Emptied> {
    let known = profile.windows.get(&by.name())?;
    let within = |since: DateTime<Utc>, until: DateTime<Utc>| window.since <= since && until <= window.until;
    if let Some(before) = known.iter().rev().find(|known| within(known.since, known.until)) {
        return Some(Emptied::Window(before.records));
    }
    match by {
        // It has no windows: each read is of all there is.
        WindowsBy::Axis(Axis::None) => return known.last().map(|known| Emptied::Window(known.records)),
        WindowsBy::Axis(_) if window.until + PRESENT >= read_at => {}
        WindowsBy::Axis(_) | WindowsBy::Beyond(_) => return None,
    }
    let known = known.iter().map(|known| Window { since: known.since, until: known.until });
    let parts = known.filter_map(|known| known.intersection(window));
    parts.max_by_key(|part| part.until - part.since).map(Emptied::EventsOf)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_that_had_records_is_not_empty() {
        let january = window("2026-01-01T00:00:00Z/2026-01-15T00:00:00Z");
        let now: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
        let mut profile = Profile::default();
        assert_eq!(emptied(&profile, WindowsBy::Axis(Axis::Modified), january, now), None);
        profile.set_window(WindowsBy::Axis(Axis::Modified), january, 30);
        assert_eq!(emptied(&profile, WindowsBy::Axis(Axis::Modified), january, now), Some(Emptied::Window(30)));
        let wider = window("2026-01-01T00:00:00Z/2026-02-01T00:00:00Z");
        assert_eq!(emptied(&profile, WindowsBy::Axis(Axis::Modified), wider, now), Some(Emptied::Window(30)));
        let later = window("2026-01-02T00:00:00Z/2026-01-16T00:00:00Z");
        assert_eq!(
            emptied(&profile, WindowsBy::Axis(Axis::Modified), later, now),
            None,
            "its records may be of the first day"
        );
        assert_eq!(emptied(&profile, WindowsBy::Axis(Axis::Payment), january, now), None);
        assert_eq!(emptied(&profile, WindowsBy::Beyond(Axis::Modified), january, now), None, "it forgot it");
        profile.set_window(WindowsBy::Axis(Axis::Modified), wider, 0);
        assert_eq!(emptied(&profile, WindowsBy::Axis(Axis::Modified), january, now), None, "it was accepted");
    }

    #[test]
    fn a_list_without_windows_that_had_records_is_not_empty() {
        let (by, mut profile) = (WindowsBy::Axis(Axis::None), Profile::default());
        let now: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
        let all = window("2026-01-01T00:00:00Z/2026-01-15T00:00:00Z");
        assert_eq!(emptied(&profile, by, all, now), None);
        profile.set_window(by, all, 30);
        let other = window("2026-02-01T00:00:00Z/2026-02-15T00:00:00Z");
        assert_eq!(emptied(&profile, by, other, now), Some(Emptied::Window(30)));
    }

    #[test]
    fn what_was_decided_or_paid_in_a_window_up_to_now_is_in_it() {
        let now: DateTime<Utc> = "2026-01-04T01:00:00Z".parse().unwrap();
        for axis in [Axis::Validation, Axis::Payment] {
            let mut profile = Profile::default();
            profile.set_window(WindowsBy::Axis(axis), window("2026-01-01T00:00:00Z/2026-01-04T00:00:00Z"), 3);
            let moved = window("2026-01-01T01:00:00Z/2026-01-04T01:00:00Z");
            let common = window("2026-01-01T01:00:00Z/2026-01-04T00:00:00Z");
            assert_eq!(emptied(&profile, WindowsBy::Axis(axis), moved, now), Some(Emptied::EventsOf(common)));
        }
    }

    #[test]
    fn what_happened_in_a_window_up_to_now_changed_in_it() {
        let mut profile = Profile::default();
        profile.set_window(WindowsBy::Axis(Axis::Modified), window("2026-01-01T00:00:00Z/2026-01-04T00:00:00Z"), 3);
        let now: DateTime<Utc> = "2026-01-04T01:00:00Z".parse().unwrap();
        let moved = window("2026-01-01T01:00:00Z/2026-01-04T01:00:00Z");
        let common = window("2026-01-01T01:00:00Z/2026-01-04T00:00:00Z");
        assert_eq!(emptied(&profile, WindowsBy::Axis(Axis::Modified), moved, now), Some(Emptied::EventsOf(common)));
        assert_eq!(
            emptied(&profile, WindowsBy::Axis(Axis::Modified), moved, now + TimeDelta::days(1)),
            None,
            "it may have changed since"
        );
        assert_eq!(
            emptied(&profile, WindowsBy::Axis(Axis::Validation), moved, now),
            None,
            "it isn't known when it was decided"
        );
    }
}
