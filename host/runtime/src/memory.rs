//! The process's budget of memory for responses: their bodies, decoded cells and rows, until these are durable.
//!
//! Memory for a response is reserved once it has come whole: until then it is in a file, so that whoever holds memory only
//! computes or writes, and gives it back soon whatever a network does. Reservations wait in order of arrival. What a
//! response really takes is known only later: a reservation can grow beyond the budget then, by half of it at most, and
//! others wait so much longer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// A budget of bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    shared: Arc<Mutex<Used>>,
    /// Woken when somebody has to wait.
    contended: Arc<Notify>,
}

#[derive(Debug)]
struct Used {
    most: usize,
    used: usize,
    /// The most that was used at any moment.
    peak: usize,
    waiting: VecDeque<(usize, oneshot::Sender<Reservation>)>,
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    /// Changed under the budget's lock only.
    bytes: AtomicUsize,
}

/// A limit on bytes that nobody waits for: they are free, or refused. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ByteLimit {
    used: Arc<AtomicUsize>,
    most: usize,
}

impl ByteLimit {
    /// At most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    /// How many bytes there are in all.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes bytes; whether they were free.
    pub fn take(&self, bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Gives back what was taken.
    pub fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes bytes until what it gives is dropped; none if they aren't free.
    pub fn hold(&self, bytes: usize) -> Option<HeldBytes> {
        self.take(bytes).then(|| HeldBytes { of: self.clone(), bytes })
    }
}

/// Bytes of a limit, given back when dropped.
#[derive(Debug)]
pub struct HeldBytes {
    of: ByteLimit,
    bytes: usize,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.of.give_back(self.bytes);
    }
}

impl MemoryBudget {
    /// A budget of `most` bytes.
    pub fn new(most: usize) -> Self {
        let used = Used { most, used: 0, peak: 0, waiting: VecDeque::new() };
        Self { shared: Arc::new(Mutex::new(used)), contended: Arc::default() }
    }

    /// Reserves bytes, as soon as they are free and nobody came before. More than the whole budget is given to whoever
    /// is alone.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        let answer = {
            let mut used = self.lock();
            if used.waiting.is_empty() && used.has_room(bytes) {
                used.take(bytes);
                return self.of(bytes);
            }
            let (reply, answer) = oneshot::channel();
            used.waiting.push_back((bytes, reply));
            answer
        };
        self.contended.notify_waiters();
        match answer.await {
            Ok(reservation) => reservation,
            // The budget never drops who waits; without it there is no limit to keep to.
            Err(_) => {
                self.lock().take(bytes);
                self.of(bytes)
            }
        }
    }

    /// Nothing of it, yet.
    pub fn nothing(&self) -> Reservation {
        self.of(0)
    }

    fn of(&self, bytes: usize) -> Reservation {
        Reservation { budget: self.clone(), bytes: AtomicUsize::new(bytes) }
    }

    /// Waits until a reservation waits. What is held without need is then released.
    pub async fn contended(&self) {
        loop {
            let mut woken = std::pin::pin!(self.contended.notified());
            woken.as_mut().enable();
            if !self.lock().waiting.is_empty() {
                return;
            }
            woken.await;
        }
    }

    /// Whether more than half of it is in use.
    pub fn is_half_used(&self) -> bool {
        let used = self.lock();
        used.used > used.most / 2
    }

    /// The most bytes that were reserved at any moment.
    pub fn peak(&self) -> usize {
        self.lock().peak
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the reservations that wait, as far as memory is free.
    fn serve(&self) {
        loop {
            let (reply, bytes) = {
                let mut used = self.lock();
                match used.waiting.front() {
                    Some((bytes, _)) if used.has_room(*bytes) => {}
                    _ => return,
                }
                let Some((bytes, reply)) = used.waiting.pop_front() else { return };
                used.take(bytes);
                (reply, bytes)
            };
            // A cancelled reservation is dropped at once, and the next one is served.
            drop(reply.send(self.of(bytes)));
        }
    }
}

impl Used {
    fn has_room(&self, bytes: usize) -> bool {
        self.used == 0 || self.used.saturating_add(bytes) <= self.most
    }

    fn take(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
        self.peak = self.peak.max(self.used);
    }
}

impl Reservation {
    /// Bytes of the budget that it holds now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Changes its size to the actual one.
    pub fn resize(&self, bytes: usize) {
        let before = {
            let mut used = self.budget.lock();
            let before = self.bytes.swap(bytes, Ordering::Relaxed);
            used.used = used.used.saturating_sub(before);
            used.take(bytes);
            before
        };
        if bytes < before {
            self.budget.serve();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        {
            let mut used = self.budget.lock();
            used.used = used.used.saturating_sub(self.bytes());
        }
        self.budget.serve();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::LocalBoxFuture;

    use super::*;

    #[test]
    fn what_is_given_back_can_be_held_again() {
        let limit = ByteLimit::new(100);
        let held = limit.hold(60);
        assert!(held.is_some() && limit.hold(41).is_none());
        drop(held);
        assert!(limit.hold(101).is_none() && limit.hold(usize::MAX).is_none() && limit.hold(100).is_some());
    }

    /// A reservation that doesn't succeed yet.
    fn waiting(budget: &MemoryBudget, bytes: usize) -> LocalBoxFuture<'_, Reservation> {
        let mut waiting = budget.reserve(bytes).boxed_local();
        assert!((&mut waiting).now_or_never().is_none());
        waiting
    }

    #[tokio::test]
    async fn who_comes_first_is_served_first() {
        let budget = MemoryBudget::new(10);
        let first = budget.reserve(8).await;
        let large = waiting(&budget, 6);
        let small = waiting(&budget, 1);
        drop(first);
        let large = large.await;
        let small = small.await;
        assert_eq!((large.bytes(), small.bytes(), budget.peak()), (6, 1, 8));
    }

    #[tokio::test]
    async fn more_than_all_is_given_to_whoever_is_alone() {
        let budget = MemoryBudget::new(10);
        let all = budget.reserve(25).await;
        let next = waiting(&budget, 1);
        drop(all);
        next.await;
    }

    #[tokio::test]
    async fn who_holds_memory_is_woken_when_another_waits() {
        let budget = MemoryBudget::new(10);
        let held = budget.reserve(8).await;
        let mut contended = Box::pin(budget.contended());
        assert!(contended.as_mut().now_or_never().is_none());
        let next = waiting(&budget, 5);
        contended.await;
        drop(held);
        next.await;
    }

    #[tokio::test]
    async fn what_grows_beyond_the_budget_makes_others_wait() {
        let budget = MemoryBudget::new(10);
        let grown = budget.reserve(2).await;
        grown.resize(12);
        let next = waiting(&budget, 1);
        grown.resize(3);
        next.await;
    }

    #[tokio::test]
    async fn who_is_cancelled_while_waiting_holds_up_nobody() {
        let budget = MemoryBudget::new(10);
        let all = budget.reserve(10).await;
        let cancelled = waiting(&budget, 10);
        let next = waiting(&budget, 10);
        drop(cancelled);
        drop(all);
        next.await;
    }
}
