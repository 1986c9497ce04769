//! `schedule` of a network's file: a cron expression, or an object that also says in which zone and for which stream.

use std::collections::BTreeMap;
use std::fmt;

use chrono_tz::Tz;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::network::parse_duration_secs;

/// When a network is read by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSettings {
    /// Cron expression of five fields, or of six with seconds first. Without it the connector's own.
    pub cron: Option<String>,
    /// IANA zone of the expressions. Without it UTC.
    pub timezone: Option<Tz>,
    /// Whether moments that passed while nothing served are made up for.
    pub missed: Missed,
    /// Each network starts up to this many seconds after its moments, by its name always as many.
    #[serde(deserialize_with = "duration_secs")]
    pub jitter: u32,
    /// Streams that have a schedule of their own.
    #[serde(deserialize_with = "streams")]
    pub streams: BTreeMap<String, StreamSchedule>,
}

/// When one stream is read by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSchedule {
    /// Cron expression.
    pub cron: String,
    /// IANA zone of the expression. Without it the network's.
    pub timezone: Option<Tz>,
}

/// Whether moments that passed while nothing served are made up for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// One run, whose windows reach back to what was read last.
    All,
    /// One run.
    #[default]
    Last,
    /// Nothing: the next moment counts.
    None,
}

/// `schedule`, in either form.
pub(super) fn schedule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ScheduleSettings>, D::Error> {
    deserializer
        .deserialize_any(CronOrObject { of_cron: |cron| ScheduleSettings { cron: Some(cron), ..Default::default() } })
}

fn streams<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, StreamSchedule>, D::Error> {
    struct OneStream(StreamSchedule);
    impl<'de> Deserialize<'de> for OneStream {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let found =
                deserializer.deserialize_any(CronOrObject { of_cron: |cron| StreamSchedule { cron, timezone: None } });
            found?.map(OneStream).ok_or_else(|| D::Error::custom("a stream's schedule is null"))
        }
    }
    let streams = BTreeMap::<String, OneStream>::deserialize(deserializer)?;
    Ok(streams.into_iter().map(|(name, OneStream(schedule))| (name, schedule)).collect())
}

/// Takes a text as a cron expression, and an object as it stands.
struct CronOrObject<F> {
    of_cron: F,
}

impl<'de, T: Deserialize<'de>, F: FnOnce(String) -> T> Visitor<'de> for CronOrObject<F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cron expression, or an object with one")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some((self.of_cron)(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

fn duration_secs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration_secs(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not a duration like 5m")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default, deserialize_with = "schedule")]
        schedule: Option<ScheduleSettings>,
    }

    fn read(json: &str) -> Result<Option<ScheduleSettings>, serde_json::Error> {
        serde_json::from_str::<File>(json).map(|file| file.schedule)
    }

    #[test]
    fn a_schedule_is_a_text_or_an_object() {
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"schedule": null}"#).unwrap(), None);
        let hourly = read(r#"{"schedule": "0 * * * *"}"#).unwrap().unwrap();
        assert_eq!(hourly, ScheduleSettings { cron: Some("0 * * * *".to_owned()), ..ScheduleSettings::default() });
        let full = r#"{"schedule": {"cron": "0 6 * * *", "timezone": "Europe/Amsterdam", "missed": "all", "jitter": "5m",
            "streams": {"payments": "0 7 1 * *", "clicks": {"cron": "0 8 * * *", "timezone": "UTC"}}}}"#;
        let full = read(full).unwrap().unwrap();
        assert_eq!((full.timezone, full.missed, full.jitter), (Some(chrono_tz::Europe::Amsterdam), Missed::All, 300));
        assert_eq!(full.streams["payments"], StreamSchedule { cron: "0 7 1 * *".to_owned(), timezone: None });
        assert_eq!(full.streams["clicks"].timezone, Some(chrono_tz::UTC));
    }

    #[test]
    fn a_mistake_is_named() {
        let wrong = |json: &str| read(json).unwrap_err().to_string();
        assert!(wrong(r#"{"schedule": {"crn": "0 * * * *"}}"#).contains("unknown field `crn`"));
        assert!(wrong(r#"{"schedule": {"missed": "some"}}"#).contains("unknown variant `some`"));
        assert!(wrong(r#"{"schedule": {"jitter": "5"}}"#).contains("`5` is not a duration like 5m"));
        assert!(wrong(r#"{"schedule": {"timezone": "Mars/Base"}}"#).contains("Mars/Base"));
        assert!(wrong(r#"{"schedule": 5}"#).contains("expected a cron expression, or an object with one"));
        assert!(wrong(r#"{"schedule": {"streams": {"a": {"timezone": "UTC"}}}}"#).contains("missing field `cron`"));
    }
}
