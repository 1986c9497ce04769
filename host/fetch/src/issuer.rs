//! Tokens of an issuer of identities (OpenID Connect): its keys are read from it, and its signed tokens checked by them.
//!
//! What a token states counts only if its signature is that of a key which the issuer publishes, by an algorithm that fits that
//! key and is one of two: a token that names none, or one with a shared key, is refused before any key is looked for.

mod document;
mod key;
mod token;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use document::Documents;
pub use document::IssuerError;
use key::KeySet;
use token::SignedToken;
pub use token::TokenError;

/// Keys that are older are read again: one that the issuer has withdrawn is trusted no longer than this.
const KEYS_LAST: TimeDelta = TimeDelta::minutes(10);
/// While the issuer can't be reached, keys that were read before are used for this long.
const KEYS_LAST_AT_MOST: TimeDelta = TimeDelta::hours(6);
/// Keys aren't read more often, whatever keys tokens name and however often the issuer fails.
const KEYS_PAUSE: TimeDelta = TimeDelta::seconds(20);

/// An issuer whose tokens are accepted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    documents: Documents,
    audience: String,
    known: RwLock<Keys>,
    /// Locked while keys are read, so that a hundred calls read them once. Who knows the key that it needs doesn't wait.
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Keys {
    set: Arc<KeySet>,
    read_at: Option<DateTime<Utc>>,
    tried_at: Option<DateTime<Utc>>,
}

impl Keys {
    /// Whether they were read and aren't older. Those that a clock read which went back since are.
    fn are_within(&self, age: TimeDelta, now: DateTime<Utc>) -> bool {
        self.read_at.is_some_and(|at| (TimeDelta::zero()..age).contains(&(now - at)))
    }

    /// The keys, if they are recent and have the one that a token names, or if they can't be read again yet and aren't too old.
    fn usable(&self, token: &SignedToken<'_>, now: DateTime<Utc>) -> Option<Arc<KeySet>> {
        let is_known = self.are_within(KEYS_LAST, now) && self.set.has(token.header());
        let is_kept = !self.may_be_read(now) && self.are_within(KEYS_LAST_AT_MOST, now);
        (is_known || is_kept).then(|| self.set.clone())
    }

    fn may_be_read(&self, now: DateTime<Utc>) -> bool {
        self.tried_at.is_none_or(|at| !(TimeDelta::zero()..KEYS_PAUSE).contains(&(now - at)))
    }
}

/// Why a token isn't accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It isn't valid.
    #[error("the token isn't valid")]
    Token(#[from] TokenError),
    /// The issuer's keys can't be read, and none are known that are recent enough.
    #[error("the keys of the issuer can't be read")]
    Issuer(#[from] IssuerError),
}

impl Issuer {
    /// The issuer of this URL, whose tokens must be for `audience`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`IssuerError::Url`] if it is neither `https` nor on this machine.
    pub fn new(url: &str, audience: &str, user_agent: &str) -> Result<Self, IssuerError> {
        let documents = Documents::new(url, user_agent)?;
        Ok(Self(Arc::new(Inner {
            documents,
            audience: audience.to_owned(),
            known: RwLock::default(),
            reading: Mutex::default(),
        })))
    }

    /// Whether a text has the form of a signed token: nothing else needs to be shown to the issuer's keys.
    pub fn may_be(text: &str) -> bool {
        SignedToken::parse(text).is_ok()
    }

    /// What a token states, if it is signed by the issuer, for the audience, and valid at `now`.
    ///
    /// # Errors
    /// Why it isn't accepted.
    pub async fn claims(&self, token: &str, now: DateTime<Utc>) -> Result<Map<String, Value>, Refused> {
        let token = SignedToken::parse(token)?;
        let keys = self.keys(&token, now).await?;
        let claims = token.verified(&keys)?;
        token::check(&claims, self.0.documents.issuer(), &self.0.audience, now)?;
        Ok(claims)
    }

    /// Keys that are recent, and have the one that a token names, if the issuer has it.
    async fn keys(&self, token: &SignedToken<'_>, now: DateTime<Utc>) -> Result<Arc<KeySet>, IssuerError> {
        if let Some(keys) = self.known().usable(token, now) {
            return Ok(keys);
        }
        let _reading = self.0.reading.lock().await;
        if let Some(keys) = self.known().usable(token, now) {
            return Ok(keys);
        }
        if !self.known().may_be_read(now) {
            return Err(IssuerError::Again);
        }
        let documents = &self.0.documents;
        let read = documents.keys().await;
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        known.tried_at = Some(now);
        match read {
            Ok(set) => {
                tracing::info!(issuer = documents.issuer(), keys = set.len(), "keys of the issuer are read");
                (known.set, known.read_at) = (Arc::new(set), Some(now));
            }
            Err(error) if known.are_within(KEYS_LAST_AT_MOST, now) => {
                let error = sluice_model::describe(&error);
                tracing::warn!(issuer = documents.issuer(), error, "keys can't be read again; those before are used");
            }
            Err(error) => return Err(error),
        }
        Ok(known.set.clone())
    }

    fn known(&self) -> RwLockReadGuard<'_, Keys> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}
