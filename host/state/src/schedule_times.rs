//! When the schedule's entries last happened: starts of runs, look-back rules that were read, maintenance.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row;

use crate::State;
use crate::error::Error;

/// The entry of a network's last scheduled run.
const START: &str = "start";
/// The entry of the lake's maintenance, under a name that no network has.
const MAINTENANCE: (&str, &str) = ("", "maintenance");

/// When what a network's schedule names last happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduleTimes {
    /// When its last scheduled run started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last run started that read a look-back rule completely, by the rule's key.
    pub rules: HashMap<String, DateTime<Utc>>,
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
                entry if entry == START => times.started_at = Some(time),
                entry => _ = times.rules.insert(entry, time),
            }
        }
        Ok(times)
    }

    /// Notes when a network's scheduled run started; with `None`, that it didn't start after all.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_start_time(&self, network: &str, time: Option<DateTime<Utc>>) -> Result<(), Error> {
        match time {
            Some(time) => self.note_time(network, START, time).await,
            None => {
                let query = sqlx::query("DELETE FROM schedule_times WHERE network = $1 AND entry = $2");
                self.database.execute(query.bind(network).bind(START)).await?;
                Ok(())
            }
        }
    }

    /// Notes that a run which started at `time` read these look-back rules completely.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_rules_read(&self, network: &str, rules: &[String], time: DateTime<Utc>) -> Result<(), Error> {
        for rule in rules {
            self.note_time(network, rule, time).await?;
        }
        Ok(())
    }

    /// When the last maintenance of the lake started that succeeded.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn maintained_at(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let (network, entry) = MAINTENANCE;
        Ok(self.schedule_times(network).await?.rules.remove(entry))
    }

    /// Notes that a maintenance which started at `time` succeeded.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_maintained(&self, time: DateTime<Utc>) -> Result<(), Error> {
        let (network, entry) = MAINTENANCE;
        self.note_time(network, entry, time).await
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

    #[tokio::test]
    async fn a_rule_keeps_its_time_wherever_it_stands_in_the_list() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (hourly, daily) = ("3600s/3d/modified".to_owned(), "86400s/45d/modified".to_owned());
        state.note_rules_read("awin", &[hourly.clone(), daily.clone()], at("2026-01-05T10:00:00Z")).await.unwrap();
        state.note_rules_read("awin", std::slice::from_ref(&hourly), at("2026-01-05T11:00:00Z")).await.unwrap();
        let times = state.schedule_times("awin").await.unwrap();
        assert_eq!(times.rules[&hourly], at("2026-01-05T11:00:00Z"));
        assert_eq!(times.rules[&daily], at("2026-01-05T10:00:00Z"));
        assert_eq!(times.started_at, None);
        assert_eq!(state.schedule_times("cj").await.unwrap(), ScheduleTimes::default());
    }

    #[tokio::test]
    async fn a_start_can_be_taken_back() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let at = "2026-01-05T10:00:00Z".parse().unwrap();
        state.note_start_time("awin", Some(at)).await.unwrap();
        assert_eq!(state.schedule_times("awin").await.unwrap().started_at, Some(at));
        state.note_start_time("awin", None).await.unwrap();
        assert_eq!(state.schedule_times("awin").await.unwrap().started_at, None);
        state.note_maintained(at).await.unwrap();
        assert_eq!(state.maintained_at().await.unwrap(), Some(at));
    }
}
