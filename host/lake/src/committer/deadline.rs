//! Deadlines that may not be set.

use tokio::time::Instant;

/// Whether it is set and past.
pub(super) fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

/// Waits for it; returns at once if it isn't set.
pub(super) async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}
