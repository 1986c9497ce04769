//! Where refresh tokens are stored: a network that replaces one at every use locks out an account that loses the last.
//!
//! `seal.rs` has the content of what is stored, `stored_sign_in.rs` the protocol.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::seal::SealKey;

/// Identifies the stored tokens of one sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The first token source of the sign-in.
    pub sign_in: String,
}

/// The tokens of one sign-in as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// Counted from 1 per [`TokenKey`]; each save increments it.
    pub version: i64,
    /// Ciphertext as text: see [`SealKey`].
    pub sealed: String,
}

/// A store's failure. Its text contains no token.
pub type TokenStoreError = Box<dyn std::error::Error + Send + Sync>;

/// Stores tokens durably, for the next process and for all processes that share the state.
pub trait TokenStore: Send + Sync {
    /// The stored tokens of a sign-in; none if there are none yet.
    fn load<'a>(&'a self, key: &'a TokenKey) -> BoxFuture<'a, Result<Option<StoredToken>, TokenStoreError>>;

    /// Stores tokens durably as version `seen + 1`, if the stored version is `seen` (0: there is none). Returns false, and
    /// changes nothing, if it is another one.
    fn save<'a>(
        &'a self,
        key: &'a TokenKey,
        seen: i64,
        sealed: &'a str,
    ) -> BoxFuture<'a, Result<bool, TokenStoreError>>;
}

/// How refresh tokens outlive the process.
#[derive(Clone)]
pub enum TokenPersistence {
    /// Not at all: the next process signs in from the account's secrets.
    InMemory,
    /// Not at all, and a sign-in with a refresh token fails with [`Error::NoTokenStore`](crate::Error::NoTokenStore) and
    /// this hint.
    Refused(String),
    /// Sealed by the key before the store sees them.
    With(Arc<dyn TokenStore>, Arc<SealKey>),
}

impl fmt::Debug for TokenPersistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InMemory => "InMemory",
            Self::Refused(_) => "Refused",
            Self::With(..) => "With(…)",
        })
    }
}
