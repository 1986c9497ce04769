//! A part of bulk work that was taken from the queue: a month of a replay, or a part of a rebuild.

use std::sync::Arc;

use sluice_state::{Claim, NotedRun};

use crate::app::App;
use crate::failure::Failure;
use crate::settings::network::NetworkSettings;

/// How often a part is begun without coming further before it is given up: each time it ended its process.
pub(crate) const MAX_STARTS: u32 = 3;

/// A part under a claim of its network.
pub(crate) struct BulkPart<'a> {
    pub(crate) app: &'a Arc<App>,
    /// Those of the network under which it was queued.
    pub(crate) settings: &'a NetworkSettings,
    pub(crate) claim: &'a Claim,
    pub(crate) noted: &'a NotedRun,
}

impl BulkPart<'_> {
    /// Whether it was begun as often as it may be.
    pub(crate) fn is_spent(&self) -> bool {
        self.noted.starts >= MAX_STARTS
    }

    /// Notes one more start.
    ///
    /// # Errors
    /// The state store's failure.
    pub(crate) async fn begin(&self) -> Result<NotedRun, Failure> {
        let started = NotedRun { starts: self.noted.starts + 1, ..self.noted.clone() };
        self.app.state.note_start(&started).await?;
        Ok(started)
    }

    /// Notes that a start ended in an error, which doesn't count.
    ///
    /// # Errors
    /// The state store's failure.
    pub(crate) async fn forgive(&self, started: NotedRun) -> Result<(), Failure> {
        Ok(self.app.state.note_start(&started.forgiven()).await?)
    }
}
