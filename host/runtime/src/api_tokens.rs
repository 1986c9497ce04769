//! Tokens of the HTTP API: made here, shown once, kept as a hash.

use chrono::Utc;
use sluice_model::Digest;
use sluice_state::{ApiToken, Role, State};

use crate::failure::Failure;

/// How a token begins, so that scanners for leaked secrets know it.
const PREFIX: &str = "sluice_";

/// Makes a token, and gives it in plain text: 256 random bits, which nothing keeps.
///
/// # Errors
/// A usage failure for a name that is taken; the state store's failure.
pub async fn create(state: &State, name: &str, role: Role) -> Result<String, Failure> {
    let plain = format!("{PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()));
    let token = ApiToken { name: name.to_owned(), role, created_at: Utc::now() };
    if !state.add_api_token(&token, &hash(&plain)).await? {
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
        let plain = create(&state, "ops", Role::Operate).await.unwrap();
        assert_eq!(plain.len(), PREFIX.len() + 64);
        let found = find(&state, &plain).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.role), ("ops", Role::Operate));
        assert_eq!(find(&state, &plain[..plain.len() - 1]).await.unwrap(), None);
        assert_eq!(find(&state, &hash(&plain)).await.unwrap(), None, "what is kept is no token");
        assert!(create(&state, "ops", Role::Read).await.is_err());
        assert_ne!(create(&state, "other", Role::Read).await.unwrap(), plain);
    }
}
