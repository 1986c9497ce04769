//! Who calls: a token of the API or of an issuer of identities, as a bearer token or as the password of its name.

use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sluice_runtime::api_tokens;
use sluice_runtime::identities::{Identities, Identity, Unidentified};
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
    /// The token's name, or that of an issuer's subject.
    pub(crate) name: String,
}

/// Whom a token names, and what it may do; none if an issuer gives it no role.
struct Known {
    name: String,
    role: Option<TokenRole>,
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
    /// Whose token it is. It is looked for at each call, so that a token that is removed or over is refused from then on.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a known token; `PERMISSION_DENIED` for one of too low a role; `UNAVAILABLE` if an issuer's keys
    /// can't be read.
    pub(crate) async fn caller(&self, credentials: &Credentials) -> Result<Caller, Status> {
        let token = credentials.token();
        let found = match &self.identities {
            Some(identities) if Identities::may_be(token) => Some(identified(identities, token).await?),
            _ => self.own(token).await?,
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
        let name = &token.name;
        let Some(role) = token.role else {
            return Err(Status::permission_denied(format!(
                "`{name}` has no role\nhint: give it a role at the issuer, and name that under [server.oidc.roles] in sluice.toml"
            )));
        };
        if role < REQUIRED {
            let (role, required) = (role.name(), REQUIRED.name());
            return Err(Status::permission_denied(format!("token `{name}` may {role}, and this needs {required}")));
        }
        if let Some(connection) = &credentials.connection {
            connection.let_in();
        }
        Ok(Caller { name: token.name })
    }

    /// Whose token of the API it is.
    async fn own(&self, token: &str) -> Result<Option<Known>, Status> {
        let found = api_tokens::find(&self.state, token).await.map_err(|failure| {
            tracing::error!("a Flight SQL client isn't let in: {}", failure.render(false));
            internal("the service can't look for the token")
        })?;
        Ok(found.map(|token| Known { name: token.name, role: Some(token.role) }))
    }
}

/// Whom the token of an issuer names.
async fn identified(identities: &Identities, token: &str) -> Result<Known, Status> {
    match identities.identity(token).await {
        Ok(Identity { name, role }) => Ok(Known { name, role }),
        Err(Unidentified::Invalid(reason)) => {
            tokio::time::sleep(PAUSE).await;
            tracing::info!(reason, "a Flight SQL client isn't let in: its token of the issuer isn't valid");
            Err(Status::unauthenticated(format!("the token isn't valid: {reason}\nhint: sign in at the issuer again")))
        }
        Err(Unidentified::Unreachable(reason)) => {
            tracing::warn!(reason, "the issuer's keys can't be read");
            Err(Status::unavailable(
                "the keys of the issuer can't be read, so that no token of it can be checked\nhint: try again shortly, or use a \
                 token of Sluice's own",
            ))
        }
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
