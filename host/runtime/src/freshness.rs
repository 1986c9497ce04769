//! Whether what was read is as fresh as the schedule requires it: pure functions of a moment.

use chrono::{DateTime, TimeDelta, Utc};

use crate::schedule::names_two_days;
use crate::settings::look_back::LookBackRule;
use crate::text::span;
use crate::timetable::Schedule;

/// What an operator may not have meant by a schedule that is possible.
pub fn schedule_notes(schedule: &Schedule, rules: &[LookBackRule], now: DateTime<Utc>) -> Vec<String> {
    let mut notes = Vec::new();
    if names_two_days(&schedule.cron) {
        notes.push("day of month and day of week are both set: either is enough, as in POSIX cron".to_owned());
    }
    let gap = match schedule.next_moments(now, 2)[..] {
        [first, second] => (second - first).num_seconds(),
        _ => return notes,
    };
    let every = rules.iter().map(|rule| i64::from(rule.every)).min().unwrap_or_default();
    if every >= 2 * gap {
        notes.push(format!(
            "most moments read nothing: the schedule comes every {}, and no rule of look_back is due more often than \
             every {}",
            span(gap),
            span(every)
        ));
    }
    notes
}

/// When something that was read at `read_at` counts as stale: the schedule has named two further moments, and the
/// rule that reads it has come due twice. None if the schedule never comes.
pub fn stale_at(schedule: &Schedule, every_secs: u32, read_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let second = schedule.next_moment(schedule.next_moment(read_at)?)?;
    Some(second.max(read_at + TimeDelta::seconds(2 * i64::from(every_secs))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    fn stale(cron: &str, every_secs: u32, read_at: &str) -> String {
        let read_at = read_at.parse().unwrap();
        stale_at(&Schedule::utc(cron).unwrap(), every_secs, read_at).unwrap().to_rfc3339()
    }

    #[test]
    fn two_periods_may_pass() {
        assert_eq!(stale("0 * * * *", 3_600, "2026-01-05T10:00:30Z"), "2026-01-05T12:00:30+00:00");
        assert_eq!(stale("0 * * * *", 86_400, "2026-01-05T10:00:30Z"), "2026-01-07T10:00:30+00:00");
    }

    #[test]
    fn a_schedule_that_mostly_reads_nothing_is_noted() {
        let notes = |text: &str, every: u32| {
            let rules = [LookBackRule { every, days: 3, axis: None, requests: None, at_least_every: None }];
            schedule_notes(&Schedule::utc(text).unwrap(), &rules, "2026-01-02T09:01:00Z".parse().unwrap())
        };
        assert_eq!(notes("0 * * * *", 3_600), Vec::<String>::new());
        assert!(
            notes("0 * * * *", 86_400)[0]
                .contains("every 1 h, and no rule of look_back is due more often than every 1 d")
        );
        assert!(notes("0 6 1 * MON", 3_600)[0].contains("either is enough"));
    }

    #[test]
    fn a_weekend_without_a_schedule_is_no_staleness() {
        // A Friday; the moments after it are Monday's and Tuesday's.
        assert_eq!(stale("0 9 * * 1-5", 3_600, "2026-01-02T09:01:00Z"), "2026-01-06T09:00:00+00:00");
    }
}
