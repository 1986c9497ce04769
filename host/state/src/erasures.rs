//! Values that were erased, by digests under a key that is kept here and nowhere else; and their removal from this store.

use chrono::{DateTime, Utc};
use sluice_fetch::{Erased, ErasedValue, SealKey};
use sluice_model::Secret;
use sqlx::Row;

use crate::State;
use crate::error::Error;

/// Columns of texts that a response, an operator or a call of the API may have brought a value into.
const TEXTS: [(&str, &str); 19] = [
    ("alarm_events", "content"),
    ("alarm_messages", "content"),
    ("alarm_messages", "event"),
    ("alarms", "content"),
    ("alarms", "subject"),
    ("api_calls", "path"),
    ("backfills", "selection"),
    ("connector_candidates", "comparison"),
    ("connector_candidates", "reason"),
    ("connector_candidates", "smoke"),
    ("cursors", "value"),
    ("jobs", "error"),
    ("jobs", "result"),
    ("jobs", "work"),
    ("outlets", "cursor"),
    ("pauses", "reason"),
    ("profiles", "content"),
    ("runs", "selection"),
    ("runs", "slices"),
];

/// Values that were erased.
pub struct Erasures {
    /// All of them.
    pub erased: Erased,
    /// The digests of those whose erasure began and didn't come to its end.
    pub unfinished: Vec<String>,
}

impl State {
    /// The values that were erased.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn erasures(&self) -> Result<Erasures, Error> {
        let key = sqlx::query("SELECT secret FROM erasure_key WHERE id = 1");
        let key = match self.database.fetch_optional(key).await? {
            Some(row) => Secret::new(row.try_get(0)?),
            None => Secret::new(String::new()),
        };
        let query = sqlx::query(
            "SELECT digest, bytes, tokens, is_number, is_distinctive, stand_in, done_at FROM erasures ORDER BY began_at",
        );
        let (mut values, mut unfinished) = (Vec::new(), Vec::new());
        for row in self.database.fetch_all(query).await? {
            let (digest, done_at): (String, Option<String>) = (row.try_get(0)?, row.try_get(6)?);
            let [bytes, tokens] = [row.try_get::<i64, _>(1)?, row.try_get::<i64, _>(2)?];
            if done_at.is_none() {
                unfinished.push(digest.clone());
            }
            values.push(ErasedValue {
                digest,
                bytes: usize::try_from(bytes).map_err(Error::value)?,
                tokens: usize::try_from(tokens).map_err(Error::value)?,
                is_number: row.try_get::<i64, _>(3)? != 0,
                is_distinctive: row.try_get::<i64, _>(4)? != 0,
                stand_in: row.try_get(5)?,
            });
        }
        Ok(Erasures { erased: Erased::new(key, values), unfinished })
    }

    /// Makes the key of digests, unless there is one.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn make_erasure_key(&self) -> Result<(), Error> {
        let query = sqlx::query("INSERT INTO erasure_key (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING");
        self.database.execute(query.bind(SealKey::random_text().expose().to_owned())).await?;
        Ok(())
    }

    /// Notes that the erasure of a value begins. One that was erased before begins again.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn begin_erasure(&self, value: &ErasedValue, at: DateTime<Utc>) -> Result<(), Error> {
        let number = |length: usize| i64::try_from(length).map_err(Error::value);
        let query = sqlx::query(
            "INSERT INTO erasures (digest, bytes, tokens, is_number, is_distinctive, stand_in, began_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (digest) DO UPDATE SET done_at = NULL",
        );
        let query = query.bind(&value.digest).bind(number(value.bytes)?).bind(number(value.tokens)?);
        let query = query
            .bind(i64::from(value.is_number))
            .bind(i64::from(value.is_distinctive))
            .bind(&value.stand_in)
            .bind(at.to_rfc3339());
        self.database.execute(query).await?;
        Ok(())
    }

    /// Notes that the erasure of a value came to its end.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn end_erasure(&self, digest: &str, at: DateTime<Utc>) -> Result<(), Error> {
        let query = sqlx::query("UPDATE erasures SET done_at = $2 WHERE digest = $1");
        self.database.execute(query.bind(digest).bind(at.to_rfc3339())).await?;
        Ok(())
    }

    /// Replaces texts of this store for which `replace` gives others, and returns how many rows that changes; a dry run only
    /// counts them.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn replace_texts(
        &self,
        replace: &(dyn Fn(&str) -> Option<String> + Send + Sync),
        dry_run: bool,
    ) -> Result<u64, Error> {
        let mut changed = 0;
        for (table, column) in TEXTS {
            let select = format!("SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL");
            let texts = self.database.fetch_all(sqlx::query(sqlx::AssertSqlSafe(select))).await?;
            for text in texts {
                let text: String = text.try_get(0)?;
                let Some(other) = replace(&text) else { continue };
                let count = format!("SELECT count(*) FROM {table} WHERE {column} = $1");
                let update = format!("UPDATE {table} SET {column} = $2 WHERE {column} = $1");
                changed += if dry_run {
                    let row = self.database.fetch_one(sqlx::query(sqlx::AssertSqlSafe(count)).bind(text)).await?;
                    u64::try_from(row.try_get::<i64, _>(0)?).map_err(Error::value)?
                } else {
                    let update = sqlx::query(sqlx::AssertSqlSafe(update));
                    self.database.execute(update.bind(text).bind(other)).await?
                };
            }
        }
        Ok(changed)
    }

    /// Writes the store anew, so that its files hold nothing of rows that were changed or deleted.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_replaced(&self) -> Result<(), Error> {
        let tables: std::collections::BTreeSet<&str> = TEXTS.iter().map(|(table, _)| *table).collect();
        Ok(self.database.write_anew(&tables).await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::database::tests::{at, two_stores};

    #[tokio::test]
    async fn values_are_known_by_digests_until_the_end_and_after_it() {
        let (_folder, here, there) = two_stores().await;
        here.make_erasure_key().await.unwrap();
        there.make_erasure_key().await.unwrap();
        let value = here.erasures().await.unwrap().erased.value("member-1").unwrap();
        here.begin_erasure(&value, at("2026-02-01T00:00:00Z")).await.unwrap();
        let known = there.erasures().await.unwrap();
        assert_eq!(known.unfinished, [value.digest.as_str()]);
        assert_eq!(known.erased.value("member-1").unwrap(), value, "both stores have one key");
        there.end_erasure(&value.digest, at("2026-02-01T00:01:00Z")).await.unwrap();
        let known = here.erasures().await.unwrap();
        assert!(known.unfinished.is_empty() && known.erased.values() == [value]);
    }

    #[tokio::test]
    async fn texts_are_replaced_and_no_page_of_the_file_has_them() {
        let (folder, here, _) = two_stores().await;
        let secret = "member-with-a-name";
        here.keep_profile("awin", "uk", "transactions", &format!("{{\"sub_id\":\"{secret}\"}}")).await.unwrap();
        let replace = |text: &str| text.contains(secret).then(|| text.replace(secret, "gone"));
        let held = |name: &str| {
            let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
            bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
        };
        assert_eq!(here.replace_texts(&replace, true).await.unwrap(), 1);
        assert!(held("state.db") || held("state.db-wal"), "the test shows nothing");
        assert_eq!(here.replace_texts(&replace, false).await.unwrap(), 1);
        here.forget_replaced().await.unwrap();
        assert!(!held("state.db") && !held("state.db-wal"));
        let profile = here.profile("awin", "uk", "transactions").await.unwrap();
        assert_eq!(profile.as_deref(), Some("{\"sub_id\":\"gone\"}"));
    }
}
