//! Which versions of connectors serve, and decisions about them.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, JSON, Of, printed};
use crate::error::ApiError;
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(connectors)).routes(routes!(diff)).routes(routes!(decide))
}

/// Which versions serve, which wait and why: `sluice connectors`.
#[utoipa::path(get, path = "/v1/connectors", security(("token" = ["read"])), responses((status = 200, body = Vec<printed::ConnectorEntry>)))]
async fn connectors(State(shared): Of) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["connectors", "list"])).await
}

/// How the version that waits differs from the one that serves, in rows and money: `sluice connectors diff`.
#[utoipa::path(get, path = "/v1/connectors/{network}/diff",
    params(("network" = String, Path, description = "the connector's network id")),
    security(("token" = ["read"])), responses((status = 200, body = printed::VersionDiff)))]
async fn diff(State(shared): Of, Path(network): Path<String>) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["connectors", "diff"]).values(&[&network])).await
}

/// Approves, promotes or rolls back a connector: `sluice connectors approve|promote|rollback`.
#[utoipa::path(post, path = "/v1/connectors/{network}/{decision}", params(
    ("network" = String, Path, description = "the connector's network id"),
    ("decision" = String, Path, description = "approve, promote or rollback")),
    security(("token" = ["admin"])), responses((status = 200, body = Object)))]
async fn decide(State(shared): Of, Path((network, decision)): Path<(String, String)>) -> Answer {
    if !matches!(decision.as_str(), "approve" | "promote" | "rollback") {
        let error = format!("`{decision}` is no decision");
        return Err(ApiError::new(StatusCode::NOT_FOUND, error, "decide approve, promote or rollback"));
    }
    commands::answer(&shared, JSON, Arguments::of(&["connectors", &decision]).values(&[&network])).await
}
