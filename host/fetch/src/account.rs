//! An account's client, which is replaced when the account's secrets change.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::BoxFuture;
use sluice_model::{Request, Secret, SentRequest};
use tokio::time::Instant;

use crate::account_client::AccountClient;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::fetcher::{Access, Shared};
use crate::pace::Admission;
use crate::retry::Retry;

/// Secrets that turned out unchanged aren't read again for this long.
const RELOAD_PAUSE: Duration = Duration::from_secs(60);

/// Reads an account's secrets again. The text of a failure must not contain a secret.
#[derive(Clone)]
pub struct SecretReloader(Arc<dyn Fn() -> BoxFuture<'static, Result<BTreeMap<String, Secret>, String>> + Send + Sync>);

impl SecretReloader {
    /// `read` is called when the network rejects the secrets: at most once a minute while they stay the same.
    pub fn new(
        read: impl Fn() -> BoxFuture<'static, Result<BTreeMap<String, Secret>, String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for SecretReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretReloader")
    }
}

/// Sends an account's requests. Cheap to clone; all clones share secrets, tokens and budget.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    access: Access,
    client: RwLock<AccountClient>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}/{})", self.0.access.network, self.0.access.account)
    }
}

impl Account {
    pub(crate) fn new(shared: Arc<Shared>, access: Access) -> Result<Self, Error> {
        let client = RwLock::new(AccountClient::new(shared.clone(), &access, None)?);
        Ok(Self(Arc::new(Inner { shared, access, client })))
    }

    /// One attempt. Signs in first if the request needs a token, and waits until the budget allows the request.
    ///
    /// If the network rejects the secrets, they are read again, and the request is sent again if they have changed.
    ///
    /// # Errors
    /// If there is no response; [`Error::retry`] is how often another attempt may help. A response of any status is
    /// returned, 429 and 500 too.
    pub async fn send(&self, request: &Request) -> Result<Exchange, Error> {
        self.send_with(request, &()).await.map(|(exchange, ())| exchange)
    }

    /// As [`Account::send`], with a permit of `admission`, which bounds the responses in memory: it is acquired when the
    /// rate allows the request, and returned with the response, for the caller to hold while it needs the response. No
    /// permit is held while a request waits for its rate.
    ///
    /// # Errors
    /// As [`Account::send`]; without a permit.
    pub async fn send_with<A: Admission>(
        &self,
        request: &Request,
        admission: &A,
    ) -> Result<(Exchange, A::Permit), Error> {
        let client = self.client();
        let sent = client.send(request, admission).await;
        let is_rejected = match &sent {
            Ok((exchange, _)) => exchange.status == 401 && exchange.token_expired.is_none(),
            Err(error) => matches!(error, Error::Credentials { .. }),
        };
        if is_rejected && let Some(client) = self.refreshed_client(&client).await {
            // With its permit: waiting for a second one while holding the first could deadlock.
            drop(sent);
            return client.send(request, admission).await;
        }
        sent
    }

    /// Drops the token that `after` used, so that the next request signs in again. Does nothing if the token has been
    /// dropped or replaced since: of twenty requests that fail together, one renews.
    ///
    /// Returns how often the rejection is worth another attempt: once, or as any failure that may pass if another request
    /// was rejected with the same token. Then it is the token that has no right, not the request.
    pub async fn renew(&self, token: &str, after: &Exchange) -> Retry {
        self.client().renew(token, after).await
    }

    /// The request as it would be sent, with secrets, tokens and signatures masked. Nothing is sent.
    pub fn preview(&self, request: &Request) -> Result<SentRequest, Error> {
        self.client().preview(request)
    }

    /// The text with every secret and token of this account masked.
    pub fn redact(&self, text: &str) -> String {
        self.client().redact(text)
    }

    fn client(&self) -> AccountClient {
        self.0.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client with other secrets than `rejected`; none if they haven't changed.
    async fn refreshed_client(&self, rejected: &AccountClient) -> Option<AccountClient> {
        let Inner { shared, access, .. } = &*self.0;
        let reloader = access.secret_reloader.as_ref()?;
        let mut reloaded = rejected.inner().session.reloaded.lock().await;
        let current = self.client();
        if !current.is(rejected) {
            return Some(current);
        }
        if reloaded.is_some_and(|at| at.elapsed() < RELOAD_PAUSE) {
            return None;
        }
        *reloaded = Some(Instant::now());
        let secrets = match (reloader.0)().await {
            Ok(secrets) if secrets == rejected.inner().secrets => return None,
            Ok(secrets) => secrets,
            Err(reason) => {
                tracing::warn!(network = access.network, account = access.account, reason, "cannot read secrets again");
                return None;
            }
        };
        let access = Access { secrets, ..access.clone() };
        let client = AccountClient::new(shared.clone(), &access, Some(rejected.inner().budget.clone())).ok()?;
        tracing::info!(
            network = access.network,
            account = access.account,
            "secrets have changed and are used from now on"
        );
        *self.0.client.write().unwrap_or_else(PoisonError::into_inner) = client.clone();
        // Who still has the old ones may read the new ones at once.
        *reloaded = None;
        Some(client)
    }
}
