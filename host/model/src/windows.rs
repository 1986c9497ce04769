//! The windows that a stream is read in.

use chrono::{DateTime, Days, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::manifest::{Axis, Grain, Stream};
use crate::slice::{Window, start_of_day};

/// The windows of a stream's slices: widened to whole days where the network knows only days, and cut to the
/// longest that it answers. A stream without a window has one slice, whose window is when it was read.
pub fn slice_windows(stream: &Stream, axis: Axis, timezone: Tz, window: Window) -> Vec<Window> {
    if axis == Axis::None {
        return vec![window];
    }
    match stream.grain {
        Grain::Second => window.pieces(stream.max_window_secs),
        Grain::Day => day_windows(timezone, window, stream.max_window_secs.map(|secs| (secs / 86_400).max(1))),
    }
}

fn day_windows(timezone: Tz, window: Window, max_days: Option<u32>) -> Vec<Window> {
    let day = |t: DateTime<Utc>| t.with_timezone(&timezone).date_naive();
    let last = day(window.until - TimeDelta::microseconds(1));
    let mut windows = Vec::new();
    let mut first = day(window.since);
    while first <= last {
        let Some(after) = last.checked_add_days(Days::new(1)) else { break };
        let end = match max_days.and_then(|days| first.checked_add_days(Days::new(u64::from(days)))) {
            Some(longest) => longest.min(after),
            None => after,
        };
        windows.push(Window { since: start_of_day(timezone, first), until: start_of_day(timezone, end) });
        first = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_local_days_across_daylight_saving() {
        let window = Window { since: at("2026-03-28T12:00:00Z"), until: at("2026-03-30T12:00:00Z") };
        let windows = day_windows(chrono_tz::Europe::Amsterdam, window, Some(1));
        let bounds: Vec<String> = windows.iter().map(ToString::to_string).collect();
        assert_eq!(
            bounds,
            [
                "2026-03-27T23:00:00Z/2026-03-28T23:00:00Z",
                "2026-03-28T23:00:00Z/2026-03-29T22:00:00Z",
                "2026-03-29T22:00:00Z/2026-03-30T22:00:00Z",
            ]
        );
    }

    proptest! {
        #[test]
        fn day_windows_cover_the_window_without_holes(start in 0i64..2_000_000_000, length in 1i64..10_000_000, max in 1u32..40) {
            let since = DateTime::from_timestamp(start, 0).unwrap();
            let window = Window { since, until: since + TimeDelta::seconds(length) };
            let windows = day_windows(chrono_tz::America::Chicago, window, Some(max));
            prop_assert!(windows[0].since <= window.since);
            prop_assert!(windows[windows.len() - 1].until >= window.until);
            prop_assert!(windows.windows(2).all(|pair| pair[0].until == pair[1].since));
        }
    }
}
