//! Who may call what: a bearer token with a role, so many calls a second, and a note of each call that changes something.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::json;
use sluice_runtime::api_tokens;
use sluice_runtime::failure::Failure;
use sluice_runtime::identities::{Identities, Identity, Unidentified};
use sluice_state::{ApiCall, ApiToken, TokenRole};
use utoipa::openapi::OpenApi;

use crate::Shared;
use crate::error::ApiError;
use crate::patience::Peer;

/// Calls of one token in a second.
const CALLS_PER_SECOND: u32 = 20;
/// Calls with tokens that aren't known from one address in a second: each is looked for in the state store.
const UNKNOWN_PER_SECOND: u32 = 200;
/// Names of tokens, and addresses, whose calls are counted.
const MOST_COUNTED: usize = 10_000;

/// How often each token has called in this second, and each address without one that is known.
#[derive(Default)]
pub(crate) struct Rates(Mutex<(i64, HashMap<String, u32>)>);

impl Rates {
    /// Counts a call at a second since 1970. False if there were more than `most` in it.
    fn admits(&self, name: &str, second: i64, most: u32) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != second || counts.1.len() > MOST_COUNTED {
            *counts = (second, HashMap::new());
        }
        let count = counts.1.entry(name.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count <= most
    }

    /// How many calls were counted in a second.
    fn count(&self, name: &str, second: i64) -> u32 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 == second { counts.1.get(name).copied().unwrap_or_default() } else { 0 }
    }
}

/// The role that each route needs, by method and path, as its description has it.
pub(crate) struct Roles(HashMap<(String, String), TokenRole>);

impl Roles {
    /// Those that a description states.
    pub(crate) fn of(description: &OpenApi) -> Self {
        let description = json!(description);
        let mut roles = HashMap::new();
        for (path, item) in description["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let role = operation["security"][0]["token"][0].as_str().and_then(TokenRole::named);
                roles.extend(role.map(|role| ((method.to_uppercase(), path.clone()), role)));
            }
        }
        Self(roles)
    }

    /// The role that a call of a route needs: `admin` where nothing is stated. Where there is no route, nothing is done.
    fn required(&self, method: &Method, route: Option<&str>) -> TokenRole {
        let Some(route) = route else { return TokenRole::Read };
        // What answers GET answers HEAD.
        let method = if *method == Method::HEAD { Method::GET.as_str() } else { method.as_str() };
        self.0.get(&(method.to_owned(), route.to_owned())).copied().unwrap_or(TokenRole::Admin)
    }
}

/// What the check of a call needs.
pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) roles: Roles,
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The token's name, or the issuer's name for its subject.
    pub(crate) name: String,
    pub(crate) role: TokenRole,
}

/// Lets through what the token's role may call.
///
/// What may change something goes on to its end and is noted, also if the caller hangs up meanwhile: what was done by then stays
/// done.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let required = guard.roles.required(request.method(), route.as_deref());
    let answered = answer(guard, required, request, next);
    if required == TokenRole::Read {
        return answered.await;
    }
    tokio::spawn(answered).await.unwrap_or_else(|error| ApiError::from(Failure::failed(error)).into_response())
}

async fn answer(guard: Arc<Guard>, required: TokenRole, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0);
    let caller = match caller(&guard.shared, request.headers(), peer).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let response = match admitted(&guard.shared, &caller, required) {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if required > TokenRole::Read {
        note(&guard.shared, caller, &method, path, response.status()).await;
    }
    response
}

/// Notes a call that may change something, or was refused that. Calls beyond what a token may send aren't noted.
async fn note(shared: &Shared, caller: Caller, method: &Method, path: String, status: StatusCode) {
    // No token's name holds a space.
    let refused = format!("refused {}", caller.name);
    let is_noted = match status {
        StatusCode::TOO_MANY_REQUESTS => false,
        StatusCode::FORBIDDEN => shared.rates.admits(&refused, Utc::now().timestamp(), CALLS_PER_SECOND),
        _ => true,
    };
    if !is_noted {
        return;
    }
    let (called_at, method, status) = (Utc::now(), method.to_string(), status.as_u16());
    let call = ApiCall { called_at, token: caller.name, method, path, status };
    if let Err(error) = shared.app.state.note_api_call(&call).await {
        tracing::error!(token = call.token, path = call.path, "a call of the API isn't noted: {error}");
    }
}

fn admitted(shared: &Shared, caller: &Caller, required: TokenRole) -> Result<(), ApiError> {
    if caller.role < required {
        let (name, role) = (&caller.name, caller.role.name());
        let error = format!("token `{name}` may {role}, and this needs {}", required.name());
        return Err(ApiError::new(StatusCode::FORBIDDEN, error, "use a token of that role"));
    }
    if !shared.rates.admits(&caller.name, Utc::now().timestamp(), CALLS_PER_SECOND) {
        return Err(too_many(CALLS_PER_SECOND));
    }
    Ok(())
}

fn too_many(most: u32) -> ApiError {
    let error = format!("more than {most} calls in a second");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, error, "wait for a second")
}

/// Whose token it is. Where many that aren't known come from, none is looked for until the second is over.
async fn caller(shared: &Shared, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, ApiError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let now = Utc::now().timestamp();
    let place = format!("from {}", peer.map_or_else(String::new, |peer| peer.to_string()));
    let known = match header.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(_) if shared.rates.count(&place, now) >= UNKNOWN_PER_SECOND => return Err(too_many(UNKNOWN_PER_SECOND)),
        Some(token) => match &shared.identities {
            Some(identities) if Identities::may_be(token) => identified(identities, token).await,
            _ => api_tokens::find(&shared.app.state, token).await?.map(Caller::of).ok_or_else(unknown),
        },
        None => Err(unknown()),
    };
    if known.is_err() {
        shared.rates.admits(&place, now, UNKNOWN_PER_SECOND);
    }
    known
}

impl Caller {
    fn of(ApiToken { name, role, .. }: ApiToken) -> Self {
        Self { name, role }
    }
}

fn unknown() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "the request has no token that is known",
        "send `Authorization: Bearer …` with what `sluice tokens create` printed",
    )
}

/// Whom the token of an issuer names.
async fn identified(identities: &Identities, token: &str) -> Result<Caller, ApiError> {
    match identities.identity(token).await {
        Ok(Identity { name, role: Some(role) }) => Ok(Caller { name, role }),
        Ok(Identity { name, role: None }) => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!("`{name}` has no role"),
            "give it a role at the issuer, and name that under [server.oidc.roles] in sluice.toml",
        )),
        Err(Unidentified::Invalid(reason)) => {
            let error = format!("the token isn't valid: {reason}");
            Err(ApiError::new(StatusCode::UNAUTHORIZED, error, "sign in at the issuer again"))
        }
        Err(Unidentified::Unreachable(reason)) => {
            tracing::warn!(reason, "the issuer's keys can't be read");
            let error = "the keys of the issuer can't be read, so that no token of it can be checked";
            Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error,
                "try again shortly, or use a token of Sluice's own",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_route_needs_the_role_that_it_states_and_admin_without_one() {
        let description = json!({
            "openapi": "3.1.0", "info": {"title": "", "version": ""},
            "paths": {
                "/v1/status": {"get": {"security": [{"token": ["read"]}], "responses": {}}},
                "/v1/doubts/{id}/accept": {"post": {"security": [{"token": ["operate"]}], "responses": {}}},
                "/v1/new": {"post": {"security": [{"token": []}], "responses": {}}, "get": {"responses": {}}},
            },
        });
        let roles = Roles::of(&serde_json::from_value(description).unwrap());
        assert_eq!(roles.required(&Method::GET, Some("/v1/status")), TokenRole::Read);
        assert_eq!(roles.required(&Method::HEAD, Some("/v1/status")), TokenRole::Read);
        assert_eq!(roles.required(&Method::POST, Some("/v1/doubts/{id}/accept")), TokenRole::Operate);
        for (method, path) in [
            (Method::DELETE, Some("/v1/status")),
            (Method::GET, Some("/v1/doubts/{id}/accept")),
            (Method::POST, Some("/v1/new")),
            (Method::GET, Some("/v1/new")),
        ] {
            assert_eq!(roles.required(&method, path), TokenRole::Admin, "{method} {path:?}");
        }
        assert_eq!(roles.required(&Method::GET, None), TokenRole::Read, "nothing answers there");
    }

    #[test]
    fn a_token_calls_so_often_in_a_second() {
        let rates = Rates::default();
        let admitted = (0..30).filter(|_| rates.admits("a", 1, 20)).count();
        assert_eq!((admitted, rates.count("a", 1)), (20, 30));
        assert!(rates.admits("b", 1, 20), "another one has its own");
        assert_eq!(rates.count("a", 2), 0);
        assert!(rates.admits("a", 2, 20), "the next second");
    }
}
