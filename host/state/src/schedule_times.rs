//! When the schedule's entries last happened: starts of runs, look-back rules that were read, maintenance.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::any::AnyRow;

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
    /// Of accounts that weren't read when the others were, by rule and account; none if they never were.
    of_accounts: HashMap<(String, String), Option<DateTime<Utc>>>,
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

    /// The same of one account, by its id: it may have failed when the others were read.
    pub fn read_at_of(&self, rule: &str, stream: Option<&str>, account: &str) -> Option<DateTime<Utc>> {
        if self.of_accounts.is_empty() {
            return self.read_at(rule, stream);
        }
        let own = self.of_accounts.get(&(rule_entry(rule, stream), account.to_owned()));
        own.copied().unwrap_or_else(|| self.read_at(rule, stream))
    }

    /// Adds an entry: its name, its time, and its account or nothing.
    fn add(&mut self, row: &AnyRow) -> Result<(), Error> {
        let (entry, account): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        // A time that can't be read is as good as none: its entry is due.
        let time: Option<DateTime<Utc>> = row.try_get::<String, _>(1)?.parse().ok();
        if !account.is_empty() {
            self.of_accounts.insert((entry, account), time);
        } else if let Some(time) = time {
            let is_start = entry.split('/').next() == Some(START);
            let of = if is_start { &mut self.started_at } else { &mut self.rules };
            of.insert(entry, time);
        }
        Ok(())
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
        let query = sqlx::query(
            "SELECT entry, happened_at, '' FROM schedule_times WHERE network = $1
             UNION ALL SELECT entry, read_at, account FROM rule_reads WHERE network = $1",
        );
        let mut times = ScheduleTimes::default();
        for row in self.database.fetch_all(query.bind(network)).await? {
            times.add(&row)?;
        }
        Ok(times)
    }

    /// The same of all networks, by their names.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn all_schedule_times(&self) -> Result<HashMap<String, ScheduleTimes>, Error> {
        let query = sqlx::query(
            "SELECT entry, happened_at, '', network FROM schedule_times
             UNION ALL SELECT entry, read_at, account, network FROM rule_reads",
        );
        let mut all: HashMap<String, ScheduleTimes> = HashMap::new();
        for row in self.database.fetch_all(query).await? {
            all.entry(row.try_get(3)?).or_default().add(&row)?;
        }
        Ok(all)
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

    /// Notes when an entry of nobody's schedule but its own, such as `check/NAME`, last happened, if it happened at `before`
    /// until now. False if another process was first. `read_at` of the network `""` has it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_happened(
        &self,
        entry: &str,
        before: Option<DateTime<Utc>>,
        time: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let query = match before {
            None => sqlx::query(
                "INSERT INTO schedule_times (network, entry, happened_at) VALUES ('', $1, $2)
                 ON CONFLICT (network, entry) DO NOTHING",
            )
            .bind(entry)
            .bind(time.to_rfc3339()),
            Some(before) => sqlx::query(
                "UPDATE schedule_times SET happened_at = $2 WHERE network = '' AND entry = $1 AND happened_at = $3",
            )
            .bind(entry)
            .bind(time.to_rfc3339())
            .bind(before.to_rfc3339()),
        };
        Ok(self.database.execute(query).await? > 0)
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
        assert_eq!(state.all_schedule_times().await.unwrap(), HashMap::from([("awin".to_owned(), times)]));
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
    async fn what_happens_by_itself_is_noted_by_one_process() {
        let (_folder, here, there) = crate::database::tests::two_stores().await;
        let (ten, eleven) = (at("2026-01-05T10:00:00Z"), at("2026-01-05T11:00:00Z"));
        for (before, now) in [(None, ten), (Some(ten), eleven)] {
            let both =
                tokio::join!(here.note_happened("check/a", before, now), there.note_happened("check/a", before, now));
            assert_eq!(usize::from(both.0.unwrap()) + usize::from(both.1.unwrap()), 1);
            assert_eq!(there.schedule_times("").await.unwrap().read_at("check/a", None), Some(now));
        }
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
