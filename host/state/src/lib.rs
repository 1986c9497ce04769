//! The state store: what the lake doesn't hold. All of it but the refresh tokens can be rebuilt from the lake.
//!
//! Leases and claims, the queue of runs, backfills, pauses, cursors, times of the schedule, rate budgets, versions of
//! connectors with the operator's decisions, and sealed refresh tokens, in SQLite or PostgreSQL. It depends on
//! `sluice-model`, and on `sluice-fetch` for the traits by which tokens are kept and requests are granted; it is the only
//! crate that knows sqlx.

mod alarms;
mod api;
mod backfills;
mod budgets;
mod cursors;
mod database;
mod erasures;
mod error;
mod free_runs;
mod jobs;
mod leases;
mod migrations;
mod outlets;
mod pauses;
mod profiles;
mod queue;
mod rule_reads;
mod runs;
mod schedule_times;
mod services;
mod shown_url;
mod tokens;
mod versions;
mod widths;

pub use alarms::{AlarmChange, AlarmMessage};
pub use api::{ApiCall, ApiToken, TokenRole};
pub use budgets::rate_grants;
pub use erasures::Erasures;
pub use error::Error;
pub use free_runs::FreeRun;
pub use jobs::{Job, JobEnd, JobState};
pub use leases::{Claim, LeaseHolder, LeaseTimes, guard_all};
pub use outlets::Outlet;
pub use pauses::Pause;
pub use queue::Round;
pub use rule_reads::RunEnd;
pub use runs::{BulkWork, NotedRun, PlannedSlice, Selection, Verb};
pub use schedule_times::ScheduleTimes;
pub use services::{ServiceStats, host};
pub use shown_url::{has_credentials, without_credentials};
pub use tokens::{installation_secret, token_persistence};
pub use versions::{Active, CandidateStatus, Decision};
pub use widths::Width;

use database::Database;
use leases::LeaseStore;
use sqlx::Row;

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
    pub async fn open(url: &str) -> Result<Self, Error> {
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
