//! Leases and claims: at most one process works on an account, as far as processes share a state store.
//!
//! A lease is held by a process: a row with an epoch and an expiry. One conditional upsert acquires it, a heartbeat renews
//! it, and a holder that dies or hangs loses it when it expires. Under its lease a process [claims](Claim) accounts of
//! networks, or whole networks; a claim is valid as long as its lease is. So the heartbeat of a process is one statement,
//! however many accounts it works on.
//!
//! Nothing depends on a session or a file, so poolers and network file systems are harmless. A holder that was stopped and
//! continues later can't know that its lease has gone; therefore each acquisition has a larger epoch than all before it,
//! whoever takes over accounts of a lease that lapsed writes that lease's new epoch beside its own into the lake, and the
//! lake refuses commits with a smaller one.

mod claims;
mod heartbeat;
mod process;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(crate) use claims::overlap;
pub use claims::{Claim, guard_all};
use heartbeat::ProcessLease;
pub(crate) use process::ProcessIdentity;

use crate::database::{Database, Statements};
use crate::error::Error;

/// For how long after its last change of hands a lease that lapsed is named by who claims accounts, milliseconds. Who took its
/// accounts over did at once.
const LAPSED_MS: i64 = 7 * 86_400_000;

/// How long leases last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long after its last renewal a lease expires.
    pub ttl: Duration,
    /// How often it is renewed.
    pub heartbeat: Duration,
    /// How long a command waits for accounts that another process has claimed.
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

/// Who works on something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The host, as it calls itself.
    pub host: String,
    /// The process there.
    pub process_id: i64,
    /// Since when it works on it.
    pub since: DateTime<Utc>,
    /// When its lease expires unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

impl LeaseHolder {
    /// What a process that waits can do. `ttl_secs`: how long after its last renewal a lease expires.
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

/// A lease that somebody holds.
struct HeldLease {
    resource: String,
    token: String,
    process: ProcessIdentity,
    holder: LeaseHolder,
}

/// The leases in the state store, and that of this process.
#[derive(Clone)]
pub(crate) struct LeaseStore {
    database: Database,
    store_id: Arc<str>,
    process: ProcessIdentity,
    own: Arc<Mutex<Weak<ProcessLease>>>,
    /// The leases that this process has acquired, by resource and token: until it ends, it answers for each.
    acquired: Arc<std::sync::Mutex<Vec<(String, String)>>>,
    /// The ids of claims that this process uses. Of its lease there may be others, which couldn't be deleted when they ended.
    used: Arc<std::sync::Mutex<HashSet<String>>>,
    pub(crate) times: LeaseTimes,
}

/// A larger epoch than that of the row, and than those that a store gave before it was restored from a backup.
const NEXT_EPOCH: &str = "CASE WHEN leases.epoch < {now} THEN {now} ELSE leases.epoch + 1 END";

impl LeaseStore {
    pub(crate) fn new(database: Database, store_id: &str, times: LeaseTimes) -> Self {
        let (own, acquired, used) = Default::default();
        Self { database, store_id: store_id.into(), process: ProcessIdentity::current(), own, acquired, used, times }
    }

    /// A statement in which `{now}` is the store's clock, and `{next_epoch}` what a lease that changes hands gets.
    fn sql(&self, text: &str) -> sqlx::AssertSqlSafe<String> {
        sqlx::AssertSqlSafe(text.replace("{next_epoch}", NEXT_EPOCH).replace("{now}", self.database.clock()))
    }

    /// This process's lease, acquired if it has none. It is released with its last claim.
    async fn lease(&self) -> Result<Arc<ProcessLease>, Error> {
        let mut own = self.own.lock().await;
        if let Some(lease) = own.upgrade().filter(|lease| !lease.is_lost()) {
            return Ok(lease);
        }
        let lease = Arc::new(self.acquire().await?);
        *own = Arc::downgrade(&lease);
        self.acquired().push((lease.resource().to_owned(), lease.token().to_owned()));
        Ok(lease)
    }

    fn acquired(&self) -> std::sync::MutexGuard<'_, Vec<(String, String)>> {
        self.acquired.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends all leases of this process, with what it has claimed under them.
    async fn release_all(&self) -> Result<(), sqlx::Error> {
        let acquired = std::mem::take(&mut *self.acquired());
        for (resource, token) in acquired {
            let claims = sqlx::query(
                "DELETE FROM claims WHERE lease = $1
                     AND epoch = (SELECT epoch FROM leases WHERE resource = $1 AND holder = $2)",
            );
            self.database.execute(claims.bind(&resource).bind(&token)).await?;
            self.release(&resource, &token).await?;
        }
        Ok(())
    }

    /// The lease that this process acquired last, as long as something is claimed under it; it may be lost.
    pub(crate) async fn last_lease(&self) -> Option<Arc<ProcessLease>> {
        self.own.lock().await.upgrade()
    }

    /// The first lease that nobody holds.
    async fn acquire(&self) -> Result<ProcessLease, Error> {
        let token = uuid::Uuid::now_v7().to_string();
        let mut number = 1;
        loop {
            let resource = format!("process/{number}");
            // Taken before the store's clock is read, so that it expires here no later than there.
            let asked_at = Instant::now();
            let mut epoch = self.upsert(&resource, &token, "").await?;
            if epoch.is_none()
                && let Some(held) = self.held(&resource).await?
                && held.process.has_ended(&self.process)
            {
                epoch = self.upsert(&resource, &token, &held.token).await?;
            }
            if let Some(epoch) = epoch {
                return Ok(ProcessLease::start(self.clone(), resource, token, epoch, asked_at));
            }
            number += 1;
        }
    }

    /// Writes a lease unless another one is valid, that of the token `ended` excepted. Returns its epoch: milliseconds since
    /// 1970, so that a store that was restored from a backup continues above those that it gave before, and larger than
    /// the stored one.
    async fn upsert(&self, resource: &str, token: &str, ended: &str) -> Result<Option<i64>, sqlx::Error> {
        let sql = self.sql(
            "INSERT INTO leases (resource, epoch, holder, host, machine, process_id, process_start, since, expires_at)
             VALUES ($1, {now}, $2, $3, $4, $5, $6, {now}, {now} + $7)
             ON CONFLICT (resource) DO UPDATE SET
                 epoch = {next_epoch}, lapsed = CASE WHEN leases.holder = '' THEN leases.lapsed ELSE leases.epoch + 1 END,
                 holder = excluded.holder, host = excluded.host, machine = excluded.machine,
                 process_id = excluded.process_id, process_start = excluded.process_start,
                 since = excluded.since, expires_at = excluded.expires_at
             WHERE leases.expires_at <= {now} OR leases.holder = $8
             RETURNING epoch",
        );
        let query = sqlx::query(sql)
            .bind(resource)
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
    async fn renew(&self, resource: &str, token: &str) -> Result<bool, sqlx::Error> {
        let sql = self.sql("UPDATE leases SET expires_at = {now} + $1 WHERE resource = $2 AND holder = $3");
        let query = sqlx::query(sql).bind(millis(self.times.ttl)).bind(resource).bind(token);
        Ok(self.database.execute(query).await? == 1)
    }

    /// Ends a lease if it is still this holder's. Its epoch stays.
    async fn release(&self, resource: &str, token: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::query("UPDATE leases SET holder = '', expires_at = 0 WHERE resource = $1 AND holder = $2");
        self.database.execute(query.bind(resource).bind(token)).await?;
        self.acquired().retain(|(_, acquired)| acquired != token);
        Ok(())
    }

    /// Ends a lease that has expired, or whose process has: what was claimed under it is free. False if neither holds.
    async fn lapse(&self, statements: &mut Statements, held: &HeldLease) -> Result<bool, sqlx::Error> {
        let sql = self.sql(
            "UPDATE leases SET epoch = {next_epoch}, lapsed = leases.epoch + 1, holder = '', expires_at = 0
             WHERE resource = $1 AND holder = $2 AND (expires_at <= {now} OR $3 = 1)",
        );
        let has_ended = held.process.has_ended(&self.process);
        let query = sqlx::query(sql).bind(held.resource.clone()).bind(held.token.clone()).bind(i64::from(has_ended));
        let is_lapsed = statements.execute(query).await? == 1;
        if is_lapsed {
            let why = if has_ended { "has ended without releasing its lease" } else { "let its lease expire" };
            tracing::info!("{} {why}: its accounts are free", held.holder);
        }
        Ok(is_lapsed)
    }

    /// Leases that were taken from holders that hadn't released them, with the epochs below which those were; without leases
    /// that nobody has had for long.
    async fn lapsed(&self, statements: &mut Statements, own: &str) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        let sql =
            self.sql("SELECT resource, lapsed FROM leases WHERE lapsed > 0 AND epoch > {now} - $1 AND resource <> $2");
        let rows = statements.fetch_all(sqlx::query(sql).bind(LAPSED_MS).bind(own.to_owned())).await?;
        rows.iter().map(|row| Ok((self.name(&row.try_get::<String, _>(0)?), row.try_get(1)?))).collect()
    }

    /// What commits call a lease. It has the store in it: stores that share a lake without knowing each other don't refuse
    /// each other's commits, since their epochs can't be compared.
    fn name(&self, resource: &str) -> String {
        format!("{}/{resource}", self.store_id)
    }

    async fn held(&self, resource: &str) -> Result<Option<HeldLease>, Error> {
        let sql =
            self.sql(&format!("SELECT {COLUMNS}, since FROM leases WHERE resource = $1 AND expires_at > {{now}}"));
        let row = self.database.fetch_optional(sqlx::query(sql).bind(resource)).await?;
        row.map(|row| held(&row)).transpose()
    }
}

const COLUMNS: &str = "leases.resource, leases.holder, leases.host, leases.machine, leases.process_id, leases.process_start, \
                       leases.expires_at";

/// A lease of a row that begins with [`COLUMNS`], and then has the moment since when it is held.
fn held(row: &AnyRow) -> Result<HeldLease, Error> {
    let time = |at: usize| Ok::<_, sqlx::Error>(DateTime::from_timestamp_millis(row.try_get(at)?).unwrap_or_default());
    let process = ProcessIdentity {
        host: row.try_get(2)?,
        machine: row.try_get(3)?,
        id: row.try_get(4)?,
        start: row.try_get(5)?,
    };
    let (since, expires_at) = (time(7)?, time(6)?);
    let holder = LeaseHolder { host: process.host.clone(), process_id: process.id, since, expires_at };
    Ok(HeldLease { resource: row.try_get(0)?, token: row.try_get(1)?, process, holder })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests;
