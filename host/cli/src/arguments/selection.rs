//! What a command line selects.

use chrono::{DateTime, Utc};
use sluice_runtime::failure::Failure;
use sluice_runtime::selection::PartText;
use sluice_state::Selection;

use super::PartArgs;

impl PartArgs {
    /// What the arguments select at `now`.
    ///
    /// # Errors
    /// A usage failure for a text that is not a time or an axis.
    pub(crate) fn selection(&self, now: DateTime<Utc>) -> Result<Selection, Failure> {
        let Self { account, stream, since, until, axis } = self;
        let text = PartText {
            account: account.as_deref(),
            stream: stream.as_deref(),
            axis: axis.as_deref(),
            since: since.as_deref(),
            until: until.as_deref(),
        };
        text.selection(now)
    }
}
