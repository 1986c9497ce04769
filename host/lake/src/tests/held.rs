//! A store whose next commit to a table waits until it is released, and then is made or fails.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{Error as StoreError, Result};
use tokio::sync::Notify;

use super::intercepted::{Intercepted, Interceptor, is_commit_to};
use super::new_lake;
use crate::Lake;

/// The outcome of the commit that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum HeldOutcome {
    Made,
    Failed,
}

/// Holds up commits.
#[derive(Debug, Default)]
pub(super) struct Holder {
    next: Mutex<Option<(&'static str, HeldOutcome)>>,
    waits: Notify,
    released: Notify,
}

impl Holder {
    /// Has the next commit to a table wait.
    pub(super) fn hold(&self, table: &'static str, outcome: HeldOutcome) {
        *self.next.lock().unwrap() = Some((table, outcome));
    }

    /// Ends when a commit waits.
    pub(super) async fn waits(&self) {
        self.waits.notified().await;
    }

    /// Lets it be done.
    pub(super) fn release(&self) {
        self.released.notify_one();
    }
}

#[async_trait]
impl Interceptor for Holder {
    async fn before_put(&self, location: &Path) -> Result<()> {
        let next = self.next.lock().unwrap().take_if(|(table, _)| is_commit_to(table, location));
        let Some((_, outcome)) = next else { return Ok(()) };
        self.waits.notify_one();
        self.released.notified().await;
        match outcome {
            HeldOutcome::Made => Ok(()),
            HeldOutcome::Failed => Err(StoreError::Generic { store: "held", source: "the disk is full".into() }),
        }
    }
}

/// A lake whose commits can be held up.
pub(super) async fn held_lake() -> (tempfile::TempDir, Lake, Arc<Holder>) {
    let (folder, lake) = new_lake().await;
    let interceptor = Arc::<Holder>::default();
    let lake = lake.through(|inner| Arc::new(Intercepted { inner, interceptor: interceptor.clone() }));
    (folder, lake, interceptor)
}
