//! What running services hold, as they noted it last.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Row;

use crate::State;
use crate::error::Error;

/// How long the record of a service is kept that ended without deleting it.
const KEPT: TimeDelta = TimeDelta::days(1);

/// A service that has recorded nothing for so long was killed, or hangs.
const SILENT: TimeDelta = TimeDelta::minutes(1);
/// How far a clock may be ahead of another one: what it notes is no moment to come.
const AHEAD: TimeDelta = TimeDelta::minutes(5);
/// How long a connector may outlive its last run before it counts as leaked: a call that was given up ends at its
/// deadline, and a candidate is being tried.
const CONNECTOR_LINGER: TimeDelta = TimeDelta::minutes(2);

/// What a service holds at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStats {
    /// Names the service among all that ever ran; empty in what earlier versions noted.
    pub id: String,
    /// The machine, as it calls itself.
    pub host: String,
    /// Its process id on that machine.
    pub process: u32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The moment.
    pub noted_at: DateTime<Utc>,
    /// What it does of scheduler, worker, api and query.
    pub roles: Vec<String>,
    /// What other hosts call it by to share a query; none if it takes no parts of queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_address: Option<String>,
    /// Runs in flight.
    pub runs: usize,
    /// Compiled connectors in memory.
    pub connectors: usize,
    /// Their machine code.
    pub code_bytes: usize,
    /// Of these, what the connectors' folder accounts for: those that serve and those that wait.
    pub connectors_held: usize,
    /// Since when there are more without a run in flight. For longer than two minutes: a leak.
    pub left_over_since: Option<DateTime<Utc>>,
    /// Calls of guests in flight.
    pub instances: u64,
    /// Threads of guests, or of decoding for them, that go on though their slice has ended.
    pub orphaned_threads: usize,
    /// Linear memories of theirs.
    pub memories: usize,
    /// What these were granted.
    pub memory_bytes: usize,
    /// Memory that idle slots keep for the next calls.
    pub idle_bytes: usize,
    /// What the process has allocated and not given back; none with another allocator than jemalloc. Machine code and
    /// linear memories are mapped, and no part of it.
    pub allocated_bytes: Option<u64>,
    /// Memory of the whole process, with what the allocator keeps for later and the files that are mapped; none where
    /// the system doesn't say it.
    pub resident_bytes: Option<u64>,
}

impl ServiceStats {
    /// Whether the service noted it lately. What a clock noted that was ahead and went back since says nothing.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        now - self.noted_at < SILENT && self.noted_at - now < AHEAD
    }

    /// How many connectors nothing accounts for, and have not for long.
    pub fn leaked(&self) -> usize {
        let for_long = self.left_over_since.is_some_and(|since| self.noted_at - since > CONNECTOR_LINGER);
        if for_long { self.connectors.saturating_sub(self.connectors_held) } else { 0 }
    }

    /// What changes only when something happens.
    pub fn counts(&self) -> [usize; 6] {
        let Self { runs, connectors, connectors_held, memories, orphaned_threads, .. } = *self;
        [runs, connectors, connectors_held, memories, orphaned_threads, self.leaked()]
    }
}

impl State {
    /// Notes what a service holds, in place of what it noted before.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_service(&self, id: &str, stats: &ServiceStats) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO services (id, noted_at, vitals) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at, vitals = excluded.vitals",
        );
        let json = serde_json::to_string(stats).map_err(Error::value)?;
        self.database.execute(query.bind(id).bind(stats.noted_at.to_rfc3339()).bind(json)).await?;
        Ok(())
    }

    /// Forgets a service that ended in order.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_service(&self, id: &str) -> Result<(), Error> {
        let old = (Utc::now() - KEPT).to_rfc3339();
        let query = sqlx::query("DELETE FROM services WHERE id = $1 OR noted_at < $2");
        self.database.execute(query.bind(id).bind(old)).await?;
        Ok(())
    }

    /// What services hold, the oldest service first; none of those that ended in order.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn services(&self) -> Result<Vec<ServiceStats>, Error> {
        let old = (Utc::now() - KEPT).to_rfc3339();
        let rows = sqlx::query("SELECT vitals, id FROM services WHERE noted_at >= $1 ORDER BY id").bind(old);
        let rows = self.database.fetch_all(rows).await?;
        let stats = |row: &sqlx::any::AnyRow| {
            let stats: ServiceStats = serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(Error::value)?;
            Ok(ServiceStats { id: row.try_get(1)?, ..stats })
        };
        rows.iter().map(stats).collect()
    }
}

/// The machine, as it calls itself.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::database::tests::two_stores;

    #[tokio::test]
    async fn a_service_is_seen_until_it_ends() {
        let (_folder, here, there) = two_stores().await;
        let stats = |process, age| ServiceStats { process, noted_at: Utc::now() - age, ..ServiceStats::default() };
        for process in [1, 2] {
            here.note_service("a", &stats(process, TimeDelta::zero())).await.unwrap();
        }
        here.note_service("b", &stats(3, TimeDelta::hours(1))).await.unwrap();
        here.note_service("c", &stats(4, TimeDelta::days(2))).await.unwrap();
        let processes = |seen: Vec<ServiceStats>| seen.iter().map(|stats| stats.process).collect::<Vec<_>>();
        assert_eq!(processes(there.services().await.unwrap()), [2, 3]);
        here.forget_service("a").await.unwrap();
        assert_eq!(processes(there.services().await.unwrap()), [3]);
    }

    #[test]
    fn what_lingers_is_a_leak_only_after_a_while() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let since = |since: Option<TimeDelta>| ServiceStats {
            noted_at: now,
            connectors: 3,
            connectors_held: 1,
            left_over_since: since.map(|since| now - since),
            ..ServiceStats::default()
        };
        assert_eq!(since(None).leaked(), 0, "a run holds them");
        assert_eq!(since(Some(TimeDelta::seconds(10))).leaked(), 0);
        assert_eq!(since(Some(TimeDelta::minutes(3))).leaked(), 2);
        assert!(since(None).is_fresh(now) && !since(None).is_fresh(now + SILENT));
        assert!(since(None).is_fresh(now - TimeDelta::minutes(1)), "clocks differ");
        assert!(!since(None).is_fresh(now - TimeDelta::hours(1)), "the clock went back since");
    }
}
