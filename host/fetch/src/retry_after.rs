//! How long a network asks to wait: `Retry-After` and the headers of its rate limit.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::clock::network_time;

/// When the rate limit resets, the most specific header first. No standard defines their unit: see [`reset`].
const RESET_HEADERS: [&str; 4] =
    ["x-ratelimit-reset-after", "x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"];
/// How many requests the rate limit still allows.
const REMAINING_HEADERS: [&str; 3] = ["x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining"];

/// Numbers from here on are moments in seconds since 1970 (from 1973 on), smaller ones are durations.
const MIN_EPOCH_SECS: f64 = 1e8;
/// Numbers from here on are moments in milliseconds since 1970 (from 1973 on).
const MIN_EPOCH_MILLIS: f64 = 1e11;
/// A longer time until a reset is in milliseconds: rate limits count by the minute or the hour.
const MAX_RESET_SECS: f64 = 3600.0;
/// Longer pauses are shortened to this, so that sums of times don't overflow.
const MAX_PAUSE: Duration = Duration::from_secs(100 * 365 * 86_400);
/// A network's clock that differs from this host's by more isn't used.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::days(1);

/// The pause that a response asks for: zero for a moment in the past and for negative numbers.
///
/// `Retry-After` counts first, whatever the status. Without it the rate limit's reset counts if the limit is reached:
/// with status 429, or if none of its requests remain. `received_at`: by this host's clock, used for dates if
/// the response has no valid `Date`.
pub(crate) fn requested_pause(headers: &HeaderMap, status: u16, received_at: DateTime<Utc>) -> Option<Duration> {
    let network = network_time(headers).filter(|time| (*time - received_at).abs() <= MAX_CLOCK_DIFFERENCE);
    let now = network.unwrap_or(received_at);
    let values = |name: &str| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let requested = values(RETRY_AFTER.as_str()).filter_map(|value| retry_after(value, now)).max();
    if requested.is_some() {
        return requested;
    }
    let is_used_up = |name: &&str| values(name).any(|value| number(value) == Some(0.0));
    if status != 429 && !REMAINING_HEADERS.iter().any(is_used_up) {
        return None;
    }
    RESET_HEADERS.iter().find_map(|name| values(name).filter_map(|value| reset(value, now)).max())
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds or a date. Fractions, negative numbers and moments in seconds or
/// milliseconds since 1970 occur too.
fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    match number(value) {
        Some(number) => moment(number, now).or_else(|| Some(secs(number))),
        None => date(value).map(|date| until(date, now)),
    }
}

/// A rate limit's reset: a moment in seconds or milliseconds since 1970, a date, or a duration in seconds or, if it
/// would be longer than an hour, in milliseconds.
fn reset(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    match number(value) {
        Some(number) => {
            moment(number, now).or_else(|| Some(secs(if number > MAX_RESET_SECS { number / 1000.0 } else { number })))
        }
        None => date(value).map(|date| until(date, now)),
    }
}

/// A number in digits, not `inf` or `NaN`; infinite if it's too large for a float.
fn number(value: &str) -> Option<f64> {
    let value = value.trim();
    value.parse().ok().filter(|_| value.bytes().any(|byte| byte.is_ascii_digit()))
}

/// The pause until a moment that a number is by its size; none if the number is a duration.
fn moment(number: f64, now: DateTime<Utc>) -> Option<Duration> {
    let millis = match number {
        _ if number >= MIN_EPOCH_MILLIS => number,
        _ if number >= MIN_EPOCH_SECS => number * 1000.0,
        _ => return None,
    };
    Some(secs((millis - now.timestamp_millis() as f64) / 1000.0))
}

/// The three forms of RFC 9110 section 5.6.7, and what else servers send for them: another zone, a wrong day of the
/// week, RFC 3339.
fn date(value: &str) -> Option<DateTime<Utc>> {
    let value = value.trim();
    if let Ok(date) = httpdate::parse_http_date(value) {
        return Some(date).filter(|date| *date >= SystemTime::UNIX_EPOCH).map(DateTime::from);
    }
    let without_weekday = value.split_once(',').map_or(value, |(_, date)| date.trim());
    let parsed = DateTime::parse_from_rfc2822(without_weekday).or_else(|_| DateTime::parse_from_rfc3339(value));
    parsed.ok().map(|date| date.to_utc())
}

fn until(moment: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (moment - now).to_std().unwrap_or_default().min(MAX_PAUSE)
}

/// Seconds as a duration: zero for negative ones, a hundred years at most.
fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs.clamp(0.0, MAX_PAUSE.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-23 20:00:00 UTC, 1795464000 seconds after 1970.
    fn now() -> DateTime<Utc> {
        "2026-11-23T20:00:00Z".parse().unwrap()
    }

    fn pause(status: u16, headers: &[(&str, &str)]) -> Option<f64> {
        let header = |(name, value): &(&str, &str)| Some((name.parse().ok()?, value.parse().ok()?));
        let headers: HeaderMap = headers.iter().filter_map(header).collect();
        requested_pause(&headers, status, now()).map(|pause| pause.as_secs_f64())
    }

    #[test]
    fn reads_retry_after_in_every_form() {
        for (value, secs) in [
            ("120", 120.0),
            (" 120 ", 120.0),
            ("0", 0.0),
            ("1.5", 1.5),
            ("2.5", 2.5),
            ("-1", 0.0),
            ("Mon, 23 Nov 2026 20:00:30 GMT", 30.0),
            ("Monday, 23-Nov-26 20:00:30 GMT", 30.0),
            ("Mon Nov 23 20:00:30 2026", 30.0),
            ("Mon, 23 Nov 2026 21:00:30 +0100", 30.0),
            ("Sun, 23 Nov 2026 20:00:30 GMT", 30.0),
            ("2026-11-23T20:00:30Z", 30.0),
            ("Mon, 23 Nov 2026 19:00:00 GMT", 0.0),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
            ("Sunday, 06-Nov-33 08:49:37 GMT", 219_415_777.0),
            ("1795464030", 30.0),
            ("1795464030500", 30.5),
            ("31536000", 31_536_000.0),
            ("99999999999999999999999", MAX_PAUSE.as_secs_f64()),
            ("Thu, 01 Jan 99999 00:00:00 GMT", MAX_PAUSE.as_secs_f64()),
        ] {
            assert_eq!(pause(503, &[("retry-after", value)]), Some(secs), "{value}");
        }
        for value in ["soon", "", "NaN", "inf", "Mon, 31 Feb 2026 00:00:00 GMT"] {
            assert_eq!(pause(503, &[("retry-after", value)]), None, "{value}");
        }
        assert_eq!(pause(503, &[("retry-after", "3"), ("retry-after", "7")]), Some(7.0), "the longer one is safe");
    }

    #[test]
    fn reads_a_rate_limit_reset_in_every_unit() {
        for name in ["X-RateLimit-Reset", "RateLimit-Reset", "X-Rate-Limit-Reset", "X-RateLimit-Reset-After"] {
            for (value, secs) in [
                ("30", 30.0),
                ("0.25", 0.25),
                ("3600", 3600.0),
                ("30000", 30.0),
                ("1795464030", 30.0),
                ("1795464030.5", 30.5),
                ("1795464030500", 30.5),
                ("1795463990", 0.0),
                ("2026-11-23T20:00:30Z", 30.0),
                ("Mon, 23 Nov 2026 20:00:30 GMT", 30.0),
                ("-5", 0.0),
            ] {
                assert_eq!(pause(429, &[(name, value)]), Some(secs), "{name}: {value}");
            }
        }
        let both = [("x-ratelimit-reset", "1795464060"), ("x-ratelimit-reset-after", "2.5")];
        assert_eq!(pause(429, &both), Some(2.5));
        assert_eq!(
            pause(429, &[("x-ratelimit-reset", "60"), ("retry-after", "2")]),
            Some(2.0),
            "it was meant for this"
        );
        assert_eq!(pause(429, &[("x-ratelimit-reset", "60"), ("retry-after", "soon")]), Some(60.0));
    }

    #[test]
    fn ignores_the_reset_of_a_limit_that_is_not_reached() {
        let reset = ("x-ratelimit-reset", "60");
        assert_eq!(pause(500, &[reset]), None);
        assert_eq!(pause(500, &[reset, ("x-ratelimit-remaining", "3")]), None);
        assert_eq!(pause(403, &[reset, ("x-ratelimit-remaining", "0")]), Some(60.0));
        assert_eq!(pause(200, &[("ratelimit-reset", "60"), ("ratelimit-remaining", "0")]), Some(60.0));
    }

    #[test]
    fn reads_dates_by_the_clock_of_the_network() {
        let after = ("retry-after", "Mon, 23 Nov 2026 20:10:00 GMT");
        assert_eq!(pause(503, &[after, ("date", "Mon, 23 Nov 2026 20:09:00 GMT")]), Some(60.0));
        assert_eq!(
            pause(503, &[after, ("date", "Thu, 01 Jan 1970 00:00:00 GMT")]),
            Some(600.0),
            "no clock is that slow"
        );
    }

    proptest! {
        #[test]
        fn no_header_panics(
            number in "[-+]?[0-9]{1,40}([.][0-9]{0,20})?([eE][-+]?[0-9]{1,20})?", year in "[0-9]{1,12}", any in ".{0,40}",
        ) {
            let dates = [format!("Mon, 23 Nov {year} 20:00:30 GMT"), format!("Mon Nov 23 20:00:30 {year}")];
            for value in dates.iter().map(String::as_str).chain([number.as_str(), any.as_str(), "inf", "-inf", "NaN"]) {
                for name in ["retry-after", "x-ratelimit-reset", "date"] {
                    let requested = pause(429, &[(name, value), ("x-ratelimit-reset", "1")]);
                    prop_assert!(requested.is_none_or(|secs| (0.0..=MAX_PAUSE.as_secs_f64()).contains(&secs)), "{}: {}", name, value);
                }
            }
        }
    }
}
