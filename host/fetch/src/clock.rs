//! The time by a network's clock.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AGE, DATE, HeaderMap};

/// A longer `Age` is shortened to this.
const MAX_AGE_SECS: i64 = 366 * 86_400;

/// The current time by the clock of a response's `Date` header (RFC 9110 section 6.6.1), plus the time since then in
/// caches (`Age`, RFC 9111 section 5.1); none without a valid date.
pub(crate) fn network_time(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = headers.get(DATE)?.to_str().ok()?.trim();
    let date = DateTime::parse_from_rfc2822(date).ok()?.to_utc();
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse::<i64>().ok()).unwrap_or_default();
    date.checked_add_signed(TimeDelta::seconds(age.clamp(0, MAX_AGE_SECS)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn time(headers: &[(&'static str, &str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        network_time(&headers.collect()).map(|time| time.to_rfc3339())
    }

    #[test]
    fn age_is_added_to_the_date() {
        let date = ("date", "Mon, 23 Nov 2026 20:00:30 GMT");
        assert_eq!(time(&[date]).unwrap(), "2026-11-23T20:00:30+00:00");
        assert_eq!(time(&[date, ("age", "3600")]).unwrap(), "2026-11-23T21:00:30+00:00");
        for odd in ["", "soon", "-5", "9223372036854775808"] {
            assert_eq!(time(&[date, ("age", odd)]), time(&[date]), "{odd}");
        }
        assert_eq!(time(&[]), None);
        assert_eq!(time(&[("date", "today")]), None);
        assert_eq!(time(&[("age", "1")]), None);
    }

    proptest! {
        #[test]
        fn no_header_panics(year in "[0-9]{1,12}", age in "[-+]?[0-9]{1,40}(e[0-9]{1,12})?") {
            time(&[("date", &format!("Mon, 23 Nov {year} 20:00:30 GMT")), ("age", &age)]);
        }
    }
}
