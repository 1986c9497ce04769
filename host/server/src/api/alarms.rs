//! Alarms: listing and acknowledging.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use sluice_state::ApiToken;
use utoipa::{IntoParams, ToSchema};

use super::{Answer, JSON, Of, json_body};
use crate::commands;
use crate::error::ErrorBody;

#[derive(Deserialize, IntoParams)]
pub(super) struct AlarmsQuery {
    /// Those that are resolved too.
    #[serde(default)]
    all: bool,
}

/// Faults that somebody should know of: `sluice alarms`.
#[utoipa::path(get, path = "/v1/alarms", params(AlarmsQuery), security(("token" = [])), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = ErrorBody)))]
pub(super) async fn alarms(State(shared): Of, Query(query): Query<AlarmsQuery>) -> Answer {
    let mut arguments = vec!["alarms", "list"];
    arguments.extend(query.all.then_some("--all"));
    commands::answer(&shared, JSON, &arguments).await
}

/// For how long an alarm is acknowledged.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcknowledgeBody {
    /// Such as `4h`: if the fault lasts longer, the alarm opens again. Without it, for as long as it lasts.
    snooze: Option<String>,
}

/// Acknowledges an alarm under the token's name: `sluice alarms ack`, or `snooze`.
#[utoipa::path(post, path = "/v1/alarms/{id}/acknowledge", params(("id" = String, Path, description = "the alarm's id, or its beginning")), request_body = AcknowledgeBody, security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn acknowledge(
    State(shared): Of,
    Extension(token): Extension<ApiToken>,
    Path(id): Path<String>,
    body: Result<Json<AcknowledgeBody>, JsonRejection>,
) -> Answer {
    let snooze = json_body(body)?.snooze.map(|duration| format!("--for={duration}"));
    let by = format!("--by={}", token.name);
    let mut arguments = vec!["alarms", if snooze.is_some() { "snooze" } else { "ack" }, &by];
    arguments.extend(snooze.as_deref());
    arguments.extend(["--", &id]);
    commands::answer(&shared, JSON, &arguments).await
}
