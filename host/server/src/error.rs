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
    /// With 429: after how many seconds to ask again.
    pub(crate) retry_after_secs: u32,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        let body = ErrorBody {
            error: error.into(),
            kind: "settings".to_owned(),
            hint: Some(hint.into()),
            ..Default::default()
        };
        Self::of(status, body)
    }

    /// An error as a command printed it.
    pub(crate) fn of(status: StatusCode, body: ErrorBody) -> Self {
        Self { status, body, retry_after_secs: 1 }
    }

    /// With 429: after how many seconds to ask again, if not after one.
    pub(crate) fn retry_after(self, secs: u32) -> Self {
        Self { retry_after_secs: secs, ..self }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let status = match failure.exit {
            Exit::Usage => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = serde_json::from_str(&failure.render(true)).unwrap_or_default();
        Self::of(status, body)
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
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, self.retry_after_secs.into())),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
