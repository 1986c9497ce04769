//! Local times: the zones of the networks and the hour that repeats.

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// How sure the instant of a delivered time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeBasis {
    /// The delivered time names its offset, or is in UTC.
    Instant,
    /// A local time, once in its zone.
    Local,
    /// A local time in the hour that repeats when summer time ends; the earlier reading is taken.
    LocalDoubled,
}

/// The instant that a delivered local time means, by the earlier reading where there are two.
pub(crate) fn earliest(local: NaiveDateTime, zone: Tz) -> (DateTime<Utc>, TimeBasis) {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) => (time.with_timezone(&Utc), TimeBasis::Local),
        MappedLocalTime::Ambiguous(first, _) => (first.with_timezone(&Utc), TimeBasis::LocalDoubled),
        MappedLocalTime::None => (local.and_utc(), TimeBasis::Local),
    }
}

/// The bounds in UTC of a local time, `(earliest, latest)`; a time in the gap is read an hour later.
pub(crate) fn bounds(local: NaiveDateTime, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) => (time.with_timezone(&Utc), time.with_timezone(&Utc)),
        MappedLocalTime::Ambiguous(first, second) => (first.with_timezone(&Utc), second.with_timezone(&Utc)),
        MappedLocalTime::None => {
            let later = zone.from_local_datetime(&(local + chrono::TimeDelta::hours(1))).earliest();
            let time = later.map_or_else(|| local.and_utc(), |time| time.with_timezone(&Utc));
            (time, time)
        }
    }
}

/// The two instants of the middle of the doubled hour of a local day, if it has one.
pub(crate) fn doubled_hour(day: NaiveDate, zone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if !matches!(day.month(), 10 | 11) {
        return None;
    }
    (0..4).find_map(|hour| {
        let local = day.and_hms_opt(hour, 30, 0)?;
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Ambiguous(first, second) => Some((first.with_timezone(&Utc), second.with_timezone(&Utc))),
            _ => None,
        }
    })
}

/// A time as it reads in a zone.
pub(crate) fn local(time: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    time.with_timezone(&zone).naive_local()
}

/// A time as it reads in a zone, in a format of chrono.
pub(crate) fn print(time: DateTime<Utc>, zone: Tz, format: &str) -> String {
    local(time, zone).format(format).to_string()
}
