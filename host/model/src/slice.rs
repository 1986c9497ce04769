//! Windows and slices: the unit of collecting.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::manifest::Axis;

/// Half-open: since ≤ t < until, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// First moment.
    pub since: DateTime<Utc>,
    /// First moment after.
    pub until: DateTime<Utc>,
}

/// A text that is no window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowError(String);

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no window `since/until` of RFC 3339 times with since < until", self.0)
    }
}

impl std::error::Error for WindowError {}

impl Window {
    /// Both halves, cut at a whole second; none if it is too short.
    pub fn split_in_half(&self) -> Option<(Self, Self)> {
        let middle = self.since + TimeDelta::seconds((self.until - self.since).num_seconds() / 2);
        (middle > self.since && middle < self.until)
            .then_some((Self { since: self.since, until: middle }, Self { since: middle, until: self.until }))
    }

    /// What of the window could be read of a network that was first asked at `sent_at` and keeps nothing before
    /// `kept_since`; none if it holds no such moment.
    ///
    /// Later moments hadn't come: whatever the answer says of them isn't all that will happen. Earlier ones are empty
    /// because the network has forgotten them.
    pub fn readable(&self, sent_at: DateTime<Utc>, kept_since: Option<DateTime<Utc>>) -> Option<Self> {
        let since = kept_since.map_or(self.since, |kept_since| kept_since.max(self.since));
        let until = self.until.min(sent_at);
        (since < until).then_some(Self { since, until })
    }

    /// The window in pieces of at most `max_secs`, oldest first.
    pub fn pieces(&self, max_secs: Option<u32>) -> Vec<Self> {
        let Some(max) = max_secs.filter(|secs| *secs > 0) else { return vec![*self] };
        let mut pieces = Vec::new();
        let mut since = self.since;
        while since < self.until {
            let until = self.until.min(since + TimeDelta::seconds(i64::from(max)));
            pieces.push(Self { since, until });
            since = until;
        }
        pieces
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "{}/{}", text(self.since), text(self.until))
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let moment = |part: &str| DateTime::parse_from_rfc3339(part).ok().map(|t| t.to_utc());
        text.split_once('/')
            .and_then(|(since, until)| Some(Self { since: moment(since)?, until: moment(until)? }))
            .filter(|window| window.since < window.until)
            .ok_or_else(|| WindowError(text.to_owned()))
    }
}

/// What to read: one stream of one account over one window, filtered on one date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream's name.
    pub stream: String,
    /// The account's settings, defaults filled in, sorted by name.
    pub settings: Vec<(String, String)>,
    /// The window.
    pub window: Window,
    /// The stream's IANA zone.
    pub timezone: Tz,
    /// The date that the window filters on.
    pub axis: Axis,
    /// What an earlier slice asked to keep.
    pub cursor: Option<String>,
}

impl Slice {
    /// Names the slice among all: `awin/uk/transactions/transaction/<since>/<until>`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}/{}/{}", self.network, self.account, self.stream, self.axis.name(), self.window)
    }

    /// The window's bounds as wall-clock readings in the stream's zone.
    pub fn local_window(&self) -> (NaiveDateTime, NaiveDateTime) {
        let local = |t: DateTime<Utc>| t.with_timezone(&self.timezone).naive_local();
        (local(self.window.since), local(self.window.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Window {
        text.parse().expect("a window")
    }

    #[test]
    fn pieces_cover_the_window_without_overlap() {
        let whole = window("2026-01-01T00:00:00Z/2026-03-05T12:00:00Z");
        let pieces = whole.pieces(Some(31 * 86_400));
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[0].since, whole.since);
        assert_eq!(pieces[2].until, whole.until);
        assert!(pieces.windows(2).all(|pair| pair[0].until == pair[1].since));
    }

    #[test]
    fn a_window_of_a_second_can_not_be_halved() {
        assert_eq!(window("2026-01-01T00:00:00Z/2026-01-01T00:00:01Z").split_in_half(), None);
    }

    #[test]
    fn a_window_is_readable_as_far_as_its_moments_had_come_and_are_kept() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a moment");
        let day = window("2026-03-05T00:00:00Z/2026-03-06T00:00:00Z");
        let noon = at("2026-03-05T12:00:00Z");
        assert_eq!(day.readable(noon, None), Some(window("2026-03-05T00:00:00Z/2026-03-05T12:00:00Z")));
        assert_eq!(day.readable(day.until, None), Some(day));
        assert_eq!(day.readable(at("2026-04-01T00:00:00Z"), Some(at("2026-03-01T00:00:00Z"))), Some(day));
        let kept = day.readable(at("2026-03-19T06:00:00Z"), Some(at("2026-03-05T06:00:00Z")));
        assert_eq!(kept, Some(window("2026-03-05T06:00:00Z/2026-03-06T00:00:00Z")));
        assert_eq!(day.readable(day.since, None), None, "all of it is still to come");
        assert_eq!(day.readable(at("2026-04-01T00:00:00Z"), Some(day.until)), None, "all of it is forgotten");
    }

    #[test]
    fn backward_windows_are_refused() {
        assert!("2026-02-01T00:00:00Z/2026-01-01T00:00:00Z".parse::<Window>().is_err());
    }
}
