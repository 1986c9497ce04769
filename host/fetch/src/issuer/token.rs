//! A signed token (RFC 7519) and what is checked of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::key::{Algorithm, KeySet};

/// The longest token.
const MOST_BYTES: usize = 16 << 10;
/// The longest name of a subject, which the specification of OpenID Connect states.
const MOST_SUBJECT_BYTES: usize = 255;
/// How far the clocks of the issuer and of this host may differ, seconds.
const CLOCK_TOLERANCE_SECS: f64 = 60.0;

/// Why a token isn't valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It doesn't have the form of one.
    #[error("it isn't a signed token")]
    Form,
    /// It isn't signed by an algorithm that is accepted.
    #[error("it isn't signed by RS256 or ES256")]
    Algorithm,
    /// It is signed by none of the issuer's keys.
    #[error("its signature isn't the issuer's")]
    Signature,
    /// A claim is missing or has another value than it must have.
    #[error("its claim `{0}` doesn't allow it")]
    Claim(&'static str),
}

/// What a token says of its signature.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

/// A token whose signature isn't checked yet: nothing that it states counts.
#[derive(Debug)]
pub(super) struct SignedToken<'a> {
    header: Header,
    /// Header and claims, as they are signed.
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl<'a> SignedToken<'a> {
    /// # Errors
    /// [`TokenError::Form`] or [`TokenError::Algorithm`].
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MOST_BYTES {
            return Err(TokenError::Form);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Form)?;
        if claims.contains('.') {
            return Err(TokenError::Form);
        }
        let header = object(header)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Form)?;
        // Extensions that must be understood, and none is.
        if header.contains_key("crit") {
            return Err(TokenError::Form);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(TokenError::Form),
        };
        let header = Header { algorithm: algorithm.ok_or(TokenError::Algorithm)?, kid };
        Ok(Self { header, signed, claims, signature })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// What it states, if one of the keys signed it.
    pub(super) fn verified(&self, keys: &KeySet) -> Result<Map<String, Value>, TokenError> {
        if !keys.verify(&self.header, self.signed.as_bytes(), &self.signature) {
            return Err(TokenError::Signature);
        }
        object(self.claims)
    }
}

/// Whether a token whose signature is right is from the issuer, for the audience, and valid at `now`.
pub(super) fn check(
    claims: &Map<String, Value>,
    issuer: &str,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<(), TokenError> {
    let holds = |name: &'static str, holds: bool| if holds { Ok(()) } else { Err(TokenError::Claim(name)) };
    holds("iss", claims.get("iss").and_then(Value::as_str) == Some(issuer))?;
    let is_for = |value: &Value| value.as_str() == Some(audience);
    holds(
        "aud",
        claims.get("aud").is_some_and(|aud| is_for(aud) || aud.as_array().is_some_and(|all| all.iter().any(is_for))),
    )?;
    // Of seconds since 1970 a double has all bits.
    let now = now.timestamp() as f64;
    let moment = |name: &str| claims.get(name).map(|value| value.as_f64().filter(|at| at.is_finite()));
    holds("exp", moment("exp").flatten().is_some_and(|at| now < at + CLOCK_TOLERANCE_SECS))?;
    holds("nbf", moment("nbf").is_none_or(|at| at.is_some_and(|at| now >= at - CLOCK_TOLERANCE_SECS)))?;
    holds(
        "sub",
        claims
            .get("sub")
            .and_then(Value::as_str)
            .is_some_and(|subject| (1..=MOST_SUBJECT_BYTES).contains(&subject.len())),
    )
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Form)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn token(header: &Value) -> String {
        let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
        format!("{}.{}.{}", part(&header.to_string()), part("{}"), part("signature"))
    }

    #[test]
    fn only_two_algorithms_are_accepted_and_no_extension() {
        for name in ["RS256", "ES256"] {
            assert!(SignedToken::parse(&token(&json!({"alg": name}))).is_ok(), "{name}");
        }
        for name in ["none", "None", "HS256", "HS512", "RS1", "PS256", "ES384", "EdDSA", "rs256", ""] {
            let refused = SignedToken::parse(&token(&json!({"alg": name}))).unwrap_err();
            assert_eq!(refused, TokenError::Algorithm, "{name}");
        }
        for header in [json!({"alg": "RS256", "crit": ["b64"]}), json!({"alg": "RS256", "kid": 1}), json!([])] {
            assert_eq!(SignedToken::parse(&token(&header)).unwrap_err(), TokenError::Form, "{header}");
        }
        for text in ["", "a.b", "a.b.c.d", "sluice_00", "a.b.c", &"a".repeat(20_000)] {
            assert_eq!(SignedToken::parse(text).unwrap_err(), TokenError::Form, "{text}");
        }
    }

    #[test]
    fn a_token_is_for_one_audience_and_one_time() {
        let now: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().unwrap();
        let at = now.timestamp();
        let good = json!({"iss": "i", "aud": "a", "sub": "s", "exp": at + 100, "nbf": at - 100});
        let with = |name: &str, value: Value| {
            let mut claims = good.as_object().unwrap().clone();
            claims.insert(name.to_owned(), value);
            check(&claims, "i", "a", now)
        };
        assert_eq!(with("aud", json!(["b", "a"])), Ok(()));
        assert_eq!(with("exp", json!(at - 59)), Ok(()), "clocks differ");
        assert_eq!(with("nbf", json!(at + 60)), Ok(()), "clocks differ");
        for (name, wrong) in [
            ("iss", json!("j")),
            ("aud", json!("b")),
            ("aud", json!(["b"])),
            ("aud", json!({"a": "a"})),
            ("exp", json!(at - 60)),
            ("exp", json!("2099")),
            ("exp", Value::Null),
            ("nbf", json!(at + 61)),
            ("nbf", json!("1")),
            ("sub", json!("")),
            ("sub", json!("s".repeat(256))),
            ("sub", json!(1)),
        ] {
            assert_eq!(with(name, wrong.clone()).unwrap_err(), TokenError::Claim(name), "{name}: {wrong}");
        }
        for name in ["iss", "aud", "exp", "sub"] {
            let mut claims = good.as_object().unwrap().clone();
            claims.remove(name);
            assert!(check(&claims, "i", "a", now).is_err(), "without {name}");
        }
    }
}
