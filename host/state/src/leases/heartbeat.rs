//! A lease that is held, and the heartbeat that keeps it.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::LeaseStore;

/// How long a renewal that failed is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The lease of this process, as long as it isn't [lost](Self::lost). It ends with [`release`](Self::release), when it is
/// dropped, or when it expires.
pub(crate) struct ProcessLease {
    store: LeaseStore,
    resource: String,
    token: String,
    epoch: i64,
    loss: watch::Receiver<Option<Loss>>,
    heartbeat: JoinHandle<()>,
    is_released: bool,
}

/// How a lease was lost.
#[derive(Clone, Debug)]
pub(super) enum Loss {
    /// Another process has taken it over, or removed it.
    Taken,
    /// It couldn't be renewed before it expired, for this reason.
    Expired(String),
}

impl ProcessLease {
    /// Starts the heartbeat of a lease that was acquired, asked for at `asked_at`.
    pub(super) fn start(store: LeaseStore, resource: String, token: String, epoch: i64, asked_at: Instant) -> Self {
        let (sender, loss) = watch::channel(None);
        let renewing = renew_until_lost(store.clone(), resource.clone(), token.clone(), asked_at);
        let heartbeat = tokio::spawn(async move {
            let loss = renewing.await;
            sender.send_replace(Some(loss));
        });
        Self { store, resource, token, epoch, loss, heartbeat, is_released: false }
    }

    /// Its name in the store.
    pub(crate) fn resource(&self) -> &str {
        &self.resource
    }

    /// What tells this holder from others.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Larger than that of every earlier holder of this lease. At least the milliseconds since 1970.
    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether it is known to be lost.
    pub(super) fn is_lost(&self) -> bool {
        self.loss.borrow().is_some() || self.heartbeat.is_finished()
    }

    /// Ends as soon as it is lost. From then on nothing may be written under it.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut loss = self.loss.clone();
        async move {
            // Without a heartbeat nothing renews it, so its end is a loss too.
            let _ = loss.wait_for(Option::is_some).await;
        }
    }

    /// How it was lost.
    pub(super) fn loss(&self) -> Loss {
        self.loss.borrow().clone().unwrap_or(Loss::Expired("its heartbeat has ended".to_owned()))
    }

    /// Ends it, so that others needn't wait until it expires. A store that fails then lets it expire.
    pub(super) async fn release(mut self) {
        self.is_released = true;
        self.heartbeat.abort();
        if let Err(error) = self.store.release(&self.resource, &self.token).await {
            tracing::warn!(lease = self.resource, %error, "the lease couldn't be released; it expires");
        }
    }

    /// Takes the heartbeat away, as from a process that is stopped.
    #[cfg(test)]
    pub(super) fn stop_heartbeat(&self) {
        self.heartbeat.abort();
    }
}

impl Drop for ProcessLease {
    fn drop(&mut self) {
        self.heartbeat.abort();
        if self.is_released {
            return;
        }
        // Without a runtime the process is about to end, which others can see, or the lease expires.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, resource, token) = (self.store.clone(), self.resource.clone(), self.token.clone());
            runtime.spawn(async move {
                // As above: it expires.
                let _ = store.release(&resource, &token).await;
            });
        }
    }
}

/// Renews a lease until it is lost.
///
/// That is when another process has taken it over, or when it can't be renewed before its TTL is over by this process's
/// monotonic clock. A process that was stopped for longer, or whose host was busy, tries once more: as long as nobody has
/// taken the lease over, nothing has happened under another one.
async fn renew_until_lost(store: LeaseStore, resource: String, token: String, asked_at: Instant) -> Loss {
    let (ttl, heartbeat) = (store.times.ttl, store.times.heartbeat);
    let mut expires_at = asked_at + ttl;
    let mut renew_at = asked_at + heartbeat;
    let mut last_error = None;
    loop {
        sleep_until(renew_at).await;
        let now = Instant::now();
        match timeout_at(expires_at.max(now + heartbeat), store.renew(&resource, &token)).await {
            Ok(Ok(true)) => (expires_at, renew_at, last_error) = (now + ttl, now + heartbeat, None),
            Ok(Ok(false)) => return Loss::Taken,
            Ok(Err(error)) if Instant::now() >= expires_at => return Loss::Expired(error.to_string()),
            Ok(Err(error)) => {
                tracing::warn!(lease = resource, %error, "the lease couldn't be renewed; trying again");
                renew_at = expires_at.min(Instant::now() + RETRY.min(heartbeat));
                last_error = Some(error.to_string());
            }
            Err(_) => return Loss::Expired(last_error.unwrap_or("the state store doesn't answer".to_owned())),
        }
    }
}
