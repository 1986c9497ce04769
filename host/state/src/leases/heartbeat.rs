//! A lease that is held, and the heartbeat that keeps it.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::LeaseStore;
use crate::error::Error;

/// How long a renewal that failed is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The right to run a network and to write what it gave, as long as it isn't [lost](Self::lost). It ends with
/// [`release`](Self::release), when it is dropped, or when it expires.
pub struct NetworkLease {
    store: LeaseStore,
    network: String,
    token: String,
    epoch: i64,
    loss: watch::Receiver<Option<Loss>>,
    heartbeat: JoinHandle<()>,
    is_released: bool,
}

/// How a lease was lost.
#[derive(Clone, Debug)]
enum Loss {
    /// Another process has taken it over, or removed it.
    Taken,
    /// It couldn't be renewed before it expired, for this reason.
    Expired(String),
}

impl NetworkLease {
    /// Starts the heartbeat of a lease that was acquired, asked for at `asked_at`.
    pub(super) fn start(store: LeaseStore, network: &str, token: String, epoch: i64, asked_at: Instant) -> Self {
        let (sender, loss) = watch::channel(None);
        let renewing = renew_until_lost(store.clone(), network.to_owned(), token.clone(), asked_at);
        let heartbeat = tokio::spawn(async move {
            let loss = renewing.await;
            sender.send_replace(Some(loss));
        });
        Self { store, network: network.to_owned(), token, epoch, loss, heartbeat, is_released: false }
    }

    /// The network's name in the settings.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// What is leased, as commits of rows that are read under it name it. It has the store in it: stores that share a lake
    /// without knowing each other don't refuse each other's commits, since their epochs can't be compared.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.store.store_id, self.network)
    }

    /// Larger than that of every earlier lease of the network. At least the milliseconds since 1970.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Ends as soon as the lease is lost. From then on nothing may be written under it.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut loss = self.loss.clone();
        async move {
            // Without a heartbeat nothing renews it, so its end is a loss too.
            let _ = loss.wait_for(Option::is_some).await;
        }
    }

    /// Does `work` as long as the lease is held. If it is lost, the work is dropped where it is.
    ///
    /// # Errors
    /// The work's failure, or that of a lost lease.
    pub async fn guard<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        guard_all(std::slice::from_ref(self), work).await
    }

    /// Ends the lease, so that others needn't wait until it expires. A store that fails then lets it expire.
    pub async fn release(mut self) {
        self.is_released = true;
        self.heartbeat.abort();
        if let Err(error) = self.store.release(&self.network, &self.token).await {
            tracing::warn!(network = self.network, %error, "the lease couldn't be released; it expires");
        }
    }

    /// What work under a lost lease ends with.
    async fn failure(&self) -> Error {
        let (network, ttl) = (&self.network, self.store.times.ttl);
        let loss = self.loss.borrow().clone().unwrap_or(Loss::Expired("its heartbeat has ended".to_owned()));
        let (is_unreachable, why) = match loss {
            Loss::Taken => {
                // Only for the message: it isn't this process.
                let held = self.store.held(network).await.ok().flatten();
                let heir = held.map_or("another process".to_owned(), |held| held.holder.to_string());
                (false, format!("it wasn't renewed for {ttl:?}, and {heir} took it over"))
            }
            Loss::Expired(error) => (true, format!("it couldn't be renewed for {ttl:?}: {error}")),
        };
        Error::LeaseLost { network: network.clone(), why, is_unreachable }
    }

    /// Takes the heartbeat away, as from a process that is stopped.
    #[cfg(test)]
    pub(super) fn stop_heartbeat(&self) {
        self.heartbeat.abort();
    }
}

/// Does `work` as long as all leases are held, as [`NetworkLease::guard`] does for one.
///
/// # Errors
/// The work's failure, or that of a lost lease.
pub async fn guard_all<T, E: From<Error>>(
    leases: &[NetworkLease],
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if leases.is_empty() {
        return work.await;
    }
    let lost = futures::future::select_all(leases.iter().map(|lease| lease.lost().boxed()));
    let ((), first, _) = tokio::select! {
        biased;
        lost = lost => lost,
        outcome = work => return outcome,
    };
    // The work is gone by now: to find out who has taken the lease takes a moment.
    Err(leases[first].failure().await.into())
}

impl Drop for NetworkLease {
    fn drop(&mut self) {
        self.heartbeat.abort();
        if self.is_released {
            return;
        }
        // Without a runtime the process is about to end, which others can see, or the lease expires.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, network, token) = (self.store.clone(), self.network.clone(), self.token.clone());
            runtime.spawn(async move {
                // As above: it expires.
                let _ = store.release(&network, &token).await;
            });
        }
    }
}

/// Renews a lease until it is lost.
///
/// That is when another process has taken it over, or when it can't be renewed before its TTL is over by this process's
/// monotonic clock. A process that was stopped for longer, or whose host was busy, tries once more: as long as nobody has
/// taken the lease over, nothing has happened under another one.
async fn renew_until_lost(store: LeaseStore, network: String, token: String, asked_at: Instant) -> Loss {
    let (ttl, heartbeat) = (store.times.ttl, store.times.heartbeat);
    let mut expires_at = asked_at + ttl;
    let mut renew_at = asked_at + heartbeat;
    let mut last_error = None;
    loop {
        sleep_until(renew_at).await;
        let now = Instant::now();
        match timeout_at(expires_at.max(now + heartbeat), store.renew(&network, &token)).await {
            Ok(Ok(true)) => (expires_at, renew_at, last_error) = (now + ttl, now + heartbeat, None),
            Ok(Ok(false)) => return Loss::Taken,
            Ok(Err(error)) if Instant::now() >= expires_at => return Loss::Expired(error.to_string()),
            Ok(Err(error)) => {
                tracing::warn!(network, %error, "the lease couldn't be renewed; trying again");
                renew_at = expires_at.min(Instant::now() + RETRY.min(heartbeat));
                last_error = Some(error.to_string());
            }
            Err(_) => return Loss::Expired(last_error.unwrap_or("the state store doesn't answer".to_owned())),
        }
    }
}
