//! Leases: at most one process runs a network, as far as processes share a state store.
//!
//! A lease is a row with an epoch and an expiry. One conditional upsert acquires it, a [`Heartbeat`] renews it, and a
//! holder that dies or hangs loses it when it expires. Nothing depends on a session or a file, so poolers and network file
//! systems are harmless. A holder that was stopped and continues later can't know that its lease has gone; therefore each
//! acquisition has a larger epoch than all before it, and the lake refuses commits with a smaller one.

mod heartbeat;
mod process;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::time::Instant;

pub use heartbeat::{NetworkLease, guard_all};
pub(crate) use process::ProcessIdentity;

use crate::State;
use crate::database::Database;
use crate::error::Error;

/// How often acquiring a lease that another process holds is retried.
const POLL: Duration = Duration::from_millis(100);

/// How long leases last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long after its last renewal a lease expires.
    pub ttl: Duration,
    /// How often it is renewed.
    pub heartbeat: Duration,
    /// How long a command waits for a lease that another process holds.
    pub max_wait: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            max_wait: Duration::from_secs(15 * 60),
        }
    }
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The host, as it calls itself.
    pub host: String,
    /// The process there.
    pub process_id: i64,
    /// Since when it holds the lease.
    pub since: DateTime<Utc>,
    /// When the lease expires unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

impl LeaseHolder {
    /// What a process that waits for its lease can do. `ttl_secs`: how long after its last renewal a lease expires.
    pub(crate) fn hint(&self, ttl_secs: u64) -> String {
        let Self { host, process_id, .. } = self;
        format!(
            "wait until that run has ended, or stop process {process_id} on {host}; its lease ends with it, at the latest \
             {ttl_secs} s later. To wait longer, set lease_wait_secs under [state] in sluice.toml"
        )
    }
}

impl std::fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, process_id, since, .. } = self;
        write!(f, "process {process_id} on {host} since {}", since.format("%F %T UTC"))
    }
}

/// A row of a lease that is held.
struct HeldLease {
    token: String,
    process: ProcessIdentity,
    holder: LeaseHolder,
}

/// The leases in the state store.
#[derive(Clone)]
pub(crate) struct LeaseStore {
    database: Database,
    store_id: Arc<str>,
    process: ProcessIdentity,
    pub(crate) times: LeaseTimes,
}

impl LeaseStore {
    pub(crate) fn new(database: Database, store_id: &str, times: LeaseTimes) -> Self {
        Self { database, store_id: store_id.into(), process: ProcessIdentity::current(), times }
    }

    /// The lease of a network; none while another process holds it.
    async fn try_acquire(&self, network: &str) -> Result<Option<NetworkLease>, Error> {
        let token = uuid::Uuid::now_v7().to_string();
        // Taken before the store's clock is read, so that it expires here no later than there.
        let asked_at = Instant::now();
        let mut epoch = self.upsert(network, &token, "").await?;
        if epoch.is_none()
            && let Some(held) = self.held(network).await?
            && held.process.has_ended(&self.process)
        {
            tracing::info!(network, "{} has ended without releasing its lease, which is taken over", held.holder);
            epoch = self.upsert(network, &token, &held.token).await?;
        }
        Ok(epoch.map(|epoch| NetworkLease::start(self.clone(), network, token, epoch, asked_at)))
    }

    /// Writes a lease unless another one is valid, that of the token `ended` excepted. Returns its epoch: milliseconds since
    /// 1970, so that a store that was restored from a backup goes on above those that it gave before, and larger than
    /// the stored one.
    async fn upsert(&self, network: &str, token: &str, ended: &str) -> Result<Option<i64>, sqlx::Error> {
        let now = self.database.clock();
        let sql = format!(
            "INSERT INTO leases (resource, epoch, holder, host, machine, process_id, process_start, since, expires_at)
             VALUES ($1, {now}, $2, $3, $4, $5, $6, {now}, {now} + $7)
             ON CONFLICT (resource) DO UPDATE SET
                 epoch = CASE WHEN leases.epoch < excluded.epoch THEN excluded.epoch ELSE leases.epoch + 1 END,
                 holder = excluded.holder, host = excluded.host, machine = excluded.machine,
                 process_id = excluded.process_id, process_start = excluded.process_start,
                 since = excluded.since, expires_at = excluded.expires_at
             WHERE leases.expires_at <= {now} OR leases.holder = $8
             RETURNING epoch"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(resource(network))
            .bind(token)
            .bind(&self.process.host)
            .bind(&self.process.machine)
            .bind(self.process.id)
            .bind(self.process.start)
            .bind(millis(self.times.ttl))
            .bind(ended);
        self.database.execute_returning(query).await?.map(|row| row.try_get(0)).transpose()
    }

    /// Extends a lease by its TTL from now on. False if it is no longer this holder's.
    async fn renew(&self, network: &str, token: &str) -> Result<bool, sqlx::Error> {
        let now = self.database.clock();
        let sql = format!("UPDATE leases SET expires_at = {now} + $1 WHERE resource = $2 AND holder = $3");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(millis(self.times.ttl));
        Ok(self.database.execute(query.bind(resource(network)).bind(token)).await? == 1)
    }

    /// Ends a lease if it is still this holder's. Its epoch stays.
    async fn release(&self, network: &str, token: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::query("UPDATE leases SET holder = '', expires_at = 0 WHERE resource = $1 AND holder = $2");
        self.database.execute(query.bind(resource(network)).bind(token)).await?;
        Ok(())
    }

    async fn held(&self, network: &str) -> Result<Option<HeldLease>, Error> {
        let now = self.database.clock();
        let sql = format!("{SELECT} FROM leases WHERE resource = $1 AND expires_at > {now}");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(resource(network));
        self.database.fetch_optional(query).await?.map(|row| held(&row, 0)).transpose()
    }
}

const SELECT: &str = "SELECT holder, host, machine, process_id, process_start, since, expires_at";

/// The columns of [`SELECT`], the first of which is the row's number `at`.
fn held(row: &AnyRow, at: usize) -> Result<HeldLease, Error> {
    let time = |at: usize| Ok::<_, sqlx::Error>(DateTime::from_timestamp_millis(row.try_get(at)?).unwrap_or_default());
    let process = ProcessIdentity {
        host: row.try_get(at + 1)?,
        machine: row.try_get(at + 2)?,
        id: row.try_get(at + 3)?,
        start: row.try_get(at + 4)?,
    };
    let holder = LeaseHolder {
        host: process.host.clone(),
        process_id: process.id,
        since: time(at + 5)?,
        expires_at: time(at + 6)?,
    };
    Ok(HeldLease { token: row.try_get(at)?, process, holder })
}

/// What a network's lease is called among leases.
fn resource(network: &str) -> String {
    format!("network/{network}")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

impl State {
    /// The lease of a network; none while another process holds it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn try_acquire(&self, network: &str) -> Result<Option<NetworkLease>, Error> {
        self.leases.try_acquire(network).await
    }

    /// The lease of a network, as soon as no other process holds it. Logs who holds it.
    ///
    /// # Errors
    /// A failure that names the holder if it holds the lease for longer than `lease_wait_secs`. The store's failure.
    pub async fn acquire(&self, network: &str) -> Result<NetworkLease, Error> {
        let max_wait = self.leases.times.max_wait;
        let deadline = Instant::now() + max_wait;
        let mut reported = None;
        loop {
            if let Some(lease) = self.try_acquire(network).await? {
                return Ok(lease);
            }
            let Some(held) = self.leases.held(network).await? else { continue };
            let wait_secs = max_wait.as_secs();
            if Instant::now() >= deadline {
                return Err(Error::InUse {
                    network: network.to_owned(),
                    holder: Box::new(held.holder),
                    wait_secs,
                    ttl_secs: self.leases.times.ttl.as_secs(),
                });
            }
            if reported.as_ref() != Some(&held.token) {
                tracing::warn!("network `{network}` is in use by {}: waiting for up to {wait_secs} s", held.holder);
                reported = Some(held.token);
            }
            tokio::time::sleep(POLL.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Who holds the lease of a network.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn holder(&self, network: &str) -> Result<Option<LeaseHolder>, Error> {
        Ok(self.leases.held(network).await?.map(|held| held.holder))
    }

    /// Networks with runs that aren't over though no process can be running them.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn networks_to_resume(&self) -> Result<Vec<String>, Error> {
        let now = self.database.clock();
        let sql = format!(
            "SELECT unfinished.network, coalesce(holder, ''), coalesce(host, ''), coalesce(machine, ''),
                    coalesce(process_id, 0), coalesce(process_start, 0), coalesce(since, 0), coalesce(expires_at, 0)
             FROM (SELECT DISTINCT network FROM runs) AS unfinished
             LEFT JOIN leases ON leases.resource = 'network/' || unfinished.network AND leases.expires_at > {now}
             ORDER BY 1"
        );
        let mut networks = Vec::new();
        for row in self.database.fetch_all(sqlx::query(sqlx::AssertSqlSafe(sql))).await? {
            let held = held(&row, 1)?;
            if held.token.is_empty() || held.process.has_ended(&self.leases.process) {
                networks.push(row.try_get(0)?);
            }
        }
        Ok(networks)
    }
}

#[cfg(test)]
mod tests;
