//! Dates that networks write where there is none.

use crate::{DAY_MICROS, SECOND_MICROS, Time};

/// Days since 1970-01-01 of the first and the last day that libraries can write: `0001-01-01` and `9999-12-31`.
const FIRST_AND_LAST_DAY: [i64; 2] = [-719_162, 2_932_896];
/// Days whose midnight is a library's or a database's zero: 1970-01-01 (the day before in the west), 1900-01-01, 1899-12-30,
/// 1753-01-01.
const ZERO_DAYS: [i64; 5] = [0, -1, -25_567, -25_569, -79_257];
/// The widest offset of a zone; offsets are of whole quarters of an hour.
const MAX_OFFSET_MICROS: i64 = 14 * 3_600 * SECOND_MICROS;
const QUARTER_MICROS: i64 = 900 * SECOND_MICROS;

impl Time {
    /// Whether a text that was read as `time` (none: it couldn't be read) stands for no time at all: zeros such as
    /// `0000-00-00 00:00:00`, the first or the last day that there is (`0001-01-01`, `9999-12-31`), midnight of a day that is
    /// a library's zero (`1970-01-01`, `1900-01-01`), or the zero of Unix time as the clock of any zone shows it, with or
    /// without an offset (`1970-01-01 01:00:00`, `1969-12-31 19:00:00`).
    ///
    /// [`Record::time_by`](crate::Record::time_by) asks it of every field.
    ///
    /// ```
    /// use sluice_connector::Time;
    /// assert!(Time::stands_for_none("00/00/0000", None));
    /// assert!(Time::stands_for_none("1970-01-01", Time::iso("1970-01-01")));
    /// assert!(Time::stands_for_none("1970-01-01 01:00:00", Time::iso("1970-01-01 01:00:00")));
    /// assert!(!Time::stands_for_none("1970-01-01 10:07:00", Time::iso("1970-01-01 10:07:00")));
    /// ```
    pub fn stands_for_none(text: &str, time: Option<Self>) -> bool {
        match time {
            Some(time) => time.is_none_date(),
            None => is_zero_date(text),
        }
    }

    fn is_none_date(self) -> bool {
        let (day, of_day) = (self.micros.div_euclid(DAY_MICROS), self.micros.rem_euclid(DAY_MICROS));
        // Midnight somewhere, with its offset applied; or what a clock somewhere shows at midnight in Greenwich.
        let is_epoch_elsewhere = self.micros.abs() <= MAX_OFFSET_MICROS && self.micros % QUARTER_MICROS == 0;
        FIRST_AND_LAST_DAY.contains(&day) || (of_day == 0 && ZERO_DAYS.contains(&day)) || is_epoch_elsewhere
    }
}

/// Whether the date in a text has no digit but zeros, or is what PHP makes of such a date: 30 November of the year -1.
fn is_zero_date(text: &str) -> bool {
    let date = text.trim().split([' ', 'T', 't']).next().unwrap_or_default();
    let is_zeros = date.contains('0') && date.bytes().all(|byte| matches!(byte, b'0' | b'-' | b'/' | b'.'));
    is_zeros || date.starts_with("-0001-") || date.ends_with("-0001")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_none(text: &str) -> bool {
        let american = |text: &str| Time::parse(text, "%m/%d/%Y").or_else(|| Time::parse(text, "%m/%d/%Y %I:%M:%S %p"));
        Time::stands_for_none(text, Time::iso(text).or_else(|| american(text)))
    }

    #[test]
    fn what_networks_write_for_none_is_none() {
        for text in [
            "0000-00-00",
            "0000-00-00 00:00:00",
            "0000-00-00T00:00:00Z",
            "00/00/0000 12:00:00 AM",
            "0",
            "-0001-11-30T00:00:00+00:00",
            "1970-01-01",
            "1970-01-01 00:00:00.0",
            "1970-01-01T00:00:00Z",
            "1970-01-01T01:00:00+01:00",
            "1970-01-01T00:00:00+01:00",
            "1970-01-01T00:00:00-05:00",
            "01/01/1970 12:00:00 AM",
            "1970-01-01 01:00:00",
            "1970-01-01T10:00:00",
            "1969-12-31 19:00:00",
            "1969-12-31",
            "0001-01-01T00:00:00",
            "0001-01-01T00:00:00+00:00",
            "1900-01-01 00:00:00",
            "1753-01-01",
            "9999-12-31 23:59:59",
        ] {
            assert!(is_none(text), "{text}");
        }
    }

    #[test]
    fn a_date_is_a_date() {
        for text in [
            "2000-01-01",
            "2026-01-10 00:00:00",
            "1970-01-01 10:07:00",
            "1969-12-30",
            "1970-01-02",
            "1900-01-02",
            "1999-12-31",
            "20/00/2026",
            "soon",
            "",
            "T0",
            "-",
        ] {
            assert!(!is_none(text), "{text}");
        }
    }
}
