//! Windows and slices: the unit of collecting.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::manifest::{Axis, Grain};

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
    /// Both halves; none if the window is one unit of `grain` or less.
    ///
    /// With [`Grain::Second`] they are cut at a whole second, with [`Grain::Day`] at the start of a day in `zone`: a
    /// network that knows only days answers both halves of a day with the whole day.
    pub fn split_in_half(&self, grain: Grain, zone: Tz) -> Option<(Self, Self)> {
        let middle = self.since + TimeDelta::seconds((self.until - self.since).num_seconds() / 2);
        let cut = match grain {
            Grain::Second => middle,
            Grain::Day => {
                let day = middle.with_timezone(&zone).date_naive();
                let next = day.checked_add_days(Days::new(1))?;
                let inside =
                    [day, next].map(|day| start_of_day(zone, day)).into_iter().filter(|cut| self.is_inside(*cut));
                inside.min_by_key(|cut| (*cut - middle).abs())?
            }
        };
        self.is_inside(cut).then_some((Self { since: self.since, until: cut }, Self { since: cut, until: self.until }))
    }

    /// The part that two windows share; none if they share no moment.
    pub fn intersection(&self, other: Self) -> Option<Self> {
        let (since, until) = (self.since.max(other.since), self.until.min(other.until));
        (since < until).then_some(Self { since, until })
    }

    fn is_inside(&self, moment: DateTime<Utc>) -> bool {
        self.since < moment && moment < self.until
    }

    /// The part of the window that could be read when the first request was sent at `sent_at` and the network keeps
    /// nothing before `kept_since`; none if it holds no such moment.
    ///
    /// Later moments hadn't come, so a response can't have all of them. Earlier ones are empty because the network no
    /// longer has them.
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

/// The first moment of a day in a zone; where its midnight or all of it is skipped, the first moment after that.
pub fn start_of_day(zone: Tz, day: NaiveDate) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    // The longest gap is a day that Samoa skipped in 2011.
    (0..=52)
        .find_map(|hours| zone.from_local_datetime(&(midnight + TimeDelta::minutes(30 * hours))).earliest())
        .map_or_else(|| midnight.and_utc(), |local| local.to_utc())
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
    /// The window: since ≤ t < until.
    pub window: Window,
    /// The stream's IANA zone.
    pub timezone: Tz,
    /// The date that the window filters on.
    pub axis: Axis,
    /// The cursor that an earlier slice's connector returned.
    pub cursor: Option<String>,
}

/// The account's setting that says in which zone the network cuts reporting days.
pub const TIMEZONE_SETTING: &str = "timezone";

impl Slice {
    /// The zone in which the network cuts the account's reporting days, where the operator says it.
    pub fn reporting_zone(&self) -> Option<Tz> {
        let (_, zone) = self.settings.iter().find(|(name, _)| name == TIMEZONE_SETTING)?;
        zone.parse().ok()
    }

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
    use proptest::prelude::*;

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

    fn split_text(text: &str, grain: Grain, zone: Tz) -> Option<[String; 2]> {
        window(text).split_in_half(grain, zone).map(|(first, second)| [first, second].map(|half| half.to_string()))
    }

    #[test]
    fn a_window_of_a_second_can_not_be_halved() {
        assert_eq!(split_text("2026-01-01T00:00:00Z/2026-01-01T00:00:01Z", Grain::Second, Tz::UTC), None);
    }

    #[test]
    fn days_are_halved_at_the_start_of_a_local_day() {
        let amsterdam = Tz::Europe__Amsterdam;
        let three = split_text("2026-01-09T23:00:00Z/2026-01-12T23:00:00Z", Grain::Day, amsterdam);
        let cut = "2026-01-10T23:00:00Z";
        assert_eq!(three, Some([format!("2026-01-09T23:00:00Z/{cut}"), format!("{cut}/2026-01-12T23:00:00Z")]));
        // Two days of which one has 23 hours: the middle is inside the longer one.
        let spring = split_text("2026-03-27T23:00:00Z/2026-03-29T22:00:00Z", Grain::Day, amsterdam);
        let cut = "2026-03-28T23:00:00Z";
        assert_eq!(spring, Some([format!("2026-03-27T23:00:00Z/{cut}"), format!("{cut}/2026-03-29T22:00:00Z")]));
    }

    #[test]
    fn a_single_day_is_never_halved() {
        let halved = |text, zone| split_text(text, Grain::Day, zone);
        assert_eq!(halved("2026-01-09T23:00:00Z/2026-01-10T23:00:00Z", Tz::Europe__Amsterdam), None);
        // 25 hours, and a day that begins at one.
        assert_eq!(halved("2026-10-24T22:00:00Z/2026-10-25T23:00:00Z", Tz::Europe__Amsterdam), None);
        assert_eq!(halved("2018-11-04T03:00:00Z/2018-11-05T02:00:00Z", Tz::America__Sao_Paulo), None);
        assert_eq!(halved("2026-01-10T05:00:00Z/2026-01-10T17:00:00Z", Tz::UTC), None);
    }

    proptest! {
        #[test]
        fn halves_are_whole_days_down_to_single_days(
            days in 1_u64..40, from in 0_u64..12_000, zone in proptest::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        ) {
            let first = NaiveDate::from_ymd_opt(1995, 1, 1).expect("a day");
            let start = |day: u64| start_of_day(zone, first + Days::new(from + day));
            let bounds: Vec<_> = (0..=days).map(start).collect();
            let mut windows = vec![Window { since: bounds[0], until: bounds[days as usize] }];
            let mut single = Vec::new();
            while let Some(window) = windows.pop() {
                match window.split_in_half(Grain::Day, zone) {
                    Some((first, second)) => windows.extend([second, first]),
                    None => single.push((window.since, window.until)),
                }
            }
            // A zone may have skipped a day: Samoa the 30th of December 2011.
            let wanted: Vec<_> = bounds.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| a < b).collect();
            prop_assert_eq!(single, wanted);
        }
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
