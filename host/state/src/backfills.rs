//! Backfills that aren't over: up to where each was read, so that the same command goes on there.

use chrono::{DateTime, Utc};
use sqlx::Row;

use crate::State;
use crate::error::Error;
use crate::runs::Selection;

impl State {
    /// Up to where a backfill of this selection was read; none if there is none that isn't over.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn backfilled_until(&self, network: &str, selection: &Selection) -> Result<Option<DateTime<Utc>>, Error> {
        let query = sqlx::query("SELECT read_until FROM backfills WHERE network = $1 AND selection = $2");
        let row = self.database.fetch_optional(query.bind(network).bind(name(selection)?)).await?;
        row.map(|row| row.try_get::<String, _>(0)?.parse().map_err(Error::value)).transpose()
    }

    /// Notes up to where a backfill was read.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_backfill(&self, network: &str, selection: &Selection, until: DateTime<Utc>) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO backfills (network, selection, read_until) VALUES ($1, $2, $3)
             ON CONFLICT (network, selection) DO UPDATE SET read_until = excluded.read_until",
        );
        self.database.execute(query.bind(network).bind(name(selection)?).bind(until.to_rfc3339())).await?;
        Ok(())
    }

    /// Forgets a backfill that is over.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_backfill(&self, network: &str, selection: &Selection) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM backfills WHERE network = $1 AND selection = $2");
        self.database.execute(query.bind(network).bind(name(selection)?)).await?;
        Ok(())
    }
}

/// The selection as text: the same question has the same.
fn name(selection: &Selection) -> Result<String, Error> {
    serde_json::to_string(selection).map_err(Error::value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_backfill_goes_on_where_it_was_until_it_is_over() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let all = Selection { since: Some(at("2025-01-01T00:00:00Z")), ..Selection::default() };
        let one = Selection { account: Some("uk".to_owned()), ..all.clone() };
        for until in ["2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z"] {
            state.note_backfill("awin", &all, at(until)).await.unwrap();
        }
        assert_eq!(state.backfilled_until("awin", &all).await.unwrap(), Some(at("2025-03-01T00:00:00Z")));
        assert_eq!(state.backfilled_until("awin", &one).await.unwrap(), None);
        state.forget_backfill("awin", &all).await.unwrap();
        assert_eq!(state.backfilled_until("awin", &all).await.unwrap(), None);
    }
}
