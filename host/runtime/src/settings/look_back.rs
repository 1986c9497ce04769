//! `look_back` of a network's file: which windows are read again, and how often.

use serde::Deserialize;
use sluice_model::{Axis, Stream};

use super::network::parse_duration_secs;

/// How often how many days are read again, by which axis.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookBackRule {
    /// How often: `30m`, `1h`, `1d`.
    #[serde(deserialize_with = "duration_secs")]
    pub every: u32,
    /// How many days back.
    pub days: u32,
    /// Which date; without it the stream's default.
    pub axis: Option<Axis>,
    /// With this many requests for each run of the rule, those windows are read in which changes are expected; without
    /// it all days are read.
    #[serde(default)]
    pub requests: Option<u32>,
    /// Such a rule reads each window at least this often, in seconds.
    #[serde(default, deserialize_with = "optional_duration_secs")]
    pub at_least_every: Option<u32>,
}

/// What an adaptive rule may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests for each run of the rule.
    pub requests: u32,
    /// Each window is read at least this often, in seconds.
    pub at_least_every: u32,
}

/// How often an adaptive rule reads each window that nothing is expected of: every 30 days.
const AT_LEAST_EVERY_SECS: u32 = 30 * 86_400;

impl LookBackRule {
    /// The rule as a text: the same rule has the same key wherever it is in the list.
    pub fn key(&self) -> String {
        let budget = self.requests.map_or_else(String::new, |requests| format!("/{requests}r"));
        format!("{}s/{}d/{}{budget}", self.every, self.days, self.axis.map_or("default", Axis::name))
    }

    /// Its budget; none for a rule that reads all of its days.
    pub fn budget(&self) -> Option<Budget> {
        let at_least_every = self.at_least_every.unwrap_or(AT_LEAST_EVERY_SECS);
        Some(Budget { requests: self.requests?, at_least_every })
    }

    /// Why there can be no such rule.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        match (self.requests, self.axis) {
            _ if self.days == 0 => Some("a rule of look_back has 0 days, so it would read nothing"),
            (None, _) if self.at_least_every.is_some() => {
                Some("a rule of look_back has `at_least_every` and no `requests`: it reads all of its days each time")
            }
            (Some(0), _) => Some("a rule of look_back has 0 requests, so it would read nothing"),
            (Some(_), Some(axis)) if axis != Axis::Transaction => {
                Some("a rule of look_back with `requests` reads by the axis `transaction` alone")
            }
            _ => None,
        }
    }
}

/// A duration as `30m` in seconds.
pub(super) fn duration_secs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration_secs(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a duration like 1h or 1d")))
}

fn optional_duration_secs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    duration_secs(deserializer).map(Some)
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
    use super::*;

    #[test]
    fn a_rule_with_a_budget_says_how_much_and_by_which_date() {
        let rule = |json: &str| serde_json::from_str::<LookBackRule>(json).expect("a rule");
        let adaptive = rule(r#"{"every": "1d", "days": 400, "requests": 50, "axis": "transaction"}"#);
        assert_eq!(adaptive.key(), "86400s/400d/transaction/50r");
        assert_eq!(adaptive.budget(), Some(Budget { requests: 50, at_least_every: 30 * 86_400 }));
        assert_eq!(adaptive.mistake(), None);
        assert_eq!(rule(r#"{"every": "1d", "days": 400}"#).budget(), None);
        let mistake = |json: &str| rule(json).mistake().unwrap_or_default();
        assert!(mistake(r#"{"every": "1d", "days": 4, "at_least_every": "7d"}"#).contains("no `requests`"));
        assert!(mistake(r#"{"every": "1d", "days": 4, "requests": 0}"#).contains("0 requests"));
        assert!(mistake(r#"{"every": "1d", "days": 4, "requests": 5, "axis": "modified"}"#).contains("`transaction`"));
    }
}
