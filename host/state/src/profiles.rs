//! Profiles: what was usual of the answers of a stream of an account.

use sqlx::Row;

use crate::State;
use crate::error::Error;

impl State {
    /// The profile of a stream of an account, as JSON.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn profile(&self, network: &str, account: &str, stream: &str) -> Result<Option<String>, Error> {
        let query = sqlx::query("SELECT content FROM profiles WHERE network = $1 AND account = $2 AND stream = $3");
        let row = self.database.fetch_optional(query.bind(network).bind(account).bind(stream)).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Whether a network has profiles, or its history was looked through for them.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn has_profiles(&self, network: &str) -> Result<bool, Error> {
        let query = sqlx::query("SELECT stream FROM profiles WHERE network = $1 LIMIT 1");
        Ok(self.database.fetch_optional(query.bind(network)).await?.is_some())
    }

    /// Keeps the profile of a stream of an account.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn keep_profile(&self, network: &str, account: &str, stream: &str, content: &str) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO profiles (network, account, stream, content) VALUES ($1, $2, $3, $4)
             ON CONFLICT (network, account, stream) DO UPDATE SET content = excluded.content",
        );
        self.database.execute(query.bind(network).bind(account).bind(stream).bind(content)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_profile_belongs_to_a_stream_of_an_account() {
        let state = State::open("sqlite::memory:").await.unwrap();
        assert!(!state.has_profiles("awin").await.unwrap());
        state.keep_profile("awin", "uk", "transactions", "{}").await.unwrap();
        state.keep_profile("awin", "uk", "transactions", "{\"records\": 1}").await.unwrap();
        let uk = state.profile("awin", "uk", "transactions").await.unwrap();
        assert_eq!(uk.as_deref(), Some("{\"records\": 1}"));
        assert_eq!(state.profile("awin", "de", "transactions").await.unwrap(), None);
        assert!(state.has_profiles("awin").await.unwrap() && !state.has_profiles("cj").await.unwrap());
    }
}
