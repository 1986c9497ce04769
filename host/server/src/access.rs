//! Who may call what: a bearer token with a role, so many calls a second, and a note of each call that changes something.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::json;
use sluice_runtime::api_tokens;
use sluice_state::{ApiCall, ApiToken, Role};
use utoipa::openapi::OpenApi;

use crate::Shared;
use crate::error::ApiError;

/// Calls of one token in a second.
const CALLS_PER_SECOND: u32 = 20;
/// Names of tokens whose calls are counted.
const MOST_COUNTED: usize = 10_000;

/// How often each token has called in this second.
#[derive(Default)]
pub(crate) struct Rates(Mutex<(i64, HashMap<String, u32>)>);

impl Rates {
    /// Counts a call at a second since 1970. False if there were too many in it.
    fn admits(&self, token: &str, second: i64) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != second || counts.1.len() > MOST_COUNTED {
            *counts = (second, HashMap::new());
        }
        let count = counts.1.entry(token.to_owned()).or_default();
        *count += 1;
        *count <= CALLS_PER_SECOND
    }
}

/// The role that each route needs, by method and path, as its description has it.
pub(crate) struct Roles(HashMap<(String, String), Role>);

impl Roles {
    /// Those that a description states.
    pub(crate) fn of(description: &OpenApi) -> Self {
        let description = json!(description);
        let mut roles = HashMap::new();
        for (path, item) in description["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let role = operation["security"][0]["token"][0].as_str().and_then(Role::named);
                roles.extend(role.map(|role| ((method.to_uppercase(), path.clone()), role)));
            }
        }
        Self(roles)
    }

    /// The role that a call of a route needs: `admin` where nothing is stated. Where there is no route, nothing is done.
    fn required(&self, method: &Method, route: Option<&str>) -> Role {
        let Some(route) = route else { return Role::Read };
        // What answers GET answers HEAD.
        let method = if *method == Method::HEAD { Method::GET.as_str() } else { method.as_str() };
        self.0.get(&(method.to_owned(), route.to_owned())).copied().unwrap_or(Role::Admin)
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
    /// The token's name.
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// Lets through what the token's role may call.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let required = guard.roles.required(&method, route.as_deref());
    let caller = match admitted(&guard.shared, request.headers(), required).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    if required > Role::Read {
        let call = ApiCall {
            called_at: Utc::now(),
            token: caller.name,
            method: method.to_string(),
            path,
            status: response.status().as_u16(),
        };
        if let Err(error) = guard.shared.app.state.note_api_call(&call).await {
            tracing::error!(token = call.token, path = call.path, "a call of the API isn't noted: {error}");
        }
    }
    response
}

async fn admitted(shared: &Shared, headers: &HeaderMap, required: Role) -> Result<Caller, ApiError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = caller(shared, header.and_then(|value| value.strip_prefix("Bearer "))).await?;
    if caller.role < required {
        let (name, role) = (&caller.name, caller.role.name());
        let error = format!("token `{name}` may {role}, and this needs {}", required.name());
        return Err(ApiError::new(StatusCode::FORBIDDEN, error, "use a token of that role"));
    }
    if !shared.rates.admits(&caller.name, Utc::now().timestamp()) {
        let error = format!("more than {CALLS_PER_SECOND} calls in a second");
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, error, "wait for a second"));
    }
    Ok(caller)
}

/// Whose token it is.
async fn caller(shared: &Shared, token: Option<&str>) -> Result<Caller, ApiError> {
    let known = match token {
        Some(token) => api_tokens::find(&shared.app.state, token).await?,
        None => None,
    };
    let ApiToken { name, role, .. } = known.ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "the request has no token that is known",
            "send `Authorization: Bearer …` with what `sluice tokens create` printed",
        )
    })?;
    Ok(Caller { name, role })
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
        assert_eq!(roles.required(&Method::GET, Some("/v1/status")), Role::Read);
        assert_eq!(roles.required(&Method::HEAD, Some("/v1/status")), Role::Read);
        assert_eq!(roles.required(&Method::POST, Some("/v1/doubts/{id}/accept")), Role::Operate);
        for (method, path) in [
            (Method::DELETE, Some("/v1/status")),
            (Method::GET, Some("/v1/doubts/{id}/accept")),
            (Method::POST, Some("/v1/new")),
            (Method::GET, Some("/v1/new")),
        ] {
            assert_eq!(roles.required(&method, path), Role::Admin, "{method} {path:?}");
        }
        assert_eq!(roles.required(&Method::GET, None), Role::Read, "nothing answers there");
    }

    #[test]
    fn a_token_calls_so_often_in_a_second() {
        let rates = Rates::default();
        let admitted = (0..30).filter(|_| rates.admits("a", 1)).count();
        assert_eq!(admitted, 20);
        assert!(rates.admits("b", 1), "another one has its own");
        assert!(rates.admits("a", 2), "the next second");
    }
}
