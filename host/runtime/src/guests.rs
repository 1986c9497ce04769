//! Guest code among asynchronous tasks: on threads of its own, and how much processor time a run's guests take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::app::App;
use crate::failure::Failure;

tokio::task_local! {
    /// What the guests of the run that this task carries out took so far, in nanoseconds.
    static TAKEN: Arc<AtomicU64>;
}

/// Runs guest code on a blocking thread, as many at once as there are cores.
///
/// # Errors
/// The guest's refusal or trap, or the host's failure.
pub async fn in_guest<T: Send + 'static, E: Into<Failure> + Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    let turn = app.guests.clone().acquire_owned().await.map_err(Failure::failed)?;
    let taken = TAKEN.try_with(Arc::clone).ok();
    let counted = move || {
        // The thread goes on after whoever waits for it has given up.
        let _turn = turn;
        let before = thread_nanos();
        let outcome = work();
        if let Some(taken) = taken {
            taken.fetch_add(thread_nanos().saturating_sub(before), Ordering::Relaxed);
        }
        outcome
    };
    tokio::task::spawn_blocking(counted).await.map_err(Failure::failed)?.map_err(Into::into)
}

/// What a future gives, and the processor time that guest code took in it, with the decoding of records for it.
pub async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let taken = Arc::new(AtomicU64::new(0));
    let output = TAKEN.scope(taken.clone(), future).await;
    (output, Duration::from_nanos(taken.load(Ordering::Relaxed)))
}

/// Processor time of this thread; always none where the system doesn't tell.
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
