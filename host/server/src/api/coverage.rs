//! How fresh the data is, what is missing and why.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, JSON, Of, Parameters, printed};
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(coverage))
}

/// Freshness, gaps, rejects, doubts and services: `sluice status`.
#[utoipa::path(get, path = "/v1/status", security(("token" = ["read"])), responses((status = 200, body = printed::Status)))]
async fn status(State(shared): Of) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["status"])).await
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CoverageQuery {
    /// Only streams of this network id.
    network: Option<String>,
    /// Only streams of this account, as tables call it.
    account: Option<String>,
    /// Only streams with gaps.
    #[serde(default)]
    gaps: bool,
}

/// What was read of each stream of each account by each date, and the gaps: which window, since when, the reason, and the
/// command that reads it.
#[utoipa::path(get, path = "/v1/coverage", params(CoverageQuery), security(("token" = ["read"])),
    responses((status = 200, body = Vec<printed::StreamStatus>)))]
async fn coverage(State(shared): Of, Parameters(query): Parameters<CoverageQuery>) -> Answer {
    let is_wanted = move |stream: &serde_json::Value| {
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| stream[field].as_str() == Some(wanted.as_str()))
        };
        let has_gaps = stream["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty());
        is("network", &query.network) && is("account", &query.account) && (has_gaps || !query.gaps)
    };
    commands::answer_part(&shared, Arguments::of(&["status"]), "streams", is_wanted).await
}
