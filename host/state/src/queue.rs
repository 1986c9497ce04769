//! The queue: what the schedule names becomes runs that wait to be begun, each of a part of its network's accounts.
//!
//! A run stands in the queue until it has ended; whoever works on it has claimed its accounts. So nothing is handed over: a
//! process that dies leaves its runs where they are, free. A moment of the schedule and its runs are one transaction, and so
//! are a run's end and what follows from it.

use chrono::{DateTime, Utc};
use sluice_model::Digest;
use sqlx::Row;

use crate::State;
use crate::database::Statements;
use crate::error::Error;
use crate::rule_reads::{self, RunEnd};
use crate::runs::{Selection, Verb};
use crate::schedule_times::{rule_entry, start_entry};

/// A moment of a network's schedule.
#[derive(Clone, Debug)]
pub struct Round<'a> {
    /// The network's name in the settings.
    pub network: &'a str,
    /// The stream, if it has a schedule of its own.
    pub stream: Option<&'a str>,
    /// The keys of the look-back rules that all accounts are read by: they count as read once all of its runs are over, of the
    /// accounts for which none failed. Other rules of its runs are those of single accounts.
    pub rules: &'a [String],
    /// When its runs are queued.
    pub at: DateTime<Utc>,
    /// When the schedule's runs were queued before, as far as the caller knows.
    pub before: Option<DateTime<Utc>>,
    /// Its runs.
    pub parts: Vec<Selection>,
}

impl State {
    /// Queues the runs of a moment of the schedule, and notes that it has come. False if another process was first, or if
    /// runs of the moment before aren't over: nothing is queued then.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn queue_round(&self, round: &Round<'_>) -> Result<bool, Error> {
        let (network, entry) = (round.network, start_entry(round.stream));
        let mut statements = self.database.begin(&format!("schedule/{network}")).await?;
        let times = sqlx::query("SELECT happened_at FROM schedule_times WHERE network = $1 AND entry = $2");
        let before = statements.fetch_optional(times.bind(network).bind(&entry)).await?;
        let before: Option<DateTime<Utc>> =
            before.map(|row| row.try_get::<String, _>(0)).transpose()?.and_then(|time| time.parse().ok());
        if before != round.before || is_queued(&mut statements, network, &entry).await? {
            return Ok(false);
        }
        let started = "INSERT INTO schedule_times (network, entry, happened_at) VALUES ($1, $2, $3)
                       ON CONFLICT (network, entry) DO UPDATE SET happened_at = excluded.happened_at";
        let at = round.at.to_rfc3339();
        statements.execute(sqlx::query(started).bind(network).bind(&entry).bind(&at)).await?;
        let forget = sqlx::query("DELETE FROM rounds WHERE network = $1 AND entry = $2");
        statements.execute(forget.bind(network).bind(&entry)).await?;
        for rule in round.rules {
            let query = sqlx::query("INSERT INTO rounds (network, entry, rule, began_at) VALUES ($1, $2, $3, $4)");
            let rule = rule_entry(rule, round.stream);
            statements.execute(query.bind(network).bind(&entry).bind(rule).bind(&at)).await?;
        }
        for part in &round.parts {
            queue_run(&mut statements, network, &Queued { entry: &entry, priority: SCHEDULED, at: &at }, part).await?;
        }
        statements.commit().await?;
        Ok(true)
    }

    /// Queues runs that no schedule names: they are taken when no other run waits.
    ///
    /// # Errors
    /// The store's failure; nothing is queued then.
    pub async fn queue_bulk(&self, network: &str, runs: &[Selection]) -> Result<(), Error> {
        let mut statements = self.database.begin(&format!("schedule/{network}")).await?;
        let at = Utc::now().to_rfc3339();
        for run in runs {
            queue_run(&mut statements, network, &Queued { entry: "", priority: BULK, at: &at }, run).await?;
        }
        Ok(statements.commit().await?)
    }

    /// What the network's runs are to do that no schedule names, whether they wait or were begun.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn queued_bulk(&self, network: &str) -> Result<Vec<Selection>, Error> {
        let query = sqlx::query("SELECT selection FROM runs WHERE network = $1 AND priority = $2");
        let rows = self.database.fetch_all(query.bind(network).bind(BULK)).await?;
        let texts = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
        // One of another version that can't be read is given up by who claims the network.
        Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }

    /// Queues such runs with ids of the caller's own.
    ///
    /// # Errors
    /// As [`State::queue_bulk`].
    pub async fn queue_bulk_as(&self, network: &str, runs: &[(String, Selection)]) -> Result<(), Error> {
        let mut statements = self.database.begin(&format!("schedule/{network}")).await?;
        let at = Utc::now().to_rfc3339();
        for (run_id, run) in runs {
            let queued = Queued { entry: "", priority: BULK, at: &at };
            queue_run_as(&mut statements, network, run_id, &queued, run).await?;
        }
        Ok(statements.commit().await?)
    }

    /// Queues runs of several networks, of which others wait for some: all or none. Each with its network and its id.
    ///
    /// # Errors
    /// The store's failure; nothing is queued then.
    pub async fn queue_bulk_of_all(&self, runs: &[(String, String, Selection)]) -> Result<(), Error> {
        let mut statements = self.database.begin("bulk").await?;
        let at = Utc::now().to_rfc3339();
        for (network, run_id, run) in runs {
            let queued = Queued { entry: "", priority: BULK, at: &at };
            queue_run_as(&mut statements, network, run_id, &queued, run).await?;
        }
        Ok(statements.commit().await?)
    }

    /// Forgets runs that were queued with ids which begin with this one and a point. The caller must have claimed the network:
    /// nobody works on one. Returns how many there were.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_queued(&self, id: &str) -> Result<u64, Error> {
        self.forget("DELETE FROM runs WHERE substr(run_id, 1, $2) = $1", id).await
    }

    /// The same for those of them that were never begun.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_unbegun(&self, id: &str) -> Result<u64, Error> {
        self.forget("DELETE FROM runs WHERE substr(run_id, 1, $2) = $1 AND starts = 0", id).await
    }

    async fn forget(&self, sql: &'static str, id: &str) -> Result<u64, Error> {
        let length = i32::try_from(id.len() + 1).map_err(Error::value)?;
        Ok(self.database.execute(sqlx::query(sql).bind(format!("{id}.")).bind(length)).await?)
    }

    /// Whether runs of the network's schedule aren't over.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn has_scheduled_runs(&self, network: &str) -> Result<bool, Error> {
        let query = sqlx::query("SELECT count(*) FROM runs WHERE network = $1 AND entry <> ''").bind(network);
        Ok(self.database.fetch_one(query).await?.try_get::<i64, _>(0)? > 0)
    }

    /// Since when the network's longest waiting run of its schedule waits to be begun.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn waiting_since(&self, network: &str) -> Result<Option<DateTime<Utc>>, Error> {
        let query =
            sqlx::query("SELECT started_at FROM runs WHERE network = $1 AND entry <> '' AND starts = 0").bind(network);
        let times = self.database.fetch_all(query).await?;
        let times = times.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(times.iter().filter_map(|time| time.parse().ok()).min())
    }

    /// Deletes a run that has ended. With the last run of a moment of the schedule its look-back rules count as read, of those
    /// accounts of which they were.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn end_run(&self, run_id: &str, end: &RunEnd) -> Result<(), Error> {
        let query = sqlx::query("SELECT network, entry, selection FROM runs WHERE run_id = $1").bind(run_id);
        let Some(row) = self.database.fetch_optional(query).await? else { return Ok(()) };
        let (network, entry, selection): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let mut statements = self.database.begin(&format!("schedule/{network}")).await?;
        statements.execute(sqlx::query("DELETE FROM runs WHERE run_id = $1").bind(run_id)).await?;
        if !entry.is_empty() {
            match serde_json::from_str::<Selection>(&selection) {
                Ok(selection) => rule_reads::note(&mut statements, &network, &entry, &selection, end).await?,
                // One of another version: whatever it was to read stays due.
                Err(_) => {
                    let forget = sqlx::query("DELETE FROM rounds WHERE network = $1 AND entry = $2");
                    _ = statements.execute(forget.bind(&network).bind(&entry)).await?;
                }
            }
            if !is_queued(&mut statements, &network, &entry).await? {
                rule_reads::note_over(&mut statements, &network, &entry).await?;
            }
        }
        Ok(statements.commit().await?)
    }
}

/// Whether runs of an entry of the schedule aren't over.
async fn is_queued(statements: &mut Statements, network: &str, entry: &str) -> Result<bool, Error> {
    let query = sqlx::query("SELECT run_id FROM runs WHERE network = $1 AND entry = $2 LIMIT 1");
    Ok(statements.fetch_optional(query.bind(network.to_owned()).bind(entry.to_owned())).await?.is_some())
}

/// The place of a run in the queue.
struct Queued<'a> {
    /// The entry of the schedule that names it; empty if none does.
    entry: &'a str,
    /// The smaller one comes first.
    priority: i64,
    at: &'a str,
}

/// The priority of what the schedule names, and of what an operator's command began.
pub(crate) const SCHEDULED: i64 = 0;
/// The priority of what has time.
pub(crate) const BULK: i64 = 1;

async fn queue_run(
    statements: &mut Statements,
    network: &str,
    queued: &Queued<'_>,
    selection: &Selection,
) -> Result<(), Error> {
    queue_run_as(statements, network, &uuid::Uuid::now_v7().to_string(), queued, selection).await
}

async fn queue_run_as(
    statements: &mut Statements,
    network: &str,
    run_id: &str,
    queued: &Queued<'_>,
    selection: &Selection,
) -> Result<(), Error> {
    let query = sqlx::query(
        "INSERT INTO runs (run_id, network, verb, selection, slices, connector, started_at, starts, kept, entry, priority)
         VALUES ($1, $2, $3, $4, '[]', $5, $6, 0, 0, $7, $8)",
    );
    let query = query
        .bind(run_id.to_owned())
        .bind(network.to_owned())
        .bind(serde_json::to_string(&Verb::Run).map_err(Error::value)?)
        .bind(serde_json::to_string(selection).map_err(Error::value)?)
        // It has none before it is begun.
        .bind(Digest::of(b"").to_hex())
        .bind(queued.at.to_owned())
        .bind(queued.entry.to_owned())
        .bind(queued.priority);
    statements.execute(query).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::FreeRun;
    use crate::database::tests::{at, two_stores};

    fn part(account: &str) -> Selection {
        Selection { accounts: vec![account.to_owned()], ..Selection::default() }
    }

    fn round<'a>(rules: &'a [String], before: Option<&str>, now: &str) -> Round<'a> {
        let part = |account| Selection { rules: Some(rules.to_vec()), ..part(account) };
        let parts = vec![part("uk"), part("de")];
        Round { network: "awin", stream: None, rules, at: at(now), before: before.map(at), parts }
    }

    const TEN: &str = "2026-01-05T10:00:00Z";
    const ELEVEN: &str = "2026-01-05T11:00:00Z";
    const NEXT_DAY: &str = "2026-01-06T10:00:00Z";

    #[tokio::test]
    async fn of_two_schedulers_one_queues_a_moment() {
        let (_folder, here, there) = two_stores().await;
        let rules = ["3600s/3d/modified".to_owned()];
        let moment = round(&rules, None, TEN);
        let both = tokio::join!(here.queue_round(&moment), there.queue_round(&moment));
        assert_eq!(usize::from(both.0.unwrap()) + usize::from(both.1.unwrap()), 1);
        assert_eq!(here.free_runs().await.unwrap().len(), 2, "its two parts");
        assert_eq!(here.schedule_times("awin").await.unwrap().started_at(None), Some(at(TEN)));
        assert!(!there.queue_round(&round(&rules, Some(TEN), ELEVEN)).await.unwrap(), "its runs aren't over");
    }

    #[tokio::test]
    async fn a_moment_whose_runs_can_not_be_queued_has_not_come() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let rules = ["3600s/3d/modified".to_owned()];
        state.database.execute(sqlx::query("ALTER TABLE rounds RENAME TO away")).await.unwrap();
        assert!(state.queue_round(&round(&rules, None, TEN)).await.is_err());
        state.database.execute(sqlx::query("ALTER TABLE away RENAME TO rounds")).await.unwrap();
        assert_eq!(state.schedule_times("awin").await.unwrap().started_at(None), None);
        assert!(state.queue_round(&round(&rules, None, TEN)).await.unwrap(), "it comes once it can");
    }

    #[tokio::test]
    async fn rules_count_as_read_once_all_parts_are_over_of_those_that_did_not_fail() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let rules = ["3600s/3d/modified".to_owned(), "86400s/45d/modified".to_owned()];
        let times = async || state.schedule_times("awin").await.unwrap();
        let read_at = async |account: &str| times().await.read_at_of(&rules[1], None, account);
        assert!(state.queue_round(&round(&rules, None, TEN)).await.unwrap());
        let runs = state.free_runs().await.unwrap();
        let accounts: Vec<&String> = runs.iter().flat_map(|run| &run.accounts).collect();
        assert_eq!(accounts, ["uk", "de"]);
        state.end_run(&runs[0].run_id, &RunEnd::all_read()).await.unwrap();
        assert_eq!(read_at("uk").await, None, "one isn't over");
        let unread = RunEnd::Read { unread: [("de".to_owned(), rules[1].clone())].into() };
        state.end_run(&runs[1].run_id, &unread).await.unwrap();
        assert_eq!((read_at("uk").await, read_at("de").await), (Some(at(TEN)), None));
        assert_eq!(times().await.read_at_of(&rules[0], None, "de"), Some(at(TEN)), "only that rule failed");
        // The next moment reads it of that account alone, which fails again, and then doesn't.
        let mut before = at(TEN);
        for (end, expected) in [(RunEnd::Unread, None), (RunEnd::all_read(), Some(at(TEN)))] {
            let now = before + chrono::TimeDelta::hours(1);
            let parts = vec![Selection { rules: Some(rules[1..].to_vec()), ..part("de") }];
            let next = Round { rules: &[], at: now, before: Some(before), parts, ..round(&rules, None, TEN) };
            assert!(state.queue_round(&next).await.unwrap());
            let run = state.free_runs().await.unwrap().remove(0);
            state.end_run(&run.run_id, &end).await.unwrap();
            assert_eq!((read_at("uk").await, read_at("de").await), (Some(at(TEN)), expected));
            before = now;
        }
        // A part that was given up leaves its accounts as they were.
        let next = Round { at: at(NEXT_DAY), before: Some(before), ..round(&rules, None, TEN) };
        assert!(state.queue_round(&next).await.unwrap());
        for (run, end) in state.free_runs().await.unwrap().iter().zip([RunEnd::Unread, RunEnd::all_read()]) {
            state.end_run(&run.run_id, &end).await.unwrap();
        }
        assert_eq!((read_at("uk").await, read_at("de").await), (Some(at(TEN)), Some(at(NEXT_DAY))));
    }

    #[tokio::test]
    async fn a_round_of_one_run_that_was_given_up_has_read_nothing() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let rules = ["3600s/3d/modified".to_owned()];
        let whole = Selection { rules: Some(rules.to_vec()), ..Selection::default() };
        assert!(state.queue_round(&Round { parts: vec![whole], ..round(&rules, None, TEN) }).await.unwrap());
        let run = state.free_runs().await.unwrap().remove(0);
        state.end_run(&run.run_id, &RunEnd::Unread).await.unwrap();
        assert_eq!(state.schedule_times("awin").await.unwrap().read_at_of(&rules[0], None, "uk"), None);
    }

    #[tokio::test]
    async fn what_has_time_comes_last() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let rules = ["3600s/3d/modified".to_owned()];
        state.queue_bulk("awin", &[part("fr"), part("nl")]).await.unwrap();
        assert!(state.queue_round(&round(&rules, None, TEN)).await.unwrap());
        let accounts = |runs: Vec<FreeRun>| runs.into_iter().flat_map(|run| run.accounts).collect::<Vec<String>>();
        assert_eq!(accounts(state.free_runs().await.unwrap()), ["uk", "de", "fr", "nl"]);
        let is_bulk: Vec<bool> = state.free_runs().await.unwrap().iter().map(|run| run.is_bulk).collect();
        assert_eq!(is_bulk, [false, false, true, true]);
        assert_eq!(state.queued_bulk("awin").await.unwrap().len(), 2);
        assert_eq!(accounts(state.free_runs_of_schedules().await.unwrap()), ["uk", "de"]);
    }

    #[tokio::test]
    async fn a_run_that_was_begun_keeps_its_place_in_the_queue() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let rules = ["3600s/3d/modified".to_owned()];
        assert!(state.queue_round(&round(&rules, None, TEN)).await.unwrap());
        assert!(state.unfinished_runs("awin").await.unwrap().is_empty(), "nobody began one");
        let first = state.free_runs().await.unwrap().remove(0);
        let noted = state.noted_run("awin", &first.run_id).await.unwrap().unwrap();
        assert_eq!(noted.starts, 0);
        state.note_run(&crate::NotedRun { starts: 1, ..noted }).await.unwrap();
        assert_eq!(state.unfinished_runs("awin").await.unwrap()[0].run_id, first.run_id);
        assert!(state.has_scheduled_runs("awin").await.unwrap());
        assert!(!state.queue_round(&round(&rules, Some(TEN), ELEVEN)).await.unwrap());
    }
}
