//! Who may call the HTTP API, and which calls changed something.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::State;
use crate::error::Error;

/// What a token may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenRole {
    /// Ask.
    Read,
    /// Decide doubts, pause and resume.
    Operate,
    /// Decide which connector serves.
    Admin,
}

impl TokenRole {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The role that the command line calls so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A token of the API, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    /// The operator's name for it.
    pub name: String,
    /// What it may do.
    pub role: TokenRole,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether it can be used for SQL over the wire: those of before that can't.
    pub wire: bool,
}

/// A call that changed something, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiCall {
    /// When.
    pub called_at: DateTime<Utc>,
    /// The token's name.
    pub token: String,
    /// The HTTP method.
    pub method: String,
    /// The path, without parameters.
    pub path: String,
    /// The HTTP status of the answer.
    pub status: u16,
}

impl State {
    /// Keeps a token by its hash, and by what it is checked against over the wire. False if there is one of this name.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn add_api_token(&self, token: &ApiToken, hash: &str, verifier: &str) -> Result<bool, Error> {
        let query = sqlx::query(
            "INSERT INTO api_tokens (name, role, hash, created_at, scram) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO NOTHING",
        );
        let query = query.bind(&token.name).bind(token.role.name()).bind(hash).bind(token.created_at.to_rfc3339());
        let query = query.bind(verifier);
        Ok(self.database.execute(query).await? == 1)
    }

    /// Removes a token: it is refused from now on. False if there is none of this name.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn remove_api_token(&self, name: &str) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM api_tokens WHERE name = $1").bind(name);
        Ok(self.database.execute(query).await? == 1)
    }

    /// The token with this hash.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn api_token(&self, hash: &str) -> Result<Option<ApiToken>, Error> {
        let query = sqlx::query("SELECT name, role, created_at, scram FROM api_tokens WHERE hash = $1").bind(hash);
        self.database.fetch_optional(query).await?.as_ref().map(token).transpose()
    }

    /// What the token of this name is checked against over the wire; none if there is no such token, or nothing is kept of it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn wire_verifier(&self, name: &str) -> Result<Option<String>, Error> {
        let query = sqlx::query("SELECT scram FROM api_tokens WHERE name = $1 AND scram <> ''").bind(name);
        let row = self.database.fetch_optional(query).await?;
        row.map(|row| row.try_get(0).map_err(Error::from)).transpose()
    }

    /// All tokens by name.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>, Error> {
        let query = sqlx::query("SELECT name, role, created_at, scram FROM api_tokens ORDER BY name");
        self.database.fetch_all(query).await?.iter().map(token).collect()
    }

    /// Notes a call.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_api_call(&self, call: &ApiCall) -> Result<(), Error> {
        let ApiCall { called_at, token, method, path, status } = call;
        let query =
            sqlx::query("INSERT INTO api_calls (called_at, token, method, path, status) VALUES ($1, $2, $3, $4, $5)");
        let query = query.bind(called_at.to_rfc3339()).bind(token).bind(method).bind(path).bind(i64::from(*status));
        self.database.execute(query).await?;
        Ok(())
    }

    /// The newest calls, at most `most`, newest first.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn api_calls(&self, most: u32) -> Result<Vec<ApiCall>, Error> {
        let query = sqlx::query(
            "SELECT called_at, token, method, path, status FROM api_calls ORDER BY called_at DESC LIMIT $1",
        );
        let rows = self.database.fetch_all(query.bind(i64::from(most))).await?;
        let call = |row: &AnyRow| {
            Ok(ApiCall {
                called_at: row.try_get::<String, _>(0)?.parse().map_err(Error::value)?,
                token: row.try_get(1)?,
                method: row.try_get(2)?,
                path: row.try_get(3)?,
                status: u16::try_from(row.try_get::<i64, _>(4)?).map_err(Error::value)?,
            })
        };
        rows.iter().map(call).collect()
    }
}

fn token(row: &AnyRow) -> Result<ApiToken, Error> {
    let role: String = row.try_get(1)?;
    Ok(ApiToken {
        name: row.try_get(0)?,
        role: TokenRole::named(&role).ok_or_else(|| Error::Value(format!("`{role}` is no role")))?,
        created_at: row.try_get::<String, _>(2)?.parse().map_err(Error::value)?,
        wire: !row.try_get::<String, _>(3)?.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_token_is_known_by_its_hash_until_it_is_removed() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let created_at: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().unwrap();
        let token = ApiToken { name: "grafana".to_owned(), role: TokenRole::Read, created_at, wire: true };
        assert!(state.add_api_token(&token, "aa", "SCRAM").await.unwrap());
        assert!(!state.add_api_token(&token, "bb", "").await.unwrap(), "one of this name is there");
        assert_eq!(state.wire_verifier("grafana").await.unwrap().as_deref(), Some("SCRAM"));
        assert_eq!(state.api_token("aa").await.unwrap(), Some(token.clone()));
        assert_eq!(state.api_token("bb").await.unwrap(), None);
        assert_eq!(state.api_tokens().await.unwrap(), [token]);
        assert!(state.remove_api_token("grafana").await.unwrap() && !state.remove_api_token("grafana").await.unwrap());
        assert_eq!(state.api_token("aa").await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_newest_calls_come_first() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let call = |minute: u32| ApiCall {
            called_at: format!("2026-01-05T10:0{minute}:00Z").parse().unwrap(),
            token: "ops".to_owned(),
            method: "POST".to_owned(),
            path: format!("/v1/doubts/{minute}/accept"),
            status: 200,
        };
        for minute in 0..3 {
            state.note_api_call(&call(minute)).await.unwrap();
        }
        assert_eq!(state.api_calls(2).await.unwrap(), [call(2), call(1)]);
    }

    #[test]
    fn roles_rise() {
        assert!(TokenRole::Read < TokenRole::Operate && TokenRole::Operate < TokenRole::Admin);
        assert_eq!(TokenRole::ALL.map(|role| TokenRole::named(role.name())), TokenRole::ALL.map(Some));
        assert_eq!(TokenRole::named("root"), None);
    }
}
