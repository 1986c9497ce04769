//! Which windows a budget of requests is spent on: a pure function of what is known of them.

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::Window;

/// A window of a stream of an account that may be read again.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownWindow {
    /// The account's id.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// What is read again if it is chosen.
    pub window: Window,
    /// Rows in it that the tables hold.
    pub rows: u64,
    /// When all of it was last read; none if some of it never was.
    pub read_at: Option<DateTime<Utc>>,
    /// Changes of its rows since then that are expected and not in the tables yet.
    pub expected_changes: f64,
    /// Requests that it is likely to take.
    pub requests: f64,
}

/// Why a window is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// It was not read for longer than the rule allows.
    Overdue {
        /// When it was last read.
        read_at: Option<DateTime<Utc>>,
    },
    /// Changes are expected in it.
    Expected {
        /// How many.
        changes: f64,
        /// Among how many rows.
        rows: u64,
        /// When it was last read.
        read_at: Option<DateTime<Utc>>,
    },
}

/// What a budget is spent on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The windows that are read, each with the reason.
    pub chosen: Vec<(KnownWindow, Reason)>,
    /// Windows that are overdue and that the budget has no requests for.
    pub left_overdue: usize,
}

/// Chooses windows for at most `budget` requests: first those that weren't read for `at_least_every`, longest first; then
/// those with the most expected changes per request. One without an expected change isn't read before it is overdue. The first
/// one is read even if it takes more than the budget, and nothing else then.
pub fn choose(candidates: Vec<KnownWindow>, budget: u32, at_least_every: TimeDelta, now: DateTime<Utc>) -> Choice {
    let oldest_allowed = now - at_least_every;
    let (mut overdue, mut others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.read_at.is_none_or(|read_at| read_at <= oldest_allowed));
    overdue.sort_by(|a, b| (a.read_at, b.window.since).cmp(&(b.read_at, a.window.since)));
    others.sort_by(|a, b| (b.expected_changes / b.requests).total_cmp(&(a.expected_changes / a.requests)));
    let mut left = f64::from(budget);
    let mut choice = Choice::default();
    for candidate in overdue {
        // One that takes more than the whole budget would never be read.
        let is_dear = choice.chosen.is_empty() && budget > 0 && candidate.requests > f64::from(budget);
        if candidate.requests > left && !is_dear {
            choice.left_overdue += 1;
            continue;
        }
        left -= candidate.requests;
        let reason = Reason::Overdue { read_at: candidate.read_at };
        choice.chosen.push((candidate, reason));
    }
    for candidate in others {
        if candidate.requests > left || candidate.expected_changes < LEAST_EXPECTED {
            continue;
        }
        left -= candidate.requests;
        let KnownWindow { expected_changes: changes, rows, read_at, .. } = candidate;
        choice.chosen.push((candidate, Reason::Expected { changes, rows, read_at }));
    }
    choice
}

/// A window in which fewer changes are expected isn't worth a request.
const LEAST_EXPECTED: f64 = 0.01;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn candidate(name: &str, read_days_ago: Option<i64>, expected_changes: f64, requests: f64) -> KnownWindow {
        let window = "2026-01-01T00:00:00Z/2026-01-08T00:00:00Z".parse().unwrap();
        let read_at = read_days_ago.map(|days| now() - TimeDelta::days(days));
        let (account, stream) = (name.to_owned(), "sales".to_owned());
        KnownWindow { account, stream, window, rows: 10, read_at, expected_changes, requests }
    }

    fn chosen(candidates: Vec<KnownWindow>, budget: u32) -> (Vec<String>, usize) {
        let choice = choose(candidates, budget, TimeDelta::days(30), now());
        (choice.chosen.into_iter().map(|(candidate, _)| candidate.account).collect(), choice.left_overdue)
    }

    #[test]
    fn the_longest_unread_come_first_then_the_most_changes_per_request() {
        let all = || {
            vec![
                candidate("few", Some(2), 1.0, 1.0),
                candidate("old", Some(40), 0.0, 1.0),
                candidate("many", Some(1), 9.0, 3.0),
                candidate("never", None, 0.0, 1.0),
                candidate("none", Some(3), 0.0, 1.0),
                candidate("older", Some(50), 0.0, 1.0),
            ]
        };
        assert_eq!(chosen(all(), 100), (["never", "older", "old", "many", "few"].map(str::to_owned).to_vec(), 0));
        assert_eq!(chosen(all(), 4), (["never", "older", "old", "few"].map(str::to_owned).to_vec(), 0));
        assert_eq!(chosen(all(), 2), (["never", "older"].map(str::to_owned).to_vec(), 1));
        assert_eq!(chosen(all(), 0), (vec![], 3));
    }

    #[test]
    fn a_window_that_takes_more_than_the_budget_is_read_by_itself() {
        let all = || vec![candidate("dear", Some(90), 0.0, 7.5), candidate("old", Some(40), 0.0, 1.0)];
        assert_eq!(chosen(all(), 5), (vec!["dear".to_owned()], 1));
        assert_eq!(chosen(all(), 8), (vec!["dear".to_owned()], 1));
        assert_eq!(chosen(all(), 0), (vec![], 2), "nothing is to be spent");
        let after = vec![candidate("older", Some(99), 0.0, 1.0), candidate("dear", Some(90), 0.0, 7.5)];
        assert_eq!(chosen(after, 5), (vec!["older".to_owned()], 1), "another one is longer overdue");
    }
}
