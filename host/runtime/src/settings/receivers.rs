//! `[alarms.<receiver>]` of `sluice.toml`: where messages go, which, and when not.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer};
use sluice_model::{Alarm, Severity};

use crate::alarms::rule::Rule;
use crate::failure::Failure;

/// Who is notified, of what, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSettings {
    /// URL that takes messages as Standard Webhooks has them; or a reference to it.
    pub webhook: Option<String>,
    /// Reference to the key that signs them.
    pub secret: Option<String>,
    /// URL that takes messages as Slack does; or a reference to it.
    pub slack: Option<String>,
    /// Mail.
    pub email: Option<EmailSettings>,
    /// Only alarms of these rules; of all without any.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Only alarms of these networks, by their ids; without any of all, and those that are about no network.
    #[serde(default)]
    pub networks: BTreeSet<String>,
    /// Only alarms as severe as this.
    #[serde(default = "least")]
    pub severity: Severity,
    /// When messages wait.
    pub quiet: Option<QuietHours>,
}

/// Mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// `smtps://host`, `smtp+starttls://host`, or `smtp://localhost` for a relay on this machine.
    pub smtp: String,
    /// The user at that server.
    pub user: Option<String>,
    /// Reference to the password.
    pub password: Option<String>,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
}

/// Hours in which messages wait for their end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// Their begin, `22:00`.
    #[serde(deserialize_with = "time_of_day")]
    from: NaiveTime,
    /// Their end, on the next day if it is before the begin.
    #[serde(deserialize_with = "time_of_day")]
    until: NaiveTime,
    /// The zone of both; UTC without it.
    timezone: Option<Tz>,
    /// Alarms as severe as this don't wait.
    #[serde(default = "greatest")]
    except: Severity,
}

fn least() -> Severity {
    Severity::Info
}

fn greatest() -> Severity {
    Severity::Critical
}

fn time_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = NaiveTime::parse_from_str(&text, "%H:%M");
    time.map_err(|_| serde::de::Error::custom(format!("`{text}` is not a time of day like 22:00")))
}

impl ReceiverSettings {
    /// Whether it is notified of an alarm.
    pub fn takes(&self, alarm: &Alarm) -> bool {
        let is_of_rule = self.rules.is_empty() || self.rules.iter().any(|rule| rule.name() == alarm.rule);
        let is_of_network =
            self.networks.is_empty() || alarm.network.as_ref().is_some_and(|network| self.networks.contains(network));
        is_of_rule && is_of_network && alarm.severity >= self.severity
    }

    /// When a message about an alarm is sent that is made now.
    pub fn due_at(&self, alarm: &Alarm, now: DateTime<Utc>) -> DateTime<Utc> {
        let quiet = self.quiet.as_ref().filter(|quiet| alarm.severity < quiet.except);
        quiet.and_then(|quiet| quiet.end(now)).unwrap_or(now)
    }

    /// Refuses a receiver without a way to reach it, and one with several.
    pub(super) fn check(&self, name: &str) -> Result<(), Failure> {
        let channels = [self.webhook.is_some(), self.slack.is_some(), self.email.is_some()];
        if channels.iter().filter(|is_there| **is_there).count() != 1 {
            return Err(Failure::settings(format!("alarms.{name} must have one of webhook, slack and email"))
                .hint("make a receiver of its own for each"));
        }
        if self.webhook.is_some() != self.secret.is_some() {
            return Err(Failure::settings(format!("alarms.{name}: webhook and secret belong together"))
                .hint("set secret to a reference such as env:NAME: the receiver checks the signature by it"));
        }
        if self.quiet.as_ref().is_some_and(|quiet| quiet.from == quiet.until) {
            return Err(Failure::settings(format!("alarms.{name}.quiet begins when it ends"))
                .hint("leave quiet out, or set from and until to different times"));
        }
        Ok(())
    }
}

impl QuietHours {
    /// Their end if a moment is in them. At a change of the clocks they end at the first moment that is after it.
    fn end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let zone = self.timezone.unwrap_or(Tz::UTC);
        let local = now.with_timezone(&zone);
        let time = local.time();
        let over_midnight = self.until < self.from;
        let is_inside =
            if over_midnight { time >= self.from || time < self.until } else { time >= self.from && time < self.until };
        if !is_inside {
            return None;
        }
        let day = if over_midnight && time >= self.from { local.date_naive().succ_opt()? } else { local.date_naive() };
        let end = day.and_time(self.until);
        let mut candidates = (0..3).map(|hours| end + TimeDelta::hours(hours));
        candidates.find_map(|end| zone.from_local_datetime(&end).earliest()).map(|end| end.to_utc())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn quiet(from: &str, until: &str, zone: &str) -> QuietHours {
        toml::from_str(&format!("from = \"{from}\"\nuntil = \"{until}\"\ntimezone = \"{zone}\"")).unwrap()
    }

    fn end(quiet: &QuietHours, now: &str) -> Option<String> {
        quiet.end(now.parse().unwrap()).map(|end| end.to_rfc3339())
    }

    #[test]
    fn quiet_hours_end_in_their_zone() {
        let night = quiet("22:00", "07:00", "Europe/Berlin");
        assert_eq!(end(&night, "2026-01-05T20:59:59Z"), None);
        assert_eq!(end(&night, "2026-01-05T21:00:00Z").as_deref(), Some("2026-01-06T06:00:00+00:00"));
        assert_eq!(end(&night, "2026-01-06T05:59:59Z").as_deref(), Some("2026-01-06T06:00:00+00:00"));
        assert_eq!(end(&night, "2026-01-06T06:00:00Z"), None);
        let noon = quiet("12:00", "13:00", "UTC");
        assert_eq!(end(&noon, "2026-01-05T12:30:00Z").as_deref(), Some("2026-01-05T13:00:00+00:00"));
        assert_eq!(end(&noon, "2026-01-05T13:00:00Z"), None);
    }

    #[test]
    fn hours_that_end_where_the_clock_is_put_forward_end() {
        let night = quiet("22:00", "02:30", "Europe/Berlin");
        assert_eq!(end(&night, "2026-03-28T23:00:00Z").as_deref(), Some("2026-03-29T01:30:00+00:00"));
    }

    #[test]
    fn a_receiver_is_reached_one_way() {
        let check = |text: &str| toml::from_str::<ReceiverSettings>(text).unwrap().check("ops");
        assert!(check("slack = \"env:SLACK\"").is_ok());
        assert!(check("webhook = \"https://x\"\nsecret = \"env:KEY\"").is_ok());
        for wrong in ["", "slack = \"a\"\nwebhook = \"b\"\nsecret = \"env:K\"", "webhook = \"https://x\""] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
