//! The last complete day of an account against earlier ones of its weekday, for alarms: nothing is held back, so they are
//! narrower than [`super::judge_days`].

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::bands::UNIX_EPOCH_FROM_CE;
use super::profile::Day;
use super::{MIN_WEEKDAYS, Profile};

/// What makes a day unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayLimits {
    /// How long after its end a day is complete: networks book late.
    pub settled: TimeDelta,
    /// Days with fewer rows than this aren't compared.
    pub rows: u64,
    /// How many times fewer or more is unusual.
    pub factor: u32,
}

/// The last complete day, if it has no transactions and the days like it have at least `limits.rows` each.
pub fn quiet_day(profile: &Profile, limits: &DayLimits, now: DateTime<Utc>) -> Option<String> {
    let (day, last) = last_complete(profile, limits, now)?;
    let (fewest, most) = row_band(&earlier_weekdays(profile, day))?;
    if last.rows > 0 || fewest < limits.rows.max(1) {
        return None;
    }
    let without = profile.days.range(..=day).rev().take_while(|(_, day)| day.rows == 0).count();
    let days = if without == 1 { String::new() } else { format!(", nor on the {} days before", without - 1) };
    Some(format!("no transactions on {}{days}; earlier days like it had {fewest} to {most}", date(day)?))
}

/// The last complete day, if its transactions or its commission are far from those of the days like it.
pub fn day_outside_band(profile: &Profile, limits: &DayLimits, now: DateTime<Utc>) -> Option<String> {
    let (day, last) = last_complete(profile, limits, now)?;
    let weekdays = earlier_weekdays(profile, day);
    let (fewest, most) = row_band(&weekdays)?;
    if last.rows == 0 || most.max(last.rows) < limits.rows {
        return None;
    }
    let date = date(day)?;
    let factor = u64::from(limits.factor);
    if last.rows.saturating_mul(factor) < fewest || last.rows > most.saturating_mul(factor) {
        return Some(format!("{} transactions on {date}; earlier days like it had {fewest} to {most}", last.rows));
    }
    let (least, greatest) = band(weekdays.iter().map(|day| day.sum))?;
    let factor = u128::from(limits.factor);
    let is_outside =
        last.sum.saturating_mul(factor) < least || greatest > 0 && last.sum > greatest.saturating_mul(factor);
    let money = |sum: u128| sum / 1_000_000;
    is_outside.then(|| {
        format!(
            "commission of {} on {date}; earlier days like it had {} to {}",
            money(last.sum),
            money(least),
            money(greatest)
        )
    })
}

fn last_complete(profile: &Profile, limits: &DayLimits, now: DateTime<Utc>) -> Option<(i32, Day)> {
    let is_complete = |day: i32| {
        let end = DateTime::from_timestamp(i64::from(day + 1) * 86_400, 0);
        end.is_some_and(|end| end + limits.settled <= now)
    };
    profile.days.iter().rev().find(|(day, _)| is_complete(**day)).map(|(day, found)| (*day, *found))
}

fn earlier_weekdays(profile: &Profile, day: i32) -> Vec<Day> {
    let earlier = profile.days.range(..day).filter(|(other, _)| (day - **other) % 7 == 0);
    earlier.map(|(_, found)| *found).collect()
}

fn row_band(weekdays: &[Day]) -> Option<(u64, u64)> {
    if weekdays.len() < MIN_WEEKDAYS { None } else { band(weekdays.iter().map(|day| day.rows)) }
}

fn band<T: Ord + Copy>(values: impl Iterator<Item = T> + Clone) -> Option<(T, T)> {
    Some((values.clone().min()?, values.max()?))
}

fn date(day: i32) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(day + UNIX_EPOCH_FROM_CE)?;
    Some(date.format("%a %F").to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::selection::tests::at;

    /// Days since 1970 of Monday, 5 January 2026.
    const MONDAY: i32 = 20_458;

    fn limits() -> DayLimits {
        DayLimits { settled: TimeDelta::hours(48), rows: 5, factor: 5 }
    }

    /// Five weeks with 20 transactions of 10.00 a day, and then a last day.
    fn profile(rows: u64, commission: u128) -> Profile {
        let mut profile = Profile::default();
        let usual = Day { rows: 20, sum: 200_000_000 };
        profile.set_days((MONDAY - 35..MONDAY).map(|day| (day, usual)));
        profile.set_days([(MONDAY, Day { rows, sum: commission * 1_000_000 })]);
        profile
    }

    #[test]
    fn a_day_without_transactions_is_quiet_once_it_is_complete() {
        let silent = profile(0, 0);
        assert_eq!(quiet_day(&silent, &limits(), at("2026-01-07T23:59:59Z")), None, "it may be booked late");
        let found = quiet_day(&silent, &limits(), at("2026-01-08T00:00:00Z")).unwrap();
        assert_eq!(found, "no transactions on Mon 2026-01-05; earlier days like it had 20 to 20");
        assert_eq!(quiet_day(&profile(1, 10), &limits(), at("2026-01-08T00:00:00Z")), None);
        assert_eq!(quiet_day(&silent, &DayLimits { rows: 21, ..limits() }, at("2026-01-08T00:00:00Z")), None);
        assert_eq!(quiet_day(&Profile::default(), &limits(), at("2026-01-08T00:00:00Z")), None);
    }

    #[test]
    fn a_day_far_from_its_weekday_is_outside_the_band() {
        let outside =
            |rows, commission| day_outside_band(&profile(rows, commission), &limits(), at("2026-01-08T00:00:00Z"));
        assert_eq!(outside(20, 200), None);
        assert_eq!(outside(5, 50), None);
        assert!(outside(3, 30).unwrap().starts_with("3 transactions on Mon 2026-01-05"));
        assert!(outside(101, 1_000).unwrap().starts_with("101 transactions"));
        assert!(outside(20, 39).unwrap().starts_with("commission of 39 on Mon"));
        assert!(outside(20, 1_001).unwrap().starts_with("commission of 1001"));
        assert_eq!(outside(0, 0), None, "that is another rule's");
    }
}
