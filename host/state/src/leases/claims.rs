//! Claims: which accounts a process works on, under its lease.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::time::Instant;

use super::heartbeat::Loss;
use super::{COLUMNS, HeldLease, LeaseHolder, LeaseStore, ProcessLease, held, millis};
use crate::State;
use crate::database::Statements;
use crate::error::Error;

/// How often claiming what another process has claimed is retried.
const POLL: Duration = Duration::from_millis(100);

/// The right to run accounts of a network and to write what they gave, as long as the process's lease isn't
/// [lost](Self::lost). It ends with [`release`](Self::release), or when it is dropped.
pub struct Claim {
    store: LeaseStore,
    lease: Option<Arc<ProcessLease>>,
    id: String,
    network: String,
    accounts: Vec<String>,
    resource: String,
    epoch: i64,
    lapsed: Arc<BTreeMap<String, i64>>,
}

/// A claim of a lease that is held.
struct ValidClaim {
    id: String,
    network: String,
    accounts: Vec<String>,
    lease: HeldLease,
}

impl Claim {
    /// The network's name in the settings.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The accounts by their ids; none: the whole network.
    pub fn accounts(&self) -> &[String] {
        &self.accounts
    }

    /// The lease, as commits of rows that are read under it name it.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Larger than that of every earlier holder of the lease. At least the milliseconds since 1970.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Leases that lapsed lately, and the epochs that their late holders' commits are below. A commit of rows that are read
    /// under this claim carries them, since what they had claimed may be part of it.
    pub fn lapsed(&self) -> Arc<BTreeMap<String, i64>> {
        self.lapsed.clone()
    }

    /// Ends as soon as the lease is lost. From then on nothing may be written under it.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let lost = self.lease.as_ref().map(|lease| lease.lost());
        async move {
            if let Some(lost) = lost {
                lost.await;
            }
        }
    }

    /// Does `work` as long as the lease is held. If it is lost, the work is dropped where it is.
    ///
    /// # Errors
    /// The work's failure, or that of a lost lease.
    pub async fn guard<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        guard_all(std::slice::from_ref(self), work).await
    }

    /// Ends the claim, and the lease with its last one. A store that fails then lets the lease expire.
    pub async fn release(mut self) {
        let lease = self.lease.take();
        if let Err(error) = self.store.forget_claim(&self.id).await {
            tracing::warn!(network = self.network, %error, "the claim couldn't be deleted; this process ignores it");
        }
        if let Some(last) = lease.and_then(Arc::into_inner) {
            last.release().await;
        }
    }

    /// What work under a lost lease ends with.
    async fn failure(&self) -> Error {
        let (network, ttl) = (self.network.clone(), self.store.times.ttl);
        let loss = self.lease.as_ref().map_or(Loss::Taken, |lease| lease.loss());
        let (is_unreachable, why) = match loss {
            Loss::Taken => {
                // Only for the message: it isn't this process.
                let held = self.store.claimant(&network, &self.accounts).await.ok().flatten();
                let heir = held.map_or("another process".to_owned(), |holder| holder.to_string());
                (false, format!("it wasn't renewed for {ttl:?}, and {heir} took it over"))
            }
            Loss::Expired(error) => (true, format!("it couldn't be renewed for {ttl:?}: {error}")),
        };
        Error::LeaseLost { network, why, is_unreachable }
    }

    /// Takes the lease's heartbeat away, as from a process that is stopped.
    #[cfg(test)]
    pub(super) fn stop_heartbeat(&self) {
        self.lease.iter().for_each(|lease| lease.stop_heartbeat());
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        // Without a runtime the process is about to end, and its lease with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, id) = (self.store.clone(), std::mem::take(&mut self.id));
            runtime.spawn(async move {
                // As above: it ends with the lease.
                let _ = store.forget_claim(&id).await;
                drop(lease);
            });
        }
    }
}

/// Does `work` as long as all claims are valid, as [`Claim::guard`] does for one.
///
/// # Errors
/// The work's failure, or that of a lost lease.
pub async fn guard_all<T, E: From<Error>>(claims: &[Claim], work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    if claims.is_empty() {
        return work.await;
    }
    let lost = futures::future::select_all(claims.iter().map(|claim| claim.lost().boxed()));
    let ((), first, _) = tokio::select! {
        biased;
        lost = lost => lost,
        outcome = work => return outcome,
    };
    // The work is gone by now: to find out who has taken it over takes a moment.
    Err(claims[first].failure().await.into())
}

/// Whether two claims of a network, by their accounts, exclude each other.
pub(crate) fn overlap(these: &[String], those: &[String]) -> bool {
    these.is_empty() || those.is_empty() || these.iter().any(|account| those.contains(account))
}

impl LeaseStore {
    /// Claims accounts of a network, or all of it; or who has claimed one of them.
    async fn try_claim(&self, network: &str, accounts: &[String]) -> Result<Result<Claim, LeaseHolder>, Error> {
        let id = uuid::Uuid::now_v7().to_string();
        self.used().insert(id.clone());
        let claimed = self.claim_as(&id, network, accounts).await;
        if !matches!(claimed, Ok(Ok(_))) {
            self.used().remove(&id);
        }
        claimed
    }

    async fn claim_as(
        &self,
        id: &str,
        network: &str,
        accounts: &[String],
    ) -> Result<Result<Claim, LeaseHolder>, Error> {
        let lease = self.lease().await?;
        let mut statements = self.database.begin(&format!("claims/{network}")).await?;
        for claim in self.claims(&mut statements, Some(network)).await? {
            if !overlap(&claim.accounts, accounts) {
                continue;
            }
            let is_own = claim.lease.token == lease.token();
            if self.is_unused(&claim, &lease) {
                statements.execute(sqlx::query(FORGET).bind(claim.id)).await?;
            } else if is_own || !self.lapse(&mut statements, &claim.lease).await? {
                return Ok(Err(claim.lease.holder));
            }
        }
        self.extend_expired(&mut statements, &lease).await?;
        let sql = self.sql(
            "INSERT INTO claims (claim_id, network, accounts, lease, epoch, since)
             SELECT $1, $2, $3, resource, epoch, {now} FROM leases
             WHERE resource = $4 AND holder = $5 AND expires_at > {now}",
        );
        let text = serde_json::to_string(accounts).map_err(Error::value)?;
        let query = sqlx::query(sql).bind(id).bind(network).bind(text).bind(lease.resource()).bind(lease.token());
        if statements.execute(query).await? == 0 {
            let why = "it wasn't renewed in time".to_owned();
            return Err(Error::LeaseLost { network: network.to_owned(), why, is_unreachable: false });
        }
        let lapsed = self.lapsed(&mut statements, lease.resource()).await?;
        statements.execute(sqlx::query(FORGET_INVALID).bind(network)).await?;
        statements.commit().await?;
        Ok(Ok(Claim {
            store: self.clone(),
            id: id.to_owned(),
            network: network.to_owned(),
            accounts: accounts.to_vec(),
            resource: self.name(lease.resource()),
            epoch: lease.epoch(),
            lapsed: Arc::new(lapsed),
            lease: Some(lease),
        }))
    }

    /// Extends the own lease if it has expired by the store's clock although nobody has taken it over: the clock went forward
    /// since its last renewal.
    async fn extend_expired(&self, statements: &mut Statements, lease: &ProcessLease) -> Result<(), sqlx::Error> {
        let sql = self.sql(
            "UPDATE leases SET expires_at = {now} + $1 WHERE resource = $2 AND holder = $3 AND expires_at <= {now}",
        );
        let query = sqlx::query(sql)
            .bind(millis(self.times.ttl))
            .bind(lease.resource().to_owned())
            .bind(lease.token().to_owned());
        statements.execute(query).await.map(|_| ())
    }

    async fn forget_claim(&self, id: &str) -> Result<(), sqlx::Error> {
        self.used().remove(id);
        self.database.execute(sqlx::query(FORGET).bind(id)).await.map(|_| ())
    }

    fn used(&self) -> MutexGuard<'_, HashSet<String>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a claim is one of this process's lease that ended and couldn't be deleted.
    fn is_unused(&self, claim: &ValidClaim, own: &ProcessLease) -> bool {
        claim.lease.token == own.token() && !self.used().contains(&claim.id)
    }

    /// The valid claims of a network, or of all of them. Their leases may have expired.
    async fn claims(&self, statements: &mut Statements, network: Option<&str>) -> Result<Vec<ValidClaim>, Error> {
        // The lake has claims too, under an empty name.
        let which = if network.is_some() { "WHERE network = $1" } else { "" };
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS}, claims.since, claim_id, network, accounts FROM claims JOIN leases
             ON leases.resource = claims.lease AND leases.epoch = claims.epoch AND leases.holder <> ''
             {which} ORDER BY leases.resource, claim_id"
        ));
        let query = sqlx::query(sql);
        let query = if let Some(network) = network { query.bind(network.to_owned()) } else { query };
        statements.fetch_all(query).await?.iter().map(valid_claim).collect()
    }

    /// Who has claimed one of these accounts of a network, unless its process has ended or its lease has expired.
    async fn claimant(&self, network: &str, accounts: &[String]) -> Result<Option<LeaseHolder>, Error> {
        let claims = self.living_claims(Some(network)).await?;
        let claim = claims.into_iter().find(|claim| overlap(&claim.accounts, accounts));
        Ok(claim.map(|claim| claim.lease.holder))
    }

    /// The claims of processes that are there, as far as this one can see.
    async fn living_claims(&self, network: Option<&str>) -> Result<Vec<ValidClaim>, Error> {
        let own = self.last_lease().await;
        let mut statements = self.database.begin_read().await?;
        let now = statements.fetch_all(sqlx::query(self.sql("SELECT {now}"))).await?;
        let now: i64 = now.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        let mut claims = self.claims(&mut statements, network).await?;
        let is_own = |lease: &HeldLease| own.as_ref().is_some_and(|own| !own.is_lost() && own.token() == lease.token);
        claims.retain(|claim| {
            let HeldLease { process, holder, .. } = &claim.lease;
            // The clock may have gone forward since the own lease was renewed.
            (holder.expires_at.timestamp_millis() > now || is_own(&claim.lease))
                && !process.has_ended(&self.process)
                && !own.as_ref().is_some_and(|own| self.is_unused(claim, own))
        });
        Ok(claims)
    }
}

const FORGET: &str = "DELETE FROM claims WHERE claim_id = $1";

/// Claims of leases that have been taken over or released.
const FORGET_INVALID: &str = "DELETE FROM claims WHERE network = $1 AND NOT EXISTS (
    SELECT 1 FROM leases WHERE leases.resource = claims.lease AND leases.epoch = claims.epoch AND leases.holder <> '')";

fn valid_claim(row: &AnyRow) -> Result<ValidClaim, Error> {
    let accounts: String = row.try_get(10)?;
    Ok(ValidClaim {
        id: row.try_get(8)?,
        network: row.try_get(9)?,
        accounts: serde_json::from_str(&accounts).map_err(Error::value)?,
        lease: held(row)?,
    })
}

impl State {
    /// Claims accounts of a network by their ids, or all of it without any. None while another claim has one of them.
    ///
    /// # Errors
    /// The store's failure; a lease that was lost just now.
    pub async fn try_claim(&self, network: &str, accounts: &[String]) -> Result<Option<Claim>, Error> {
        Ok(self.leases.try_claim(network, accounts).await?.ok())
    }

    /// The same as soon as no other claim has one of them. Logs who works on them.
    ///
    /// # Errors
    /// A failure that names the holder if it works on them for longer than `lease_wait_secs`. The store's failure.
    pub async fn claim(&self, network: &str, accounts: &[String]) -> Result<Claim, Error> {
        let max_wait = self.leases.times.max_wait;
        let deadline = Instant::now() + max_wait;
        let mut reported = None;
        loop {
            let holder = match self.leases.try_claim(network, accounts).await? {
                Ok(claim) => return Ok(claim),
                Err(holder) => holder,
            };
            let wait_secs = max_wait.as_secs();
            if Instant::now() >= deadline {
                let (network, ttl_secs) = (network.to_owned(), self.leases.times.ttl.as_secs());
                return Err(Error::InUse { network, holder: Box::new(holder), wait_secs, ttl_secs });
            }
            let who = holder.to_string();
            if reported.as_ref() != Some(&who) {
                tracing::warn!("network `{network}` is in use by {who}: waiting for up to {wait_secs} s");
                reported = Some(who);
            }
            tokio::time::sleep(POLL.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Gives back all that this process has claimed, when it is about to end. What still works under a claim finds its lease
    /// lost. A claim that is only dropped is given back by a task, which may come too late then.
    ///
    /// # Errors
    /// The store's failure: what is claimed is free once the lease expires.
    pub async fn release_own(&self) -> Result<(), Error> {
        Ok(self.leases.release_all().await?)
    }

    /// Who works on a network.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn holder(&self, network: &str) -> Result<Option<LeaseHolder>, Error> {
        self.leases.claimant(network, &[]).await
    }

    /// What is claimed by processes that are there: networks with the ids of their accounts, none of them for all.
    ///
    /// # Errors
    /// The store's failure.
    pub(crate) async fn claimed(&self) -> Result<Vec<(String, Vec<String>)>, Error> {
        let claims = self.leases.living_claims(None).await?;
        Ok(claims.into_iter().map(|claim| (claim.network, claim.accounts)).collect())
    }
}
