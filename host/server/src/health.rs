//! Health and metrics: for whatever watches the service, without a token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sluice_runtime::failure::Failure;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::Shared;

/// How long the state store and the lake have to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer is given again: anybody may ask, as often as they like.
const KEPT: Duration = Duration::from_secs(1);

/// Whether the service can do its work.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether it can.
    ready: bool,
    /// What is in the way.
    problems: Vec<String>,
}

/// What was found last. Who asks meanwhile waits for it.
#[derive(Default)]
pub(crate) struct KeptReadiness(Mutex<Option<(Instant, Readiness)>>);

impl KeptReadiness {
    async fn get(&self, now: Instant, find: impl Future<Output = Readiness>) -> Readiness {
        let mut kept = self.0.lock().await;
        let fresh = kept.as_ref().filter(|(found_at, _)| now.saturating_duration_since(*found_at) < KEPT);
        if let Some((_, readiness)) = fresh {
            return readiness.clone();
        }
        let found = find.await;
        *kept = Some((now, found.clone()));
        found
    }
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "it answers", body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the state store and the lake answer: as of the last second.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "both answer", body = Readiness),
    (status = 503, description = "one doesn't", body = Readiness),
))]
pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let readiness = shared.readiness.get(Instant::now(), find(&shared)).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn find(shared: &Shared) -> Readiness {
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
    Readiness { ready: problems.is_empty(), problems }
}

/// Counters in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "the counters", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_given_again_for_a_second() {
        let kept = KeptReadiness::default();
        let find = |ready| async move { Readiness { ready, problems: Vec::new() } };
        let now = Instant::now();
        assert!(kept.get(now, find(true)).await.ready);
        assert!(kept.get(now + KEPT / 2, find(false)).await.ready);
        assert!(!kept.get(now + KEPT, find(false)).await.ready);
    }
}
