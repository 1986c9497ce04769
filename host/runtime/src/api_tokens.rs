//! Tokens of the HTTP API and of SQL over the wire: made here, shown once, kept as a hash, and as what SCRAM checks them
//! against.

use chrono::Utc;
use sluice_model::Digest;
use sluice_state::{ApiToken, State, TokenRole};

use crate::failure::Failure;
use crate::identities;
use crate::scram::Verifier;

/// How a token begins, so that scanners for leaked secrets know it.
const PREFIX: &str = "sluice_";

/// Makes a token, and gives it in plain text: 256 random bits, which nothing keeps.
///
/// # Errors
/// A usage failure for a name that is taken, or that a subject of an issuer may have; the state store's failure.
pub async fn create(state: &State, name: &str, role: TokenRole) -> Result<String, Failure> {
    if name.starts_with(identities::PREFIX) {
        return Err(Failure::usage(format!("a token can't be called `{name}`"))
            .hint(format!("what begins with `{}` names the subjects of an issuer", identities::PREFIX)));
    }
    let plain = format!("{PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()));
    let token = ApiToken { name: name.to_owned(), role, created_at: Utc::now(), wire: true };
    if !state.add_api_token(&token, &hash(&plain), &Verifier::of(&plain).to_text()).await? {
        return Err(Failure::usage(format!("there is a token `{name}` already"))
            .hint(format!("take another name, or first: sluice tokens remove {name}")));
    }
    Ok(plain)
}

/// The token that this text is; none if it is none.
///
/// # Errors
/// The state store's failure.
pub async fn find(state: &State, plain: &str) -> Result<Option<ApiToken>, Failure> {
    if !plain.starts_with(PREFIX) {
        return Ok(None);
    }
    Ok(state.api_token(&hash(plain)).await?)
}

/// What the token of this name is checked against over the wire; none if there is none, or if it was made before it had any.
///
/// # Errors
/// The state store's failure.
pub async fn verifier(state: &State, name: &str) -> Result<Option<Verifier>, Failure> {
    Ok(state.wire_verifier(name).await?.and_then(|text| Verifier::parse(&text)))
}

/// Random bits need no salt and no slow hash.
fn hash(plain: &str) -> String {
    Digest::of(plain.as_bytes()).to_hex()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_token_is_found_by_its_text_alone() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let plain = create(&state, "ops", TokenRole::Operate).await.unwrap();
        assert_eq!(plain.len(), PREFIX.len() + 64);
        let found = find(&state, &plain).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.role), ("ops", TokenRole::Operate));
        assert_eq!(find(&state, &plain[..plain.len() - 1]).await.unwrap(), None);
        assert_eq!(find(&state, &hash(&plain)).await.unwrap(), None, "what is kept is no token");
        assert!(create(&state, "ops", TokenRole::Read).await.is_err());
        assert!(create(&state, "oidc:alice", TokenRole::Read).await.is_err());
        assert_ne!(create(&state, "other", TokenRole::Read).await.unwrap(), plain);
    }
}
