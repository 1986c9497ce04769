//! Adaptive re-reading: a look-back rule with a budget reads those windows in which the ledger lets expect changes.
//!
//! The ledger says how often rows of an age, advertiser and status still changed (`rates.rs`), and which rows each window
//! has; `meta.coverage` says when each was last read and what reading it takes. What a budget is spent on is chosen by a pure
//! function (`choice.rs`).
//!
//! Claims:
//! 1. A rule spends at most its `requests` on each moment, whoever reads what of it, as far as past reads of a stream tell what a
//!    window takes. Only a window that is overdue and takes more than there is at once is read all the same, if nothing else is.
//! 2. Each window of the rule's days is read at least once in `at_least_every`, if the budget suffices; if not, the run
//!    says how many are left over.
//! 3. It reads more and never less: what other rules read doesn't depend on it.

pub mod choice;
pub mod evidence;
pub mod rates;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Axis, Stream, Window};
use sluice_query::Session;
use sluice_state::Selection;

use crate::failure::Failure;
use crate::network::{Network, look_back_rules};
use crate::selection::selects;
use crate::settings::limits::LimitsSettings;
use crate::settings::look_back::{Budget, LookBackRule};
use crate::settings::network::Account;
use crate::text::span;
use choice::{Choice, Reason, choose};

/// The date that an adaptive rule reads by: its windows hold the same rows whenever they are read.
pub const AXIS: Axis = Axis::Transaction;
/// Days of a window that is chosen as one, unless the network answers only for shorter ones.
const WINDOW_DAYS: i64 = 7;

/// A window that an adaptive rule reads.
pub struct AdaptiveRead {
    /// The account's id.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// What is read again.
    pub window: Window,
    /// Why it is read, for a person.
    pub why: String,
}

/// What the adaptive rules of a selection read now, and a sentence for each whose budget doesn't suffice. Nothing for a
/// selection with a window of its own.
///
/// # Errors
/// A failure of the lake.
pub async fn reads(
    lake: &sluice_lake::Lake,
    limits: &LimitsSettings,
    network: &Network,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<(Vec<AdaptiveRead>, Vec<String>), Failure> {
    let rules = look_back_rules(network);
    let adaptive = rules.iter().filter_map(|rule| Some((rule, rule.budget()?)));
    let wanted = adaptive.filter(|(rule, _)| {
        selection.window(now).is_none()
            && selection.axis.is_none_or(|axis| axis == AXIS)
            && selection.rules.as_ref().is_none_or(|keys| keys.contains(&rule.key()))
    });
    let wanted: Vec<(&LookBackRule, Budget)> = wanted.collect();
    let (mut reads, mut left_out) = (Vec::new(), Vec::new());
    if wanted.is_empty() {
        return Ok((reads, left_out));
    }
    let session = Session::open(lake.clone(), lake.tables().await?, limits.queries_of_a_run())?;
    for (rule, budget) in wanted {
        let days = Days { first: day_number(now) - i64::from(rule.days), last: day_number(now) };
        let evidence = evidence::Evidence::read(&session, &network.manifest().network, days, now).await?;
        let every = TimeDelta::seconds(budget.at_least_every.into());
        let candidates = evidence.candidates(&units(network, selection, days, now), now, every);
        let requests = share(budget.requests, network, selection);
        let Choice { chosen, left_overdue } = choose(candidates, requests, every, now);
        if left_overdue > 0 {
            left_out.push(format!(
                "{left_overdue} windows of {} d were not read for {} and have no place in {} requests: raise `requests` of \
                 that rule of look_back, or its `at_least_every`",
                rule.days,
                span(every.num_seconds()),
                requests
            ));
        }
        reads.extend(chosen.into_iter().map(|(candidate, reason)| AdaptiveRead {
            account: candidate.account,
            stream: candidate.stream,
            window: candidate.window,
            why: describe(&reason, now),
        }));
    }
    Ok((joined(reads), left_out))
}

/// What of a budget is for a run of some of the network's accounts. Runs that have each account once have the budget together.
fn share(requests: u32, network: &Network, selection: &Selection) -> u32 {
    let all: Vec<&str> = network.settings.content.accounts.iter().map(Account::id).collect();
    share_of(requests, &all, &selection.accounts)
}

fn share_of(requests: u32, all: &[&str], part: &[String]) -> u32 {
    if part.is_empty() {
        return requests;
    }
    // Each account has what rounding down leaves between it and the one before.
    let up_to = |place: usize| u64::from(requests) * place as u64 / (all.len().max(1) as u64);
    let places = all.iter().enumerate().filter(|(_, id)| part.iter().any(|account| account == *id));
    let share: u64 = places.map(|(place, _)| up_to(place + 1) - up_to(place)).sum();
    u32::try_from(share).unwrap_or(requests)
}

fn describe(reason: &Reason, now: DateTime<Utc>) -> String {
    let last = |read_at: &Option<DateTime<Utc>>| match read_at {
        Some(read_at) => {
            let secs = (now - *read_at).num_seconds();
            let unit = [86_400, 3_600, 60].into_iter().find(|unit| secs >= 2 * unit).unwrap_or(1);
            format!("last read {} ago", span(secs - secs % unit))
        }
        None => "never read".to_owned(),
    };
    match reason {
        Reason::Overdue { read_at: None } => "not all of it was ever read".to_owned(),
        Reason::Overdue { read_at } => format!("overdue: {}", last(read_at)),
        Reason::Expected { changes, rows, read_at } => {
            format!("{changes:.2} changes expected in {rows} rows, {}", last(read_at))
        }
    }
}

/// Days by their number since 1970, both inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    /// The first one.
    pub first: i64,
    /// The last one.
    pub last: i64,
}

/// The number of a moment's day in UTC since 1970.
pub fn day_number(moment: DateTime<Utc>) -> i64 {
    moment.timestamp().div_euclid(86_400)
}

/// The beginning of a day in UTC.
pub fn day_start(number: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(number * 86_400, 0).unwrap_or(DateTime::UNIX_EPOCH)
}

/// A window that is read as one, by its days.
pub struct Unit<'a> {
    /// The account's id.
    pub account: &'a str,
    /// The stream, by its name in the manifest.
    pub stream: &'a str,
    /// Its first and last day, in UTC.
    pub days: Days,
}

impl Unit<'_> {
    /// The window, which ends with `now` at the latest.
    fn window(&self, now: DateTime<Utc>) -> Window {
        Window { since: day_start(self.days.first), until: day_start(self.days.last + 1).min(now) }
    }
}

/// Days of a window of a stream that is chosen as one.
fn unit_days(stream: &Stream) -> i64 {
    stream.max_window_secs.map_or(WINDOW_DAYS, |secs| (i64::from(secs) / 86_400).clamp(1, WINDOW_DAYS))
}

/// The most that each adaptive rule may read at once of each account and stream: its budget is for all of them together.
pub fn widest(network: &Network, now: DateTime<Utc>) -> Vec<AdaptiveRead> {
    let rules = look_back_rules(network);
    let budgets: Vec<_> = rules.iter().filter_map(|rule| Some((rule.days, rule.budget()?.requests))).collect();
    let streams = network.manifest().streams.iter().filter(|stream| stream.axes.contains(&AXIS));
    let mut widest = Vec::new();
    for stream in streams {
        for (days, requests) in &budgets {
            let chosen = unit_days(stream).saturating_mul(i64::from(*requests)).min(i64::from(*days));
            let window = Window { since: now - TimeDelta::days(chosen), until: now };
            widest.extend(network.settings.content.accounts.iter().map(|account| AdaptiveRead {
                account: account.id().to_owned(),
                stream: stream.name.clone(),
                window,
                why: String::new(),
            }));
        }
    }
    widest
}

/// The windows into which days are cut for each account and stream of a selection. They begin at the same days whenever
/// they are made.
fn units<'a>(network: &'a Network, selection: &Selection, days: Days, now: DateTime<Utc>) -> Vec<Unit<'a>> {
    let streams = network.manifest().streams.iter().filter(|stream| {
        stream.axes.contains(&AXIS)
            && selection.stream.as_ref().is_none_or(|name| *name == stream.name)
            && !selection.without_streams.contains(&stream.name)
    });
    let streams: Vec<&Stream> = streams.collect();
    let accounts = network.settings.content.accounts.iter().filter(|account| selects(selection, account));
    let mut units = Vec::new();
    for account in accounts {
        for stream in &streams {
            let most = unit_days(stream);
            let kept = stream.history_days.map_or(days.first, |kept| day_number(now) - i64::from(kept) + 1);
            let first = days.first.max(kept);
            let mut begin = first - first.rem_euclid(most);
            while begin <= days.last {
                let unit = Days { first: begin.max(first), last: (begin + most - 1).min(days.last) };
                units.push(Unit { account: account.id(), stream: &stream.name, days: unit });
                begin += most;
            }
        }
    }
    units
}

/// The windows of reads that touch each other, joined: fewer requests for the same rows.
fn joined(reads: Vec<AdaptiveRead>) -> Vec<AdaptiveRead> {
    let mut by_stream: BTreeMap<(String, String), Vec<AdaptiveRead>> = BTreeMap::new();
    for read in reads {
        by_stream.entry((read.account.clone(), read.stream.clone())).or_default().push(read);
    }
    let mut joined: Vec<AdaptiveRead> = Vec::new();
    for mut reads in by_stream.into_values() {
        reads.sort_by_key(|read| read.window);
        let start = joined.len();
        for read in reads {
            match joined[start..].last_mut().filter(|last| last.window.until == read.window.since) {
                Some(last) => {
                    last.window.until = read.window.until;
                    if last.why != read.why {
                        last.why = format!("{}; {}", last.why, read.why);
                    }
                }
                None => joined.push(read),
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_network_have_its_budget_together() {
        let ids: Vec<String> = (0..50).map(|number| format!("a{number}")).collect();
        let all: Vec<&str> = ids.iter().map(String::as_str).collect();
        for budget in [0, 1, 6, 49, 50, 51, 1_000, u32::MAX] {
            for parts in [1, 2, 6, 50] {
                let part = |part: usize| ids.iter().skip(part).step_by(parts).cloned().collect::<Vec<_>>();
                let shares: Vec<u32> = (0..parts).map(|of| share_of(budget, &all, &part(of))).collect();
                let sum: u64 = shares.iter().copied().map(u64::from).sum();
                assert_eq!(sum, u64::from(budget), "{parts} parts: {shares:?}");
            }
            assert_eq!(share_of(budget, &all, &[]), budget, "a run of all accounts");
        }
    }
}
