//! Widths: how wide a window of a stream of an account may be, learned from windows that had to be halved.

use chrono::{DateTime, Utc};
use sluice_model::Axis;
use sqlx::Row;

use crate::State;
use crate::error::Error;

/// How wide a window may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Width {
    /// The account's id.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// The date that windows filter on.
    pub axis: Axis,
    /// The widest window, in seconds.
    pub secs: u32,
    /// When it was set.
    pub set_at: DateTime<Utc>,
}

impl State {
    /// What is known of a network.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn widths(&self, network: &str) -> Result<Vec<Width>, Error> {
        let query =
            sqlx::query("SELECT account, stream, axis, secs, set_at FROM widths WHERE network = $1").bind(network);
        let mut widths = Vec::new();
        for row in self.database.fetch_all(query).await? {
            let (axis, set_at): (String, String) = (row.try_get(2)?, row.try_get(4)?);
            // What can't be read is of another release, and is learned again.
            let known = Axis::ALL.into_iter().find(|known| known.name() == axis).zip(set_at.parse().ok());
            let (Some((axis, set_at)), Ok(secs)) = (known, u32::try_from(row.try_get::<i64, _>(3)?)) else { continue };
            widths.push(Width { account: row.try_get(0)?, stream: row.try_get(1)?, axis, secs, set_at });
        }
        Ok(widths)
    }

    /// Keeps a width; one of no seconds is forgotten.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn keep_width(&self, network: &str, width: &Width) -> Result<(), Error> {
        let Width { account, stream, axis, secs, set_at } = width;
        let query = match secs {
            0 => sqlx::query("DELETE FROM widths WHERE network = $1 AND account = $2 AND stream = $3 AND axis = $4"),
            _ => sqlx::query(
                "INSERT INTO widths (network, account, stream, axis, secs, set_at) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (network, account, stream, axis)
                 DO UPDATE SET secs = excluded.secs, set_at = excluded.set_at",
            ),
        };
        let query = query.bind(network.to_owned()).bind(account.clone()).bind(stream.clone()).bind(axis.name());
        let query = match secs {
            0 => query,
            secs => query.bind(i64::from(*secs)).bind(set_at.to_rfc3339()),
        };
        self.database.execute(query).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_width_is_kept_changed_and_forgotten() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let width = Width {
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            axis: Axis::Transaction,
            secs: 86_400,
            set_at: "2026-01-05T10:00:00Z".parse().unwrap(),
        };
        state.keep_width("awin", &width).await.unwrap();
        let wider = Width { secs: 172_800, ..width.clone() };
        state.keep_width("awin", &wider).await.unwrap();
        state.keep_width("awin", &Width { axis: Axis::Modified, ..width.clone() }).await.unwrap();
        let mut found = state.widths("awin").await.unwrap();
        found.sort_by_key(|width| width.secs);
        assert_eq!(found[1], wider);
        assert_eq!((found.len(), state.widths("cj").await.unwrap().len()), (2, 0));
        state.keep_width("awin", &Width { secs: 0, ..width }).await.unwrap();
        assert_eq!(state.widths("awin").await.unwrap().len(), 1);
    }
}
