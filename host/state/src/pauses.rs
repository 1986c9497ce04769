//! Pauses: networks and accounts that the schedule leaves alone until the operator resumes them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::State;
use crate::error::Error;

/// What is paused of a network.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pause {
    /// The account's id; none if the network is paused.
    pub account: Option<String>,
    /// Since when.
    pub paused_at: DateTime<Utc>,
    /// The operator's reason; may be empty.
    pub reason: String,
}

impl State {
    /// What is paused of a network: itself first, then accounts by id.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn pauses(&self, network: &str) -> Result<Vec<Pause>, Error> {
        let query = sqlx::query("SELECT account, paused_at, reason FROM pauses WHERE network = $1 ORDER BY account");
        self.database.fetch_all(query.bind(network)).await?.iter().map(pause).collect()
    }

    /// What is paused of all networks, by their names, in the same order.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn all_pauses(&self) -> Result<HashMap<String, Vec<Pause>>, Error> {
        let query = sqlx::query("SELECT account, paused_at, reason, network FROM pauses ORDER BY network, account");
        let mut all: HashMap<String, Vec<Pause>> = HashMap::new();
        for row in self.database.fetch_all(query).await? {
            all.entry(row.try_get(3)?).or_default().push(pause(&row)?);
        }
        Ok(all)
    }

    /// Pauses a network or one of its accounts. What is paused already keeps its time and gets the reason.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn pause(&self, network: &str, pause: &Pause) -> Result<(), Error> {
        let Pause { account, paused_at, reason } = pause;
        let query = sqlx::query(
            "INSERT INTO pauses (network, account, paused_at, reason) VALUES ($1, $2, $3, $4)
             ON CONFLICT (network, account) DO UPDATE SET reason = excluded.reason",
        );
        let query = query.bind(network).bind(account.as_deref().unwrap_or_default()).bind(paused_at.to_rfc3339());
        self.database.execute(query.bind(reason)).await?;
        Ok(())
    }

    /// Resumes a network, whose accounts stay paused, or one of its accounts. False if it wasn't paused.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn resume(&self, network: &str, account: Option<&str>) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM pauses WHERE network = $1 AND account = $2");
        Ok(self.database.execute(query.bind(network).bind(account.unwrap_or_default())).await? > 0)
    }
}

fn pause(row: &AnyRow) -> Result<Pause, Error> {
    let (account, paused_at): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Pause {
        account: (!account.is_empty()).then_some(account),
        paused_at: paused_at.parse().map_err(Error::value)?,
        reason: row.try_get(2)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_network_and_its_accounts_are_paused_and_resumed_by_themselves() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let at: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().unwrap();
        let of = |account: Option<&str>, reason: &str| Pause {
            account: account.map(str::to_owned),
            paused_at: at,
            reason: reason.to_owned(),
        };
        for pause in [of(Some("uk"), "locked"), of(None, ""), of(Some("de"), "")] {
            state.pause("awin", &pause).await.unwrap();
        }
        let again = Pause { paused_at: at + chrono::TimeDelta::days(1), ..of(Some("uk"), "locked again") };
        state.pause("awin", &again).await.unwrap();
        let expected = [of(None, ""), of(Some("de"), ""), of(Some("uk"), "locked again")];
        assert_eq!(state.pauses("awin").await.unwrap(), expected);
        assert_eq!(state.all_pauses().await.unwrap(), HashMap::from([("awin".to_owned(), expected.to_vec())]));
        assert!(state.resume("awin", None).await.unwrap() && !state.resume("awin", None).await.unwrap());
        assert_eq!(state.pauses("awin").await.unwrap(), expected[1..]);
        assert!(state.resume("awin", Some("uk")).await.unwrap());
        assert_eq!(state.pauses("cj").await.unwrap(), []);
    }
}
