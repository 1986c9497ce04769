//! When a network's streams are read by themselves: cron expressions in their zones, with what spreads their starts.

use std::collections::BTreeMap;

use chrono::{DateTime, Offset, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use sluice_model::Digest;

use crate::failure::Failure;
use crate::network::{Network, look_back_rules};
use crate::schedule::parse_cron;
use crate::settings::look_back::axes;
use crate::settings::schedule::{Missed, ScheduleSettings};

/// How long after its moment a start is still punctual: with `missed` none, what comes later is skipped.
const PUNCTUAL: TimeDelta = TimeDelta::minutes(5);

/// The moments at which something is read.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The cron expression.
    pub cron: String,
    /// Its zone.
    pub timezone: Tz,
    /// Whether missed moments are made up for.
    pub missed: Missed,
    parsed: Cron,
    /// How long after the expression's moments it is read.
    delay: TimeDelta,
}

impl Schedule {
    /// A cron expression in UTC.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn utc(cron: &str) -> Result<Self, String> {
        Self::of(cron, Tz::UTC, Missed::Last, TimeDelta::zero())
    }

    /// A cron expression in a zone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn in_zone(cron: &str, timezone: Tz) -> Result<Self, String> {
        Self::of(cron, timezone, Missed::Last, TimeDelta::zero())
    }

    fn of(cron: &str, timezone: Tz, missed: Missed, delay: TimeDelta) -> Result<Self, String> {
        Ok(Self { parsed: parse_cron(cron)?, cron: cron.to_owned(), timezone, missed, delay })
    }

    /// The first moment after `after`; none if it never comes. A local time that a change of the clocks leaves out is
    /// read at the first one after, one that comes twice at its first.
    pub fn next_moment(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = (after - self.delay).with_timezone(&self.timezone);
        // In the hour that comes a second time, croner 3.0 goes back to the first; after it, it doesn't.
        let mut starts = (0..3).map(|hours| after + TimeDelta::hours(hours));
        let next = starts.find_map(|start| self.next_by_croner(&start, &after))?;
        Some(next.to_utc() + self.delay)
    }

    fn next_by_croner(&self, start: &DateTime<Tz>, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let next = self.parsed.find_next_occurrence(start, false).ok();
        next.into_iter().chain(self.next_without_change(start)).filter(|moment| moment > after).min()
    }

    /// The next moment as if the clocks didn't change, if an expression for every hour names it: croner leaves out those
    /// of the hour that comes a second time.
    fn next_without_change(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        if !self.cron.split_whitespace().rev().nth(3)?.starts_with('*') {
            return None;
        }
        let unchanged = after.with_timezone(&after.offset().fix());
        let moment = self.parsed.find_next_occurrence(&unchanged, false).ok()?.with_timezone(&self.timezone);
        self.parsed.is_time_matching(&moment).ok()?.then_some(moment)
    }

    /// The first `most` moments after `after`.
    pub fn next_moments(&self, after: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        let after = after.with_nanosecond(0).unwrap_or(after);
        std::iter::successors(self.next_moment(after), |last| self.next_moment(*last)).take(most).collect()
    }

    /// Whether to read now: it named a moment since the last start, or there was none yet. With `missed` none only
    /// for some minutes.
    pub fn is_due(&self, now: DateTime<Utc>, last: Option<DateTime<Utc>>) -> bool {
        let Some(last) = last else { return true };
        let since = if self.missed == Missed::None { last.max(now - PUNCTUAL) } else { last };
        self.next_moment(since).is_some_and(|next| next <= now)
    }

    /// The expression, with its zone if that isn't UTC, and the delay.
    pub fn describe(&self) -> String {
        let mut text = self.cron.clone();
        if self.timezone != Tz::UTC {
            text.push_str(&format!(" {}", self.timezone));
        }
        if self.delay > TimeDelta::zero() {
            text.push_str(&format!(" + {} s", self.delay.num_seconds()));
        }
        text
    }
}

/// When each stream of a network is read by itself.
#[derive(Clone, Debug)]
pub struct Timetable {
    /// Of the streams that have none of their own.
    pub network: Schedule,
    /// Of the others.
    pub streams: BTreeMap<String, Schedule>,
}

impl Timetable {
    /// That of a network: the operator's, else its connector's.
    ///
    /// # Errors
    /// A settings failure for a schedule that is none or never comes, for one of a stream that isn't there, and for
    /// look-back rules by dates that no stream has.
    pub fn of(network: &Network) -> Result<Self, Failure> {
        let default = ScheduleSettings::default();
        let settings = network.settings.content.schedule.as_ref().unwrap_or(&default);
        let (manifest, file) = (network.manifest(), &network.settings.file);
        if let Some(unknown) = settings.streams.keys().find(|name| manifest.stream(name).is_none()) {
            let known: Vec<&str> = manifest.streams.iter().map(|stream| stream.name.as_str()).collect();
            let message = format!(
                "{file}: `schedule` names stream `{unknown}`, which connector `{}` doesn't have",
                manifest.network
            );
            return Err(Failure::settings(message).hint(format!("there are: {}", known.join(", "))));
        }
        let delay = jitter(&network.settings.name, settings.jitter);
        let zone = settings.timezone.unwrap_or(Tz::UTC);
        let schedule = |cron: &str, timezone| {
            let schedule = Schedule::of(cron, timezone, settings.missed, delay);
            let schedule =
                schedule.map_err(|reason| Failure::settings(format!("{file}: schedule \"{cron}\": {reason}")))?;
            match schedule.next_moment(Utc::now()) {
                Some(_) => Ok(schedule),
                None => Err(Failure::settings(format!("{file}: schedule \"{cron}\" never comes"))
                    .hint("set `schedule` in the network's file")),
            }
        };
        refuse_idle(network)?;
        let of_stream = |(name, of): (&String, &crate::settings::schedule::StreamSchedule)| {
            Ok((name.clone(), schedule(&of.cron, of.timezone.unwrap_or(zone))?))
        };
        Ok(Self {
            network: schedule(settings.cron.as_deref().unwrap_or(&manifest.schedule), zone)?,
            streams: settings.streams.iter().map(of_stream).collect::<Result<_, Failure>>()?,
        })
    }

    /// The stream's own schedule, else the network's.
    pub fn of_stream(&self, stream: &str) -> &Schedule {
        self.streams.get(stream).unwrap_or(&self.network)
    }

    /// All schedules, each with the stream that it is for; none for the streams without one of their own.
    pub fn schedules(&self) -> impl Iterator<Item = (Option<&str>, &Schedule)> {
        let streams = self.streams.iter().map(|(stream, schedule)| (Some(stream.as_str()), schedule));
        std::iter::once((None, &self.network)).chain(streams)
    }

    /// All of it in one line.
    pub fn describe(&self) -> String {
        let streams = self.streams.iter().map(|(stream, schedule)| format!("; {stream}: {}", schedule.describe()));
        self.network.describe() + &streams.collect::<String>()
    }

    /// The next moments of any stream, each once.
    pub fn next_moments(&self, after: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        let mut moments: Vec<_> =
            self.schedules().flat_map(|(_, schedule)| schedule.next_moments(after, most)).collect();
        moments.sort_unstable();
        moments.dedup();
        moments.truncate(most);
        moments
    }
}

/// Refuses look-back rules by dates that no stream can be read by: the schedule would read nothing.
fn refuse_idle(network: &Network) -> Result<(), Failure> {
    let rules = look_back_rules(network);
    let streams = &network.manifest().streams;
    if streams.iter().any(|stream| !axes(stream, &rules).is_empty()) {
        return Ok(());
    }
    let mut known: Vec<&str> = streams.iter().flat_map(|stream| &stream.axes).map(|axis| axis.name()).collect();
    known.sort_unstable();
    known.dedup();
    let message = format!("{}: no rule of look_back is by a date that a stream can be read by", network.settings.file);
    Err(Failure::settings(message).hint(format!("the connector's streams have: {}", known.join(", "))))
}

/// The share of `most_secs` that a network waits, by its name: always the same, and another for each network.
fn jitter(network: &str, most_secs: u32) -> TimeDelta {
    let hash = Digest::of(network.as_bytes()).to_hex();
    let number = u64::from_str_radix(&hash[..15], 16).unwrap_or_default();
    TimeDelta::seconds(i64::try_from(number % (u64::from(most_secs) + 1)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::selection::tests::at;

    fn schedule(cron: &str, zone: Tz, missed: Missed) -> Schedule {
        Schedule::of(cron, zone, missed, TimeDelta::zero()).unwrap()
    }

    fn moments(schedule: &Schedule, after: &str) -> Vec<String> {
        schedule.next_moments(at(after), 3).iter().map(|moment| moment.format("%d %H:%M").to_string()).collect()
    }

    #[test]
    fn hourly_is_due_once_an_hour() {
        let hourly = Schedule::utc("0 * * * *").unwrap();
        assert!(hourly.is_due(at("2026-01-01T10:00:00Z"), None));
        assert!(hourly.is_due(at("2026-01-01T10:00:00Z"), Some(at("2026-01-01T09:59:59Z"))));
        assert!(!hourly.is_due(at("2026-01-01T10:59:59Z"), Some(at("2026-01-01T10:00:00Z"))));
        assert!(
            Schedule::utc("61 * * * *").is_err() && Schedule::utc("0 * * *").is_err() && Schedule::utc("").is_err()
        );
    }

    #[test]
    fn a_time_of_day_follows_its_zone_through_both_changes_of_the_clocks() {
        let amsterdam = chrono_tz::Europe::Amsterdam;
        let morning = schedule("0 6 * * *", amsterdam, Missed::Last);
        assert_eq!(moments(&morning, "2026-03-27T12:00:00Z"), ["28 05:00", "29 04:00", "30 04:00"]);
        assert_eq!(moments(&morning, "2026-10-23T12:00:00Z"), ["24 04:00", "25 05:00", "26 05:00"]);
        // 02:30 isn't there on 29 March, and comes twice on 25 October.
        let night = schedule("30 2 * * *", amsterdam, Missed::Last);
        assert_eq!(moments(&night, "2026-03-28T12:00:00Z"), ["29 01:00", "30 00:30", "31 00:30"]);
        assert_eq!(moments(&night, "2026-10-24T12:00:00Z"), ["25 00:30", "26 01:30", "27 01:30"]);
        let hourly = schedule("0 * * * *", amsterdam, Missed::Last);
        assert_eq!(moments(&hourly, "2026-03-29T00:00:00Z"), ["29 01:00", "29 02:00", "29 03:00"]);
        assert_eq!(moments(&hourly, "2026-10-24T23:30:00Z"), ["25 00:00", "25 01:00", "25 02:00"]);
        assert_eq!(moments(&hourly, "2026-10-25T00:00:00Z"), ["25 01:00", "25 02:00", "25 03:00"]);
        // From within the hour's second pass.
        assert_eq!(moments(&night, "2026-10-25T01:10:00Z"), ["26 01:30", "27 01:30", "28 01:30"]);
        let quarters = schedule("*/15 * * * *", amsterdam, Missed::Last);
        assert_eq!(moments(&quarters, "2026-10-25T00:30:00Z"), ["25 00:45", "25 01:00", "25 01:15"]);
    }

    #[test]
    fn a_change_of_the_clocks_by_half_an_hour_is_followed_like_any_other() {
        // Lord Howe: from +11 to +10:30 on 5 April 2026 at 02:00, and back on 4 October.
        let lord_howe = chrono_tz::Australia::Lord_Howe;
        let morning = schedule("0 6 * * *", lord_howe, Missed::Last);
        assert_eq!(moments(&morning, "2026-04-03T00:00:00Z"), ["03 19:00", "04 19:30", "05 19:30"]);
        assert_eq!(moments(&morning, "2026-10-02T00:00:00Z"), ["02 19:30", "03 19:00", "04 19:00"]);
        // 01:45 comes twice on 5 April, and 02:15 isn't there on 4 October.
        let twice = schedule("45 1 * * *", lord_howe, Missed::Last);
        assert_eq!(moments(&twice, "2026-04-04T00:00:00Z"), ["04 14:45", "05 15:15", "06 15:15"]);
        assert_eq!(moments(&twice, "2026-04-04T15:00:00Z"), ["05 15:15", "06 15:15", "07 15:15"]);
        let skipped = schedule("15 2 * * *", lord_howe, Missed::Last);
        assert_eq!(moments(&skipped, "2026-10-02T16:00:00Z"), ["03 15:30", "04 15:15", "05 15:15"]);
        let quarters = schedule("*/15 * * * *", lord_howe, Missed::Last);
        assert_eq!(moments(&quarters, "2026-04-04T14:40:00Z"), ["04 14:45", "04 15:00", "04 15:15"]);
    }

    #[test]
    fn a_moment_that_was_missed_counts_unless_none_shall() {
        let (last, now) = (Some(at("2026-01-01T04:00:00Z")), at("2026-01-01T10:30:00Z"));
        for (missed, due) in [(Missed::All, true), (Missed::Last, true), (Missed::None, false)] {
            let hourly = schedule("0 * * * *", Tz::UTC, missed);
            assert_eq!(hourly.is_due(now, last), due, "{missed:?}");
            assert!(hourly.is_due(at("2026-01-01T11:00:10Z"), last), "{missed:?}: in time");
        }
    }

    #[test]
    fn a_network_always_waits_the_same_share_of_the_jitter() {
        let delays: Vec<i64> = ["awin", "cj", "impact"].iter().map(|name| jitter(name, 300).num_seconds()).collect();
        assert!(delays.iter().all(|secs| (0..=300).contains(secs)), "{delays:?}");
        assert!(delays[0] != delays[1] && delays[1] != delays[2], "{delays:?}");
        assert_eq!(jitter("awin", 300).num_seconds(), delays[0]);
        assert_eq!(jitter("awin", 0), TimeDelta::zero());
        let late = Schedule::of("0 * * * *", Tz::UTC, Missed::Last, TimeDelta::seconds(90)).unwrap();
        assert!(!late.is_due(at("2026-01-01T10:01:29Z"), Some(at("2026-01-01T09:30:00Z"))));
        assert!(late.is_due(at("2026-01-01T10:01:30Z"), Some(at("2026-01-01T09:30:00Z"))));
        assert_eq!(late.describe(), "0 * * * * + 90 s");
    }

    #[test]
    fn some_schedules_never_come() {
        assert!(Schedule::utc("0 0 30 2 *").unwrap().next_moments(at("2026-01-01T00:00:00Z"), 3).is_empty());
        assert_eq!(Schedule::utc("0 0 29 2 *").unwrap().next_moments(at("2026-01-01T00:00:00Z"), 1).len(), 1);
    }

    #[test]
    fn a_day_of_the_month_or_of_the_week_is_enough() {
        let either = Schedule::utc("0 6 1 * MON").unwrap();
        let days = either.next_moments(at("2026-11-29T03:00:00Z"), 4);
        let days: Vec<String> = days.iter().map(|at| at.format("%a %d %H").to_string()).collect();
        assert_eq!(days, ["Mon 30 06", "Tue 01 06", "Mon 07 06", "Mon 14 06"]);
    }
}
