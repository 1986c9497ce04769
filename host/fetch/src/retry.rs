//! Whether a failed request is sent again, and when.
//!
//! What an attempt's failure allows is a [`Retry`]; [`Attempts`] counts them and adds the pause. Nothing here reads a
//! clock or sleeps.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::ErrorKind;

use crate::error::Error;
use crate::fetcher::FetchOptions;

/// The shortest pause before a second attempt, if the network asks for none.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that the network doesn't ask for, without its jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// From here on the pause doesn't grow.
const MAX_DOUBLINGS: u32 = 16;

/// How often a failure is worth another attempt, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// The same request fails the same way again.
    Never,
    /// One more attempt shows whether the failure stays: any further failure of this sort is final.
    Once,
    /// It may succeed later: as often as `max_attempts` allows.
    Yes,
}

/// A failed attempt, as far as it matters for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// How often such a failure is worth another attempt.
    pub retry: Retry,
    /// The pause that the network asks for.
    pub pause: Option<Duration>,
    /// Whether a narrower window may avoid the failure: the response took too long or became too large.
    pub too_wide: bool,
}

impl FailedAttempt {
    /// A response that doesn't answer its request. `kind`: of the failure, by the connector's verdict and the status;
    /// `pause`: what the network or the connector asks for.
    ///
    /// A failure with a pause is temporary, according to the network or the connector. Otherwise a client error (4xx) gets one
    /// more attempt, whatever the connector's verdict, as do credentials that are refused and bodies that can't be
    /// decoded.
    pub fn of_response(status: u16, kind: ErrorKind, pause: Option<Duration>) -> Self {
        let is_temporary = matches!(status, 408 | 425 | 429);
        let is_final = matches!(status, 400..=499 | 501 | 505) && !is_temporary;
        let retry = match kind {
            ErrorKind::Settings | ErrorKind::Guest | ErrorKind::Doubt => Retry::Never,
            _ if pause.is_some() || is_temporary => Retry::Yes,
            ErrorKind::Credentials | ErrorKind::Format => Retry::Once,
            ErrorKind::Host | ErrorKind::Quota | ErrorKind::Network if is_final => Retry::Once,
            ErrorKind::Host | ErrorKind::Quota | ErrorKind::Network => Retry::Yes,
        };
        Self { retry, pause, too_wide: is_too_wide(status) }
    }
}

impl From<&Error> for FailedAttempt {
    fn from(error: &Error) -> Self {
        Self { retry: error.retry(), pause: error.retry_after(), too_wide: error.is_too_wide() }
    }
}

/// Whether a status is that of a gateway that gave up waiting: 502, 504, and 524 as Cloudflare sends it.
fn is_too_wide(status: u16) -> bool {
    matches!(status, 502 | 504 | 524)
}

/// What follows from a failed attempt.
#[derive(Clone, Debug)]
pub enum NextAttempt {
    /// The request is sent again after this pause.
    After(Duration),
    /// The failure is final for this run.
    Final,
    /// The network asks for a longer pause than a run waits: final, with [`Error::Deferred`] in place of the failure.
    Deferred(Error),
}

/// Counts the attempts at one request.
#[derive(Clone, Debug)]
pub struct Attempts {
    limits: Limits,
    failed: u32,
    /// Whether the attempt that [`Retry::Once`] allows is used up.
    once_used: bool,
    /// Failures in a row that a narrower window may avoid.
    too_wide: u32,
}

/// The limits of [`FetchOptions`] that attempts have.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_attempts: u32,
    min_pause: Duration,
    max_pause: Duration,
}

impl Limits {
    fn of(options: &FetchOptions) -> Self {
        let FetchOptions { max_attempts, min_retry_wait, max_retry_wait, .. } = *options;
        Self { max_attempts, min_pause: min_retry_wait, max_pause: max_retry_wait }
    }
}

impl Attempts {
    /// No attempt has failed yet.
    pub fn new(options: &FetchOptions) -> Self {
        Self { limits: Limits::of(options), failed: 0, once_used: false, too_wide: 0 }
    }

    /// Attempts that have failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Whether the last two attempts at least failed in a way that a narrower window may avoid.
    pub fn is_too_wide(&self) -> bool {
        self.too_wide >= 2
    }

    /// Counts a failed attempt, and decides what follows. `now`: for the moment that [`Error::Deferred`] names.
    ///
    /// A pause is never shorter than the network asks for, than `min_retry_wait` if it asks for one, and than the
    /// exponential pause of this attempt: the pauses for a network that always answers
    /// `Retry-After: 0` grow.
    pub fn next(&mut self, attempt: &FailedAttempt, now: DateTime<Utc>) -> NextAttempt {
        self.failed = self.failed.saturating_add(1);
        self.too_wide = if attempt.too_wide { self.too_wide.saturating_add(1) } else { 0 };
        let is_allowed = match attempt.retry {
            Retry::Never => false,
            Retry::Once => !std::mem::replace(&mut self.once_used, true),
            Retry::Yes => true,
        };
        if !is_allowed {
            return NextAttempt::Final;
        }
        match pause(self.failed, attempt.pause, &self.limits, rand::random()) {
            Err(requested) => NextAttempt::Deferred(deferred(requested, now)),
            Ok(_) if self.failed >= self.limits.max_attempts => NextAttempt::Final,
            Ok(pause) => NextAttempt::After(pause),
        }
    }
}

fn deferred(pause: Duration, now: DateTime<Utc>) -> Error {
    let until = TimeDelta::from_std(pause).ok().and_then(|pause| now.checked_add_signed(pause));
    // Whole seconds, rounded up: a date minus a clock has nanoseconds.
    let pause = Duration::from_secs(pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0)));
    Error::Deferred { pause, until: until.unwrap_or(DateTime::<Utc>::MAX_UTC) }
}

/// The pause after failed attempt `attempt`; an error with the requested pause if that is too long.
fn pause(attempt: u32, requested: Option<Duration>, limits: &Limits, seed: u64) -> Result<Duration, Duration> {
    let own = exponential(attempt, seed);
    match requested {
        None => Ok(own),
        Some(requested) if requested > limits.max_pause => Err(requested),
        Some(requested) => Ok(requested.max(limits.min_pause).max(own)),
    }
}

/// 0.5 s doubled with every attempt up to 30 s, and up to as much again by chance, so that requests that failed
/// together don't return together.
fn exponential(attempt: u32, seed: u64) -> Duration {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(seed);
    pauses.build().nth(attempt.saturating_sub(1).min(MAX_DOUBLINGS) as usize).unwrap_or(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn now() -> DateTime<Utc> {
        "2026-11-23T20:00:00Z".parse().unwrap()
    }

    fn failed(retry: Retry, pause: Option<Duration>) -> FailedAttempt {
        FailedAttempt { retry, pause, too_wide: false }
    }

    /// How many attempts a series of failures gets, the first included.
    fn attempts(failures: impl IntoIterator<Item = FailedAttempt>) -> u32 {
        let mut attempts = Attempts::new(&FetchOptions::default());
        let is_final = |next: NextAttempt| matches!(next, NextAttempt::Final);
        failures.into_iter().any(|failure| is_final(attempts.next(&failure, now())));
        attempts.failed()
    }

    #[test]
    fn a_failure_that_stays_is_sent_as_often_as_its_kind_is_worth() {
        let of = |retry| attempts(std::iter::repeat_n(failed(retry, None), 20));
        assert_eq!((of(Retry::Never), of(Retry::Once), of(Retry::Yes)), (1, 2, 6));
        let [never, once, yes] = [Retry::Never, Retry::Once, Retry::Yes].map(|retry| failed(retry, None));
        assert_eq!(attempts([yes, once, yes, once, yes]), 4, "the one more attempt is the request's, not in a row");
        assert_eq!(attempts([yes, never]), 2);
    }

    #[test]
    fn answers_that_stay_the_same_get_two_attempts() {
        let of = |status, kind| FailedAttempt::of_response(status, kind, None).retry;
        let with_pause = |status, kind| FailedAttempt::of_response(status, kind, Some(MINUTE)).retry;
        let once = [
            (401, ErrorKind::Credentials),
            (403, ErrorKind::Credentials),
            (400, ErrorKind::Network),
            (404, ErrorKind::Network),
            (422, ErrorKind::Format),
            (501, ErrorKind::Network),
            (200, ErrorKind::Format),
        ];
        let often = [408, 429, 500, 503, 200].map(|status| (status, ErrorKind::Network));
        for (status, kind) in once {
            assert_eq!((of(status, kind), with_pause(status, kind)), (Retry::Once, Retry::Yes), "{status} {kind}");
        }
        for (status, kind) in often.into_iter().chain([(429, ErrorKind::Credentials), (200, ErrorKind::Quota)]) {
            assert_eq!(of(status, kind), Retry::Yes, "{status} {kind}");
        }
        assert_eq!((of(200, ErrorKind::Settings), of(400, ErrorKind::Guest)), (Retry::Never, Retry::Never));
    }

    #[test]
    fn two_wide_failures_in_a_row_ask_for_a_narrower_window() {
        let mut attempts = Attempts::new(&FetchOptions::default());
        let mut after = |status| {
            attempts.next(&FailedAttempt::of_response(status, ErrorKind::Network, None), now());
            attempts.is_too_wide()
        };
        assert_eq!([504, 500, 502, 524, 504, 503].map(&mut after), [false, false, false, true, true, false]);
    }

    #[test]
    fn a_pause_that_is_too_long_is_deferred_and_names_the_moment() {
        let options = FetchOptions { max_retry_wait: MINUTE, max_attempts: 1, ..FetchOptions::default() };
        let next = |secs| {
            let attempt = failed(Retry::Yes, Some(Duration::from_secs(secs)));
            Attempts::new(&options).next(&attempt, now())
        };
        assert!(matches!(next(60), NextAttempt::Final), "the only attempt");
        let NextAttempt::Deferred(error) = next(61) else { panic!("a pause beyond the maximum") };
        assert_eq!(
            error.to_string(),
            "the network asks for a pause of 61s, longer than a run waits: not before 2026-11-23 20:01:01 UTC"
        );
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Quota, Retry::Never));
        assert!(error.hint().unwrap().contains("raise `max_retry_wait_secs` under [fetch]"));
        assert!(matches!(next(u64::MAX), NextAttempt::Deferred(_)));
    }

    #[test]
    fn pauses_grow_though_the_network_always_asks_for_none() {
        let mut attempts = Attempts::new(&FetchOptions::default());
        let mut pauses = Vec::new();
        while let NextAttempt::After(pause) = attempts.next(&failed(Retry::Yes, Some(Duration::ZERO)), now()) {
            pauses.push(pause);
        }
        let at_least = [1, 1, 2, 4, 8].map(Duration::from_secs);
        assert_eq!(pauses.len(), at_least.len());
        assert!(pauses.iter().zip(at_least).all(|(pause, least)| *pause >= least), "{pauses:?}");
    }

    proptest! {
        #[test]
        fn a_pause_is_between_its_doubled_step_and_twice_that(attempt in 1_u32.., seed in any::<u64>()) {
            let step = Duration::from_millis(500 << (attempt - 1).min(7)).min(LONGEST_PAUSE);
            let pause = exponential(attempt, seed);
            prop_assert!(step <= pause && pause <= 2 * step, "{:?} after attempt {}", pause, attempt);
        }

        #[test]
        fn a_pause_is_never_shorter_than_the_network_asks_for(attempt in any::<u32>(), millis in 0_u64..1_000_000) {
            let requested = Duration::from_millis(millis);
            let pause = pause(attempt, Some(requested), &Limits::of(&FetchOptions::default()), rand::random()).ok();
            prop_assert_eq!(pause.is_some(), millis <= 900_000);
            prop_assert!(pause.is_none_or(|pause| pause >= requested.max(Duration::from_secs(1))));
        }
    }

    #[test]
    fn requests_that_failed_together_do_not_return_together() {
        let pauses: std::collections::BTreeSet<_> = (0..200).map(|seed| exponential(9, seed).as_secs()).collect();
        assert!(pauses.len() > 20, "{pauses:?}");
    }
}
