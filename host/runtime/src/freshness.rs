//! Whether what was read is as fresh as the schedule wants it: pure functions of a moment.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use sluice_model::{Axis, Stream};

use crate::app::Network;
use crate::failure::Failure;
use crate::schedule::{names_two_days, next_moment, next_moments, parse_cron};
use crate::settings::network::LookBackRule;
use crate::slices::look_back_rules;
use crate::text::span;

/// When a network is read by itself.
///
/// # Errors
/// A settings failure for a schedule that never comes, and for look-back rules by dates that no stream has.
pub fn schedule(network: &Network) -> Result<Cron, Failure> {
    let (text, file) = (schedule_text(network), &network.settings.file);
    let cron = parse_cron(text).map_err(Failure::settings)?;
    if next_moment(&cron, Utc::now()).is_none() {
        let message = format!("{file}: schedule \"{text}\" of connector `{}` never comes", network.manifest().network);
        return Err(Failure::settings(message).hint("set `schedule` in the network's file"));
    }
    let rules = look_back_rules(network);
    if network.manifest().streams.iter().all(|stream| axes(stream, &rules).is_empty()) {
        let known = network.manifest().streams.iter().flat_map(|stream| &stream.axes).map(|axis| axis.name());
        let known: BTreeSet<&str> = known.collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Failure::settings(format!(
            "{file}: no rule of look_back is by a date that a stream can be read by"
        ))
        .hint(format!("the connector's streams have: {known}")));
    }
    Ok(cron)
}

/// The cron expression of a network: the operator's, else the connector's.
pub fn schedule_text(network: &Network) -> &str {
    network.settings.content.schedule.as_ref().unwrap_or(&network.manifest().schedule)
}

/// What an operator may not have meant by a schedule that is possible.
pub fn schedule_notes(text: &str, cron: &Cron, rules: &[LookBackRule], now: DateTime<Utc>) -> Vec<String> {
    let mut notes = Vec::new();
    if names_two_days(text) {
        notes.push("day of month and day of week are both set: either is enough, as in POSIX cron".to_owned());
    }
    let gap = match next_moments(cron, now, 2)[..] {
        [first, second] => (second - first).num_seconds(),
        _ => return notes,
    };
    let every = rules.iter().map(|rule| i64::from(rule.every)).min().unwrap_or_default();
    if every >= 2 * gap {
        notes.push(format!(
            "most moments read nothing: the schedule comes every {}, and no rule of look_back is due more often than \
             every {}",
            span(gap),
            span(every)
        ));
    }
    notes
}

/// When something that was read at `read_at` counts as stale: the schedule has named two further moments, and the
/// rule that reads it has come due twice. None if the schedule never comes.
pub fn stale_at(cron: &Cron, every_secs: u32, read_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let second = next_moment(cron, next_moment(cron, read_at)?)?;
    Some(second.max(read_at + TimeDelta::seconds(2 * i64::from(every_secs))))
}

/// The dates that look-back rules read a stream by, and how often each: the most frequent rule counts.
pub fn axes(stream: &Stream, rules: &[LookBackRule]) -> Vec<(Axis, u32)> {
    let default = stream.axes.first().copied().unwrap_or(Axis::None);
    let mut axes: Vec<(Axis, u32)> = Vec::new();
    for rule in rules {
        let axis = rule.axis.unwrap_or(default);
        // A rule on a date that this stream doesn't have is for another stream.
        if !stream.axes.contains(&axis) {
            continue;
        }
        match axes.iter_mut().find(|(known, _)| *known == axis) {
            Some((_, every)) => *every = rule.every.min(*every),
            None => axes.push((axis, rule.every)),
        }
    }
    axes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    fn stale(cron: &str, every_secs: u32, read_at: &str) -> String {
        let read_at = read_at.parse().unwrap();
        stale_at(&parse_cron(cron).unwrap(), every_secs, read_at).unwrap().to_rfc3339()
    }

    #[test]
    fn two_periods_may_pass() {
        assert_eq!(stale("0 * * * *", 3_600, "2026-01-05T10:00:30Z"), "2026-01-05T12:00:30+00:00");
        assert_eq!(stale("0 * * * *", 86_400, "2026-01-05T10:00:30Z"), "2026-01-07T10:00:30+00:00");
    }

    #[test]
    fn a_schedule_that_mostly_reads_nothing_is_noted() {
        let notes = |text: &str, every: u32| {
            let rules = [LookBackRule { every, days: 3, axis: None }];
            schedule_notes(text, &parse_cron(text).unwrap(), &rules, "2026-01-02T09:01:00Z".parse().unwrap())
        };
        assert_eq!(notes("0 * * * *", 3_600), Vec::<String>::new());
        assert!(
            notes("0 * * * *", 86_400)[0]
                .contains("every 1 h, and no rule of look_back is due more often than every 1 d")
        );
        assert!(notes("0 6 1 * MON", 3_600)[0].contains("either is enough"));
    }

    #[test]
    fn a_weekend_without_a_schedule_is_no_staleness() {
        // A Friday; the moments after it are Monday's and Tuesday's.
        assert_eq!(stale("0 9 * * 1-5", 3_600, "2026-01-02T09:01:00Z"), "2026-01-06T09:00:00+00:00");
    }
}
