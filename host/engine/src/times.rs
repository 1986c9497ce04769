//! Times of a guest as instants: UTC, a zone's wall clock, or a day.
//!
//! A reading in the hour that daylight saving repeats is the earlier of the two, and is marked as ambiguous. A reading in
//! the hour that it skips moves forward by the gap: the clocks show 03:30 when the guest says 02:30. A day is its
//! first moment, which isn't midnight where midnight is skipped.

use std::collections::HashMap;

use arrow::array::TimestampMicrosecondArray;
use arrow::buffer::NullBuffer;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use sluice_model::TimeBasis;

use crate::call::quoted;
use crate::columns::{Checked, same_length, validity};
use crate::contract::wire;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// 1900-01-01T00:00:00Z.
const MIN_MICROS: i64 = -25_567 * DAY;
/// 2201-01-01T00:00:00Z.
const MAX_MICROS: i64 = 84_371 * DAY;
/// The largest gap is a day that Samoa skipped in 2011.
const MAX_GAP_HOURS: i64 = 26;

const INSTANT: u8 = wire::TimeBasis::Instant as u8;
const LOCAL: u8 = wire::TimeBasis::Local as u8;
const DATE: u8 = wire::TimeBasis::Date as u8;

/// A zone that remembers which hours have one offset: rows come in clusters, and a look into the zone's table costs
/// more than the rest of a row.
pub(crate) struct Zone {
    tz: Tz,
    is_utc: bool,
    local: Hours,
    utc: Hours,
}

/// Offsets in microseconds by hour; none for an hour in which the offset changes.
#[derive(Default)]
struct Hours {
    last: Option<(i64, Option<i64>)>,
    known: HashMap<i64, Option<i64>>,
}

impl Hours {
    fn offset(&mut self, hour: i64, find: impl FnOnce() -> Option<i64>) -> Option<i64> {
        if let Some((last, offset)) = self.last
            && last == hour
        {
            return offset;
        }
        let offset = *self.known.entry(hour).or_insert_with(find);
        self.last = Some((hour, offset));
        offset
    }
}

/// Instants, and how each was stated.
pub(crate) struct Times {
    pub(crate) instants: Vec<i64>,
    pub(crate) bases: Vec<TimeBasis>,
    pub(crate) valid: Option<NullBuffer>,
}

impl Times {
    /// The column of the schema.
    pub(crate) fn array(self) -> Checked<TimestampMicrosecondArray> {
        TimestampMicrosecondArray::try_new(self.instants.into(), self.valid)
            .map(|array| array.with_timezone("UTC"))
            .map_err(|error| error.to_string())
    }
}

impl Zone {
    pub(crate) fn new(name: &str) -> Checked<Self> {
        let tz: Tz = name.parse().map_err(|_| format!("{} is no IANA time zone", quoted(name)))?;
        Ok(Self::of(tz))
    }

    pub(crate) fn of(tz: Tz) -> Self {
        let is_utc = matches!(tz, Tz::UTC | Tz::Etc__UTC | Tz::Etc__GMT | Tz::GMT | Tz::Zulu | Tz::Etc__UCT | Tz::UCT);
        Self { tz, is_utc, local: Hours::default(), utc: Hours::default() }
    }

    /// The instants of a column.
    pub(crate) fn times(&mut self, column: wire::TimeColumn, rows: usize) -> Checked<Times> {
        same_length(column.values.len(), rows)?;
        same_length(column.bases.len(), rows).map_err(|what| format!("bases: {what}"))?;
        let valid = validity(column.valid, rows)?;
        let mut instants = column.values;
        let mut bases = Vec::with_capacity(rows);
        for (row, (value, basis)) in instants.iter_mut().zip(column.bases).enumerate() {
            if valid.as_ref().is_some_and(|valid| valid.is_null(row)) {
                *value = 0;
                bases.push(TimeBasis::Instant);
                continue;
            }
            if !(MIN_MICROS..MAX_MICROS).contains(value) {
                return Err(format!("row {row} is {value} µs, outside of the years 1900 to 2200"));
            }
            bases.push(match basis {
                INSTANT => TimeBasis::Instant,
                LOCAL => {
                    let (instant, is_doubled) = self.instant(*value);
                    *value = instant;
                    if is_doubled { TimeBasis::LocalDoubled } else { TimeBasis::Local }
                }
                DATE => {
                    *value = self.instant(value.div_euclid(DAY) * DAY).0;
                    TimeBasis::Date
                }
                _ => return Err(format!("row {row} has the time basis {basis}, of 3 cases")),
            });
        }
        Ok(Times { instants, bases, valid })
    }

    /// The zone's calendar days of instants, counted from 1970-01-01.
    pub(crate) fn days(&mut self, instants: &[i64]) -> Vec<i32> {
        let mut day = |instant: i64| {
            let local = if self.is_utc { instant } else { instant.saturating_add(self.offset_at(instant)) };
            i32::try_from(local.div_euclid(DAY)).unwrap_or_default()
        };
        instants.iter().map(|&instant| day(instant)).collect()
    }

    /// The instant of a wall-clock reading, and whether the reading comes twice.
    fn instant(&mut self, local: i64) -> (i64, bool) {
        if self.is_utc {
            return (local, false);
        }
        let (tz, hour) = (self.tz, local.div_euclid(HOUR));
        let plain =
            self.local.offset(hour, || match (readings(tz, hour * HOUR), readings(tz, hour * HOUR + HOUR - 1)) {
                (MappedLocalTime::Single(first), MappedLocalTime::Single(last)) if first == last => Some(first),
                _ => None,
            });
        if let Some(offset) = plain {
            return (local - offset, false);
        }
        match readings(tz, local) {
            MappedLocalTime::Single(offset) => (local - offset, false),
            MappedLocalTime::Ambiguous(earlier, later) => (local - earlier.max(later), true),
            // By the offset before the gap, a skipped reading is as far behind the gap's start as the clocks show.
            MappedLocalTime::None => (local - offset_before(tz, local), false),
        }
    }

    /// Microseconds to add to UTC at an instant, which is in microseconds since 1970.
    fn offset_at(&mut self, instant: i64) -> i64 {
        let (tz, hour) = (self.tz, instant.div_euclid(HOUR));
        let plain = self.utc.offset(hour, || {
            let (first, last) = (offset_of_utc(tz, hour * HOUR), offset_of_utc(tz, hour * HOUR + HOUR - 1));
            (first == last).then_some(first)
        });
        plain.unwrap_or_else(|| offset_of_utc(tz, instant))
    }
}

fn naive(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc()
}

fn micros(offset: &<Tz as TimeZone>::Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc()) * SECOND
}

/// The offsets that a wall-clock reading may have.
fn readings(tz: Tz, local: i64) -> MappedLocalTime<i64> {
    tz.offset_from_local_datetime(&naive(local)).map(|offset| micros(&offset))
}

fn offset_of_utc(tz: Tz, instant: i64) -> i64 {
    micros(&tz.offset_from_utc_datetime(&naive(instant)))
}

fn offset_before(tz: Tz, local: i64) -> i64 {
    (1..=MAX_GAP_HOURS).find_map(|hours| readings(tz, local - hours * HOUR).latest()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros()
    }

    fn one(zone: &str, local: &str, basis: u8) -> (String, TimeBasis) {
        let column = wire::TimeColumn { values: vec![at(local)], bases: vec![basis], valid: vec![] };
        let times = Zone::new(zone).unwrap().times(column, 1).unwrap();
        (naive(times.instants[0]).to_string(), times.bases[0])
    }

    #[test]
    fn local_times_follow_daylight_saving() {
        let local = |zone, text| one(zone, text, LOCAL);
        assert_eq!(local("Europe/Amsterdam", "2026-01-15T12:00:00"), ("2026-01-15 11:00:00".into(), TimeBasis::Local));
        assert_eq!(local("Europe/Amsterdam", "2026-07-15T12:00:00"), ("2026-07-15 10:00:00".into(), TimeBasis::Local));
        assert_eq!(local("America/Chicago", "2026-07-15T12:00:00"), ("2026-07-15 17:00:00".into(), TimeBasis::Local));
        assert_eq!(local("UTC", "2026-07-15T12:00:00.5"), ("2026-07-15 12:00:00.500".into(), TimeBasis::Local));
    }

    #[test]
    fn a_repeated_hour_takes_the_earlier_reading() {
        let (instant, basis) = one("Europe/Amsterdam", "2026-10-25T02:30:00", LOCAL);
        assert_eq!((instant.as_str(), basis), ("2026-10-25 00:30:00", TimeBasis::LocalDoubled));
        let (instant, basis) = one("America/Chicago", "2026-11-01T01:30:00", LOCAL);
        assert_eq!((instant.as_str(), basis), ("2026-11-01 06:30:00", TimeBasis::LocalDoubled));
        assert_eq!(one("Europe/Amsterdam", "2026-10-25T03:00:00", LOCAL).1, TimeBasis::Local);
    }

    #[test]
    fn a_skipped_hour_moves_forward_by_the_gap() {
        let (instant, basis) = one("Europe/Amsterdam", "2026-03-29T02:30:00", LOCAL);
        assert_eq!((instant.as_str(), basis), ("2026-03-29 01:30:00", TimeBasis::Local));
        assert_eq!(one("America/Chicago", "2026-03-08T02:30:00", LOCAL).0, "2026-03-08 08:30:00");
        assert_eq!(one("Pacific/Apia", "2011-12-30T12:00:00", LOCAL).0, "2011-12-30 22:00:00");
    }

    #[test]
    fn a_day_is_its_first_moment() {
        assert_eq!(
            one("Europe/Amsterdam", "2026-07-15T12:34:56", DATE),
            ("2026-07-14 22:00:00".into(), TimeBasis::Date)
        );
        // On this day São Paulo skipped midnight: the day began at one.
        assert_eq!(one("America/Sao_Paulo", "2018-11-04T00:00:00", DATE).0, "2018-11-04 03:00:00");
        assert_eq!(one("Europe/Amsterdam", "1969-12-31T12:00:00", DATE).0, "1969-12-30 23:00:00");
    }

    #[test]
    fn days_are_the_zones() {
        let day = |zone: &str, instant| Zone::new(zone).unwrap().days(&[at(instant)])[0];
        let utc = day("UTC", "2026-07-15T22:30:00");
        assert_eq!(day("Europe/Amsterdam", "2026-07-15T22:30:00"), utc + 1);
        assert_eq!(day("Europe/Amsterdam", "2026-01-15T22:30:00"), day("UTC", "2026-01-15T00:00:00"));
        assert_eq!(day("America/Chicago", "2026-07-15T04:59:59"), utc - 1);
        assert_eq!(day("America/Chicago", "2026-07-15T05:00:00"), utc);
    }

    #[test]
    fn remembered_hours_agree_with_the_zones_table() {
        for name in
            ["Europe/Amsterdam", "America/Chicago", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
        {
            let mut zone = Zone::new(name).unwrap();
            for step in 0..20_000 {
                let value = at("2025-01-01T00:00:00") + step * 29 * 60 * SECOND;
                let fresh = Zone::new(name).unwrap();
                let expected = match readings(fresh.tz, value) {
                    MappedLocalTime::Single(offset) => (value - offset, false),
                    MappedLocalTime::Ambiguous(a, b) => (value - a.max(b), true),
                    MappedLocalTime::None => (value - offset_before(fresh.tz, value), false),
                };
                assert_eq!(zone.instant(value), expected, "{name} {}", naive(value));
                assert_eq!(zone.offset_at(value), offset_of_utc(fresh.tz, value), "{name} {}", naive(value));
            }
        }
    }

    #[test]
    fn times_outside_of_reason_are_refused() {
        let with = |value, basis, valid: Vec<u8>| {
            let column = wire::TimeColumn { values: vec![value], bases: vec![basis], valid };
            Zone::new("UTC").unwrap().times(column, 1)
        };
        assert!(with(i64::MAX, INSTANT, vec![]).is_err());
        assert!(with(at("1899-12-31T23:59:59"), INSTANT, vec![]).is_err());
        assert!(with(at("2201-01-01T00:00:00"), INSTANT, vec![]).is_err());
        assert!(with(at("2200-12-31T23:59:59"), INSTANT, vec![]).is_ok());
        assert!(with(at("1900-01-01T00:00:00"), INSTANT, vec![]).is_ok());
        assert!(with(0, 3, vec![]).is_err());
        assert!(with(i64::MAX, 9, vec![0]).is_ok());
        assert!(Zone::new("Mars/Olympus").is_err());
    }
}
