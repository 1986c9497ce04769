//! The threads on which guests' calls run. One whose call takes long gets the lowest place among the process's threads, and
//! ends with the call: a thread's priority can be lowered by anybody, and raised by nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Added to the niceness of a thread whose call takes long: beside others it gets a tenth of a core.
const NICENESS: i32 = 10;
/// No thread is nicer.
const LOWEST: i32 = 19;

type Job = Box<dyn FnOnce() + Send>;
type Idle = Mutex<Vec<Sender<Task>>>;

/// Threads that wait for calls. They end with it.
#[derive(Default)]
pub(super) struct Threads(Arc<Idle>);

struct Task {
    job: Job,
    place: Arc<ThreadPlace>,
    /// The way to the thread that carries it out.
    thread: Sender<Task>,
}

/// Where a call runs.
#[derive(Default)]
pub(super) struct ThreadPlace(Mutex<Carrier>);

#[derive(Default)]
struct Carrier {
    /// The thread, while it carries the call out.
    thread: Option<ThreadId>,
    is_lowered: bool,
}

impl ThreadPlace {
    fn place(&self) -> MutexGuard<'_, Carrier> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lowers the priority of the thread that carries the call out, or will. Where the system can't, nothing happens.
    pub(super) fn lower(&self) {
        let mut place = self.place();
        if !place.is_lowered {
            place.is_lowered = true;
            place.thread.into_iter().for_each(lower);
        }
    }

    fn begin(&self) {
        let mut place = self.place();
        place.thread = Some(this_thread());
        if place.is_lowered {
            lower(this_thread());
        }
    }

    /// Whether the thread may take another call.
    fn end(&self) -> bool {
        let mut place = self.place();
        place.thread = None;
        !place.is_lowered
    }
}

/// Linux has a niceness for each thread.
#[cfg(target_os = "linux")]
type ThreadId = rustix::process::Pid;

#[cfg(target_os = "linux")]
fn this_thread() -> ThreadId {
    rustix::thread::gettid()
}

#[cfg(target_os = "linux")]
fn lower(thread: ThreadId) {
    let own = rustix::process::getpriority_process(Some(thread)).unwrap_or_default();
    // What the system refuses stays as it is.
    let _ = rustix::process::setpriority_process(Some(thread), (own + NICENESS).min(LOWEST));
}

#[cfg(not(target_os = "linux"))]
type ThreadId = ();

#[cfg(not(target_os = "linux"))]
fn this_thread() {}

#[cfg(not(target_os = "linux"))]
fn lower((): ThreadId) {}

impl Threads {
    /// Runs a job on a thread that waits, or on a new one.
    ///
    /// # Errors
    /// The system's, if it gives no further thread.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static, place: Arc<ThreadPlace>) -> std::io::Result<()> {
        let (job, waiting) = (Box::new(job), self.0.lock().unwrap_or_else(PoisonError::into_inner).pop());
        let (thread, tasks) = match waiting {
            Some(thread) => (thread, None),
            None => {
                let (thread, tasks) = channel();
                (thread, Some(tasks))
            }
        };
        // A thread that waits is there until its sender is dropped.
        let _ = thread.send(Task { job, place, thread: thread.clone() });
        let Some(tasks) = tasks else { return Ok(()) };
        let idle = Arc::downgrade(&self.0);
        std::thread::Builder::new().name("guest".to_owned()).spawn(move || serve(&tasks, &idle)).map(drop)
    }
}

/// Carries tasks out, one after another, until nobody can send one or the thread's priority was lowered.
fn serve(tasks: &Receiver<Task>, idle: &Weak<Idle>) {
    while let Ok(Task { job, place, thread }) = tasks.recv() {
        place.begin();
        // Who waits for the job's answer finds out that there is none.
        let _ = catch_unwind(AssertUnwindSafe(job));
        let Some(idle) = idle.upgrade().filter(|_| place.end()) else { return };
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }
}
