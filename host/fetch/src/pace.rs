//! Budgets: how many requests a credential may send per time span, and how many may be in flight.
//!
//! A budget belongs to a credential, since that is what networks count (Awin: 20 a minute *per user token*),
//! so accounts with the same secrets share one.
//!
//! The count is a sliding log of send times, not a token bucket: a bucket of 20 that refills over a minute lets
//! 39 requests through in its first minute, which is 19 answers of 429.
//!
//! Requests of a budget wait in a queue. The first waits for a slot, then for the rate, and only then for the caller's
//! permit ([`Admission`]: memory for the response), so that no memory is held while a request waits for its rate. If the
//! rate is used up meanwhile, by the redirect of a request in flight, the permit is released.
//!
//! A network that answers 429 and names a pause gets no request of that budget until the pause ends.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_model::Rate;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Hooks of the caller between the moment when the rate allows a request and the moment when it is sent.
pub trait Admission: Send + Sync {
    /// Acquired before the request is sent and returned with the response: see
    /// [`Account::send_with`](crate::Account::send_with).
    type Permit: Send;

    /// Waits for a permit. Called when the rate allows the request, and again, after the permit was dropped, if the rate
    /// doesn't allow it any more. Must not wait for another request of the same account to be sent.
    fn permit(&self) -> impl Future<Output = Self::Permit> + Send;

    /// Called when the request waits for the rate, with the moment at which it may be sent at the earliest.
    fn waits_for_rate(&self, _until: Instant) {}

    /// Called when the request is sent, and again if it is sent again with changed secrets.
    fn sent(&self) {}
}

/// No permit is needed.
impl Admission for () {
    type Permit = ();

    async fn permit(&self) {}
}

/// A network's rate limit for one credential.
#[derive(Debug)]
pub(crate) struct Budget {
    rate: Rate,
    in_flight: Arc<Semaphore>,
    /// Locked until the request may be sent. The lock is fair, so requests are sent in the order in which they arrived.
    queue: tokio::sync::Mutex<()>,
    log: Mutex<Log>,
}

/// The right to have one request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct RequestSlot {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(rate: Rate) -> Self {
        let slots = (rate.concurrency as usize).min(Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(slots));
        Self { rate, in_flight, queue: tokio::sync::Mutex::default(), log: Mutex::default() }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Waits in the queue for a slot, for the rate and for a permit. A waiter that is cancelled changes nothing.
    pub(crate) async fn enter<A: Admission>(&self, admission: &A) -> (RequestSlot, A::Permit) {
        let _first_in_queue = self.queue.lock().await;
        // The semaphore is never closed, so there always is a permit.
        let slot = RequestSlot { _permit: Arc::clone(&self.in_flight).acquire_owned().await.ok() };
        loop {
            self.wait_until_free(|log| log.redirects, |until| admission.waits_for_rate(until)).await;
            let permit = admission.permit().await;
            if self.take(|log| log.redirects) {
                return (slot, permit);
            }
        }
    }

    /// Waits until one more request is within the rate, and counts it. For a further hop of a request that has its slot: it
    /// precedes the queue, since it holds what the queue waits for.
    pub(crate) async fn enter_hop(&self) {
        let _waiting = WaitingHop::new(self);
        while !self.take(|_| 0) {
            self.wait_until_free(|_| 0, |_| {}).await;
        }
    }

    /// Allows no request for this long: the network asks for it.
    pub(crate) fn pause(&self, pause: Duration) {
        let mut log = self.log();
        log.paused_until = log.paused_until.max(Instant::now().checked_add(pause));
    }

    /// Waits until one more request is within the rate, after the `before` that precede it. `waits` is called with the moment
    /// until which it waits.
    async fn wait_until_free(&self, before: fn(&Log) -> usize, waits: impl Fn(Instant)) {
        loop {
            let free_at = {
                let log = self.log();
                log.free_at(self.rate, before(&log))
            };
            match free_at.filter(|free_at| *free_at > Instant::now()) {
                Some(free_at) => {
                    waits(free_at);
                    tokio::time::sleep_until(free_at).await;
                }
                None => return,
            }
        }
    }

    /// Counts a request as sent now, if it is within the rate together with those that precede it.
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

/// Counts a hop as waiting for the rate until it is dropped.
struct WaitingHop<'a>(&'a Budget);

impl<'a> WaitingHop<'a> {
    fn new(budget: &'a Budget) -> Self {
        budget.log().redirects += 1;
        Self(budget)
    }
}

impl Drop for WaitingHop<'_> {
    fn drop(&mut self) {
        self.0.log().redirects -= 1;
    }
}

/// When the last requests were sent.
#[derive(Debug, Default)]
struct Log {
    /// Oldest first; at most as many as the rate allows in its window.
    sent: VecDeque<Instant>,
    /// Hops of redirects that wait for the rate.
    redirects: usize,
    /// Until when the network asks for a pause.
    paused_until: Option<Instant>,
}

impl Log {
    /// When one more request is within the rate, after `before` others; none if it is already. With more others than the
    /// rate allows in a window, it is the moment to check again.
    fn free_at(&self, rate: Rate, before: usize) -> Option<Instant> {
        self.paused_until.max(self.within_rate_at(rate, before))
    }

    fn within_rate_at(&self, rate: Rate, before: usize) -> Option<Instant> {
        let window = Duration::from_secs(u64::from(rate.per_secs));
        // Latency varies: requests sent a window apart may arrive closer together.
        let margin = (window / 100).min(Duration::from_millis(250));
        // The request that must be a window in the past.
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
        assert!(whole < Duration::from_secs(182), "the rate is used fully: {whole:?}");
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
    async fn a_cancelled_waiter_changes_nothing() {
        let budget = Budget::new(Rate { requests: 1, per_secs: 10, concurrency: 1 });
        drop(budget.enter(&()).now_or_never().unwrap());
        let before = budget.log().sent.clone();
        assert!(budget.enter(&()).now_or_never().is_none(), "the second has to wait");
        assert!(budget.enter_hop().now_or_never().is_none(), "and so does a redirect");
        assert_eq!(budget.log().sent, before, "and the first still counts");
        assert_eq!(budget.log().redirects, 0);
        assert_eq!(budget.in_flight.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_pause_holds_back_all_requests_of_a_budget() {
        let budget = Budget::new(Rate { requests: 9, per_secs: 1, concurrency: 9 });
        budget.pause(Duration::ZERO);
        assert!(budget.enter(&()).now_or_never().is_some());
        budget.pause(Duration::from_secs(60));
        budget.pause(Duration::from_secs(1));
        assert!(budget.enter(&()).now_or_never().is_none() && budget.enter_hop().now_or_never().is_none());
        assert!(budget.log().paused_until.unwrap() > Instant::now() + Duration::from_secs(30), "the longer one counts");
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
        assert_eq!(memory.left(), 1, "two wait for the rate without a permit");
        drop(first);
        assert_eq!(memory.left(), 2);
    }

    #[tokio::test]
    async fn a_permit_is_released_when_the_rate_is_used_up_meanwhile() {
        let (budget, memory) = (Budget::new(SLOW), Memory::new(1));
        let other = memory.permit().await;
        let mut late = pin!(budget.enter(&memory));
        assert!(poll!(late.as_mut()).is_pending(), "the rate allows it, and there is no memory");
        budget.enter_hop().now_or_never().expect("a redirect is within the rate");
        drop(other);
        assert!(poll!(late.as_mut()).is_pending(), "now there is memory, and the rate is used up");
        assert_eq!(memory.left(), 1, "the permit is released");
        assert_eq!(budget.log().sent.len(), 1);
    }

    #[tokio::test]
    async fn the_first_in_the_queue_gets_the_next_permit() {
        let (budget, memory) = (Budget::new(Rate { requests: 9, ..SLOW }), Memory::new(1));
        let other = memory.permit().await;
        let (mut first, mut second) = (pin!(budget.enter(&memory)), pin!(budget.enter(&memory)));
        assert!(poll!(first.as_mut()).is_pending() && poll!(second.as_mut()).is_pending());
        drop(other);
        assert!(poll!(second.as_mut()).is_pending(), "it arrived later");
        assert!(poll!(first.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn a_redirect_precedes_the_queue() {
        let budget = Budget::new(Rate { requests: 2, ..SLOW });
        let _first = budget.enter(&()).now_or_never().unwrap();
        let redirect = WaitingHop::new(&budget);
        let mut queued = pin!(budget.enter(&()));
        assert!(poll!(queued.as_mut()).is_pending(), "the last request of the window is the redirect's");
        budget.enter_hop().now_or_never().expect("the redirect may be sent");
        drop(redirect);
        assert!(budget.enter_hop().now_or_never().is_none());
    }

    proptest! {
        /// Requests and redirects arrive at random moments; each is sent as soon as the log allows it.
        #[test]
        fn no_window_holds_more_than_the_rate_whoever_sends(
            requests in 1_u32..6, gaps in proptest::collection::vec((0_u64..9_000, any::<bool>()), 1..80),
        ) {
            let rate = Rate { requests, per_secs: 10, concurrency: 1 };
            let (mut log, mut now, mut sent) = (Log::default(), Instant::now(), Vec::new());
            for (gap, is_redirect) in gaps {
                now += Duration::from_millis(gap);
                // The queue waits as if a redirect were waiting too.
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
