//! Refresh tokens outlive the process: a network that replaces one at every use locks out whoever loses the last.
//!
//! Here is what is kept, sealed so that only this account's sign-in can open it, and the interface of whoever keeps
//! it. `kept.rs` says when.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use rand::RngCore;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_model::Secret;
use zeroize::{Zeroize, Zeroizing};

/// The shortest text that is taken for a key.
const MIN_KEY_BYTES: usize = 32;
/// What a sealed record begins with.
const PREFIX: &str = "v1.";

/// Whose tokens a record holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// The connector's network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The first token source of the sign-in.
    pub sign_in: String,
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// 1, 2, 3 … per name.
    pub version: i64,
    /// Text that says nothing without the key.
    pub sealed: String,
}

/// What a keeper's failure is made of.
pub type TokenStoreError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps records where the next process finds them, and every other process that shares the state.
pub trait TokenStore: Send + Sync {
    /// The record of this name.
    fn load<'a>(&'a self, name: &'a TokenKey) -> BoxFuture<'a, Result<Option<Kept>, TokenStoreError>>;

    /// Keeps a record durably as version `seen + 1`. Gives false, and changes nothing, if the one that is kept isn't
    /// version `seen` any more (0: there is none).
    fn save<'a>(
        &'a self,
        name: &'a TokenKey,
        seen: i64,
        sealed: &'a str,
    ) -> BoxFuture<'a, Result<bool, TokenStoreError>>;
}

/// Where refresh tokens are kept.
#[derive(Clone)]
pub enum TokenPersistence {
    /// Nowhere but in memory: for whoever sends nothing, or doesn't mind to sign in anew.
    InMemory,
    /// Nowhere, and a sign-in that brings a refresh token is refused with this hint.
    Refused(String),
    /// With a keeper, sealed by a key.
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

/// Seals records with ChaCha20-Poly1305 (RFC 8439).
pub struct SealKey(LessSafeKey);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// The key of a text of at least 32 bytes, as `openssl rand -hex 32` gives; none for a shorter one.
    pub fn new(text: &Secret) -> Option<Self> {
        if text.expose().len() < MIN_KEY_BYTES {
            return None;
        }
        let mut key = Zeroizing::new([0_u8; 32]);
        let digest = Sha256::new().chain_update(b"sluice tokens v1\0").chain_update(text.expose()).finalize();
        key.copy_from_slice(&digest);
        Some(Self(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok()?)))
    }

    /// A fresh text to make a key of.
    pub fn random_text() -> Secret {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::rng().fill_bytes(bytes.as_mut_slice());
        Secret::new(hex::encode(bytes.as_slice()))
    }

    /// The record as text, which opens under the same name only.
    pub(crate) fn seal(&self, name: &TokenKey, record: &Record) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        // Reserved whole, so that no copy is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
        serde_json::to_writer(&mut *bytes, record).ok()?;
        let tag = self.0.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad(name), &mut bytes).ok()?;
        Some(format!("{PREFIX}{}", STANDARD.encode([&nonce, bytes.as_slice(), tag.as_ref()].concat())))
    }

    /// The record in a text; none if another key sealed it, another name, or nobody.
    pub(crate) fn open(&self, name: &TokenKey, sealed: &str) -> Option<Record> {
        let mut bytes = STANDARD.decode(sealed.strip_prefix(PREFIX)?).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, aad(name), sealed).ok()?;
        let record = serde_json::from_slice(opened).ok();
        bytes.zeroize();
        record
    }
}

/// Binds a record to its name: who may write the state can't hand one account's token to another.
fn aad(name: &TokenKey) -> Aad<Vec<u8>> {
    Aad::from(serde_json::to_vec(&[&name.network, &name.account, &name.sign_in]).unwrap_or_default())
}

/// What a sign-in gave, and who is about to spend it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// A digest of the secrets that the sign-in was made with: others make it void.
    pub(crate) made_with: String,
    /// Tokens by source.
    pub(crate) values: BTreeMap<String, String>,
    /// Refresh tokens by source.
    pub(crate) refresh: BTreeMap<String, String>,
    pub(crate) issued_at: Option<DateTime<Utc>>,
    /// None: until it is refused.
    pub(crate) good_until: Option<DateTime<Utc>>,
    pub(crate) claim: Option<Claim>,
    /// Since when the refresh token may be spent without its successor being known.
    pub(crate) doubtful_since: Option<DateTime<Utc>>,
}

/// The word of a process that it is spending the refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// A random name of the process.
    pub(crate) by: String,
    pub(crate) since: DateTime<Utc>,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.values.values_mut().chain(self.refresh.values_mut()).for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn key(text: &str) -> SealKey {
        SealKey::new(&Secret::new(text.into())).unwrap()
    }

    fn name(account: &str) -> TokenKey {
        TokenKey { network: "shop".into(), account: account.into(), sign_in: "session".into() }
    }

    #[test]
    fn a_record_opens_with_its_key_and_under_its_name_only() {
        let mut record = Record::default();
        record.refresh.insert("s".into(), "refresh-1".into());
        let first = key(&"k".repeat(32));
        let sealed = first.seal(&name("a"), &record).unwrap();
        assert!(first.open(&name("a"), &sealed).unwrap() == record);
        assert!(first.open(&name("b"), &sealed).is_none());
        assert!(key(&"x".repeat(32)).open(&name("a"), &sealed).is_none());
        assert_ne!(first.seal(&name("a"), &record).unwrap(), sealed, "a nonce is never used twice");
        for broken in ["", "v1.", "v1.AAAA", "v1.!", &sealed[1..], &sealed[..sealed.len() - 4]] {
            assert!(first.open(&name("a"), broken).is_none(), "{broken}");
        }
        let mut bytes = sealed.into_bytes();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        assert!(first.open(&name("a"), &String::from_utf8(bytes).unwrap()).is_none());
    }

    #[test]
    fn a_short_text_is_no_key() {
        assert!(SealKey::new(&Secret::new("k".repeat(31))).is_none());
        assert_eq!(format!("{:?}", key(&"k".repeat(32))), "SealKey(…)");
    }
}
