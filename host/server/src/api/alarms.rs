//! Alarms: listing and acknowledging.

use axum::Extension;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, Body, JSON, Of, Parameters, printed};
use crate::access::Caller;
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(alarms)).routes(routes!(acknowledge))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AlarmsQuery {
    /// Those that are resolved too.
    #[serde(default)]
    all: bool,
}

/// Faults that somebody should know of: `sluice alarms`.
#[utoipa::path(get, path = "/v1/alarms", params(AlarmsQuery), security(("token" = ["read"])),
    responses((status = 200, body = Vec<printed::Alarm>)))]
async fn alarms(State(shared): Of, Parameters(query): Parameters<AlarmsQuery>) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["alarms", "list"]).flag("all", query.all)).await
}

/// For how long an alarm is acknowledged.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcknowledgeBody {
    /// Such as `4h`: if the fault lasts longer, the alarm opens again. Without it, for as long as it lasts.
    snooze: Option<String>,
}

/// Acknowledges an alarm under the token's name: `sluice alarms ack`, or `snooze`.
#[utoipa::path(post, path = "/v1/alarms/{id}/acknowledge",
    params(("id" = String, Path, description = "the alarm's id, or its beginning")), request_body = AcknowledgeBody,
    security(("token" = ["operate"])), responses((status = 200, body = printed::Alarm)))]
async fn acknowledge(
    State(shared): Of,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(body): Body<AcknowledgeBody>,
) -> Answer {
    let action = if body.snooze.is_some() { "snooze" } else { "ack" };
    let arguments = Arguments::of(&["alarms", action]).option("by", Some(&caller.name));
    commands::answer(&shared, JSON, arguments.option("for", body.snooze.as_deref()).values(&[&id])).await
}
