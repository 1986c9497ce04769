//! A store whose next commit to a table waits until it is released, and then is made or fails; or is made, and its answer waits.

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
    /// It is made, and then reported as another's.
    TakenForAnother,
    /// It is made, and the answer is lost.
    AnswerLost,
}

impl HeldOutcome {
    /// Whether the commit is made before it waits.
    fn is_made_first(self) -> bool {
        matches!(self, Self::TakenForAnother | Self::AnswerLost)
    }
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

    /// Waits, if that was asked for before or after this write, and gives its outcome.
    async fn held(&self, location: &Path, is_made: bool) -> Option<HeldOutcome> {
        let is_meant = |(table, outcome): &mut (&'static str, HeldOutcome)| {
            is_commit_to(table, location) && outcome.is_made_first() == is_made
        };
        let (_, outcome) = self.next.lock().unwrap().take_if(is_meant)?;
        self.waits.notify_one();
        self.released.notified().await;
        Some(outcome)
    }
}

#[async_trait]
impl Interceptor for Holder {
    async fn before_put(&self, location: &Path) -> Result<()> {
        match self.held(location, false).await {
            Some(HeldOutcome::Failed) => Err(StoreError::Generic { store: "held", source: "the disk is full".into() }),
            _ => Ok(()),
        }
    }

    async fn after_put(&self, location: &Path) -> Result<()> {
        match self.held(location, true).await {
            Some(HeldOutcome::TakenForAnother) => {
                Err(StoreError::AlreadyExists { path: location.to_string(), source: "it is there".into() })
            }
            Some(_) => Err(StoreError::Generic { store: "held", source: "the connection was reset".into() }),
            None => Ok(()),
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
