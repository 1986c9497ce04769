//! One account's client, and another one once its secrets have changed.

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

/// Secrets that were read again and are the same as before are left alone for so long.
const PAUSE: Duration = Duration::from_secs(60);

/// Reads an account's secrets anew. A failure is a text that holds none of them.
#[derive(Clone)]
pub struct SecretReloader(Arc<dyn Fn() -> BoxFuture<'static, Result<BTreeMap<String, Secret>, String>> + Send + Sync>);

impl SecretReloader {
    /// By a function that is called after the network has refused the secrets, at most once a minute.
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

/// Sends an account's requests. Cheap to clone; all clones have the same secrets.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    access: Access,
    client: RwLock<AccountClient>,
    /// When the secrets were read again and were the same. Held while reading, so that twenty refused requests read
    /// once.
    read_again: tokio::sync::Mutex<Option<Instant>>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}/{})", self.0.access.network, self.0.access.account)
    }
}

impl Account {
    pub(crate) fn new(shared: Arc<Shared>, access: Access) -> Result<Self, Error> {
        let client = RwLock::new(AccountClient::new(shared.clone(), &access, None)?);
        Ok(Self(Arc::new(Inner { shared, access, client, read_again: tokio::sync::Mutex::default() })))
    }

    /// One attempt. Signs in first if the request needs a token, and waits until the budget lets it go.
    ///
    /// If the network refuses the secrets, they are read again, and the request is sent again if they have changed.
    ///
    /// Any status is a response, 429 and 500 too. An error means that there was none; see
    /// [`Error::is_retryable`].
    pub async fn send(&self, request: &Request) -> Result<Exchange, Error> {
        self.send_with(request, &()).await.map(|(exchange, ())| exchange)
    }

    /// The same, with a permit of `admission` that is waited for when the rate allows the request, and that comes with
    /// the response: who bounds the responses in memory holds it until the response is no longer needed. No permit is
    /// held while a request waits for its rate, and none is given with an error.
    ///
    /// # Errors
    /// As [`Account::send`].
    pub async fn send_with<A: Admission>(
        &self,
        request: &Request,
        admission: &A,
    ) -> Result<(Exchange, A::Permit), Error> {
        let client = self.client();
        let sent = client.send(request, admission).await;
        let refused = match &sent {
            Ok((exchange, _)) => exchange.status == 401 && exchange.token_expired.is_none(),
            Err(error) => matches!(error, Error::Credentials { .. }),
        };
        match if refused { self.refreshed_client(&client).await } else { None } {
            Some(other) => {
                // The permit of the refused attempt: with it in hand nobody may wait for another one.
                drop(sent);
                other.send(request, admission).await
            }
            None => sent,
        }
    }

    /// Forgets the token that `after` used, so that the next send signs in anew. Does nothing if someone else has
    /// done so since: of twenty requests that fail together, one renews.
    pub async fn renew(&self, token: &str, after: &Exchange) {
        self.client().renew(token, after).await;
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

    /// The client with other secrets than `refused`, if there are any.
    async fn refreshed_client(&self, refused: &AccountClient) -> Option<AccountClient> {
        let Inner { shared, access, .. } = &*self.0;
        let anew = access.secret_reloader.as_ref()?;
        let mut read_again = self.0.read_again.lock().await;
        let now = self.client();
        if !now.is(refused) {
            return Some(now);
        }
        if read_again.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        *read_again = Some(Instant::now());
        let secrets = match (anew.0)().await {
            Ok(secrets) if secrets == refused.inner().secrets => return None,
            Ok(secrets) => secrets,
            Err(reason) => {
                tracing::warn!(network = access.network, account = access.account, reason, "cannot read secrets again");
                return None;
            }
        };
        let access = Access { secrets, ..access.clone() };
        let client = AccountClient::new(shared.clone(), &access, Some(refused.inner().budget.clone())).ok()?;
        tracing::info!(network = access.network, account = access.account, "secrets have changed and were read again");
        *self.0.client.write().unwrap_or_else(PoisonError::into_inner) = client.clone();
        *read_again = None;
        Some(client)
    }
}
