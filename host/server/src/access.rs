//! Who may call what: a bearer token with a role, so many calls a second, and a note of each call that changes something.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use sluice_runtime::api_tokens;
use sluice_state::{ApiCall, ApiToken, Role};

use crate::Shared;
use crate::error::ApiError;

/// Calls of one token in a second.
const CALLS_PER_SECOND: u32 = 20;
/// What calls begin with that decide about data, and not about what runs.
const OPERATING: [&str; 3] = ["/v1/alarms/", "/v1/doubts/", "/v1/networks/"];
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

/// Lets through what the token's role may call.
pub(crate) async fn check(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let token = match admitted(&shared, request.headers(), &method, &path).await {
        Ok(token) => token,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(token.clone());
    let response = next.run(request).await;
    if required(&method, &path) > Role::Read {
        let call = ApiCall {
            called_at: Utc::now(),
            token: token.name,
            method: method.to_string(),
            path,
            status: response.status().as_u16(),
        };
        if let Err(error) = shared.app.state.note_api_call(&call).await {
            tracing::error!(token = call.token, path = call.path, "a call of the API isn't noted: {error}");
        }
    }
    response
}

async fn admitted(shared: &Shared, headers: &HeaderMap, method: &Method, path: &str) -> Result<ApiToken, ApiError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let plain = header.and_then(|value| value.strip_prefix("Bearer "));
    let token = match plain {
        Some(plain) => api_tokens::find(&shared.app.state, plain).await?,
        None => None,
    };
    let token = token.ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "the request has no token that is known",
            "send `Authorization: Bearer …` with what `sluice tokens create` printed",
        )
    })?;
    let required = required(method, path);
    if token.role < required {
        let (name, role) = (&token.name, token.role.name());
        let error = format!("token `{name}` may {role}, and this needs {}", required.name());
        return Err(ApiError::new(StatusCode::FORBIDDEN, error, "use a token of that role"));
    }
    if !shared.rates.admits(&token.name, Utc::now().timestamp()) {
        let error = format!("more than {CALLS_PER_SECOND} calls in a second");
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, error, "wait for a second"));
    }
    Ok(token)
}

/// The role that a call needs. What isn't known to read needs more.
fn required(method: &Method, path: &str) -> Role {
    match *method {
        Method::GET | Method::HEAD => Role::Read,
        // A query is a question, however long.
        Method::POST if path == "/v1/sql" => Role::Read,
        Method::POST if OPERATING.iter().any(|start| path.starts_with(start)) => Role::Operate,
        _ => Role::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_read_needs_more() {
        assert_eq!(required(&Method::GET, "/v1/status"), Role::Read);
        assert_eq!(required(&Method::POST, "/v1/sql"), Role::Read);
        assert_eq!(required(&Method::POST, "/v1/sql/x"), Role::Admin);
        assert_eq!(required(&Method::POST, "/v1/doubts/1/accept"), Role::Operate);
        assert_eq!(required(&Method::POST, "/v1/connectors/awin/approve"), Role::Admin);
        assert_eq!(required(&Method::DELETE, "/v1/doubts/1"), Role::Admin);
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
