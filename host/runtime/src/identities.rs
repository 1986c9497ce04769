//! Callers of the HTTP API whom an issuer of identities vouches for: who they are, and what they may do.

use chrono::Utc;
use serde_json::{Map, Value};
use sluice_fetch::{Issuer, Refused};
use sluice_model::describe;
use sluice_state::TokenRole;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::settings::server::{OidcSettings, RoleValues};

/// What the name of an issuer's subject begins with, among the names of tokens.
pub(crate) const PREFIX: &str = "oidc:";

/// The issuer of the settings, and what its tokens may do.
pub struct Identities {
    issuer: Issuer,
    roles_claim: String,
    roles: RoleValues,
}

/// Why nobody is named by a token.
#[derive(Debug)]
pub enum Unidentified {
    /// The token isn't valid, with the reason.
    Invalid(String),
    /// The issuer's keys can't be read, with the reason.
    Unreachable(String),
}

/// Whom a token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The issuer's name for the subject, after `oidc:`; without spaces.
    pub name: String,
    /// What it may do; none if its claims give no role.
    pub role: Option<TokenRole>,
}

impl Identities {
    /// Those of the settings, if they name an issuer.
    ///
    /// # Errors
    /// A settings failure for an issuer that can't be asked in confidence.
    pub fn of(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(oidc) = settings.server.as_ref().and_then(|server| server.oidc.clone()) else { return Ok(None) };
        let OidcSettings { issuer, audience, roles_claim, roles } = oidc;
        let issuer = Issuer::new(&issuer, &audience, &settings.fetch.user_agent).map_err(|error| {
            Failure::settings(error).hint("set issuer under [server.oidc] in sluice.toml to an https URL")
        })?;
        Ok(Some(Self { issuer, roles_claim, roles }))
    }

    /// Whether a text has the form of an issuer's token.
    pub fn may_be(text: &str) -> bool {
        Issuer::may_be(text)
    }

    /// Whom a token names, if the issuer vouches for it now.
    ///
    /// # Errors
    /// Why it isn't accepted.
    pub async fn identity(&self, token: &str) -> Result<Identity, Unidentified> {
        let claims = self.issuer.claims(token, Utc::now()).await.map_err(|refused| match refused {
            Refused::Token(error) => Unidentified::Invalid(error.to_string()),
            Refused::Issuer(error) => Unidentified::Unreachable(describe(&error)),
        })?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        Ok(Identity { name: name(subject), role: role(&claims, &self.roles_claim, &self.roles) })
    }
}

/// The name of a subject: what isn't a visible ASCII character, and `%`, is written as in a URL, so that two have two names.
fn name(subject: &str) -> String {
    let mut name = PREFIX.to_owned();
    for byte in subject.bytes() {
        match byte {
            b'%' => name.push_str("%25"),
            b'!'..=b'~' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

/// The largest role that a claim gives.
fn role(claims: &Map<String, Value>, claim: &str, values: &RoleValues) -> Option<TokenRole> {
    // A name may hold points itself, as URLs do.
    let nested = || {
        claim.split('.').try_fold(None, |at: Option<&Value>, name| {
            let object = at.map_or(Some(claims), Value::as_object)?;
            object.get(name).map(Some)
        })
    };
    let held = claims.get(claim).or_else(|| nested().flatten())?;
    let has = |wanted: &[String]| match held {
        // As scopes are.
        Value::String(text) => text.split_whitespace().any(|value| wanted.iter().any(|name| name == value)),
        Value::Array(all) => all.iter().filter_map(Value::as_str).any(|value| wanted.iter().any(|name| name == value)),
        _ => false,
    };
    let RoleValues { read, operate, admin } = values;
    [(TokenRole::Admin, admin), (TokenRole::Operate, operate), (TokenRole::Read, read)]
        .into_iter()
        .find_map(|(role, wanted)| has(wanted).then_some(role))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_largest_role_that_a_claim_gives_counts() {
        let values = RoleValues { admin: vec!["root".to_owned()], ..RoleValues::default() };
        let of = |claim: &str, claims: Value| role(claims.as_object().unwrap(), claim, &values);
        assert_eq!(of("roles", json!({"roles": ["read", "root", "x"]})), Some(TokenRole::Admin));
        assert_eq!(of("roles", json!({"roles": ["operate", "read"]})), Some(TokenRole::Operate));
        assert_eq!(of("scope", json!({"scope": "openid read"})), Some(TokenRole::Read));
        assert_eq!(of("realm.roles", json!({"realm": {"roles": ["read"]}})), Some(TokenRole::Read));
        assert_eq!(of("https://a.example/roles", json!({"https://a.example/roles": ["read"]})), Some(TokenRole::Read));
        for claims in [
            json!({}),
            json!({"roles": ["admin"]}),
            json!({"roles": ["reader", "re"]}),
            json!({"roles": "rea d"}),
            json!({"roles": {"read": true}}),
            json!({"roles": 1}),
            json!({"other": ["read"]}),
        ] {
            assert_eq!(of("roles", claims.clone()), None, "{claims}");
        }
        assert_eq!(of("realm.roles", json!({"realm": ["roles"]})), None);
    }

    #[test]
    fn two_subjects_have_two_names_without_spaces() {
        assert_eq!(name("alice@example.com"), "oidc:alice@example.com");
        assert_eq!(name("a b"), "oidc:a%20b");
        assert_eq!(name("a%20b"), "oidc:a%2520b");
        assert_eq!(name("ü"), "oidc:%C3%BC");
    }
}
