//! How a request fails: a status, and what a command prints as its failure.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_runtime::failure::{Exit, Failure};
use utoipa::ToSchema;

/// A failure as the API gives it.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What failed.
    pub(crate) error: String,
    /// What it needs: `settings`, `credentials`, `network`, `quota`, `format`, `guest`, `host` or `doubt`.
    #[serde(default)]
    pub(crate) kind: String,
    /// Its causes.
    #[serde(default)]
    pub(crate) causes: Vec<String>,
    /// What to do about it.
    #[serde(default)]
    pub(crate) hint: Option<String>,
}

/// A failure with its status.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        let body = ErrorBody {
            error: error.into(),
            kind: "settings".to_owned(),
            hint: Some(hint.into()),
            ..Default::default()
        };
        Self { status, body }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let status = match failure.exit {
            Exit::Usage => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = serde_json::from_str(&failure.render(true)).unwrap_or_default();
        Self { status, body }
    }
}

impl From<sluice_state::Error> for ApiError {
    fn from(error: sluice_state::Error) -> Self {
        Failure::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let header = match self.status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
