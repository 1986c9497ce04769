//! Months as numbers, and as the `YYYY-MM` that names partitions.

use chrono::{DateTime, Datelike};

/// No month: rows without a moment of their own.
pub(crate) const NONE: i32 = i32::MIN;

/// The month of a moment in microseconds since 1970, UTC.
pub(crate) fn of_micros(micros: i64) -> i32 {
    DateTime::from_timestamp_micros(micros).map_or(NONE, |time| time.year() * 12 + time.month0() as i32)
}

/// The month of a partition's name.
pub(crate) fn code(name: &str) -> i32 {
    let parsed =
        name.rsplit_once('-').and_then(|(year, month)| Some((year.parse::<i32>().ok()?, month.parse::<i32>().ok()?)));
    parsed.map_or(NONE, |(year, month)| year * 12 + month - 1)
}

/// The name of its partition.
pub(crate) fn name(month: i32) -> String {
    if month == NONE {
        return "none".to_owned();
    }
    format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for month in [NONE, 2026 * 12, 2026 * 12 + 11, 1969 * 12 + 5] {
            assert_eq!(code(&name(month)), month);
        }
        assert_eq!(name(of_micros(-1)), "1969-12");
        assert_eq!(name(of_micros(1_767_225_600_000_000)), "2026-01");
    }
}
