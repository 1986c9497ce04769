//! When the schedule's entries last happened: starts of runs, look-back rules that were read, maintenance.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row;

use crate::State;
use crate::error::Error;

/// The entry of a network's last scheduled run; for a stream that has a schedule of its own, `start/<stream>`.
const START: &str = "start";
/// The entry of the lake's maintenance, under a name that no network has.
const MAINTENANCE: (&str, &str) = ("", "maintenance");

/// When what a network's schedule names last happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduleTimes {
    started_at: HashMap<String, DateTime<Utc>>,
    rules: HashMap<String, DateTime<Utc>>,
}

impl ScheduleTimes {
    /// When the last scheduled run started, of all streams or of one that has a schedule of its own.
    pub fn started_at(&self, stream: Option<&str>) -> Option<DateTime<Utc>> {
        self.started_at.get(&start_entry(stream)).copied()
    }

    /// When the last run started that read a look-back rule completely, of all streams or of one that has a schedule of
    /// its own. `rule`: the rule's key.
    pub fn read_at(&self, rule: &str, stream: Option<&str>) -> Option<DateTime<Utc>> {
        self.rules.get(&rule_entry(rule, stream)).copied()
    }
}

/// The entry of the last start, of all streams or of one that has a schedule of its own.
pub(crate) fn start_entry(stream: Option<&str>) -> String {
    stream.map_or_else(|| START.to_owned(), |stream| format!("{START}/{stream}"))
}

/// The entry of a look-back rule, of all streams or of one that has a schedule of its own.
pub(crate) fn rule_entry(rule: &str, stream: Option<&str>) -> String {
    stream.map_or_else(|| rule.to_owned(), |stream| format!("{rule}@{stream}"))
}

impl State {
    /// When what a network's schedule names last happened.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn schedule_times(&self, network: &str) -> Result<ScheduleTimes, Error> {
        let query = sqlx::query("SELECT entry, happened_at FROM schedule_times WHERE network = $1").bind(network);
        let mut times = ScheduleTimes::default();
        for row in self.database.fetch_all(query).await? {
            // A time that can't be read is as good as none: its entry is due.
            let Ok(time) = row.try_get::<String, _>(1)?.parse() else { continue };
            match row.try_get::<String, _>(0)? {
                entry if entry.split('/').next() == Some(START) => _ = times.started_at.insert(entry, time),
                entry => _ = times.rules.insert(entry, time),
            }
        }
        Ok(times)
    }

    /// When the last maintenance of the lake started that succeeded.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn maintained_at(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let (network, entry) = MAINTENANCE;
        Ok(self.schedule_times(network).await?.read_at(entry, None))
    }

    /// Notes that a maintenance which started at `time` succeeded.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_maintained(&self, time: DateTime<Utc>) -> Result<(), Error> {
        let (network, entry) = MAINTENANCE;
        self.note_time(network, entry, time).await
    }

    /// Notes when an entry of nobody's schedule but its own, such as `check/NAME`, last happened. `read_at` of the network
    /// `""` has it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_happened(&self, entry: &str, time: DateTime<Utc>) -> Result<(), Error> {
        self.note_time("", entry, time).await
    }

    async fn note_time(&self, network: &str, entry: &str, time: DateTime<Utc>) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO schedule_times (network, entry, happened_at) VALUES ($1, $2, $3)
             ON CONFLICT (network, entry) DO UPDATE SET happened_at = excluded.happened_at",
        );
        self.database.execute(query.bind(network).bind(entry).bind(time.to_rfc3339())).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::database::tests::at;

    #[tokio::test]
    async fn a_rule_keeps_its_time_wherever_it_stands_in_the_list() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let (hourly, daily) = ("3600s/3d/modified".to_owned(), "86400s/45d/modified".to_owned());
        let (ten, eleven) = (at("2026-01-05T10:00:00Z"), at("2026-01-05T11:00:00Z"));
        for (rule, time) in [(&hourly, ten), (&daily, ten), (&hourly, eleven)] {
            state.note_time("awin", &rule_entry(rule, None), time).await.unwrap();
        }
        let times = state.schedule_times("awin").await.unwrap();
        assert_eq!(times.read_at(&hourly, None), Some(eleven));
        assert_eq!(times.read_at(&daily, None), Some(ten));
        assert_eq!(times.started_at(None), None);
        assert_eq!(state.schedule_times("cj").await.unwrap(), ScheduleTimes::default());
    }

    #[tokio::test]
    async fn a_stream_with_a_schedule_of_its_own_has_its_own_times() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let (rule, ten, eleven) = ("3600s/3d/modified", at("2026-01-05T10:00:00Z"), at("2026-01-05T11:00:00Z"));
        state.note_time("awin", &start_entry(Some("payments")), ten).await.unwrap();
        state.note_time("awin", &start_entry(None), eleven).await.unwrap();
        state.note_time("awin", &rule_entry(rule, Some("payments")), ten).await.unwrap();
        let times = state.schedule_times("awin").await.unwrap();
        assert_eq!((times.started_at(Some("payments")), times.started_at(None)), (Some(ten), Some(eleven)));
        assert_eq!((times.read_at(rule, Some("payments")), times.read_at(rule, None)), (Some(ten), None));
    }

    #[tokio::test]
    async fn maintenance_has_a_time_of_its_own() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let at = at("2026-01-05T10:00:00Z");
        state.note_maintained(at).await.unwrap();
        assert_eq!(state.maintained_at().await.unwrap(), Some(at));
        assert_eq!(state.schedule_times("awin").await.unwrap(), ScheduleTimes::default());
    }
}
