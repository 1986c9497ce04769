//! Transactions that weren't asked for: a network that ignores the window, or writes another date.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use sluice_model::Window;

use super::bands::UNIX_EPOCH_FROM_CE;
use super::fill::of_all;
use super::{Doubt, DoubtKind, DoubtSettings, Observation, Profile};

/// Transactions of which most must be outside: one or two may be late corrections.
const MIN_OUTSIDE: u64 = 3;
/// What a network that lists by another date needs.
const HINT: &str = "Where the network lists by another date, accept it: such dates are usual then. `\"doubt\": {\"window\": false}` \
                    lets any date pass";

/// Whether most transactions of an answer are of other days than those of its window, which is by the transaction's date, and
/// are further from it than those of answers that were accepted.
pub fn judge_window(
    profile: &Profile,
    rules: &DoubtSettings,
    seen: &Observation,
    window: Window,
    timezone: Tz,
) -> Option<Doubt> {
    if !rules.has(DoubtKind::Window) {
        return None;
    }
    let margin = i32::from(rules.window_days).max(profile.outside_days);
    let (mut all, mut outside, mut example) = (0, 0, None);
    for (day, far, rows) in days_outside(seen, window, timezone) {
        all += rows;
        if far > margin {
            outside += rows;
            example = example.or(Some(day));
        }
    }
    let example = example.filter(|_| outside >= MIN_OUTSIDE && outside as f64 > rules.share * all as f64)?;
    let date = NaiveDate::from_num_days_from_ce_opt(example.saturating_add(UNIX_EPOCH_FROM_CE))?;
    let those = of_all(outside, all, "transaction");
    let reason = format!("{those} are not of the window {window} that was asked for, as one of {date}. {HINT}");
    Some(Doubt { kind: DoubtKind::Window, field: Some("transacted_at".to_owned()), reason })
}

impl Observation {
    /// Whether some of its transactions are of the days of a window.
    pub fn has_days_of(&self, window: Window, timezone: Tz) -> bool {
        let window = Window { until: window.until - TimeDelta::microseconds(1), ..window };
        days_outside(self, window, timezone).any(|(_, far, rows)| far == 0 && rows > 0)
    }
}

/// Each day of an answer, how many days it is before or behind a window, and its transactions.
pub(super) fn days_outside(seen: &Observation, window: Window, timezone: Tz) -> impl Iterator<Item = (i32, i32, u64)> {
    let day = |time: DateTime<Utc>| time.with_timezone(&timezone).num_days_from_ce() - UNIX_EPOCH_FROM_CE;
    let (first, last) = (day(window.since), day(window.until));
    seen.days.iter().map(move |(day, of_day)| {
        let far = first.saturating_sub(*day).max(day.saturating_sub(last)).max(0);
        (*day, far, of_day.rows)
    })
}
