//! The public keys of an issuer, each with the one algorithm that it is used with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use super::token::Header;

/// Keys of one issuer that are looked at: a token without a key's name is tried with each.
const MOST_KEYS: usize = 64;

/// How a token is signed. A token names it, and the key decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    /// The algorithm of this name; none for all that aren't accepted, `none` and those of shared keys among them.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A key as an issuer publishes it (RFC 7517).
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug)]
enum Material {
    /// Modulus and exponent, big-endian.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point on P-256.
    P256(Vec<u8>),
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    material: Material,
}

/// The keys that an issuer signs with.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// Those of the published keys that tokens may be signed with.
    pub(super) fn of(keys: &[Jwk]) -> Self {
        Self(keys.iter().filter_map(Key::of).take(MOST_KEYS).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is a key that a token may be signed with.
    pub(super) fn has(&self, header: &Header) -> bool {
        self.fitting(header).next().is_some()
    }

    /// Whether a signature is that of a key which a token names.
    pub(super) fn verify(&self, header: &Header, signed: &[u8], signature: &[u8]) -> bool {
        self.fitting(header).any(|key| key.verify(signed, signature))
    }

    fn fitting<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Key> {
        let is_named = |key: &&Key| header.kid.is_none() || key.id == header.kid;
        self.0.iter().filter(|key| key.algorithm() == header.algorithm).filter(is_named)
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
        let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: part(&jwk.n)?, e: part(&jwk.e)? },
            ("EC", Some("P-256")) => {
                let (x, y) = (part(&jwk.x)?, part(&jwk.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                Material::P256([[4].as_slice(), &x, &y].concat())
            }
            _ => return None,
        };
        let key = Self { id: jwk.kid.clone(), material };
        let fits = jwk.alg.as_deref().is_none_or(|name| Algorithm::named(name) == Some(key.algorithm()));
        (fits && jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")).then_some(key)
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
        }
    }
}
