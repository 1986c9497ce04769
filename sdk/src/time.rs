//! Times without a clock or a time zone database: the host applies zones.

use std::fmt::Write;

use crate::TimeBasis;

/// Microseconds of a second.
pub const SECOND_MICROS: i64 = 1_000_000;
/// Microseconds of a day.
pub const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// 1900-01-01T00:00:00 and 2201-01-01T00:00:00: between them lies what the contract takes.
const YEARS: std::ops::Range<i64> = -25_567 * DAY_MICROS..84_371 * DAY_MICROS;

/// A moment as a network stated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Microseconds since 1970-01-01T00:00:00: UTC for an instant, else as the wall clock reads.
    pub micros: i64,
    /// How it is meant.
    pub basis: TimeBasis,
}

impl Time {
    /// Reads ISO 8601 in the forms that APIs use: a date, optionally `T` or a space and a time to the minute,
    /// second or fraction, optionally `Z` or an offset. With an offset it is an instant, else local or a date.
    ///
    /// ```
    /// use sluice_connector::{Time, TimeBasis};
    /// assert_eq!(Time::iso("1970-01-01T01:00:00+01:00"), Some(Time { micros: 0, basis: TimeBasis::Instant }));
    /// assert_eq!(Time::iso("1970-01-02").map(|t| t.basis), Some(TimeBasis::Date));
    /// ```
    pub fn iso(text: &str) -> Option<Self> {
        let mut rest = Scanner(text.trim().as_bytes());
        let (year, month, day) = (
            rest.take_number(4, 4)?,
            rest.skip_byte(b'-')?.take_number(2, 2)?,
            rest.skip_byte(b'-')?.take_number(2, 2)?,
        );
        let days = days_from_civil(year, month, day)?;
        if rest.0.is_empty() {
            return Some(Self { micros: days * DAY_MICROS, basis: TimeBasis::Date });
        }
        if !matches!(rest.next()?, b'T' | b't' | b' ') {
            return None;
        }
        let (hour, minute) = (rest.take_number(2, 2)?, rest.skip_byte(b':')?.take_number(2, 2)?);
        let (mut second, mut micros) = (0, 0);
        if rest.skip(b':') {
            second = rest.take_number(2, 2)?;
            if rest.skip(b'.') || rest.skip(b',') {
                micros = rest.fraction()?;
            }
        }
        let local = days * DAY_MICROS + of_day(hour, minute, second)? + micros;
        rest.skip_spaces();
        match rest.0 {
            [] => Some(Self { micros: local, basis: TimeBasis::Local }),
            b"Z" | b"z" | b"UTC" | b"GMT" => Some(Self { micros: local, basis: TimeBasis::Instant }),
            _ => {
                let offset = rest.offset()?;
                rest.0.is_empty().then_some(Self { micros: local - offset, basis: TimeBasis::Instant })
            }
        }
    }

    /// Reads seconds since 1970, whole or with a fraction.
    ///
    /// ```
    /// use sluice_connector::Time;
    /// assert_eq!(Time::unix("1.5").map(|time| time.micros), Some(1_500_000));
    /// assert_eq!(Time::unix("2026-01-01"), None);
    /// ```
    pub fn unix(text: &str) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let seconds: i64 = whole.parse().ok()?;
        let micros =
            Scanner(fraction.as_bytes()).fraction().filter(|_| fraction.bytes().all(|b| b.is_ascii_digit()))?;
        let micros = if whole.starts_with('-') { -micros } else { micros };
        Some(Self { micros: seconds.checked_mul(SECOND_MICROS)?.checked_add(micros)?, basis: TimeBasis::Instant })
    }

    /// The same reading of the clock as an instant in UTC: for networks whose times leave out that they are UTC. A day stays one.
    #[must_use]
    pub fn in_utc(self) -> Self {
        match self.basis {
            TimeBasis::Local => Self { basis: TimeBasis::Instant, ..self },
            _ => self,
        }
    }

    /// Whether it is of the years 1900 to 2200. Beyond them are networks' words for never, such as `0001-01-01`.
    pub fn is_real(&self) -> bool {
        YEARS.contains(&self.micros)
    }

    /// Reads a time by a pattern of `%Y %m %d %e %H %I %p %M %S %f %b %a %z %y` and literal characters: `%e` and
    /// `%m %d %H %I` take one or two digits, `%b` and `%a` English names, `%f` a fraction, `%z` `Z` or an offset.
    /// With `%z` it is an instant, without any hour a date, else local.
    ///
    /// ```
    /// use sluice_connector::Time;
    /// let noon = Time::parse("01/10/2026 12:00:00 PM", "%m/%d/%Y %I:%M:%S %p");
    /// assert_eq!(noon.map(|t| t.micros), Some(1_768_046_400_000_000));
    /// ```
    pub fn parse(text: &str, pattern: &str) -> Option<Self> {
        let mut rest = Scanner(text.trim().as_bytes());
        let mut found = Parts::default();
        let mut pattern = pattern.bytes();
        while let Some(byte) = pattern.next() {
            if byte == b'%' {
                found.read(pattern.next()?, &mut rest)?;
            } else if !rest.skip(byte) {
                return None;
            }
        }
        if rest.0.is_empty() { found.time() } else { None }
    }
}

#[derive(Default)]
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: Option<i64>,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    offset: Option<i64>,
}

impl Parts {
    fn read(&mut self, code: u8, rest: &mut Scanner) -> Option<()> {
        match code {
            b'Y' => self.year = rest.take_number(4, 4)?,
            b'y' => self.year = 2000 + rest.take_number(2, 2)?,
            b'm' => self.month = rest.take_number(1, 2)?,
            b'd' | b'e' => self.day = rest.take_number(1, 2)?,
            b'b' => self.month = rest.month()?,
            b'a' => rest.word()?,
            b'H' | b'I' => self.hour = Some(rest.take_number(1, 2)?),
            b'M' => self.minute = rest.take_number(2, 2)?,
            b'S' => self.second = rest.take_number(2, 2)?,
            b'f' => self.micros = rest.fraction()?,
            b'p' => self.afternoon = Some(rest.afternoon()?),
            b'z' => self.offset = Some(rest.offset()?),
            _ => return None,
        }
        Some(())
    }

    fn time(self) -> Option<Time> {
        let days = days_from_civil(self.year, self.month, self.day)?;
        let hour = match (self.hour, self.afternoon) {
            (Some(hour), None) => hour,
            (Some(12), Some(afternoon)) => 12 * i64::from(afternoon),
            (Some(hour @ 1..=11), Some(afternoon)) => hour + 12 * i64::from(afternoon),
            (None, None) => return Some(Time { micros: days * DAY_MICROS, basis: TimeBasis::Date }),
            _ => return None,
        };
        let local = days * DAY_MICROS + of_day(hour, self.minute, self.second)? + self.micros;
        Some(match self.offset {
            Some(offset) => Time { micros: local - offset, basis: TimeBasis::Instant },
            None => Time { micros: local, basis: TimeBasis::Local },
        })
    }
}

/// Writes microseconds since 1970 by a pattern of `%Y %m %d %H %M %S %b %%` and literal characters.
pub fn format_time(micros: i64, pattern: &str) -> String {
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY_MICROS));
    let second = micros.rem_euclid(DAY_MICROS) / SECOND_MICROS;
    let mut out = String::with_capacity(24);
    let mut pattern = pattern.chars();
    while let Some(c) = pattern.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // Writing to a String doesn't fail.
        let _ = match pattern.next() {
            Some('Y') => write!(out, "{year:04}"),
            Some('m') => write!(out, "{month:02}"),
            Some('d') => write!(out, "{day:02}"),
            Some('b') => write!(out, "{}", month_name(month)),
            Some('H') => write!(out, "{:02}", second / 3_600),
            Some('M') => write!(out, "{:02}", second / 60 % 60),
            Some('S') => write!(out, "{:02}", second % 60),
            Some(other) => write!(out, "{other}"),
            None => Ok(()),
        };
    }
    out
}

fn month_name(month: i64) -> String {
    let lower = MONTHS[(month - 1) as usize];
    lower[..1].to_uppercase() + &lower[1..]
}

struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is = self.0.first() == Some(&byte);
        if is {
            self.0 = &self.0[1..];
        }
        is
    }

    fn skip_spaces(&mut self) {
        while self.skip(b' ') {}
    }

    fn skip_byte(&mut self, byte: u8) -> Option<&mut Self> {
        self.skip(byte).then_some(self)
    }

    fn take_number(&mut self, min: usize, max: usize) -> Option<i64> {
        let count = self.0.iter().take(max).take_while(|b| b.is_ascii_digit()).count();
        if count < min {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let micros = (0..6).fold(0, |value, at| value * 10 + digits.get(at).map_or(0, |d| i64::from(d - b'0')));
        (count > 0).then_some(micros)
    }

    fn word(&mut self) -> Option<()> {
        let count = self.0.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        self.0 = &self.0[count..];
        (count > 0).then_some(())
    }

    fn month(&mut self) -> Option<i64> {
        let name = self.0.get(..3)?;
        let at = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month.as_bytes()))?;
        self.word()?;
        Some(at as i64 + 1)
    }

    fn afternoon(&mut self) -> Option<bool> {
        let (first, second) = (self.next()?, self.next()?);
        match (first.to_ascii_lowercase(), second.to_ascii_lowercase()) {
            (b'a', b'm') => Some(false),
            (b'p', b'm') => Some(true),
            _ => None,
        }
    }

    /// `Z`, `+01:00`, `+0100` or `+01`, in microseconds.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.next()? {
            b'Z' | b'z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.take_number(2, 2)?;
        self.skip(b':');
        let minutes = if self.0.first().is_some_and(u8::is_ascii_digit) { self.take_number(2, 2)? } else { 0 };
        (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60 * SECOND_MICROS)
    }
}

fn of_day(hour: i64, minute: i64, second: i64) -> Option<i64> {
    let fits = hour < 24 && minute < 60 && second <= 60;
    fits.then_some(((hour * 60 + minute) * 60 + second.min(59)) * SECOND_MICROS)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; none for a day that isn't.
/// Formula: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The inverse of [`days_from_civil`], from the same source.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        Time::iso(text).unwrap().micros
    }

    #[test]
    fn reads_what_networks_write() {
        assert_eq!(at("2026-01-10T10:00:00Z"), 1_768_039_200_000_000);
        assert_eq!(at("2026-01-10 10:00:00"), 1_768_039_200_000_000);
        assert_eq!(at("2026-01-10T10:00:00.123456789Z"), 1_768_039_200_123_456);
        assert_eq!(at("2026-01-10T10:00:00.5+0100"), 1_768_035_600_500_000);
        assert_eq!(at("2024-02-29"), 1_709_164_800_000_000);
        let js = Time::parse("Wed Apr 30 2014 02:18:36 GMT+0000 (UTC)", "%a %b %d %Y %H:%M:%S GMT%z (UTC)");
        assert_eq!(js, Some(Time { micros: 1_398_824_316_000_000, basis: TimeBasis::Instant }));
        let midnight = Time::parse("1/2/2026 12:05:00 am", "%m/%d/%Y %I:%M:%S %p").unwrap();
        assert_eq!(midnight.micros, at("2026-01-02T00:05:00"));
        assert_eq!(midnight.basis, TimeBasis::Local);
        for (text, is_real) in
            [("1900-01-01", true), ("1899-12-31", false), ("2200-12-31", true), ("2201-01-01", false)]
        {
            assert_eq!(Time::iso(text).map(|time| time.is_real()), Some(is_real), "{text}");
        }
        assert_eq!(Time::iso("0001-01-01T00:00:00").map(|time| time.is_real()), Some(false));
        for wrong in ["2026-02-30", "2026-13-01", "2026-01-01T25:00:00", "26-01-01", "2026-01-01T10:00:00X", ""] {
            assert_eq!(Time::iso(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_second_survives_its_text(second in -30_000_000_000i64..100_000_000_000) {
            let micros = second * SECOND_MICROS;
            let text = format_time(micros, "%Y-%m-%dT%H:%M:%S");
            prop_assert_eq!(Time::iso(&text), Some(Time { micros, basis: TimeBasis::Local }));
        }

        #[test]
        fn no_text_panics(text in ".*", pattern in ".*") {
            let _ = (Time::iso(&text), Time::parse(&text, &pattern));
        }

        #[test]
        fn no_number_panics(
            text in "[-+]?[0-9]{1,30}-[0-9]{1,3}-[0-9]{1,3}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{0,40})?)?([-+][0-9:]{0,30})?",
            micros in any::<i64>(),
        ) {
            let _ = (Time::iso(&text), Time::parse(&text, "%Y-%m-%dT%H:%M:%S.%f%z"));
            let _ = (format_time(micros, "%Y-%m-%d %b %H:%M:%S"), Time { micros, basis: TimeBasis::Instant }.is_real());
        }
    }
}
