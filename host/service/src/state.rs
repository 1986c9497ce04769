//! The state store: what is in flight. It can be rebuilt from the lake, all but the refresh tokens.

mod owner;
mod runs;
pub mod swaps;
pub mod tokens;
mod vitals;

pub use owner::Owner;
pub use runs::NotedRun;

use std::collections::HashMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sluice_model::Slice;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, Row};

use crate::failure::Failure;

/// SQLite by default, PostgreSQL when several hosts share it.
pub struct State {
    pool: AnyPool,
    door: owner::Door,
}

/// Both databases take these; `$1` placeholders too.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS looks (
        network TEXT NOT NULL, rule BIGINT NOT NULL, looked_at TEXT NOT NULL, PRIMARY KEY (network, rule))",
    "CREATE TABLE IF NOT EXISTS cursors (
        network TEXT NOT NULL, account TEXT NOT NULL, stream TEXT NOT NULL, axis TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (network, account, stream, axis))",
    "CREATE TABLE IF NOT EXISTS runs (
        run_id TEXT NOT NULL PRIMARY KEY, network TEXT NOT NULL, verb TEXT NOT NULL, selection TEXT NOT NULL,
        slices TEXT NOT NULL, connector TEXT NOT NULL, started_at TEXT NOT NULL, starts BIGINT NOT NULL,
        kept BIGINT NOT NULL)",
    tokens::TABLE,
    vitals::TABLE,
];

impl State {
    /// In place of a rule: the begin of a run.
    pub const BEGAN: i64 = -1;

    /// Opens or makes the store.
    ///
    /// # Errors
    /// A failure that names `state.url`.
    pub async fn open(url: &str) -> Result<Self, Failure> {
        sqlx::any::install_default_drivers();
        let failed = |error: sqlx::Error| {
            let shown = url.split_once('@').map_or(url, |(_, host)| host);
            Failure::failed(anyhow::Error::from(error).context(format!("cannot open the state store {shown}")))
                .hint("look at state.url in sluice.toml: sqlite:./state.db or postgres://host/database")
        };
        let door = owner::Door::of(url);
        let url = url.strip_prefix("sqlite:").map_or_else(|| url.to_owned(), |path| format!("sqlite:{path}?mode=rwc"));
        let options = AnyConnectOptions::from_str(&url).map_err(failed)?;
        let pool = AnyPoolOptions::new().max_connections(4).connect_with(options).await.map_err(failed)?;
        if url.starts_with("sqlite:") {
            // Many readers beside one writer, who waits for its turn.
            sqlx::query("PRAGMA journal_mode = WAL").fetch_optional(&pool).await.map_err(failed)?;
            sqlx::query("PRAGMA busy_timeout = 10000").fetch_optional(&pool).await.map_err(failed)?;
        }
        for table in TABLES.iter().chain(swaps::TABLES) {
            sqlx::query(*table).execute(&pool).await.map_err(failed)?;
        }
        Ok(Self { pool, door })
    }

    /// When each look-back rule of a network was last followed to the end, by its place; under [`Self::BEGAN`], when
    /// the network's last run began.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn looks(&self, network: &str) -> Result<HashMap<i64, DateTime<Utc>>, Failure> {
        let rows = sqlx::query("SELECT rule, looked_at FROM looks WHERE network = $1")
            .bind(network)
            .fetch_all(&self.pool)
            .await?;
        let look = |row: &sqlx::any::AnyRow| {
            Some((row.try_get::<i64, _>(0).ok()?, row.try_get::<String, _>(1).ok()?.parse().ok()?))
        };
        Ok(rows.iter().filter_map(look).collect())
    }

    /// Notes that rules of a network were followed, or under [`Self::BEGAN`] that a run begins.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_looks(&self, network: &str, rules: &[i64], now: DateTime<Utc>) -> Result<(), Failure> {
        for rule in rules {
            sqlx::query(
                "INSERT INTO looks (network, rule, looked_at) VALUES ($1, $2, $3)
                 ON CONFLICT (network, rule) DO UPDATE SET looked_at = excluded.looked_at",
            )
            .bind(network)
            .bind(*rule)
            .bind(now.to_rfc3339())
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// What an earlier slice of this stream and account asked to keep.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn cursor(&self, slice: &Slice) -> Result<Option<String>, Failure> {
        let row =
            sqlx::query("SELECT value FROM cursors WHERE network = $1 AND account = $2 AND stream = $3 AND axis = $4")
                .bind(&slice.network)
                .bind(&slice.account)
                .bind(&slice.stream)
                .bind(slice.axis.name())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.and_then(|row| row.try_get(0).ok()))
    }

    /// Keeps a cursor for the next slice of this stream and account.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn keep_cursor(&self, slice: &Slice, value: &str) -> Result<(), Failure> {
        sqlx::query(
            "INSERT INTO cursors (network, account, stream, axis, value) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (network, account, stream, axis) DO UPDATE SET value = excluded.value",
        )
        .bind(&slice.network)
        .bind(&slice.account)
        .bind(&slice.stream)
        .bind(slice.axis.name())
        .bind(value)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
