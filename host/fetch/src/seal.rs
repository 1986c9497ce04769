//! The content of stored tokens, sealed so that only the same account's sign-in can open it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use rand::RngCore;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_model::Secret;
use zeroize::{Zeroize, Zeroizing};

use crate::token_store::TokenKey;

/// The shortest text that a key is derived from.
const MIN_KEY_BYTES: usize = 32;
/// The start of a sealed record: its format.
const PREFIX: &str = "v1.";

/// Seals records with ChaCha20-Poly1305 (RFC 8439).
pub struct SealKey(LessSafeKey);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// The key derived from a text of at least 32 bytes, such as the output of `openssl rand -hex 32`; none for a shorter
    /// one.
    pub fn new(text: &Secret) -> Option<Self> {
        if text.expose().len() < MIN_KEY_BYTES {
            return None;
        }
        let mut key = Zeroizing::new([0_u8; 32]);
        let digest = Sha256::new().chain_update(b"sluice tokens v1\0").chain_update(text.expose()).finalize();
        key.copy_from_slice(&digest);
        Some(Self(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok()?)))
    }

    /// 64 random hexadecimal digits to derive a key from.
    pub fn random_text() -> Secret {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::rng().fill_bytes(bytes.as_mut_slice());
        Secret::new(hex::encode(bytes.as_slice()))
    }

    /// The record as text, which opens with the same `TokenKey` only.
    pub(crate) fn seal(&self, key: &TokenKey, record: &TokenRecord) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        // Reserved in full: growing would leave copies of the tokens in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
        serde_json::to_writer(&mut *bytes, record).ok()?;
        let tag = self.0.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad(key), &mut bytes).ok()?;
        Some(format!("{PREFIX}{}", STANDARD.encode([&nonce, bytes.as_slice(), tag.as_ref()].concat())))
    }

    /// The record in a text; none if it was sealed by another key, for another `TokenKey`, or not at all.
    pub(crate) fn open(&self, key: &TokenKey, sealed: &str) -> Option<TokenRecord> {
        let mut bytes = STANDARD.decode(sealed.strip_prefix(PREFIX)?).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, aad(key), sealed).ok()?;
        let record = serde_json::from_slice(opened).ok();
        bytes.zeroize();
        record
    }
}

/// Binds a record to its `TokenKey`: someone who may write the state store can't give one account's tokens to another.
fn aad(key: &TokenKey) -> Aad<Vec<u8>> {
    Aad::from(serde_json::to_vec(&[&key.network, &key.account, &key.sign_in]).unwrap_or_default())
}

/// The tokens of a sign-in, and the process that is about to use its refresh token. Its serialized form is stored.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    /// A digest of the secrets that the sign-in used: with other secrets the record is void.
    #[serde(rename = "made_with")]
    pub(crate) secrets_digest: String,
    /// Tokens by source.
    pub(crate) values: BTreeMap<String, String>,
    /// Refresh tokens by source.
    pub(crate) refresh: BTreeMap<String, String>,
    pub(crate) issued_at: Option<DateTime<Utc>>,
    /// None: until the network rejects it.
    pub(crate) good_until: Option<DateTime<Utc>>,
    pub(crate) claim: Option<Claim>,
    /// Since when the network may have replaced the refresh token by one that wasn't stored.
    #[serde(rename = "doubtful_since")]
    pub(crate) maybe_replaced_since: Option<DateTime<Utc>>,
}

/// Marks that a process is using the refresh token, so that others wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// A random name of the process.
    pub(crate) by: String,
    pub(crate) since: DateTime<Utc>,
}

impl Drop for TokenRecord {
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

    fn of(account: &str) -> TokenKey {
        TokenKey { network: "shop".into(), account: account.into(), sign_in: "session".into() }
    }

    #[test]
    fn a_record_opens_with_its_seal_key_and_token_key_only() {
        let mut record = TokenRecord::default();
        record.refresh.insert("s".into(), "refresh-1".into());
        let first = key(&"k".repeat(32));
        let sealed = first.seal(&of("a"), &record).unwrap();
        assert!(first.open(&of("a"), &sealed).unwrap() == record);
        assert!(first.open(&of("b"), &sealed).is_none());
        assert!(key(&"x".repeat(32)).open(&of("a"), &sealed).is_none());
        assert_ne!(first.seal(&of("a"), &record).unwrap(), sealed, "a nonce is used once");
        for broken in ["", "v1.", "v1.AAAA", "v1.!", &sealed[1..], &sealed[..sealed.len() - 4]] {
            assert!(first.open(&of("a"), broken).is_none(), "{broken}");
        }
        let mut bytes = sealed.into_bytes();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        assert!(first.open(&of("a"), &String::from_utf8(bytes).unwrap()).is_none());
    }

    #[test]
    fn records_of_earlier_releases_are_read() {
        let stored = r#"{"made_with":"d","values":{"s":"a-1"},"refresh":{"s":"r-1"},"issued_at":"2026-01-02T03:04:05Z",
            "good_until":null,"claim":{"by":"p","since":"2026-01-02T03:04:05Z"},"doubtful_since":"2026-01-02T03:04:05Z"}"#;
        let record: TokenRecord = serde_json::from_str(stored).unwrap();
        assert_eq!((record.secrets_digest.as_str(), record.refresh["s"].as_str()), ("d", "r-1"));
        assert!(record.maybe_replaced_since.is_some() && record.claim.is_some());
    }

    #[test]
    fn a_short_text_is_no_key() {
        assert!(SealKey::new(&Secret::new("k".repeat(31))).is_none());
        assert_eq!(format!("{:?}", key(&"k".repeat(32))), "SealKey(…)");
    }
}
