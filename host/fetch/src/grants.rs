//! Grants: the right to send requests of a credential, handed out in small batches to all processes that share it.
//!
//! A grant is counted from the moment at which it is given until a window of the rate after its last moment of validity. So
//! whenever its requests are sent, no window of the rate holds more of them than the rate allows, whoever sends:
//! when a grant is given, each request of the window before is one of a grant that still counts.

use std::time::Duration;

use futures::future::BoxFuture;
use sluice_model::Rate;
use tokio::time::Instant;

/// A store's failure to grant requests.
pub type GrantError = Box<dyn std::error::Error + Send + Sync>;

/// What a process asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    /// The credential: its network and some bits of a digest of its secrets, too few to test guesses by.
    pub credential: String,
    /// The network's limit.
    pub rate: Rate,
    /// The most requests that it can use.
    pub most: u32,
    /// For how long it may use them.
    pub valid_for: Duration,
    /// How long the network wants no request, by what it answered this process.
    pub pause: Duration,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// So many requests may be sent.
    pub requests: u32,
    /// If none: how long it is of no use to ask again.
    pub wait: Duration,
}

/// Grants requests to all processes that share a state store.
pub trait RateGrants: Send + Sync {
    /// Grants as many of the requests that are asked for as the rate allows now; they count from now on.
    fn grant(&self, request: GrantRequest) -> BoxFuture<'_, Result<Grant, GrantError>>;
}

impl GrantRequest {
    /// For how long what is granted is counted, from the moment on at which it is.
    pub fn counted_for(&self) -> Duration {
        window(self.rate) + margin(self.rate) + self.valid_for
    }
}

/// The time in which a rate's requests may be sent.
pub(crate) fn window(rate: Rate) -> Duration {
    Duration::from_secs(u64::from(rate.per_secs))
}

/// Latency varies: requests sent a window apart may arrive closer together.
pub(crate) fn margin(rate: Rate) -> Duration {
    (window(rate) / 100).min(Duration::from_millis(250))
}

/// The requests that a process was granted of one credential and hasn't sent.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    /// How many the last grant was of.
    given: u32,
    left: u32,
    until: Option<Instant>,
    /// How long an answer took lately.
    latency: Duration,
}

impl Granted {
    /// Whether a request may be sent now.
    pub(crate) fn has_one(&self, now: Instant) -> bool {
        self.left > 0 && self.until.is_some_and(|until| now < until)
    }

    /// Takes one that is there.
    pub(crate) fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// How many to ask for: twice as many as last time if all of those were of use, else as many as were. So a busy process
    /// asks seldom, and a slow one takes no requests from others.
    pub(crate) fn next_batch(&self, rate: Rate) -> u32 {
        let used = self.given - self.left;
        let next = if self.left == 0 { self.given.saturating_mul(2) } else { used };
        next.clamp(1, (rate.requests / 4).max(1))
    }

    /// For how long to ask: shortly, since as long as that is added to the rate's window; longer where answers take long.
    pub(crate) fn validity(&self, rate: Rate) -> Duration {
        let share = (window(rate) / 10).clamp(Duration::from_millis(100), Duration::from_secs(5));
        share.max(self.latency * 4)
    }

    /// Takes over what was granted, asked for at `asked_at`, before the store's clock was read.
    pub(crate) fn add(&mut self, requests: u32, asked_at: Instant, valid_for: Duration) {
        self.latency = (self.latency / 2).max(asked_at.elapsed());
        (self.given, self.left, self.until) = (requests, requests, Some(asked_at + valid_for));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { requests: 40, per_secs: 60, concurrency: 4 };

    #[test]
    fn a_process_asks_for_as_many_as_it_used() {
        let mut granted = Granted::default();
        let now = Instant::now();
        for batch in [1, 2, 4, 8, 10, 10] {
            assert_eq!(granted.next_batch(RATE), batch, "at most a quarter of the rate");
            granted.add(batch, now, Duration::from_secs(5));
            (0..batch).for_each(|_| granted.take());
        }
        granted.add(10, now, Duration::from_secs(5));
        (0..3).for_each(|_| granted.take());
        assert_eq!(granted.next_batch(RATE), 3);
        granted.add(3, now, Duration::from_secs(5));
        assert_eq!(granted.next_batch(RATE), 1);
        assert!(granted.has_one(now) && !granted.has_one(now + Duration::from_secs(5)), "a grant expires");
    }

    #[test]
    fn a_slow_store_gives_grants_that_are_valid_for_longer() {
        let mut granted = Granted::default();
        let per_second = Rate { per_secs: 1, ..RATE };
        assert_eq!(granted.validity(per_second), Duration::from_millis(100));
        assert_eq!(granted.validity(RATE), Duration::from_secs(5));
        granted.add(1, Instant::now() - Duration::from_millis(300), Duration::from_millis(100));
        assert!(granted.validity(per_second) >= Duration::from_millis(1_200));
    }
}
