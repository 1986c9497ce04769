//! What is held back: doubtful answers with the decisions about them, and records that could not be mapped.

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, Body, JSON, Of, Parameters, printed};
use crate::{Shared, SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(doubts))
        .routes(routes!(doubt))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(rejects))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DoubtsQuery {
    /// Those that are decided too.
    #[serde(default)]
    all: bool,
}

/// Answers that are held back: `sluice doubts`.
#[utoipa::path(get, path = "/v1/doubts", params(DoubtsQuery), security(("token" = ["read"])),
    responses((status = 200, body = Vec<printed::Doubt>)))]
async fn doubts(State(shared): Of, Parameters(query): Parameters<DoubtsQuery>) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["doubts", "list"]).flag("all", query.all)).await
}

/// One of them: `sluice doubts show`.
#[utoipa::path(get, path = "/v1/doubts/{id}", params(("id" = String, Path, description = "the doubt's id, or its beginning")),
    security(("token" = ["read"])), responses((status = 200, body = printed::Doubt)))]
async fn doubt(State(shared): Of, Path(id): Path<String>) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["doubts", "show"]).values(&[&id])).await
}

/// Why a doubt is decided so.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    /// The reason, which is kept in `meta.doubts`.
    reason: Option<String>,
}

/// Commits what a doubt holds back: `sluice doubts accept`.
#[utoipa::path(post, path = "/v1/doubts/{id}/accept",
    params(("id" = String, Path, description = "the doubt's id, or its beginning")), request_body = DecisionBody,
    security(("token" = ["operate"])), responses((status = 200, body = Object)))]
async fn accept(State(shared): Of, Path(id): Path<String>, Body(body): Body<DecisionBody>) -> Answer {
    decide(&shared, "accept", &id, &body).await
}

/// Rejects what a doubt holds back: `sluice doubts reject`.
#[utoipa::path(post, path = "/v1/doubts/{id}/reject",
    params(("id" = String, Path, description = "the doubt's id, or its beginning")), request_body = DecisionBody,
    security(("token" = ["operate"])), responses((status = 200, body = Object)))]
async fn reject(State(shared): Of, Path(id): Path<String>, Body(body): Body<DecisionBody>) -> Answer {
    decide(&shared, "reject", &id, &body).await
}

async fn decide(shared: &Shared, decision: &str, id: &str, body: &DecisionBody) -> Answer {
    let arguments = Arguments::of(&["doubts", decision]).option("reason", body.reason.as_deref()).values(&[id]);
    commands::answer(shared, JSON, arguments).await
}

/// Records that could not be mapped: `sluice rejects`.
#[utoipa::path(get, path = "/v1/rejects", security(("token" = ["read"])), responses((status = 200, body = Vec<Object>)))]
async fn rejects(State(shared): Of) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["rejects", "list"])).await
}
