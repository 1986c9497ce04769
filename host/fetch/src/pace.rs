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
//! What other processes send of a credential counts too: where they share a state store, requests are granted in small
//! batches, see [`crate::grants`].
//!
//! A network that answers 429 and names a pause gets no request of that budget until the pause ends.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_model::Rate;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::grants::{Grant, GrantRequest, Granted, RateGrants, margin, window};

/// How long a store that fails to grant requests is left alone.
const GRANT_RETRY: Duration = Duration::from_millis(500);

/// Hooks of the caller between the moment when the rate allows a request and the moment when it is sent.
pub trait Admission: Send + Sync {
    /// Acquired before the request is sent and returned with the response: see
    /// [`Account::send_with`](crate::Account::send_with).
    type Permit: ResponseMemory;

    /// Waits for a permit. Called when the rate allows the request, and again, after the permit was dropped, if the rate
    /// doesn't allow it any more. Must not wait for another request of the same account to be sent.
    fn permit(&self) -> impl Future<Output = Self::Permit> + Send;

    /// Called when the request waits for the rate, with the moment at which it may be sent at the earliest.
    fn waits_for_rate(&self, _until: Instant) {}

    /// Called when the request is sent, and again if it is sent again with changed secrets.
    fn sent(&self) {}
}

/// The memory that a response may take.
pub trait ResponseMemory: Send {
    /// Waits until a response may have so many bytes in memory, instead of what it might have before. Called when it has
    /// come whole, so that nobody waits for memory that a slow network holds; a body larger than 256 KiB is in a file until
    /// then. Called again with more if the body turns out to be larger when it is unpacked.
    fn make_room(&mut self, bytes: u64) -> impl Future<Output = ()> + Send;

    /// Keeps that memory reserved for as long as it lives: a thread that computes goes on when its request is given up.
    fn hold(&self) -> Box<dyn Send> {
        Box::new(())
    }
}

/// Memory is not counted.
impl ResponseMemory for () {
    async fn make_room(&mut self, _bytes: u64) {}
}

/// No permit is needed.
impl Admission for () {
    type Permit = ();

    async fn permit(&self) {}
}

/// A network's rate limit for one credential.
pub(crate) struct Budget {
    rate: Rate,
    shared: Option<SharedCredential>,
    in_flight: Arc<Semaphore>,
    /// Locked until the request may be sent. The lock is fair, so requests are sent in the order in which they arrived.
    queue: tokio::sync::Mutex<()>,
    log: Mutex<Log>,
}

/// A credential by its name among those of all processes, and who grants its requests.
pub(crate) struct SharedCredential {
    pub(crate) name: String,
    pub(crate) grants: Arc<dyn RateGrants>,
}

/// The right to have one request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct RequestSlot {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(rate: Rate, shared: Option<SharedCredential>) -> Self {
        let slots = (rate.concurrency as usize).min(Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(slots));
        Self { rate, shared, in_flight, queue: tokio::sync::Mutex::default(), log: Mutex::default() }
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
            self.wait_for_grant(|until| admission.waits_for_rate(until)).await;
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
            self.wait_for_grant(|_| {}).await;
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

    /// Waits until a request is granted, if others share the credential. `waits` as above. Whoever doesn't get one because the
    /// store fails waits on: what it works on ends with its lease.
    async fn wait_for_grant(&self, waits: impl Fn(Instant)) {
        let Some(SharedCredential { name, grants }) = &self.shared else { return };
        loop {
            let asked_at = Instant::now();
            let request = {
                let log = self.log();
                if log.granted.has_one(asked_at) {
                    return;
                }
                GrantRequest {
                    credential: name.clone(),
                    rate: self.rate,
                    most: log.granted.next_batch(self.rate),
                    valid_for: log.granted.validity(self.rate),
                    pause: log.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(asked_at)),
                }
            };
            let valid_for = request.valid_for;
            match grants.grant(request).await {
                Ok(Grant { requests: 0, wait }) => {
                    let until = Instant::now() + wait;
                    waits(until);
                    tokio::time::sleep_until(until).await;
                }
                Ok(Grant { requests, .. }) => self.log().granted.add(requests, asked_at, valid_for),
                Err(error) => {
                    tracing::warn!(credential = name, %error, "no request is granted; asking again");
                    tokio::time::sleep(GRANT_RETRY).await;
                }
            }
        }
    }

    /// Counts a request as sent now, if it is granted and within the rate together with those that precede it.
    fn take(&self, before: fn(&Log) -> usize) -> bool {
        let mut log = self.log();
        let now = Instant::now();
        let is_free = log.free_at(self.rate, before(&log)).is_none_or(|free_at| free_at <= now);
        if !is_free || self.shared.is_some() && !log.granted.has_one(now) {
            return false;
        }
        log.add(now, self.rate);
        log.granted.take();
        true
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
    /// What other processes leave to this one.
    granted: Granted,
}

impl Log {
    /// When one more request is within the rate, after `before` others; none if it is already. With more others than the
    /// rate allows in a window, it is the moment to check again.
    fn free_at(&self, rate: Rate, before: usize) -> Option<Instant> {
        self.paused_until.max(self.within_rate_at(rate, before))
    }

    fn within_rate_at(&self, rate: Rate, before: usize) -> Option<Instant> {
        // The request that must be a window in the past.
        let first = (self.sent.len() + before).checked_sub(rate.requests as usize)?;
        let counted = self.sent.get(first).or(self.sent.back())?;
        Some(*counted + window(rate) + margin(rate))
    }

    fn add(&mut self, sent: Instant, rate: Rate) {
        if self.sent.len() >= rate.requests as usize {
            self.sent.pop_front();
        }
        self.sent.push_back(sent);
    }
}

#[cfg(test)]
mod tests;
