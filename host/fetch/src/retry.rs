//! When to try again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::Rng;

/// The longest that this waits by itself.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The longest `Retry-After` that is waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// How long to wait before try `attempt + 1` (the first try is attempt 1), or none if the network asks for more
/// than 15 minutes: then the slice had better come back at another time.
///
/// Without `retry_after`: exponential with full jitter, i.e. anything between nothing and 0.5 s · 2^attempt, at
/// most 60 s (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
pub fn backoff(attempt: u32, retry_after: Option<Duration>) -> Option<Duration> {
    backoff_with(attempt, retry_after, &mut rand::rng())
}

/// [`backoff`] by a given source of randomness.
pub fn backoff_with(attempt: u32, retry_after: Option<Duration>, random: &mut impl Rng) -> Option<Duration> {
    if let Some(wanted) = retry_after {
        return (wanted <= MAX_RETRY_AFTER).then_some(wanted);
    }
    let ceiling_ms = 500_u64.checked_shl(attempt.min(16)).unwrap_or(u64::MAX).min(MAX_BACKOFF.as_millis() as u64);
    Some(Duration::from_millis(random.random_range(0..=ceiling_ms)))
}

/// What a `Retry-After` header says (RFC 9110 section 10.2.3): seconds, or a date.
pub(crate) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(secs) = value.parse::<u64>() {
        return Some(Duration::from_secs(secs));
    }
    let until = DateTime::parse_from_rfc2822(value).ok()?.to_utc();
    Some((until - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_its_ceiling(attempt in any::<u32>(), seed in any::<u64>()) {
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            let wait = backoff_with(attempt, None, &mut random).unwrap();
            prop_assert!(wait <= Duration::from_secs(60));
            prop_assert!(attempt > 6 || wait <= Duration::from_millis(500 << attempt));
        }

        #[test]
        fn what_the_network_asks_for_wins(attempt in any::<u32>(), secs in 0_u64..2000) {
            let wanted = Duration::from_secs(secs);
            prop_assert_eq!(backoff(attempt, Some(wanted)), (secs <= 900).then_some(wanted));
        }
    }

    proptest! {
        #[test]
        fn no_retry_after_panics(number in "[-+]?[0-9]{1,40}([.][0-9]{0,20})?([eE][-+]?[0-9]{1,20})?", year in "[0-9]{1,12}") {
            let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            for text in [number, format!("Mon, 23 Nov {year} 20:00:30 GMT")] {
                let wanted = retry_after(&text, now);
                prop_assert!(wanted.is_none() || backoff(1, wanted).is_none_or(|wait| wait <= MAX_RETRY_AFTER), "{}", text);
            }
        }
    }

    #[test]
    fn jitter_is_full() {
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        let waits: Vec<_> = (0..200).filter_map(|_| backoff_with(9, None, &mut random)).collect();
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(6)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(54)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-11-23T20:00:00Z").unwrap().to_utc();
        assert_eq!(retry_after(" 120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 20:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 19:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
