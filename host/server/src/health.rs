//! Health and metrics: for whatever watches the service, without a token.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sluice_runtime::failure::Failure;
use utoipa::ToSchema;

use crate::Shared;

/// How long the state store and the lake have to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the service can do its work.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether it can.
    ready: bool,
    /// What is in the way.
    problems: Vec<String>,
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "it answers", body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the state store and the lake answer.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "both answer", body = Readiness),
    (status = 503, description = "one doesn't", body = Readiness),
))]
pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let app = &shared.app;
    let state = async { Ok::<_, Failure>(app.state.change_marker().await.map(drop)?) };
    let lake = async { Ok::<_, Failure>(app.lake.is_half_rebuilt().await.map(drop)?) };
    let (state, lake) = tokio::join!(tokio::time::timeout(PATIENCE, state), tokio::time::timeout(PATIENCE, lake));
    let problem = |what: &str, answered: Result<Result<(), Failure>, _>| match answered {
        Ok(Ok(())) => None,
        // Not the reason: it may name hosts, and anybody may ask.
        Ok(Err(failure)) => {
            tracing::warn!("not ready: {}", failure.render(false));
            Some(format!("the {what} fails"))
        }
        Err(_) => Some(format!("the {what} doesn't answer within {} s", PATIENCE.as_secs())),
    };
    let problems: Vec<String> = [problem("state store", state), problem("lake", lake)].into_iter().flatten().collect();
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: problems.is_empty(), problems })).into_response()
}

/// Counters in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "the counters", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.render()).into_response()
}
