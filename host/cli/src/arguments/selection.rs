//! What a command line selects.

use chrono::{DateTime, Utc};
use sluice_model::Window;
use sluice_runtime::failure::Failure;
use sluice_runtime::selection::{PartText, window};
use sluice_state::Selection;

use super::{PartArgs, ScopeArgs, WindowArgs};

impl PartArgs {
    /// What the arguments select at `now`.
    ///
    /// # Errors
    /// A usage failure for a text that is not a time or an axis.
    pub(crate) fn selection(&self, now: DateTime<Utc>) -> Result<Selection, Failure> {
        let Self { scope: ScopeArgs { account, stream }, since, until, axis } = self;
        PartText { account, stream, axis, since, until }.selection(now)
    }
}

impl WindowArgs {
    /// What the arguments select; none without `--since`.
    ///
    /// # Errors
    /// A usage failure for a text that is not a time, or for an empty window.
    pub(crate) fn window(&self, now: DateTime<Utc>) -> Result<Option<Window>, Failure> {
        window(self.since.as_deref(), self.until.as_deref(), now)
    }
}
