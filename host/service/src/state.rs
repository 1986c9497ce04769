//! The state store: what is in flight. It can be rebuilt from the lake, all but the refresh tokens.

mod cursors;
mod database;
mod leases;
mod migrations;
mod runs;
mod schedule_times;
pub mod swaps;
pub mod tokens;
mod vitals;

pub use leases::{LeaseHolder, LeaseTimes, NetworkLease, guard_all};
pub use runs::NotedRun;
pub use schedule_times::ScheduleTimes;

use database::Database;
use leases::LeaseStore;

use sqlx::Row;

use crate::failure::Failure;

/// SQLite by default, PostgreSQL when several hosts share it.
pub struct State {
    database: Database,
    leases: LeaseStore,
}

impl State {
    /// Opens or makes the store, and brings its tables to this version.
    ///
    /// # Errors
    /// A settings failure that names `state.url`, or says that the store is of a newer version.
    pub async fn open(url: &str) -> Result<Self, Failure> {
        let database = Database::open(url).await?;
        let identity = database.fetch_optional(sqlx::query("SELECT id FROM identity")).await?;
        let id: String = identity.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        Ok(Self { leases: LeaseStore::new(database.clone(), &id, LeaseTimes::default()), database })
    }

    /// The store with leases of other times than the default's.
    #[must_use]
    pub fn with_lease_times(mut self, times: LeaseTimes) -> Self {
        self.leases.times = times;
        self
    }
}

/// What to do about a failing state store.
pub(crate) fn hint(error: &sqlx::Error) -> String {
    database::hint(error)
}
