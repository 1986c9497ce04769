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
    /// When the last `rate.requests` requests were let go, oldest first. The lock is fair, and it is held while
    /// waiting, so requests go in the order in which they came.
    log: Mutex<VecDeque<Instant>>,
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
        let window = Duration::from_secs(u64::from(self.rate.per_secs));
        if log.len() >= self.rate.requests as usize
            && let Some(oldest) = log.front().copied()
        {
            // Requests may travel at different speeds: what left a window apart must not arrive in one window.
            let margin = (window / 100).min(Duration::from_millis(250));
            tokio::time::sleep_until(oldest + window + margin).await;
            log.pop_front(); // only now: a waiter that is cancelled takes nothing away
        }
        log.push_back(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_window_ever_holds_more_than_the_rate() {
        let budget = Budget::new(Rate { requests: 20, per_secs: 60, concurrency: 4 });
        let mut sent = Vec::new();
        for _ in 0..70 {
            let _place = budget.enter().await;
            sent.push(Instant::now());
        }
        assert!(sent.windows(21).all(|w| w[20] - w[0] >= Duration::from_secs(60)));
        let whole = sent[69] - sent[0];
        assert!(whole < Duration::from_secs(182), "and it wastes nothing: {whole:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_in_flight() {
        let budget = Arc::new(Budget::new(Rate { requests: 1000, per_secs: 1, concurrency: 2 }));
        let first = budget.enter().await;
        let _second = budget.enter().await;
        let waiting = Arc::clone(&budget);
        let third = tokio::spawn(async move { drop(waiting.enter().await) });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_changes_nothing() {
        let budget = Budget::new(Rate { requests: 1, per_secs: 10, concurrency: 1 });
        drop(budget.enter().await);
        let gave_up = tokio::time::timeout(Duration::from_secs(1), budget.enter()).await;
        assert!(gave_up.is_err());
        let since = Instant::now();
        drop(budget.enter().await);
        assert!(since.elapsed() >= Duration::from_secs(9), "the first request still counts: {:?}", since.elapsed());
    }
}
