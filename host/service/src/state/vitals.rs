//! What running services hold, as they noted it last.

use chrono::{TimeDelta, Utc};
use sqlx::Row;

use super::State;
use crate::failure::Failure;
use crate::vitals::ServiceStats;

/// How long the note of a service is kept that ended without a word.
const KEPT: TimeDelta = TimeDelta::days(1);

impl State {
    /// Notes what a service holds, in place of what it noted before.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_vitals(&self, id: &str, vitals: &ServiceStats) -> Result<(), Failure> {
        let query = sqlx::query(
            "INSERT INTO services (id, noted_at, vitals) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at, vitals = excluded.vitals",
        );
        let json = serde_json::to_string(vitals).map_err(Failure::failed)?;
        self.database.execute(query.bind(id).bind(vitals.noted_at.to_rfc3339()).bind(json)).await?;
        Ok(())
    }

    /// Forgets a service that ended in order.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_vitals(&self, id: &str) -> Result<(), Failure> {
        let old = (Utc::now() - KEPT).to_rfc3339();
        let query = sqlx::query("DELETE FROM services WHERE id = $1 OR noted_at < $2");
        self.database.execute(query.bind(id).bind(old)).await?;
        Ok(())
    }

    /// What services hold, the oldest service first; none of those that ended in order.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn vitals(&self) -> Result<Vec<ServiceStats>, Failure> {
        let old = (Utc::now() - KEPT).to_rfc3339();
        let rows = sqlx::query("SELECT vitals FROM services WHERE noted_at >= $1 ORDER BY id").bind(old);
        let rows = self.database.fetch_all(rows).await?;
        rows.iter().map(|row| serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(Failure::failed)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_service_is_seen_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("state.db").display());
        let (here, there) = (State::open(&url).await.unwrap(), State::open(&url).await.unwrap());
        let vitals = |process, age| ServiceStats { process, noted_at: Utc::now() - age, ..ServiceStats::default() };
        for process in [1, 2] {
            here.note_vitals("a", &vitals(process, TimeDelta::zero())).await.unwrap();
        }
        here.note_vitals("b", &vitals(3, TimeDelta::hours(1))).await.unwrap();
        here.note_vitals("c", &vitals(4, TimeDelta::days(2))).await.unwrap();
        let processes = |seen: Vec<ServiceStats>| seen.iter().map(|vitals| vitals.process).collect::<Vec<_>>();
        assert_eq!(processes(there.vitals().await.unwrap()), [2, 3]);
        here.forget_vitals("a").await.unwrap();
        assert_eq!(processes(there.vitals().await.unwrap()), [3]);
    }
}
