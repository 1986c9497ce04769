//! The windows that a request asks for.

use super::facts::{Facts, List, Window};
use super::rows::Entry;
use crate::exchange::Ask;
use crate::zone::bounds;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

/// A window of a request: from the first moment on, before the last one.
pub(crate) struct Asked<'a> {
    date: &'a str,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Asked<'_> {
    pub(crate) fn holds(&self, entry: &Entry) -> bool {
        entry.date(self.date).is_some_and(|date| self.start <= date && date < self.end)
    }
}

/// The windows of a request, or why it is refused.
pub(crate) fn asked<'a>(facts: &Facts, list: &'a List, ask: &Ask) -> Result<Vec<Asked<'a>>, String> {
    let mut found = Vec::new();
    for window in &list.windows {
        let is_meant = window.when.as_ref().is_none_or(|(name, value)| ask.param(name) == Some(value));
        let bounds = (ask.all(&window.from), ask.all(&window.to));
        if !is_meant || (bounds.0.is_empty() && bounds.1.is_empty()) {
            continue;
        }
        // One parameter that comes twice holds both.
        let (from, to) = if window.from == window.to {
            (bounds.0.first().copied(), bounds.0.get(1).copied())
        } else {
            (bounds.0.first().copied(), bounds.1.first().copied())
        };
        let read = |text: Option<&str>, is_end| {
            let text = text.ok_or_else(|| format!("{} and {} go together", window.from, window.to))?;
            moment(facts, window, text, is_end).ok_or_else(|| format!("`{text}` isn't of the form {}", window.form))
        };
        let (start, end) = (read(from, false)?, read(to, true)?);
        let days = list.max_days.unwrap_or(i64::MAX / 100_000_000);
        // Days of an hour more, where summer time ends.
        if end < start || end - start > TimeDelta::days(days) + TimeDelta::hours(1) {
            return Err(format!("a window must have at most {days} days"));
        }
        found.push(Asked { date: &window.date, start, end });
    }
    if found.is_empty() && !list.windows.is_empty() {
        return Err("a window must be given".to_owned());
    }
    Ok(found)
}

/// The moment of a parameter; of an end that belongs to the window the moment behind it.
fn moment(facts: &Facts, window: &Window, text: &str, is_end: bool) -> Option<DateTime<Utc>> {
    let behind = is_end && window.inclusive;
    if window.form == "unix" {
        let at = DateTime::from_timestamp(text.parse().ok()?, 0)?;
        return Some(if behind { at + TimeDelta::seconds(1) } else { at });
    }
    let local = if window.form.contains("%H") {
        let at = NaiveDateTime::parse_from_str(text, &window.form).ok()?;
        if behind { at + TimeDelta::seconds(1) } else { at }
    } else {
        let day = NaiveDate::parse_from_str(text, &window.form).ok()?;
        let day = if behind { day.succ_opt()? } else { day };
        day.and_time(NaiveTime::MIN)
    };
    if window.utc {
        return Some(local.and_utc());
    }
    let (first, last) = bounds(local, facts.zone);
    Some(if is_end { last } else { first })
}
