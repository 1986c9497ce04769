//! The state that all accounts share: HTTP clients, budgets and sessions.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::Client;
use sha2::{Digest, Sha256};
use sluice_model::{Rate, Secret, TokenSource};
use url::Url;

use crate::account::{Account, SecretReloader};
use crate::address::Resolver;
use crate::allow::Allow;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::grants::RateGrants;
use crate::pace::{Budget, SharedCredential};
use crate::session::{RecentRedactors, Session};
use crate::sign_in_response::MAX_SIGN_IN_BYTES;
use crate::spool::SpoolMemory;
use crate::token_store::TokenPersistence;
use crate::unpack::Limits;

/// Limits of requests and responses: time, bytes, attempts.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// The `User-Agent` of requests without one.
    pub user_agent: String,
    /// The longest time to establish a connection.
    pub connect_timeout: Duration,
    /// The longest time from sending to the response's headers.
    pub answer_timeout: Duration,
    /// The longest time between two chunks of a body.
    pub read_timeout: Duration,
    /// The longest time from sending to the last byte, for each hop of a redirect. It limits bodies that arrive byte by
    /// byte.
    pub request_timeout: Duration,
    /// The largest body, both as received and unpacked.
    pub max_body_bytes: u64,
    /// The largest body that the caller has memory for, as received and unpacked; the smaller one of both counts.
    pub body_memory_bytes: u64,
    /// What bodies larger than 256 KiB share while they are received.
    pub spool_memory: SpoolMemory,
    /// Where those are that find no room in it, in files without a name.
    pub spool_folder: PathBuf,
    /// The most bytes of all response headers.
    pub max_header_bytes: u64,
    /// The most redirects that are followed in one exchange.
    pub max_redirects: usize,
    /// How many times its packed size a body may have unpacked; bodies up to 4 MiB may have any ratio.
    pub max_ratio: u32,
    /// The most attempts at one request, the first included: see [`Attempts`](crate::Attempts).
    pub max_attempts: u32,
    /// The shortest pause if the network asks for one, even for none: see [`Attempts`](crate::Attempts).
    pub min_retry_wait: Duration,
    /// The longest pause that a run waits if the network asks for it: see [`Error::Deferred`].
    pub max_retry_wait: Duration,
    /// How long a process may take to renew its claim on a refresh token before other processes take it over.
    pub claim_lease: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("sluice/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(300),
            read_timeout: Duration::from_secs(120),
            max_body_bytes: 256 << 20,
            body_memory_bytes: u64::MAX,
            spool_memory: SpoolMemory::new(32 << 20),
            spool_folder: std::env::temp_dir(),
            max_header_bytes: 128 << 10,
            max_redirects: 5,
            max_ratio: 500,
            max_attempts: 6,
            min_retry_wait: Duration::from_secs(1),
            max_retry_wait: Duration::from_secs(15 * 60),
            claim_lease: Duration::from_secs(15),
        }
    }
}

impl FetchOptions {
    pub(crate) fn limits(&self) -> Limits {
        let max_bytes = self.max_body_bytes.min(self.body_memory_bytes);
        Limits { max_bytes, max_ratio: self.max_ratio, deadline: Deadline::NEVER }
    }

    /// The same for a response in which a token is sought, before there is memory for it.
    pub(crate) fn sign_in_limits(&self) -> Limits {
        let limits = self.limits();
        Limits { max_bytes: limits.max_bytes.min(MAX_SIGN_IN_BYTES), ..limits }
    }
}

/// An account, and the hosts, secrets and rate that its requests may use.
#[derive(Clone, Debug)]
pub struct Access {
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// Hosts that the connector's manifest allows.
    pub manifest_hosts: Vec<String>,
    /// Hosts that the operator allows.
    pub operator_hosts: Vec<String>,
    /// Another origin for all requests: it may be plain http and have a private address.
    pub base_url: Option<Url>,
    /// The account's settings, defaults filled in.
    pub settings: Vec<(String, String)>,
    /// The account's secrets by slot.
    pub secrets: BTreeMap<String, Secret>,
    /// Reads the secrets again when the network rejects them; none if they can't change.
    pub secret_reloader: Option<SecretReloader>,
    /// The token sources of the connector's manifest.
    pub tokens: Vec<TokenSource>,
    /// The network's rate limit, which accounts with the same secrets share.
    pub rate: Rate,
}

/// Creates the clients of accounts. Cheap to clone; a process has one, so that connections, budgets and tokens are shared.
#[derive(Clone)]
pub struct Fetcher(Arc<Shared>);

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A fetcher that holds tokens in memory only.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn new(options: FetchOptions) -> Result<Self, Error> {
        Self::with_persistence(options, TokenPersistence::InMemory)
    }

    /// A fetcher that stores refresh tokens for the next process.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn with_persistence(options: FetchOptions, persistence: TokenPersistence) -> Result<Self, Error> {
        let public = client(&options, None)?;
        Ok(Self(Arc::new(Shared {
            options,
            persistence,
            process: hex::encode(rand::random::<[u8; 8]>()),
            public,
            trusted: Mutex::default(),
            budgets: Mutex::default(),
            sessions: Mutex::default(),
            redactors: Arc::default(),
            grants: OnceLock::new(),
        })))
    }

    /// The same where other processes send requests too: these are granted to each of them. To be called before accounts are
    /// opened.
    #[must_use]
    pub fn granted_by(self, grants: Arc<dyn RateGrants>) -> Self {
        // A second call would change nothing: who grants requests is one store.
        let _ = self.0.grants.set(grants);
        self
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }

    /// An account's client. Clients with the same access share tokens and budget.
    ///
    /// # Errors
    /// [`Error::Settings`] for an invalid rate or `base_url`, or sign-ins that need each other's tokens.
    pub fn account(&self, access: Access) -> Result<Account, Error> {
        Account::new(Arc::clone(&self.0), access)
    }
}

/// A SHA-256 digest.
pub(crate) type Fingerprint = [u8; 32];

/// The state behind a [`Fetcher`].
pub(crate) struct Shared {
    pub(crate) options: FetchOptions,
    pub(crate) persistence: TokenPersistence,
    /// A random name of this process, for its claims on refresh tokens.
    pub(crate) process: String,
    public: Client,
    /// One client per host of a `base_url`: it may connect to that host's private addresses, and to no others.
    trusted: Mutex<HashMap<String, Client>>,
    budgets: Mutex<HashMap<(String, Fingerprint), Arc<Budget>>>,
    sessions: Mutex<HashMap<(String, String), (Fingerprint, Arc<Session>)>>,
    redactors: Arc<RecentRedactors>,
    grants: OnceLock<Arc<dyn RateGrants>>,
}

impl Shared {
    /// The client that may connect to this URL.
    pub(crate) fn client_for(&self, url: &Url, allow: &Allow) -> Result<Client, Error> {
        let Some(host) = url.host_str().filter(|_| allow.is_base(url)) else { return Ok(self.public.clone()) };
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = trusted.get(host) {
            return Ok(client.clone());
        }
        let client = client(&self.options, Some(host.to_owned()))?;
        trusted.insert(host.to_owned(), client.clone());
        Ok(client)
    }

    /// The budget that all accounts of a network with these secrets share. Another rate starts a new one.
    pub(crate) fn budget(&self, access: &Access) -> Arc<Budget> {
        let secrets = access.secrets.iter().flat_map(|(slot, secret)| [slot.as_bytes(), secret.expose().as_bytes()]);
        let key = (access.network.clone(), fingerprint(secrets));
        let name = credential_name(&key.0, &key.1);
        let shared = || self.grants.get().map(|grants| SharedCredential { name: name.clone(), grants: grants.clone() });
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Budget::new(access.rate, shared()));
        let budget = entry(&mut budgets, key, fresh);
        if budget.rate() != access.rate {
            *budget = fresh();
        }
        Arc::clone(budget)
    }

    /// The account's tokens. They are dropped when its secrets, settings, sign-ins or `base_url` change.
    pub(crate) fn session(&self, access: &Access) -> Arc<Session> {
        let tokens = serde_json::to_vec(&access.tokens).unwrap_or_default();
        let base = access.base_url.as_ref().map(Url::as_str).unwrap_or_default();
        let secrets = access.secrets.iter().flat_map(|(slot, secret)| [slot.as_bytes(), secret.expose().as_bytes()]);
        let settings = access.settings.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let print =
            fingerprint([tokens.as_slice(), base.as_bytes(), b"secrets"].into_iter().chain(secrets).chain(settings));
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (access.network.clone(), access.account.clone());
        let fresh = || (print, Arc::new(Session::new(&access.tokens, &access.secrets, self.redactors.clone())));
        let session = entry(&mut sessions, key, fresh);
        if session.0 != print {
            *session = fresh();
        }
        Arc::clone(&session.1)
    }
}

/// Names a credential among those of all processes. 24 bits tell those of a network apart; two that they don't share a rate.
/// They are stored where others may read them, and are too few to find out a secret by trying.
fn credential_name(network: &str, fingerprint: &Fingerprint) -> String {
    format!("{network}/{}", hex::encode(&fingerprint[..3]))
}

fn entry<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, fresh: impl FnOnce() -> V) -> &mut V {
    map.entry(key).or_insert_with(fresh)
}

/// A digest of a list of byte strings: each is preceded by its length.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[expect(clippy::disallowed_methods, reason = "the client that checks addresses, redirects and sizes")]
fn client(options: &FetchOptions, trusted: Option<String>) -> Result<Client, Error> {
    Client::builder()
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout)
        .dns_resolver(Arc::new(Resolver { trusted }))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // A proxy would resolve names itself, so their addresses couldn't be checked.
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .tcp_nodelay(true)
        .build()
        .map_err(|error| Error::Client(Arc::new(error)))
}
