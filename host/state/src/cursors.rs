//! Cursors: what a slice asked to keep for the next slice of the same look-back rule.

use sluice_model::Slice;
use sqlx::Row;

use crate::State;
use crate::error::Error;

impl State {
    /// The cursor that a slice of this look-back rule gave for the same stream, account and date.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn cursor(&self, slice: &Slice, rule: &str) -> Result<Option<String>, Error> {
        let query = sqlx::query(
            "SELECT value FROM cursors
             WHERE network = $1 AND account = $2 AND stream = $3 AND axis = $4 AND rule = $5",
        );
        let query = query.bind(&slice.network).bind(&slice.account).bind(&slice.stream).bind(slice.axis.name());
        let row = self.database.fetch_optional(query.bind(rule)).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Keeps a cursor for the next slice of this look-back rule. To be called once all that the slice gave is durable:
    /// what the next slice doesn't ask for is never read again.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn keep_cursor(&self, slice: &Slice, rule: &str, value: &str) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO cursors (network, account, stream, axis, rule, value) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (network, account, stream, axis, rule) DO UPDATE SET value = excluded.value",
        );
        let query = query.bind(&slice.network).bind(&slice.account).bind(&slice.stream).bind(slice.axis.name());
        self.database.execute(query.bind(rule).bind(value)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::Axis;

    use super::*;

    #[tokio::test]
    async fn a_cursor_belongs_to_the_rule_that_asked() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let slice = |axis| Slice {
            network: "awin".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            settings: Vec::new(),
            window: "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z".parse().unwrap(),
            timezone: chrono_tz::UTC,
            axis,
            cursor: None,
        };
        let slice_of = slice(Axis::Modified);
        state.keep_cursor(&slice_of, "3600s/3d/modified", "one").await.unwrap();
        state.keep_cursor(&slice_of, "3600s/3d/modified", "two").await.unwrap();
        assert_eq!(state.cursor(&slice_of, "3600s/3d/modified").await.unwrap().as_deref(), Some("two"));
        assert_eq!(state.cursor(&slice_of, "86400s/45d/modified").await.unwrap(), None);
        assert_eq!(state.cursor(&slice(Axis::Transaction), "3600s/3d/modified").await.unwrap(), None);
    }
}
