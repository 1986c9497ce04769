//! Budgets: so many requests in so many seconds, so many at once.
//!
//! A budget belongs to a credential, since that is what networks count (Awin: 20 a minute *per user token*),
//! so accounts with the same secrets share one.
//!
//! The count is a sliding log of send times, not a token bucket: a bucket of 20 that refills over a minute lets
//! 39 requests through in its first minute, which is 19 answers of 429.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sluice_model::Rate;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A network's patience with one credential.
#[derive(Debug)]
pub(crate) struct Budget {
    rate: Rate,
    in_flight: Arc<Semaphore>,
    /// The lock is fair, and it is held while waiting, so requests go in the order in which they came.
    log: Mutex<Log>,
}

/// The right to have one request in flight. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(rate: Rate) -> Self {
        let places = (rate.concurrency as usize).min(Semaphore::MAX_PERMITS);
        Self { rate, in_flight: Arc::new(Semaphore::new(places)), log: Mutex::default() }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Waits for a place and then for the rate, so that no part of the rate is spent while waiting for a place.
    pub(crate) async fn enter(&self) -> Place {
        // The semaphore is never closed, so there always is a permit.
        let permit = Arc::clone(&self.in_flight).acquire_owned().await.ok();
        self.spend().await;
        Place { _permit: permit }
    }

    /// Waits until one more request is within the rate. For a further hop of a request that has its place.
    pub(crate) async fn spend(&self) {
        let mut log = self.log.lock().await;
        if let Some(free) = log.free_at(self.rate) {
            tokio::time::sleep_until(free).await;
        }
        // Only now: a waiter that is cancelled leaves the log as it was.
        log.add(Instant::now(), self.rate);
    }
}

/// When the last requests were let go, oldest first: as many as the rate counts.
#[derive(Debug, Default)]
struct Log(VecDeque<Instant>);

impl Log {
    /// When one more is within the rate; none if it is now.
    fn free_at(&self, rate: Rate) -> Option<Instant> {
        let window = Duration::from_secs(u64::from(rate.per_secs));
        // Requests may travel at different speeds: what left a window apart must not arrive in one window.
        let margin = (window / 100).min(Duration::from_millis(250));
        let oldest = self.0.front().filter(|_| self.0.len() >= rate.requests as usize)?;
        Some(*oldest + window + margin)
    }

    fn add(&mut self, sent: Instant, rate: Rate) {
        if self.0.len() >= rate.requests as usize {
            self.0.pop_front();
        }
        self.0.push_back(sent);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use futures::FutureExt;

    use super::*;

    #[test]
    fn no_window_ever_holds_more_than_the_rate() {
        let rate = Rate { requests: 20, per_secs: 60, concurrency: 4 };
        let mut log = Log::default();
        let mut now = Instant::now();
        let mut sent = Vec::new();
        for n in 0..70_u32 {
            now = log.free_at(rate).map_or(now, |free| free.max(now)) + Duration::from_millis(u64::from(n % 7));
            log.add(now, rate);
            sent.push(now);
        }
        assert!(sent.windows(21).all(|window| window[20] - window[0] >= Duration::from_secs(60)));
        let whole = sent[69] - sent[0];
        assert!(whole < Duration::from_secs(182), "and it wastes nothing: {whole:?}");
    }

    #[tokio::test]
    async fn only_so_many_are_in_flight() {
        let budget = Budget::new(Rate { requests: 1000, per_secs: 1, concurrency: 2 });
        let first = budget.enter().now_or_never().unwrap();
        let _second = budget.enter().now_or_never().unwrap();
        assert!(budget.enter().now_or_never().is_none());
        drop(first);
        assert!(budget.enter().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_changes_nothing() {
        let budget = Budget::new(Rate { requests: 1, per_secs: 10, concurrency: 1 });
        drop(budget.enter().now_or_never().unwrap());
        let before = budget.log.lock().await.0.clone();
        assert!(budget.enter().now_or_never().is_none(), "the second has to wait");
        assert_eq!(budget.log.lock().await.0, before, "and the first still counts");
        assert_eq!(budget.in_flight.available_permits(), 1);
    }
}
