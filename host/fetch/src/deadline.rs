//! The time that work on a body may take.

use std::time::{Duration, Instant};

/// A moment by which work has to be done; none: it may take as long as it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

/// The time is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late;

impl Deadline {
    /// No deadline.
    pub(crate) const NEVER: Self = Self(None);

    /// A deadline so long from now.
    pub(crate) fn within(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// Fails once it has passed. Looking at the clock costs some 30 ns.
    pub(crate) fn check(self) -> Result<(), Late> {
        if self.0.is_some_and(|at| Instant::now() >= at) { Err(Late) } else { Ok(()) }
    }
}
