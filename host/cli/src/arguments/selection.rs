//! What a command line selects: times, windows and axes.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sluice_model::{Axis, Window};
use sluice_runtime::failure::Failure;
use sluice_state::Selection;

use super::PartArgs;

impl PartArgs {
    /// What the arguments select at `now`.
    ///
    /// # Errors
    /// A usage failure for a text that is not a time or an axis.
    pub(crate) fn selection(&self, now: DateTime<Utc>) -> Result<Selection, Failure> {
        // An empty window is refused before anything else is checked.
        window(self.since.as_deref(), self.until.as_deref(), now)?;
        Ok(Selection {
            account: self.account.clone(),
            stream: self.stream.clone(),
            axis: self.axis.as_deref().map(axis).transpose()?,
            since: self.since.as_deref().map(moment).transpose()?,
            until: self.until.as_deref().map(moment).transpose()?,
            ..Selection::default()
        })
    }
}

/// The window that `--since` and `--until` name.
///
/// # Errors
/// A usage failure for a text that is not a time, or for an empty window.
pub(crate) fn window(since: Option<&str>, until: Option<&str>, now: DateTime<Utc>) -> Result<Option<Window>, Failure> {
    let Some(since) = since.map(moment).transpose()? else { return Ok(None) };
    let until = until.map(moment).transpose()?.unwrap_or(now);
    if since >= until {
        return Err(
            Failure::usage(format!("the window {since} to {until} is empty")).hint("--since must be before --until")
        );
    }
    Ok(Some(Window { since, until }))
}

fn moment(text: &str) -> Result<DateTime<Utc>, Failure> {
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc()).or_else(day).ok_or_else(|| {
        Failure::usage(format!("`{text}` is not a time")).hint("write 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}

fn axis(text: &str) -> Result<Axis, Failure> {
    [Axis::Transaction, Axis::Modified, Axis::Validation, Axis::Payment, Axis::None]
        .into_iter()
        .find(|axis| axis.name() == text)
        .ok_or_else(|| {
            Failure::usage(format!("`{text}` is not an axis"))
                .hint("write transaction, modified, validation or payment")
        })
}
