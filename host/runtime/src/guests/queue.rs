//! Whose guest's call begins next.
//!
//! As many calls run at once as there are cores. A stranger's guest may spin until its call's deadline, so:
//!
//! 1. Of the calls that wait, one of the network with the fewest that run begins next, and of these the one that came first.
//! 2. A call that takes long makes room for one of another network, once for all that take long: what guests may hold in
//!    memory at once grows by that of one call.
//! 3. A network whose calls took long lately leaves a slot free for others until some of its calls in a row were short.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Calls in a row that must be short until a network counts as others do.
const SHORT_CALLS: u32 = 8;

/// The slots of guests' calls. Cheap to clone.
#[derive(Clone)]
pub(super) struct GuestSlots(Arc<Mutex<Calls>>);

struct Calls {
    at_once: usize,
    running: Vec<RunningCall>,
    waiting: VecDeque<WaitingCall>,
    /// Networks whose calls took long lately, and how many must be short until they don't count as such.
    slow: HashMap<String, u32>,
    next: u64,
}

struct RunningCall {
    number: u64,
    network: String,
    is_long: bool,
}

struct WaitingCall {
    network: String,
    reply: oneshot::Sender<GuestSlot>,
}

/// A slot, given back when dropped.
pub(super) struct GuestSlot {
    slots: GuestSlots,
    number: u64,
}

impl GuestSlots {
    /// Slots for so many calls at once.
    pub(super) fn new(at_once: usize) -> Self {
        let (running, waiting, slow) = (Vec::new(), VecDeque::new(), HashMap::new());
        Self(Arc::new(Mutex::new(Calls { at_once: at_once.max(1), running, waiting, slow, next: 0 })))
    }

    /// Waits for a slot for a network's call.
    pub(super) async fn take(&self, network: &str) -> GuestSlot {
        let (reply, answer) = oneshot::channel();
        {
            let mut calls = self.calls();
            calls.waiting.push_back(WaitingCall { network: network.to_owned(), reply });
            self.start_waiting(&mut calls);
        }
        match answer.await {
            Ok(slot) => slot,
            // Who waits is never dropped; if it were, a call too many does no harm.
            Err(_) => self.begin(&mut self.calls(), network.to_owned()),
        }
    }

    /// How many calls could begin now.
    pub(super) fn free(&self) -> usize {
        let calls = self.calls();
        calls.at_once.saturating_sub(calls.running.len())
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, calls: &mut Calls, network: String) -> GuestSlot {
        let number = calls.next;
        calls.next += 1;
        calls.running.push(RunningCall { number, network, is_long: false });
        GuestSlot { slots: self.clone(), number }
    }

    fn start_waiting(&self, calls: &mut Calls) {
        while let Some(place) = calls.next_waiting() {
            let Some(WaitingCall { network, reply }) = calls.waiting.remove(place) else { return };
            if !reply.is_closed() {
                // One that is given up at this moment is given back below, by who is asked to drop it.
                if let Err(slot) = reply.send(self.begin(calls, network)) {
                    calls.running.retain(|call| call.number != slot.number);
                    std::mem::forget(slot);
                }
            }
        }
    }
}

impl Calls {
    /// The place of the waiting call that may begin now.
    fn next_waiting(&self) -> Option<usize> {
        let may_begin = |(_, call): &(usize, &WaitingCall)| call.reply.is_closed() || self.may_begin(&call.network);
        let waiting = self.waiting.iter().enumerate().filter(may_begin);
        waiting.min_by_key(|(place, call)| (self.running_of(&call.network), *place)).map(|(place, _)| place)
    }

    fn running_of(&self, network: &str) -> usize {
        self.running.iter().filter(|call| call.network == network).count()
    }

    fn may_begin(&self, network: &str) -> bool {
        let is_long = |call: &&RunningCall| call.is_long;
        let capacity = self.at_once + usize::from(self.running.iter().any(|call| call.is_long));
        let has_long = self.running.iter().filter(is_long).any(|call| call.network == network);
        let most = if self.slow.contains_key(network) {
            (capacity - 1).max(1)
        } else if has_long {
            self.at_once
        } else {
            capacity
        };
        self.running.len() < most
    }
}

impl GuestSlot {
    /// Says that the call takes long.
    pub(super) fn note_long(slots: &GuestSlots, number: u64) {
        let mut calls = slots.calls();
        let Some(call) = calls.running.iter_mut().find(|call| call.number == number) else { return };
        call.is_long = true;
        let network = call.network.clone();
        calls.slow.insert(network, SHORT_CALLS);
        slots.start_waiting(&mut calls);
    }

    /// Names it.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for GuestSlot {
    fn drop(&mut self) {
        let mut calls = self.slots.calls();
        if let Some(place) = calls.running.iter().position(|call| call.number == self.number) {
            let call = calls.running.swap_remove(place);
            if !call.is_long
                && let Some(left) = calls.slow.get_mut(&call.network)
            {
                *left -= 1;
                if *left == 0 {
                    calls.slow.remove(&call.network);
                }
            }
        }
        self.slots.start_waiting(&mut calls);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt;

    use super::*;

    fn now(slots: &GuestSlots, network: &str) -> Option<GuestSlot> {
        slots.take(network).now_or_never()
    }

    #[tokio::test]
    async fn the_network_with_the_fewest_calls_is_next() {
        let slots = GuestSlots::new(2);
        let (first, second) = (slots.take("greedy").await, slots.take("greedy").await);
        let mut greedy = std::pin::pin!(slots.take("greedy"));
        let mut modest = std::pin::pin!(slots.take("modest"));
        assert!(greedy.as_mut().now_or_never().is_none() && modest.as_mut().now_or_never().is_none());
        drop(first);
        assert!(greedy.as_mut().now_or_never().is_none());
        let modest = modest.now_or_never().unwrap();
        drop((second, modest));
        assert!(greedy.now_or_never().is_some());
        assert_eq!(slots.free(), 2);
    }

    #[tokio::test]
    async fn calls_that_take_long_make_room_for_one_of_another_network() {
        let slots = GuestSlots::new(2);
        let (first, second) = (slots.take("slow").await, slots.take("slow").await);
        assert!(now(&slots, "other").is_none());
        for slot in [&first, &second] {
            GuestSlot::note_long(&slots, slot.number());
        }
        assert!(now(&slots, "slow").is_none(), "it holds two already");
        let other = now(&slots, "other").unwrap();
        assert!(now(&slots, "third").is_none(), "one more for all that take long");
        drop(other);
        assert!(now(&slots, "third").is_some());
        drop((first, second));
        let slow = now(&slots, "slow").unwrap();
        assert!(now(&slots, "slow").is_none(), "it leaves a slot to others");
        let other = now(&slots, "other").unwrap();
        drop((slow, other));
    }

    #[tokio::test]
    async fn a_network_whose_calls_are_short_again_counts_as_others_do() {
        let slots = GuestSlots::new(2);
        let long = slots.take("once").await;
        GuestSlot::note_long(&slots, long.number());
        drop(long);
        for _ in 0..SHORT_CALLS {
            let short = now(&slots, "once").unwrap();
            assert!(now(&slots, "once").is_none());
            drop(short);
        }
        let both = (now(&slots, "once").unwrap(), now(&slots, "once").unwrap());
        drop(both);
    }

    #[tokio::test]
    async fn with_one_core_a_long_call_holds_nobody_up() {
        let slots = GuestSlots::new(1);
        let long = slots.take("slow").await;
        assert!(now(&slots, "other").is_none());
        GuestSlot::note_long(&slots, long.number());
        let other = now(&slots, "other").unwrap();
        assert!(now(&slots, "third").is_none());
        drop((other, long));
        assert!(now(&slots, "slow").is_some());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_no_slot() {
        let slots = GuestSlots::new(1);
        let first = slots.take("a").await;
        {
            let mut second = Box::pin(slots.take("b"));
            assert!(second.as_mut().now_or_never().is_none());
        }
        drop(first);
        assert_eq!(slots.free(), 1);
        assert!(now(&slots, "c").is_some());
    }
}
