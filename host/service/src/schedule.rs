//! When to look, and which windows to read: pure functions of a moment.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use sluice_model::{Axis, Grain, Stream, Window};

use crate::settings::network::LookBackRule;

/// A cron expression of five fields, or of six with seconds first.
///
/// # Errors
/// What is wrong with it.
pub fn parse_cron(text: &str) -> Result<Cron, String> {
    let fields = text.split_whitespace().count();
    if !matches!(fields, 5 | 6) {
        return Err(format!("it has {fields} fields, not 5"));
    }
    text.parse::<Cron>().map_err(|error| error.to_string())
}

/// The first moment after `after` that the schedule names; none if it never comes.
pub fn next_moment(cron: &Cron, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    cron.find_next_occurrence(&after, false).ok()
}

/// Whether to look now: the schedule named a moment since the last look, or there was none yet.
pub fn is_due(now: DateTime<Utc>, cron: &Cron, last: Option<DateTime<Utc>>) -> bool {
    last.is_none_or(|last| next_moment(cron, last).is_some_and(|next| next <= now))
}

/// The places of the look-back rules to follow at `now`, given when each was last followed.
pub fn due_rules(
    now: DateTime<Utc>,
    rules: &[LookBackRule],
    last: impl Fn(usize) -> Option<DateTime<Utc>>,
) -> Vec<usize> {
    // A look a little early still counts as the hourly one.
    let slack = TimeDelta::seconds(30);
    rules
        .iter()
        .enumerate()
        .filter(|(at, rule)| {
            last(*at).is_none_or(|last| last + TimeDelta::seconds(i64::from(rule.every)) <= now + slack)
        })
        .map(|(at, _)| at)
        .collect()
}

/// The window of a look back, to the second.
pub fn look_back_window(now: DateTime<Utc>, days: u32) -> Window {
    let until = now.with_nanosecond(0).unwrap_or(now);
    Window { since: until - TimeDelta::days(i64::from(days)), until }
}

/// The first moment that a network still remembers of a stream; none if it forgets nothing.
pub fn first_remembered(stream: &Stream, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    now.checked_sub_days(Days::new(u64::from(stream.history_days?)))
}

/// The windows of a stream's slices: widened to whole days where the network knows only days, and cut to the
/// longest that it answers. A stream without a window has one slice, whose window says when it was read.
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

/// The first moment of a day in a zone; where midnight is skipped, the first moment after it.
fn start_of_day(timezone: Tz, day: chrono::NaiveDate) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    (0..=4)
        .find_map(|hours| timezone.from_local_datetime(&(midnight + TimeDelta::minutes(30 * hours))).earliest())
        .map_or_else(|| midnight.and_utc(), |local| local.to_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use sluice_model::{Format, Layout};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn hourly_is_due_once_an_hour() {
        let cron = parse_cron("0 * * * *").unwrap();
        assert!(is_due(at("2026-01-01T10:00:00Z"), &cron, None));
        assert!(is_due(at("2026-01-01T10:00:00Z"), &cron, Some(at("2026-01-01T09:59:59Z"))));
        assert!(!is_due(at("2026-01-01T10:59:59Z"), &cron, Some(at("2026-01-01T10:00:00Z"))));
        assert!(parse_cron("61 * * * *").is_err());
        assert!(parse_cron("0 * * *").is_err());
        assert!(parse_cron("").is_err());
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

    #[test]
    fn a_network_remembers_days_back_from_now() {
        let now = at("2026-03-28T12:00:00Z");
        let with = |history_days| {
            let layout = Layout { format: Format::Ndjson, pins: vec![], inputs: vec![], key: vec![] };
            let stream = Stream {
                name: "sales".to_owned(),
                unified: true,
                axes: vec![Axis::Transaction],
                complete_windows: vec![],
                max_window_secs: None,
                history_days,
                grain: Grain::Second,
                timezone: "UTC".to_owned(),
                layout,
            };
            first_remembered(&stream, now)
        };
        assert_eq!(with(Some(14)), Some(at("2026-03-14T12:00:00Z")));
        assert_eq!(with(None), None);
        assert_eq!(with(Some(u32::MAX)), None, "longer than there are days");
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
