//! What an operator selects, as text: times, windows and dates to filter on.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sluice_model::{Axis, Window};
use sluice_state::Selection;

use crate::failure::Failure;
use crate::settings::network::Account;

/// A part of a network as texts, as a command line or the body of a request holds them.
#[derive(Clone, Copy, Debug)]
pub struct PartText<'a> {
    /// Only this account.
    pub account: &'a Option<String>,
    /// Only this stream.
    pub stream: &'a Option<String>,
    /// Only this date.
    pub axis: &'a Option<String>,
    /// Start of the window.
    pub since: &'a Option<String>,
    /// End of the window.
    pub until: &'a Option<String>,
}

impl PartText<'_> {
    /// What the texts select at `now`.
    ///
    /// # Errors
    /// A usage failure for a text that is not a time or an axis.
    pub fn selection(&self, now: DateTime<Utc>) -> Result<Selection, Failure> {
        let (since, until) = (self.since.as_deref(), self.until.as_deref());
        // An empty window is refused before anything else is checked.
        window(since, until, now)?;
        Ok(Selection {
            account: self.account.clone(),
            stream: self.stream.clone(),
            axis: self.axis.as_deref().map(axis).transpose()?,
            since: since.map(moment).transpose()?,
            until: until.map(moment).transpose()?,
            ..Selection::default()
        })
    }
}

/// The window from `since` to `until`, or to `now`; none without `since`.
///
/// # Errors
/// A usage failure for a text that is not a time, or for an empty window.
pub fn window(since: Option<&str>, until: Option<&str>, now: DateTime<Utc>) -> Result<Option<Window>, Failure> {
    let Some(since) = since.map(moment).transpose()? else { return Ok(None) };
    let until = until.map(moment).transpose()?.unwrap_or(now);
    if since >= until {
        return Err(
            Failure::usage(format!("the window {since} to {until} is empty")).hint("--since must be before --until")
        );
    }
    Ok(Some(Window { since, until }))
}

/// A moment: a day or RFC 3339, in UTC.
///
/// # Errors
/// A usage failure for another text.
pub fn moment(text: &str) -> Result<DateTime<Utc>, Failure> {
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

/// Whether a selection has an account.
pub(crate) fn selects(selection: &Selection, account: &Account) -> bool {
    let has = |ids: &[String]| ids.iter().any(|id| id == account.id());
    selection.account.as_ref().is_none_or(|name| *name == account.name || *name == account.id())
        && (selection.accounts.is_empty() || has(&selection.accounts))
        && !has(&selection.without_accounts)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A moment, as tests of this crate write it.
    pub(crate) fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_may_not_be_empty() {
        let now = at("2026-02-01T00:00:00Z");
        let january = Window { since: at("2026-01-01T00:00:00Z"), until: now };
        assert_eq!(window(Some("2026-01-01"), None, now).ok().flatten(), Some(january));
        assert!(window(Some("2026-02-01"), None, now).is_err());
        assert_eq!(window(None, None, now).ok().flatten(), None);
    }
}
