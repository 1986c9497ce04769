//! `[alarms]` of `sluice.toml`: which rules hold, and who is notified of what.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer};
use sluice_model::Severity;

use super::look_back::duration_secs;
use super::network::parse_duration_secs;
use super::receivers::ReceiverSettings;
use crate::alarms::rule::Rule;
use crate::failure::Failure;
use crate::timetable::Schedule;

/// The section. Whatever it holds beside these keys is a receiver.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct AlarmSettings {
    /// Seconds between evaluations by the service, besides those after runs.
    #[serde(rename = "every", deserialize_with = "duration_secs")]
    pub every_secs: u32,
    /// Seconds before a message is sent again that wasn't accepted; then twice as many, up to an hour.
    #[serde(rename = "retry", deserialize_with = "duration_secs")]
    pub retry_secs: u32,
    /// What differs of rules.
    pub rules: BTreeMap<Rule, RuleSettings>,
    /// What differs of checks, by their names.
    pub checks: BTreeMap<String, CheckSettings>,
    /// Last days of secrets, by `network/account` or however the operator calls them.
    #[serde(deserialize_with = "days")]
    pub expires: BTreeMap<String, NaiveDate>,
    /// Who is notified, by name.
    #[serde(flatten)]
    pub receivers: BTreeMap<String, ReceiverSettings>,
}

/// `[alarms.rules.<rule>]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    /// Whether it holds.
    pub enabled: bool,
    /// How soon a person is needed.
    pub severity: Option<Severity>,
    /// How long a fault lasts before it is an alarm.
    #[serde(rename = "after", deserialize_with = "some_secs")]
    pub after_secs: Option<u32>,
    /// Days that are looked at, or before a day.
    pub days: Option<u32>,
    /// Hours after which a day, or a table, is complete.
    pub settle_hours: Option<u32>,
    /// Rows that are needed to judge.
    pub rows: Option<u64>,
    /// How many times more or less is unusual.
    pub factor: Option<u32>,
    /// A share, from 0 to 1.
    pub share: Option<f64>,
    /// Minutes of delay.
    pub minutes: Option<u32>,
    /// Free space in MiB.
    pub min_free_mb: Option<u64>,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            severity: None,
            after_secs: None,
            days: None,
            settle_hours: None,
            rows: None,
            factor: None,
            share: None,
            minutes: None,
            min_free_mb: None,
        }
    }
}

/// `[alarms.checks.<name>]`: what the check's own comments say otherwise is overruled.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckSettings {
    /// When it runs; after runs without it.
    pub cron: Option<String>,
    /// The zone of that.
    pub timezone: Option<Tz>,
    /// How soon a person is needed.
    pub severity: Option<Severity>,
}

impl Default for AlarmSettings {
    fn default() -> Self {
        Self {
            every_secs: 300,
            retry_secs: 5,
            rules: BTreeMap::new(),
            checks: BTreeMap::new(),
            expires: BTreeMap::new(),
            receivers: BTreeMap::new(),
        }
    }
}

impl AlarmSettings {
    /// How often the service evaluates.
    pub fn every(&self) -> Duration {
        Duration::from_secs(self.every_secs.into())
    }

    /// Whether a rule holds.
    pub fn holds(&self, rule: Rule) -> bool {
        self.rules.get(&rule).is_none_or(|of| of.enabled)
    }

    /// Whether the rule of this name doesn't hold. One that this version doesn't have isn't judged.
    pub fn disables(&self, rule: &str) -> bool {
        self.rules.iter().any(|(known, of)| known.name() == rule && !of.enabled)
    }

    /// The severity of a rule's alarms: that of the settings, else the rule's own.
    pub fn severity(&self, rule: Rule) -> Severity {
        self.rules.get(&rule).and_then(|of| of.severity).unwrap_or_else(|| rule.severity())
    }

    /// How long a fault lasts before it is an alarm.
    pub fn delay(&self, rule: Rule) -> TimeDelta {
        let secs = self.rules.get(&rule).and_then(|of| of.after_secs);
        secs.map_or_else(|| rule.delay(), |secs| TimeDelta::seconds(secs.into()))
    }

    /// A threshold of a rule, or its default.
    pub fn threshold<T>(&self, rule: Rule, of: impl Fn(&RuleSettings) -> Option<T>, default: T) -> T {
        self.rules.get(&rule).and_then(of).unwrap_or(default)
    }

    /// Refuses what can't be meant.
    ///
    /// # Errors
    /// A settings failure that names the key.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (rule, of) in &self.rules {
            of.check(*rule)?;
        }
        for (name, check) in &self.checks {
            if let Some(cron) = &check.cron {
                Schedule::in_zone(cron, check.timezone.unwrap_or(Tz::UTC)).map_err(|reason| {
                    Failure::settings(format!("alarms.checks.{name}.cron = \"{cron}\": {reason}"))
                        .hint("write five fields, as in crontab: \"0 6 * * *\"")
                })?;
            }
        }
        self.receivers.iter().try_for_each(|(name, receiver)| receiver.check(name))
    }
}

impl RuleSettings {
    fn check(&self, rule: Rule) -> Result<(), Failure> {
        let given = [
            ("days", self.days.is_some()),
            ("settle_hours", self.settle_hours.is_some()),
            ("rows", self.rows.is_some()),
            ("factor", self.factor.is_some()),
            ("share", self.share.is_some()),
            ("minutes", self.minutes.is_some()),
            ("min_free_mb", self.min_free_mb.is_some()),
        ];
        let known = rule.thresholds();
        let name = rule.name();
        if let Some((key, _)) = given.iter().find(|(key, is_given)| *is_given && !known.contains(key)) {
            let keys = ["enabled", "severity", "after"].iter().chain(known).copied().collect::<Vec<_>>();
            return Err(Failure::settings(format!("alarms.rules.{name} has no `{key}`"))
                .hint(format!("it has {}", keys.join(", "))));
        }
        if self.factor.is_some_and(|factor| factor < 2) || self.share.is_some_and(|share| !(0.0..1.0).contains(&share))
        {
            return Err(Failure::settings(format!("alarms.rules.{name}: every run would be an alarm"))
                .hint("set factor to 2 or more, and share from 0 to less than 1"));
        }
        Ok(())
    }
}

fn some_secs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "0s" {
        return Ok(Some(0));
    }
    let secs = parse_duration_secs(&text);
    secs.map(Some).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a duration like 30m or 0s")))
}

/// TOML has dates of its own, which are read as text here.
fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, NaiveDate>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let day = |(name, text): (String, String)| match text.parse() {
        Ok(day) => Ok((name, day)),
        Err(_) => Err(serde::de::Error::custom(format!("`{text}` is not a day like \"2027-01-31\""))),
    };
    texts.into_iter().map(day).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::tests::section;

    fn parse(text: &str) -> Result<AlarmSettings, String> {
        section(text, AlarmSettings::check)
    }

    #[test]
    fn rules_receivers_and_days_are_read() {
        let settings = parse(
            "every = \"1m\"
             [rules.rejects]
             share = 0.05
             severity = \"critical\"
             [rules.gap]
             after = \"0s\"
             [rules.new-columns]
             enabled = false
             [expires]
             \"awin/uk\" = \"2027-01-31\"
             [ops]
             webhook = \"https://ops.example/hook\"
             secret = \"env:OPS_SECRET\"
             rules = [\"gap\", \"doubt\"]
             [ops.quiet]
             from = \"22:00\"
             until = \"07:00\"
             timezone = \"Europe/London\"",
        );
        let settings = settings.unwrap();
        assert_eq!(settings.threshold(Rule::Rejects, |of| of.share, 0.01), 0.05);
        assert_eq!(settings.severity(Rule::Rejects), Severity::Critical);
        assert_eq!((settings.delay(Rule::Gap), settings.delay(Rule::Stale)), (TimeDelta::zero(), TimeDelta::zero()));
        assert!(!settings.holds(Rule::NewColumns) && settings.disables("new-columns") && settings.holds(Rule::Gap));
        assert_eq!(settings.receivers["ops"].rules, [Rule::Gap, Rule::Doubt]);
        assert_eq!(settings.expires.len(), 1);
        assert_eq!(parse("").unwrap(), AlarmSettings::default());
    }

    #[test]
    fn what_can_not_be_meant_is_refused_by_its_name() {
        for (text, words) in [
            ("[rules.gaps]\nafter = \"1h\"", "unknown variant"),
            ("[rules.gap]\nshare = 0.5", "alarms.rules.gap has no `share`"),
            ("[rules.bands]\nfactor = 1", "every run would be an alarm"),
            ("[expires]\n\"awin/uk\" = \"soon\"", "is not a day"),
            ("often = \"1m\"", "invalid type"),
            ("[ops]\nwebhok = \"https://x\"", "unknown field"),
            ("[checks.a]\ncron = \"never\"", "alarms.checks.a.cron"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
