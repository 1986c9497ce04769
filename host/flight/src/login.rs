//! Who calls: a token of the API, as a bearer token or as the password of its name.

use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sluice_runtime::api_tokens;
use sluice_state::TokenRole;
use tonic::{Request, Status};

use crate::connection::Connected;
use crate::error::internal;
use crate::listener::Shared;

/// Which role may ask, as with the HTTP API.
const REQUIRED: TokenRole = TokenRole::Read;
/// What a wrong token waits for its answer.
const PAUSE: Duration = Duration::from_millis(250);

/// Some clients leave the padding out, as those in Go do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A client that has a token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The token's name.
    pub(crate) name: String,
}

/// What a client sent to be let in.
pub(crate) struct Credentials {
    user: Option<String>,
    token: Option<String>,
    connection: Option<Connected>,
}

impl Credentials {
    /// Those of a call.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let connection = request.extensions().get::<Connected>().cloned();
        let (user, token) = header.and_then(parse).map_or((None, None), |(user, token)| (user, Some(token)));
        Self { user, token, connection }
    }

    /// The token as the client sent it.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }
}

/// `Bearer token` and `Basic base64(name:token)`.
fn parse(header: &str) -> Option<(Option<String>, String)> {
    let (scheme, value) = header.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some((None, value.trim().to_owned())),
        "basic" => {
            let decoded = String::from_utf8(BASE64.decode(value.trim()).ok()?).ok()?;
            let (user, token) = decoded.split_once(':')?;
            Some((Some(user.to_owned()), token.to_owned()))
        }
        _ => None,
    }
}

impl Shared {
    /// Whose token it is. It is looked for at each call, so that a token that is removed is refused from then on.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a known token; `PERMISSION_DENIED` for one of too low a role.
    pub(crate) async fn caller(&self, credentials: &Credentials) -> Result<Caller, Status> {
        let found = match &credentials.token {
            Some(token) => api_tokens::find(&self.state, token).await.map_err(|failure| {
                tracing::error!("a Flight SQL client isn't let in: {}", failure.render(false));
                internal("the service can't look for the token")
            })?,
            None => None,
        };
        let named = |name: &str| credentials.user.as_deref().is_none_or(|user| user == name);
        let Some(token) = found.filter(|token| named(&token.name)) else {
            tokio::time::sleep(PAUSE).await;
            tracing::info!(user = credentials.user, "a Flight SQL client isn't let in: it has no such token");
            return Err(Status::unauthenticated(
                "the call has no token that is known\nhint: send `authorization: Bearer …` with what `sluice tokens create` \
                 printed, or sign in with the token's name as the user and the token as the password",
            ));
        };
        if token.role < REQUIRED {
            let (name, role) = (&token.name, token.role.name());
            return Err(Status::permission_denied(format!(
                "token `{name}` may {role}, and this needs {}",
                REQUIRED.name()
            )));
        }
        if let Some(connection) = &credentials.connection {
            connection.let_in();
        }
        Ok(Caller { name: token.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_alone_or_with_its_name() {
        assert_eq!(parse("Bearer sluice_a"), Some((None, "sluice_a".to_owned())));
        assert_eq!(parse("bearer sluice_a "), Some((None, "sluice_a".to_owned())));
        for basic in ["Basic b3BzOnNsdWljZV9hOmI=", "Basic b3BzOnNsdWljZV9hOmI"] {
            assert_eq!(parse(basic), Some((Some("ops".to_owned()), "sluice_a:b".to_owned())));
        }
        for wrong in ["", "sluice_a", "Basic sluice_a", "Basic !", "Negotiate abc"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
