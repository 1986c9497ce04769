//! Where a test breaks a run off.
//!
//! `SLUICE_STOP_AT=<step>` or `<step>:<n>` makes a debug build kill itself at the step's first or nth passing, with a
//! signal that nobody can handle. `SLUICE_PAUSE_AT`, written alike, makes it stop itself there instead, until it is asked
//! to continue. A release build doesn't look.

use sluice_model::Step;

/// Says that a step is passed.
#[cfg(not(debug_assertions))]
pub fn passed(_: Step) {}

/// Says that a step is passed; ends or stops the process here if that was asked for.
#[cfg(debug_assertions)]
pub fn passed(step: Step) {
    use std::sync::LazyLock;

    static DIES: LazyLock<Option<Asked>> = LazyLock::new(|| Asked::of("SLUICE_STOP_AT"));
    static PAUSES: LazyLock<Option<Asked>> = LazyLock::new(|| Asked::of("SLUICE_PAUSE_AT"));
    if PAUSES.as_ref().is_some_and(|asked| asked.is_reached(step)) {
        pause();
    }
    if DIES.as_ref().is_some_and(|asked| asked.is_reached(step)) {
        die();
    }
}

/// The passing of a step at which something was asked for.
#[cfg(debug_assertions)]
struct Asked {
    step: String,
    left: std::sync::atomic::AtomicU32,
}

#[cfg(debug_assertions)]
impl Asked {
    fn of(variable: &str) -> Option<Self> {
        let text = std::env::var(variable).ok()?;
        let (step, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some(Self { step: step.to_owned(), left: nth.parse::<u32>().ok()?.into() })
    }

    fn is_reached(&self, step: Step) -> bool {
        // Below zero it wraps, and isn't 1 again before four billion steps.
        self.step == step.name() && self.left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1
    }
}

/// Stops the process as `kill -STOP` does: all its threads, until `SIGCONT`.
#[cfg(debug_assertions)]
fn pause() {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

/// Ends the process as `kill -9` does: nothing is flushed, dropped or finished.
#[cfg(debug_assertions)]
fn die() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}
