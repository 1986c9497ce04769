//! Counts and sums of days against those of the same account and weekday.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use sluice_model::{Window, start_of_day};

use super::profile::{Day, MAX_DAYS};
use super::{Doubt, DoubtKind, DoubtSettings, MIN_WEEKDAYS, Observation, Profile};
use crate::text::count;

/// A day with too many rows counts from so many on: a campaign may make a few of none.
const MANY: u64 = 200;
/// The same of days with fewer rows, if they have as many as say something: how many times the factor a sum must be more,
/// since one large order is no fault.
const FEW_FACTOR: u128 = 5;
/// How many times `min_records` such a day and one of its weekdays must have.
const FEW_ROWS: u64 = 4;
/// How long after its end a day is complete: networks book late.
const SETTLED: TimeDelta = TimeDelta::days(2);

/// What the rules need of a slice to know which of its days are complete.
#[derive(Clone, Copy, Debug)]
pub struct SliceView {
    /// The part of its window that could be read.
    pub window: Window,
    /// The stream's zone.
    pub timezone: Tz,
    /// When it was asked.
    pub read_at: DateTime<Utc>,
}

impl SliceView {
    /// The days that are wholly inside the window, as days since 1970.
    fn whole_days(&self) -> impl Iterator<Item = i32> + use<> {
        let Self { window, timezone, .. } = *self;
        let first = window.since.with_timezone(&timezone).date_naive();
        let days = (0..).map_while(move |n| first.checked_add_days(Days::new(n)));
        let bounds = move |day: NaiveDate| {
            let next = day.checked_add_days(Days::new(1))?;
            Some((start_of_day(timezone, day), start_of_day(timezone, next)))
        };
        days.map_while(move |day| Some((day, bounds(day)?)))
            .take_while(move |(_, (_, end))| *end <= window.until)
            .filter(move |(_, (start, _))| *start >= window.since)
            .map(|(day, _)| day.num_days_from_ce() - UNIX_EPOCH_FROM_CE)
    }

    fn is_settled(&self, day: i32) -> bool {
        let end = NaiveDate::from_num_days_from_ce_opt(day + 1 + UNIX_EPOCH_FROM_CE);
        end.is_some_and(|end| start_of_day(self.timezone, end) + SETTLED <= self.read_at)
    }
}

/// How many times other than it was accepted a day is where it no longer is that day.
const OTHER: u128 = 2;
/// Days of a weekday that were accepted, from which on they are what is usual of it: one is a holiday.
const USUAL: usize = 2;

/// The first of January 1970 as days from the beginning of the common era.
pub(super) const UNIX_EPOCH_FROM_CE: i32 = 719_163;

/// Compares a slice's complete days with what is known of them and of the same weekdays.
pub fn judge_days(profile: &Profile, rules: &DoubtSettings, seen: &Observation, slice: &SliceView) -> Option<Doubt> {
    if !rules.has(DoubtKind::Bands) {
        return None;
    }
    let odd = slice.whole_days().find_map(|day| Some((day, odd_day(profile, rules, seen, slice, day)?)))?;
    let (day, what) = odd;
    let date = NaiveDate::from_num_days_from_ce_opt(day + UNIX_EPOCH_FROM_CE)?;
    Some(Doubt { kind: DoubtKind::Bands, field: None, reason: format!("{}: {what}", date.format("%a %F")) })
}

fn odd_day(
    profile: &Profile,
    rules: &DoubtSettings,
    seen: &Observation,
    slice: &SliceView,
    day: i32,
) -> Option<String> {
    let factor = u128::from(rules.factor);
    let found = seen.days.get(&day).copied().unwrap_or_default();
    if let Some(before) = profile.days.get(&day).filter(|before| before.rows >= rules.day_records)
        && u128::from(found.rows) * factor < u128::from(before.rows)
    {
        return Some(format!("{}, where an earlier read had {}", count(found.rows, "transaction"), before.rows));
    }
    if profile.accepted_days.get(&day).is_some_and(|accepted| found.is_about(accepted, factor)) {
        return None;
    }
    let weekdays: Vec<Day> = weekdays(profile, day);
    if weekdays.len() < MIN_WEEKDAYS {
        return None;
    }
    let bounds = |of: fn(&Day) -> u128| {
        let values = weekdays.iter().map(of);
        Some((values.clone().min()?, values.max()?))
    };
    let (fewest, most) = bounds(|day| u128::from(day.rows))?;
    let (least, greatest) = bounds(|day| day.sum)?;
    let money = |sum: u128| sum / 1_000_000;
    let rows = u128::from(found.rows);
    let of = weekdays.len();
    let may_have_sums = rows.min(most) >= u128::from(FEW_ROWS * rules.min_records);
    let sum_factor = if found.rows >= MANY { factor } else { FEW_FACTOR * factor };
    match () {
        () if found.rows >= MANY && most > 0 && rows > most * factor => {
            Some(format!("{}, where {of} days like it had at most {most}", count(found.rows, "transaction")))
        }
        () if greatest > 0 && may_have_sums && found.sum > greatest.saturating_mul(sum_factor) => {
            let (sum, greatest) = (money(found.sum), money(greatest));
            Some(format!("commissions of {sum}, where {of} days like it had at most {greatest}"))
        }
        () if !slice.is_settled(day) || fewest < u128::from(rules.day_records) => None,
        () if rows * factor < fewest => {
            Some(format!("{}, where {of} days like it had at least {fewest}", count(found.rows, "transaction")))
        }
        () if least > 0 && found.sum.saturating_mul(factor) < least => {
            let (sum, least) = (money(found.sum), money(least));
            Some(format!("commissions of {sum}, where {of} days like it had at least {least}"))
        }
        () => None,
    }
}

/// The other days that are known of the same weekday, but for a single one that was accepted though it is unlike them; none for
/// a day before the first one that is known, since business grows.
fn weekdays(profile: &Profile, day: i32) -> Vec<Day> {
    if profile.days.first_key_value().is_none_or(|(first, _)| day < *first) {
        return Vec::new();
    }
    let is_like = |other: i32| other != day && (other - day).rem_euclid(7) == 0;
    let accepted = profile.accepted_days.keys().filter(|other| is_like(**other)).count();
    let is_usual = |other: i32| accepted >= USUAL || !profile.accepted_days.contains_key(&other);
    let same = profile.days.iter().filter(|(other, _)| is_like(**other) && is_usual(**other));
    same.map(|(_, sums)| *sums).collect()
}

impl Profile {
    /// Takes over a slice's complete days.
    pub fn learn_days(&mut self, seen: &Observation, slice: &SliceView) {
        let days = slice.whole_days().map(|day| (day, seen.days.get(&day).copied().unwrap_or_default()));
        let days: BTreeMap<i32, Day> = days.collect();
        self.accepted_days.retain(|day, accepted| days.get(day).is_none_or(|now| now.is_about(accepted, OTHER)));
        self.set_days(days);
    }

    /// Takes over the complete days of an accepted slice. Those that have nothing, or are odd, are no doubt as they are.
    pub(super) fn accept_days(&mut self, rules: &DoubtSettings, seen: &Observation, slice: &SliceView) {
        let found = |day: i32| seen.days.get(&day).copied().unwrap_or_default();
        let before = &*self;
        let is_odd = |day: &i32| found(*day).rows == 0 || odd_day(before, rules, seen, slice, *day).is_some();
        let odd: Vec<i32> = slice.whole_days().filter(is_odd).collect();
        self.learn_days(seen, slice);
        self.accepted_days.extend(odd.into_iter().map(|day| (day, found(day))));
        while self.accepted_days.len() > MAX_DAYS {
            self.accepted_days.pop_first();
        }
    }
}
