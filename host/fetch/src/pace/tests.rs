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
    let budget = Budget::new(Rate { requests: 1000, per_secs: 1, concurrency: 2 }, None);
    let first = budget.enter(&()).now_or_never().unwrap();
    let _second = budget.enter(&()).now_or_never().unwrap();
    assert!(budget.enter(&()).now_or_never().is_none());
    drop(first);
    assert!(budget.enter(&()).now_or_never().is_some());
}

#[tokio::test]
async fn a_cancelled_waiter_changes_nothing() {
    let budget = Budget::new(Rate { requests: 1, per_secs: 10, concurrency: 1 }, None);
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
    let budget = Budget::new(Rate { requests: 9, per_secs: 1, concurrency: 9 }, None);
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

impl ResponseMemory for OwnedSemaphorePermit {
    async fn make_room(&mut self, _bytes: u64) {}
}

impl Admission for Memory {
    type Permit = OwnedSemaphorePermit;

    async fn permit(&self) -> OwnedSemaphorePermit {
        self.0.clone().acquire_owned().await.unwrap()
    }
}

#[tokio::test]
async fn no_permit_is_held_while_a_request_waits_for_its_rate() {
    let (budget, memory) = (Budget::new(SLOW, None), Memory::new(2));
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
    let (budget, memory) = (Budget::new(SLOW, None), Memory::new(1));
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
    let (budget, memory) = (Budget::new(Rate { requests: 9, ..SLOW }, None), Memory::new(1));
    let other = memory.permit().await;
    let (mut first, mut second) = (pin!(budget.enter(&memory)), pin!(budget.enter(&memory)));
    assert!(poll!(first.as_mut()).is_pending() && poll!(second.as_mut()).is_pending());
    drop(other);
    assert!(poll!(second.as_mut()).is_pending(), "it arrived later");
    assert!(poll!(first.as_mut()).is_ready());
}

#[tokio::test]
async fn a_redirect_precedes_the_queue() {
    let budget = Budget::new(Rate { requests: 2, ..SLOW }, None);
    let _first = budget.enter(&()).now_or_never().unwrap();
    let redirect = WaitingHop::new(&budget);
    let mut queued = pin!(budget.enter(&()));
    assert!(poll!(queued.as_mut()).is_pending(), "the last request of the window is the redirect's");
    budget.enter_hop().now_or_never().expect("the redirect may be sent");
    drop(redirect);
    assert!(budget.enter_hop().now_or_never().is_none());
}

/// Grants one request at a time, so many in all.
struct Grants(Mutex<u32>);

impl RateGrants for Grants {
    fn grant(&self, request: GrantRequest) -> futures::future::BoxFuture<'_, Result<Grant, crate::GrantError>> {
        let mut left = self.0.lock().unwrap();
        let requests = left.min(request.most).min(1);
        *left -= requests;
        futures::future::ready(Ok(Grant { requests, wait: Duration::from_secs(60) })).boxed()
    }
}

#[tokio::test]
async fn no_more_is_sent_than_other_processes_leave() {
    let grants = Arc::new(Grants(Mutex::new(2)));
    let shared = SharedCredential { name: "awin/1f".to_owned(), grants: grants.clone() };
    let budget = Budget::new(Rate { requests: 9, ..SLOW }, Some(shared));
    assert!(budget.enter(&()).now_or_never().is_some() && budget.enter_hop().now_or_never().is_some());
    assert!(budget.enter(&()).now_or_never().is_none() && budget.enter_hop().now_or_never().is_none());
    assert_eq!(*grants.0.lock().unwrap(), 0);
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
