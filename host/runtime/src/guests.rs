//! Guest code among asynchronous tasks: on threads of its own, and how much processor time a run's guests take.

mod queue;
mod threads;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use sluice_registry::TakeGuestSlot;
use tokio::sync::oneshot;

use crate::failure::Failure;

use queue::{GuestSlot, GuestSlots};
use threads::{ThreadPlace, Threads};

/// A call that takes longer makes room for one of another network, and gets the lowest priority. Mapping a response takes some
/// milliseconds, and half a second if it is one of a hundred megabytes.
const LONG_CALL: Duration = Duration::from_millis(500);

tokio::task_local! {
    /// What the guests of the run that this task carries out took so far, in nanoseconds.
    static TAKEN: Arc<AtomicU64>;
}

/// The threads for guests: as many at once as there are cores, and how many go on though nobody waits for them.
pub struct Guests {
    slots: GuestSlots,
    threads: Threads,
    orphaned: Arc<AtomicUsize>,
}

impl Guests {
    /// Threads for so many calls at once.
    pub fn new(at_once: usize) -> Self {
        Self { slots: GuestSlots::new(at_once), threads: Threads::default(), orphaned: Arc::default() }
    }

    /// How a call elsewhere takes a slot, for as long as its thread lives.
    pub fn take_slot(&self) -> TakeGuestSlot {
        let slots = self.slots.clone();
        Arc::new(move |network| {
            let (slots, network) = (slots.clone(), network.to_owned());
            async move { Box::new(slots.take(&network).await) as Box<dyn Send> }.boxed()
        })
    }

    /// How many calls could begin now.
    pub fn free(&self) -> usize {
        self.slots.free()
    }

    /// Threads that go on though their slice has ended, by its time or with its run. Each ends at its call's deadline at
    /// the latest, and keeps its slot until then.
    pub fn orphaned(&self) -> usize {
        self.orphaned.load(Ordering::Relaxed)
    }

    /// Runs work on a thread of its own once its network has a slot, which lives as long as the work.
    async fn run<T: Send + 'static>(
        &self,
        network: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let slot = self.slots.take(network).await;
        let call = Arc::new(Call {
            orphaned: self.orphaned.clone(),
            slots: self.slots.clone(),
            slot: slot.number(),
            place: Arc::default(),
            sides: Mutex::default(),
        });
        let (reply, answer) = oneshot::channel();
        let (waiting, working, place) = (CallWaiter(call.clone()), Working(call.clone()), call.place.clone());
        let job = move || {
            // Whoever wanted it may have gone before there was a thread.
            let is_left = working.0.sides().is_left;
            let outcome = (!is_left).then(work);
            // Before anybody hears of the end.
            drop((working, slot));
            let _ = reply.send(outcome);
        };
        self.threads.run(job, place).map_err(Failure::failed)?;
        let mut answer = std::pin::pin!(answer);
        let outcome = tokio::select! {
            biased;
            outcome = &mut answer => outcome,
            () = tokio::time::sleep(LONG_CALL) => {
                waiting.0.note_long();
                answer.await
            }
        };
        drop(waiting);
        let outcome =
            outcome.map_err(|_| Failure::failed(anyhow::anyhow!("a guest's call ended in a panic of the host")))?;
        outcome.ok_or_else(|| Failure::failed(anyhow::anyhow!("nobody waits for a call of a guest")))
    }
}

/// A call that a thread carries out, and somebody waits for.
struct Call {
    orphaned: Arc<AtomicUsize>,
    slots: GuestSlots,
    slot: u64,
    place: Arc<ThreadPlace>,
    sides: Mutex<Sides>,
}

#[derive(Default)]
struct Sides {
    /// Nobody waits any more.
    is_left: bool,
    /// The thread has ended.
    is_over: bool,
}

impl Call {
    fn sides(&self) -> MutexGuard<'_, Sides> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It no longer stands in others' way.
    fn note_long(&self) {
        GuestSlot::note_long(&self.slots, self.slot);
        self.place.lower();
    }
}

/// Lives as long as somebody waits for a call.
struct CallWaiter(Arc<Call>);

impl Drop for CallWaiter {
    fn drop(&mut self) {
        let mut sides = self.0.sides();
        sides.is_left = true;
        if !sides.is_over {
            self.0.orphaned.fetch_add(1, Ordering::Relaxed);
            drop(sides);
            self.0.note_long();
        }
    }
}

/// Lives as long as a call's thread.
struct Working(Arc<Call>);

impl Drop for Working {
    fn drop(&mut self) {
        let mut sides = self.0.sides();
        sides.is_over = true;
        if sides.is_left {
            self.0.orphaned.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Runs guest code of a network, by its id, on a thread of its own: as many at once as there are cores.
///
/// # Errors
/// The guest's refusal or trap, or the host's failure.
pub async fn in_guest<T: Send + 'static, E: Into<Failure> + Send + 'static>(
    guests: &Guests,
    network: &str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    let taken = TAKEN.try_with(Arc::clone).ok();
    let counted = move || {
        let before = thread_nanos();
        let outcome = work();
        if let Some(taken) = taken {
            taken.fetch_add(thread_nanos().saturating_sub(before), Ordering::Relaxed);
        }
        outcome
    };
    guests.run(network, counted).await?.map_err(Into::into)
}

/// Processor time, apart by whose code took it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// Of guest code, with the decoding of records for it.
    pub guest: Duration,
    /// Of the host's own work in a task: not of what other tasks do for it.
    pub host: Duration,
}

impl ProcessorTime {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.guest += other.guest;
        self.host += other.host;
    }
}

/// What a future gives, and the processor time that it took. What a part of it took is its whole's too.
pub async fn timed<F: Future>(future: F) -> (F::Output, ProcessorTime) {
    let taken = Arc::new(AtomicU64::new(0));
    let mut future = std::pin::pin!(TAKEN.scope(taken.clone(), future));
    let mut host_nanos = 0;
    let output = std::future::poll_fn(|context| {
        let before = thread_nanos();
        let polled = future.as_mut().poll(context);
        host_nanos += thread_nanos().saturating_sub(before);
        polled
    })
    .await;
    let guest_nanos = taken.load(Ordering::Relaxed);
    let _ = TAKEN.try_with(|whole| whole.fetch_add(guest_nanos, Ordering::Relaxed));
    let took = ProcessorTime { guest: Duration::from_nanos(guest_nanos), host: Duration::from_nanos(host_nanos) };
    (output, took)
}

/// Processor time of this thread; always zero where the system doesn't give it.
#[cfg(not(unix))]
fn thread_nanos() -> u64 {
    0
}

#[cfg(unix)]
fn thread_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(nanos).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_thread_that_outlives_its_slice_is_counted_and_keeps_its_slot() {
        let guests = Guests::new(1);
        assert_eq!(guests.run("a", || 7).await.unwrap(), 7);
        assert_eq!((guests.orphaned(), guests.free()), (0, 1));
        let (begun, has_begun) = oneshot::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let endless = guests.run("a", move || {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
        });
        tokio::select! {
            _ = endless => unreachable!("it waits"),
            begun = has_begun => begun.unwrap(),
        }
        assert_eq!((guests.orphaned(), guests.free()), (1, 0));
        // Another network's call doesn't wait for one that nobody waits for.
        assert_eq!(guests.run("b", || 8).await.unwrap(), 8);
        go.send(()).unwrap();
        // One of the same does.
        assert_eq!(guests.run("a", || 9).await.unwrap(), 9);
        assert_eq!((guests.orphaned(), guests.free()), (0, 1));
    }

    #[tokio::test]
    async fn a_thread_of_a_long_call_has_the_lowest_priority_and_ends_with_it() {
        let guests = Guests::new(1);
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let own = guests.run("a", niceness).await.unwrap();
        let long = guests.run("a", move || {
            let begun = std::time::Instant::now();
            while niceness() == own && begun.elapsed() < 20 * LONG_CALL {
                std::thread::yield_now();
            }
            niceness()
        });
        assert_eq!(long.await.unwrap(), (own + 10).min(19));
        assert_eq!(guests.run("a", niceness).await.unwrap(), own, "the next call has a thread of its own");
    }

    #[tokio::test]
    async fn a_panic_ends_its_call_alone() {
        let guests = Guests::new(1);
        let failed = guests.run("a", || assert_eq!(1, 2, "a fault of the host")).await.unwrap_err();
        assert!(failed.render(false).contains("panic"), "{}", failed.render(false));
        assert_eq!(guests.run("a", || 3).await.unwrap(), 3);
    }
}
