//! Budgets: so many requests in so many seconds, so many at once.
//!
//! A budget belongs to a credential, since that is what networks count (Awin: 20 a minute *per user token*),
//! so accounts with the same secrets share one.
//!
//! The count is a sliding log of send times, not a token bucket: a bucket of 20 that refills over a minute lets
//! 39 requests through in its first minute, which is 19 answers of 429.
//!
//! Requests of a budget wait in line. The first in line waits for a place, then for the rate, and only then for what
//! the caller asks for ([`Admission`]: memory for the response), so that no memory is held while a request waits for
//! its rate. If the rate is used up meanwhile, by the redirect of a request in flight, it gives the memory back.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_model::Rate;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What a caller wants to happen between the rate's permission and the sending of a request.
pub trait Admission: Send + Sync {
    /// Held by the caller from before the request is sent for as long as it likes: see
    /// [`Account::send_with`](crate::Account::send_with).
    type Permit: Send;

    /// Waits for a permit. Called when the rate allows the request; called again, after the permit was dropped, if the
    /// rate no longer allows it by then. Must not wait for another request of the same account to be sent.
    fn permit(&self) -> impl Future<Output = Self::Permit> + Send;

    /// The request is sent now. Called once more if it is sent again with secrets that have changed.
    fn sent(&self) {}
}

/// Nothing is asked for.
impl Admission for () {
    type Permit = ();

    async fn permit(&self) {}
}

/// A network's patience with one credential.
#[derive(Debug)]
pub(crate) struct Budget {
    rate: Rate,
    in_flight: Arc<Semaphore>,
    /// The lock is fair, and it is held until the request may be sent, so requests go in the order in which they came.
    line: tokio::sync::Mutex<()>,
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
        let in_flight = Arc::new(Semaphore::new(places));
        Self { rate, in_flight, line: tokio::sync::Mutex::default(), log: Mutex::default() }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Waits in line for a place, for the rate and for a permit. A waiter that gives up changes nothing.
    pub(crate) async fn enter<A: Admission>(&self, admission: &A) -> (Place, A::Permit) {
        let _first_in_line = self.line.lock().await;
        // The semaphore is never closed, so there always is a permit.
        let place = Place { _permit: Arc::clone(&self.in_flight).acquire_owned().await.ok() };
        loop {
            self.wait_until_free(|log| log.redirects).await;
            let permit = admission.permit().await;
            if self.take(|log| log.redirects) {
                return (place, permit);
            }
        }
    }

    /// Waits until one more request is within the rate. For a further hop of a request that has its place: it goes
    /// before all that are in line, since it holds what they wait for.
    pub(crate) async fn spend(&self) {
        let _waiting = Redirect::new(self);
        while !self.take(|_| 0) {
            self.wait_until_free(|_| 0).await;
        }
    }

    /// Waits until so many requests that go before, and one more, are within the rate.
    async fn wait_until_free(&self, before: fn(&Log) -> usize) {
        loop {
            let free_at = {
                let log = self.log();
                log.free_at(self.rate, before(&log))
            };
            match free_at.filter(|free_at| *free_at > Instant::now()) {
                Some(free_at) => tokio::time::sleep_until(free_at).await,
                None => return,
            }
        }
    }

    /// Counts a request as sent now, if it is within the rate together with those that go before.
    fn take(&self, before: fn(&Log) -> usize) -> bool {
        let mut log = self.log();
        let now = Instant::now();
        let is_free = log.free_at(self.rate, before(&log)).is_none_or(|free_at| free_at <= now);
        if is_free {
            log.add(now, self.rate);
        }
        is_free
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A redirect that waits for the rate, for as long as it lives.
struct Redirect<'a>(&'a Budget);

impl<'a> Redirect<'a> {
    fn new(budget: &'a Budget) -> Self {
        budget.log().redirects += 1;
        Self(budget)
    }
}

impl Drop for Redirect<'_> {
    fn drop(&mut self) {
        self.0.log().redirects -= 1;
    }
}

/// When the last requests were let go.
#[derive(Debug, Default)]
struct Log {
    /// Oldest first: as many as the rate counts.
    sent: VecDeque<Instant>,
    /// Redirects that wait for the rate.
    redirects: usize,
}

impl Log {
    /// When one more is within the rate, after `before` others; none if it is now. With more others than the rate counts
    /// it is a moment at which to look again.
    fn free_at(&self, rate: Rate, before: usize) -> Option<Instant> {
        let window = Duration::from_secs(u64::from(rate.per_secs));
        // Requests may travel at different speeds: what left a window apart must not arrive in one window.
        let margin = (window / 100).min(Duration::from_millis(250));
        // The request that must be a window ago is the one that the rate counts as its first.
        let first = (self.sent.len() + before).checked_sub(rate.requests as usize)?;
        let counted = self.sent.get(first).or(self.sent.back())?;
        Some(*counted + window + margin)
    }

    fn add(&mut self, sent: Instant, rate: Rate) {
        if self.sent.len() >= rate.requests as usize {
            self.sent.pop_front();
        }
        self.sent.push_back(sent);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::pin::pin;

    use futures::{FutureExt, poll};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_window_ever_holds_more_than_the_rate() {
        let rate = Rate { requests: 20, per_secs: 60, concurrency: 4 };
        let mut log = Log::default();
        let mut now = Instant::now();
        let mut sent = Vec::new();
        for n in 0..70_u32 {
            now = log.free_at(rate, 0).map_or(now, |free| free.max(now)) + Duration::from_millis(u64::from(n % 7));
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
        let first = budget.enter(&()).now_or_never().unwrap();
        let _second = budget.enter(&()).now_or_never().unwrap();
        assert!(budget.enter(&()).now_or_never().is_none());
        drop(first);
        assert!(budget.enter(&()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_changes_nothing() {
        let budget = Budget::new(Rate { requests: 1, per_secs: 10, concurrency: 1 });
        drop(budget.enter(&()).now_or_never().unwrap());
        let before = budget.log().sent.clone();
        assert!(budget.enter(&()).now_or_never().is_none(), "the second has to wait");
        assert!(budget.spend().now_or_never().is_none(), "and so has a redirect");
        assert_eq!(budget.log().sent, before, "and the first still counts");
        assert_eq!(budget.log().redirects, 0);
        assert_eq!(budget.in_flight.available_permits(), 1);
    }

    /// One request a minute.
    const SLOW: Rate = Rate { requests: 1, per_secs: 60, concurrency: 9 };

    /// Memory for so many responses.
    struct Memory(Arc<Semaphore>);

    impl Memory {
        fn new(permits: usize) -> Self {
            Self(Arc::new(Semaphore::new(permits)))
        }

        fn left(&self) -> usize {
            self.0.available_permits()
        }
    }

    impl Admission for Memory {
        type Permit = OwnedSemaphorePermit;

        async fn permit(&self) -> OwnedSemaphorePermit {
            self.0.clone().acquire_owned().await.unwrap()
        }
    }

    #[tokio::test]
    async fn no_permit_is_held_while_a_request_waits_for_its_rate() {
        let (budget, memory) = (Budget::new(SLOW), Memory::new(2));
        let first = budget.enter(&memory).now_or_never().unwrap();
        assert_eq!(memory.left(), 1);
        let (mut second, mut third) = (pin!(budget.enter(&memory)), pin!(budget.enter(&memory)));
        assert!(poll!(second.as_mut()).is_pending() && poll!(third.as_mut()).is_pending());
        assert_eq!(memory.left(), 1, "two wait for the rate, and hold nothing");
        drop(first);
        assert_eq!(memory.left(), 2);
    }

    #[tokio::test]
    async fn a_permit_that_came_too_late_is_given_back() {
        let (budget, memory) = (Budget::new(SLOW), Memory::new(1));
        let other = memory.permit().await;
        let mut late = pin!(budget.enter(&memory));
        assert!(poll!(late.as_mut()).is_pending(), "the rate allows it, and there is no memory");
        budget.spend().now_or_never().expect("a redirect is within the rate");
        drop(other);
        assert!(poll!(late.as_mut()).is_pending(), "now there is memory, and the rate is used up");
        assert_eq!(memory.left(), 1, "the memory is somebody else's meanwhile");
        assert_eq!(budget.log().sent.len(), 1);
    }

    #[tokio::test]
    async fn the_first_in_line_takes_the_next_permit() {
        let (budget, memory) = (Budget::new(Rate { requests: 9, ..SLOW }), Memory::new(1));
        let other = memory.permit().await;
        let (mut first, mut second) = (pin!(budget.enter(&memory)), pin!(budget.enter(&memory)));
        assert!(poll!(first.as_mut()).is_pending() && poll!(second.as_mut()).is_pending());
        drop(other);
        assert!(poll!(second.as_mut()).is_pending(), "it came later");
        assert!(poll!(first.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn a_redirect_goes_before_all_that_are_in_line() {
        let budget = Budget::new(Rate { requests: 2, ..SLOW });
        let _first = budget.enter(&()).now_or_never().unwrap();
        let redirect = Redirect::new(&budget);
        let mut in_line = pin!(budget.enter(&()));
        assert!(poll!(in_line.as_mut()).is_pending(), "the place that is left is the redirect's");
        budget.spend().now_or_never().expect("and it can have it");
        drop(redirect);
        assert!(budget.spend().now_or_never().is_none());
    }

    proptest! {
        /// Requests and redirects come at random moments; each is let go as soon as the log allows it.
        #[test]
        fn no_window_holds_more_than_the_rate_whoever_sends(
            requests in 1_u32..6, gaps in proptest::collection::vec((0_u64..9_000, any::<bool>()), 1..80),
        ) {
            let rate = Rate { requests, per_secs: 10, concurrency: 1 };
            let (mut log, mut now, mut sent) = (Log::default(), Instant::now(), Vec::new());
            for (gap, is_redirect) in gaps {
                now += Duration::from_millis(gap);
                // Who is in line waits as if a redirect were waiting too.
                let before = usize::from(!is_redirect);
                let free_at = log.free_at(rate, before).map_or(now, |free_at| free_at.max(now));
                prop_assert!(log.free_at(rate, before).is_none_or(|at| log.free_at(rate, 0).is_none_or(|own| own <= at)));
                log.add(free_at, rate);
                sent.push(free_at);
                now = free_at;
            }
            let counted = requests as usize + 1;
            prop_assert!(sent.windows(counted).all(|window| window[counted - 1] - window[0] >= Duration::from_secs(10)));
        }
    }
}
