//! When to look, and which windows to read: pure functions of a moment.

use chrono::{DateTime, Days, TimeDelta, Timelike, Utc};
use croner::Cron;
pub use sluice_model::slice_windows;
use sluice_model::{Axis, Grain, Stream, Window};

use crate::settings::look_back::LookBackRule;
use crate::timetable::{Schedule, Timetable};

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

/// Whether both days of the month and days of the week are given: then either is enough, as in POSIX.
pub fn names_two_days(cron: &str) -> bool {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let given = |from_end: usize| {
        let field = fields.len().checked_sub(from_end).and_then(|place| fields.get(place));
        field.is_some_and(|field| !matches!(*field, "*" | "?"))
    };
    given(1) && given(3)
}

/// How far clocks of hosts may differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);

/// Whether a moment that was noted has come. One that hasn't was noted by a clock that was ahead and went back since: nothing
/// may wait until it comes.
pub fn has_come(noted: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    noted <= now + CLOCKS_DIFFER
}

/// The keys of the look-back rules that are due at `now`, given by key when each was last read completely. One that was
/// never read is due.
pub fn due_rules(
    now: DateTime<Utc>,
    rules: &[LookBackRule],
    read_at: impl Fn(&str) -> Option<DateTime<Utc>>,
) -> Vec<String> {
    // A run that starts a little early still counts as the hourly one.
    let slack = TimeDelta::seconds(30);
    let is_due =
        |rule: &LookBackRule, last: DateTime<Utc>| last + TimeDelta::seconds(i64::from(rule.every)) <= now + slack;
    let due = rules.iter().filter(|rule| read_at(&rule.key()).is_none_or(|last| is_due(rule, last)));
    due.map(LookBackRule::key).collect()
}

/// The pauses before a run that couldn't start is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPauses {
    /// The first one; each further one is twice as long.
    pub first_secs: u32,
    /// The longest one.
    pub max_secs: u32,
}

impl Default for RetryPauses {
    fn default() -> Self {
        Self { first_secs: 60, max_secs: 3_600 }
    }
}

/// The pause after so many attempts before this one: twice as long each time, up to `max_secs`.
pub(crate) fn growing_pause(first_secs: u32, attempts: u32, max_secs: u32) -> TimeDelta {
    let factor = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX);
    TimeDelta::seconds(first_secs.saturating_mul(factor).min(max_secs.max(first_secs)).into())
}

/// A network's runs that could not start, for lack of a setting, a secret or a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedStarts {
    count: u32,
    last_at: DateTime<Utc>,
}

impl FailedStarts {
    /// Another failure at `now` after those before.
    #[must_use]
    pub fn another(before: Option<Self>, now: DateTime<Utc>) -> Self {
        Self { count: before.map_or(0, |before| before.count).saturating_add(1), last_at: now }
    }

    /// The pause before the next attempt.
    pub fn pause(&self, pauses: RetryPauses) -> TimeDelta {
        let factor = 1_u32.checked_shl(self.count.saturating_sub(1)).unwrap_or(u32::MAX);
        TimeDelta::seconds(pauses.first_secs.saturating_mul(factor).min(pauses.max_secs).into())
    }

    /// Whether to try again: after the pause, or when the schedule names a moment before its end.
    pub fn is_due(&self, now: DateTime<Utc>, pauses: RetryPauses, timetable: &Timetable) -> bool {
        let is_due = |schedule: &Schedule| schedule.is_due(now, Some(self.last_at));
        self.last_at + self.pause(pauses) <= now
            || !has_come(self.last_at, now)
            || timetable.schedules().any(|(_, schedule)| is_due(schedule))
    }
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

/// The part of a window that a network still remembers of a stream, to the second. One that it has forgotten as a whole is
/// as it was asked for: what the operator names is requested, and covers nothing.
pub fn remembered(stream: &Stream, window: Window, now: DateTime<Utc>) -> Window {
    let Some(first) = first_remembered(stream, now) else { return window };
    let whole = first.with_nanosecond(0).unwrap_or(first);
    let first = if whole < first { whole + TimeDelta::seconds(1) } else { whole };
    if window.until <= first { window } else { Window { since: window.since.max(first), ..window } }
}

/// How many windows [`slice_windows`] gives at most, by arithmetic.
pub fn window_count(stream: &Stream, axis: Axis, window: Window) -> u64 {
    let secs = (window.until - window.since).num_seconds().unsigned_abs();
    match stream.grain {
        _ if axis == Axis::None => 1,
        Grain::Second => stream.windows_in(secs + 1),
        // Both ends are widened to whole days.
        Grain::Day => stream.windows_in((secs / 86_400 + 2) * 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::selection::tests::at;
    use sluice_model::{Format, Layout};

    #[test]
    fn days_of_the_month_and_of_the_week_are_two() {
        let two = ["0 6 1 * MON", "0 0 6 1 * 1", "0 6 * * MON", "0 6 1 * *", "0 6 1 * ?"].map(names_two_days);
        assert_eq!(two, [true, true, false, false, false]);
    }

    #[test]
    fn a_rule_is_due_by_what_it_says() {
        let rule = |every, days, axis| LookBackRule { every, days, axis, requests: None, at_least_every: None };
        let hourly = rule(3_600, 3, Some(Axis::Modified));
        let daily = rule(86_400, 45, None);
        assert_eq!(hourly.key(), "3600s/3d/modified");
        assert_eq!(daily.key(), "86400s/45d/default");
        let last =
            HashMap::from([(hourly.key(), at("2026-01-05T10:00:00Z")), (daily.key(), at("2026-01-05T10:00:00Z"))]);
        let due = |now, rules: &[LookBackRule]| due_rules(at(now), rules, |rule| last.get(rule).copied());
        assert_eq!(due("2026-01-05T10:59:00Z", &[hourly.clone(), daily.clone()]), Vec::<String>::new());
        // In another order, and with a new rule before them.
        let new = rule(86_400, 90, None);
        let rules = [new.clone(), daily.clone(), hourly.clone()];
        assert_eq!(due("2026-01-05T11:00:00Z", &rules), [new.key(), hourly.key()]);
        assert_eq!(due("2026-01-06T10:00:00Z", &rules[1..]), [daily.key(), hourly.key()]);
    }

    #[test]
    fn a_failed_start_is_tried_again_after_growing_pauses() {
        let timetable = |cron| Timetable { network: Schedule::utc(cron).unwrap(), streams: BTreeMap::new() };
        let yearly = timetable("0 0 1 1 *");
        let pauses = RetryPauses::default();
        let mut failed = FailedStarts::another(None, at("2026-03-05T10:00:00Z"));
        assert!(!failed.is_due(at("2026-03-05T10:00:59Z"), pauses, &yearly));
        assert!(failed.is_due(at("2026-03-05T10:01:00Z"), pauses, &yearly));
        let mut minutes = vec![failed.pause(pauses).num_minutes()];
        for _ in 0..40 {
            failed = FailedStarts::another(Some(failed), at("2026-03-05T10:01:00Z"));
            minutes.push(failed.pause(pauses).num_minutes());
        }
        assert_eq!(minutes[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(minutes[40], 60);
        let hourly = timetable("0 * * * *");
        assert!(!failed.is_due(at("2026-03-05T10:30:00Z"), pauses, &hourly));
        assert!(failed.is_due(at("2026-03-05T11:00:00Z"), pauses, &hourly), "the schedule's next moment");
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
}
