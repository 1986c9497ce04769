//! Where a test breaks a run off.
//!
//! `SLUICE_STOP_AT=<step>` or `<step>:<n>` makes a debug build kill itself at the step's first or nth passing, with a
//! signal that nobody can handle. A release build doesn't look.

use sluice_model::Step;

/// Says that a step is passed.
#[cfg(not(debug_assertions))]
pub fn passed(_: Step) {}

/// Says that a step is passed; ends the process here if that was asked for.
#[cfg(debug_assertions)]
pub fn passed(step: Step) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ASKED: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let text = std::env::var("SLUICE_STOP_AT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU32::new(nth.parse().ok()?)))
    });
    let Some((name, left)) = asked else { return };
    // Below zero it wraps, and isn't 1 again before four billion steps.
    if name == step.name() && left.fetch_sub(1, Ordering::SeqCst) == 1 {
        die();
    }
}

/// Ends the process as `kill -9` does: nothing is flushed, dropped or finished.
#[cfg(debug_assertions)]
fn die() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}
