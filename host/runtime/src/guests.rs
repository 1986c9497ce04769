//! Guest code among asynchronous tasks: on threads of its own, and how much processor time a run's guests take.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::app::App;
use crate::failure::Failure;

tokio::task_local! {
    /// What the guests of the run that this task carries out took so far, in nanoseconds.
    static TAKEN: Arc<AtomicU64>;
}

/// The threads for guests: as many at once as there are cores, and how many go on though nobody waits for them.
pub struct Guests {
    turns: Arc<Semaphore>,
    orphaned: Arc<AtomicUsize>,
}

impl Guests {
    /// Threads for so many calls at once.
    pub fn new(at_once: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(at_once)), orphaned: Arc::default() }
    }

    /// What a call elsewhere takes one of, for as long as its thread lives.
    pub fn permits(&self) -> Arc<Semaphore> {
        self.turns.clone()
    }

    /// How many calls could begin now.
    pub fn free(&self) -> usize {
        self.turns.available_permits()
    }

    /// Threads that go on though their slice has ended, by its time or with its run. Each ends at its call's deadline at
    /// the latest, and keeps its turn until then.
    pub fn orphaned(&self) -> usize {
        self.orphaned.load(Ordering::Relaxed)
    }

    /// Runs work on a blocking thread once there is a turn, which lives as long as the thread.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let turn = self.turns.clone().acquire_owned().await.map_err(Failure::failed)?;
        let call = Arc::new(Call { orphaned: self.orphaned.clone(), sides: Mutex::default() });
        let waiting = Waiting(call.clone());
        let thread = move || {
            let (_turn, working) = (turn, Working(call));
            // Whoever wanted it may have gone before there was a thread.
            let is_left = working.0.sides().is_left;
            (!is_left).then(work)
        };
        let outcome = tokio::task::spawn_blocking(thread).await.map_err(Failure::failed)?;
        drop(waiting);
        outcome.ok_or_else(|| Failure::failed(anyhow::anyhow!("nobody waits for a call of a guest")))
    }
}

/// A call that a thread carries out, and somebody waits for.
struct Call {
    orphaned: Arc<AtomicUsize>,
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
}

/// Lives as long as somebody waits for a call.
struct Waiting(Arc<Call>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut sides = self.0.sides();
        sides.is_left = true;
        if !sides.is_over {
            self.0.orphaned.fetch_add(1, Ordering::Relaxed);
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

/// Runs guest code on a blocking thread, as many at once as there are cores.
///
/// # Errors
/// The guest's refusal or trap, or the host's failure.
pub async fn in_guest<T: Send + 'static, E: Into<Failure> + Send + 'static>(
    app: &App,
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
    app.guests.run(counted).await?.map_err(Into::into)
}

/// Processor time.
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

/// Processor time of this thread.
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
    async fn a_thread_that_outlives_its_slice_is_counted_and_keeps_its_turn() {
        let guests = Guests::new(1);
        assert_eq!(guests.run(|| 7).await.unwrap(), 7);
        assert_eq!((guests.orphaned(), guests.free()), (0, 1));
        let (begun, has_begun) = oneshot::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let endless = guests.run(move || {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
        });
        tokio::select! {
            _ = endless => unreachable!("it waits"),
            begun = has_begun => begun.unwrap(),
        }
        assert_eq!((guests.orphaned(), guests.free()), (1, 0));
        go.send(()).unwrap();
        // The next call waits for the turn.
        assert_eq!(guests.run(|| 8).await.unwrap(), 8);
        assert_eq!((guests.orphaned(), guests.free()), (0, 1));
    }
}
