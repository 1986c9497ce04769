//! Which version of which connector serves, what the operator decided about versions, and the status of each candidate.
//!
//! The commands write here, and a running service reads it.

use chrono::{DateTime, Utc};
use sluice_model::Digest;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::State;
use crate::database::Query;
use crate::error::Error;

/// The version of a connector that serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Its network id.
    pub network: String,
    /// The file that it came from.
    pub file: String,
    /// Digest of its file.
    pub digest: Digest,
    /// Its version, as its manifest states it.
    pub version: String,
    /// Its rights, as JSON; empty if they aren't known.
    pub rights: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What the operator decided about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its rights are granted, and what its trial found is accepted.
    Approve,
    /// It takes over now.
    Promote,
    /// It doesn't serve: it was rolled back.
    Hold,
}

impl Decision {
    fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Hold => "hold",
        }
    }
}

/// What was found out about a version that is to take over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandidateStatus {
    /// Its version, as its manifest states it.
    pub version: String,
    /// `serving`, `refused`, `waiting`, `shadow`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// What a person can do about it; empty if nothing.
    pub hint: String,
    /// What it did on the latest responses, as JSON; empty if it wasn't tried.
    pub trial: String,
    /// How it compares with the running version on live responses, as JSON; empty if it wasn't compared.
    pub comparison: String,
}

impl State {
    /// The version that serves a network, or that served from a file last.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn active(&self, file: &str, network: Option<&str>) -> Result<Option<Active>, Error> {
        let select = "SELECT network, file, digest, version, rights, since FROM active_connectors";
        let (query, value) = match network {
            Some(network) => (format!("{select} WHERE network = $1"), network),
            None => (format!("{select} WHERE file = $1 ORDER BY since DESC"), file),
        };
        let row = self.database.fetch_optional(sqlx::query(sqlx::AssertSqlSafe(query)).bind(value)).await?;
        row.map(|row| {
            Ok(Active {
                network: row.try_get(0)?,
                file: row.try_get(1)?,
                digest: digest(&row, 2)?,
                version: row.try_get(3)?,
                rights: row.try_get(4)?,
                since: time(&row, 5)?,
            })
        })
        .transpose()
    }

    /// Notes that a version serves from now on.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_active(&self, active: &Active) -> Result<(), Error> {
        let mut statements = self.database.begin(&active.network).await?;
        statements.execute(upsert(active)).await?;
        Ok(statements.commit().await?)
    }

    /// Notes that a version serves from now on, unless it is held. False if it is.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn take_over(&self, active: &Active) -> Result<bool, Error> {
        let mut statements = self.database.begin(&active.network).await?;
        let held = sqlx::query("SELECT 1 FROM connector_words WHERE network = $1 AND digest = $2 AND word = $3")
            .bind(&active.network)
            .bind(active.digest.to_hex())
            .bind(Decision::Hold.name());
        if statements.fetch_optional(held).await?.is_some() {
            return Ok(false);
        }
        statements.execute(upsert(active)).await?;
        statements.commit().await?;
        Ok(true)
    }

    /// Puts a version back and holds others, in one step, if `serving` still serves. False if it doesn't.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn roll_back(&self, to: &Active, serving: Digest, held: &[Digest]) -> Result<bool, Error> {
        let mut statements = self.database.begin(&to.network).await?;
        let is_same = sqlx::query("SELECT 1 FROM active_connectors WHERE network = $1 AND digest = $2")
            .bind(&to.network)
            .bind(serving.to_hex());
        if statements.fetch_optional(is_same).await?.is_none() {
            return Ok(false);
        }
        for version in held {
            statements.execute(decide(&to.network, *version, Decision::Hold)).await?;
        }
        let approved = sqlx::query(
            "UPDATE connector_words SET word = $1, said_at = $2 WHERE network = $3 AND digest = $4 AND word = $5",
        )
        .bind(Decision::Approve.name())
        .bind(Utc::now().to_rfc3339())
        .bind(&to.network)
        .bind(to.digest.to_hex())
        .bind(Decision::Hold.name());
        statements.execute(approved).await?;
        statements.execute(upsert(to)).await?;
        statements.commit().await?;
        Ok(true)
    }

    /// The operator's last decision about a version, and when it was made.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn decision(&self, network: &str, version: Digest) -> Result<Option<(Decision, DateTime<Utc>)>, Error> {
        let query = sqlx::query("SELECT word, said_at FROM connector_words WHERE network = $1 AND digest = $2");
        let row = self.database.fetch_optional(query.bind(network).bind(version.to_hex())).await?;
        let Some(row) = row else { return Ok(None) };
        let name: String = row.try_get(0)?;
        let word = [Decision::Approve, Decision::Promote, Decision::Hold].into_iter().find(|word| word.name() == name);
        Ok(Some((word.ok_or_else(|| Error::Value(format!("`{name}` is no decision")))?, time(&row, 1)?)))
    }

    /// Records the operator's decision about a version.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn record_decision(&self, network: &str, version: Digest, word: Decision) -> Result<(), Error> {
        let mut statements = self.database.begin(network).await?;
        statements.execute(decide(network, version, word)).await?;
        Ok(statements.commit().await?)
    }

    /// What was found out about a version.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn candidate_status(&self, network: &str, version: Digest) -> Result<Option<CandidateStatus>, Error> {
        let query = sqlx::query(
            "SELECT version, state, reason, hint, smoke, comparison FROM connector_candidates
             WHERE network = $1 AND digest = $2",
        );
        let row = self.database.fetch_optional(query.bind(network).bind(version.to_hex())).await?;
        row.map(|row| {
            Ok(CandidateStatus {
                version: row.try_get(0)?,
                state: row.try_get(1)?,
                reason: row.try_get(2)?,
                hint: row.try_get(3)?,
                trial: row.try_get(4)?,
                comparison: row.try_get(5)?,
            })
        })
        .transpose()
    }

    /// Notes what was found out about a version.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn save_candidate(&self, network: &str, version: Digest, found: &CandidateStatus) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO connector_candidates
                 (network, digest, version, state, reason, hint, smoke, comparison, seen_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (network, digest) DO UPDATE SET version = excluded.version, state = excluded.state,
                 reason = excluded.reason, hint = excluded.hint, smoke = excluded.smoke,
                 comparison = excluded.comparison, seen_at = excluded.seen_at",
        )
        .bind(network)
        .bind(version.to_hex())
        .bind(&found.version)
        .bind(&found.state)
        .bind(&found.reason)
        .bind(&found.hint)
        .bind(&found.trial)
        .bind(&found.comparison)
        .bind(Utc::now().to_rfc3339());
        self.database.execute(query).await?;
        Ok(())
    }

    /// Differs after a decision of the operator or a switch by another process. A running service reads it every second.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn change_marker(&self) -> Result<String, Error> {
        let query = sqlx::query(
            "SELECT coalesce((SELECT max(said_at) FROM connector_words), ''),
                    coalesce((SELECT max(since) FROM active_connectors), '')",
        );
        let row = self.database.fetch_one(query).await?;
        Ok(format!("{} {}", row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?))
    }
}

fn upsert(active: &Active) -> Query<'_> {
    sqlx::query(
        "INSERT INTO active_connectors (network, file, digest, version, rights, since)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (network) DO UPDATE SET file = excluded.file, digest = excluded.digest,
             version = excluded.version, rights = excluded.rights, since = excluded.since",
    )
    .bind(&active.network)
    .bind(&active.file)
    .bind(active.digest.to_hex())
    .bind(&active.version)
    .bind(&active.rights)
    .bind(active.since.to_rfc3339())
}

fn decide(network: &str, version: Digest, word: Decision) -> Query<'_> {
    sqlx::query(
        "INSERT INTO connector_words (network, digest, word, said_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (network, digest) DO UPDATE SET word = excluded.word, said_at = excluded.said_at",
    )
    .bind(network)
    .bind(version.to_hex())
    .bind(word.name())
    .bind(Utc::now().to_rfc3339())
}

fn digest(row: &AnyRow, at: usize) -> Result<Digest, Error> {
    let text: String = row.try_get(at)?;
    Digest::from_hex(&text).ok_or_else(|| Error::Value(format!("`{text}` is no digest")))
}

fn time(row: &AnyRow, at: usize) -> Result<DateTime<Utc>, Error> {
    row.try_get::<String, _>(at)?.parse().map_err(Error::value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::database::tests::two_stores;

    #[tokio::test]
    async fn what_is_said_is_seen_by_others() {
        let (_folder, here, there) = two_stores().await;
        let (digest, mark) = (Digest::of(b"awin"), there.change_marker().await.unwrap());
        here.record_decision("awin", digest, Decision::Approve).await.unwrap();
        assert_ne!(there.change_marker().await.unwrap(), mark);
        assert_eq!(there.decision("awin", digest).await.unwrap().unwrap().0, Decision::Approve);
        here.record_decision("awin", digest, Decision::Hold).await.unwrap();
        assert_eq!(there.decision("awin", digest).await.unwrap().unwrap().0, Decision::Hold);
        assert_eq!(there.decision("cj", digest).await.unwrap(), None);
        let found =
            CandidateStatus { version: "1.0.0".to_owned(), state: "waiting".to_owned(), ..CandidateStatus::default() };
        here.save_candidate("awin", digest, &found).await.unwrap();
        assert_eq!(there.candidate_status("awin", digest).await.unwrap(), Some(found));
    }

    #[tokio::test]
    async fn one_version_of_a_network_is_active() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&format!("sqlite:{}", folder.path().join("state.db").display())).await.unwrap();
        assert_eq!(state.active("awin.wasm", None).await.unwrap(), None);
        for version in ["1.0.0", "1.1.0"] {
            state.note_active(&active(version)).await.unwrap();
        }
        assert_eq!(state.active("other.wasm", Some("awin")).await.unwrap().unwrap().version, "1.1.0");
        assert_eq!(state.active("awin.wasm", None).await.unwrap().unwrap().version, "1.1.0");
    }

    fn active(version: &str) -> Active {
        Active {
            network: "awin".to_owned(),
            file: "awin.wasm".to_owned(),
            digest: Digest::of(version.as_bytes()),
            version: version.to_owned(),
            rights: String::new(),
            since: Utc::now(),
        }
    }

    #[tokio::test]
    async fn a_rollback_and_a_swap_at_once_leave_one_that_is_not_held() {
        let (_folder, here, there) = two_stores().await;
        let (first, second) = (active("1.0.0"), active("1.1.0"));
        let served = async || there.active("", Some("awin")).await.unwrap().unwrap().version;
        assert!(here.take_over(&first).await.unwrap());
        // What was held meanwhile doesn't take over, whatever was decided of it before.
        here.record_decision("awin", second.digest, Decision::Approve).await.unwrap();
        assert!(there.roll_back(&first, first.digest, &[second.digest]).await.unwrap());
        assert!(!here.take_over(&second).await.unwrap());
        assert_eq!(served().await, "1.0.0");
        // What took over meanwhile is what is rolled back: the rollback looks again.
        here.record_decision("awin", second.digest, Decision::Approve).await.unwrap();
        assert!(here.take_over(&second).await.unwrap());
        assert!(!there.roll_back(&first, first.digest, &[first.digest]).await.unwrap());
        assert_eq!(there.decision("awin", first.digest).await.unwrap(), None, "and has decided nothing");
        assert!(there.roll_back(&first, second.digest, &[second.digest]).await.unwrap());
        assert_eq!(served().await, "1.0.0");
        // What is put back is held no more.
        assert!(there.roll_back(&second, first.digest, &[first.digest]).await.unwrap());
        assert_eq!(there.decision("awin", second.digest).await.unwrap().unwrap().0, Decision::Approve);
    }
}
