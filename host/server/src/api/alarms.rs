//! Alarms: listing and acknowledging.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_runtime::failure::Failure;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, Body, JSON, Of, Parameters, printed};
use crate::access::Caller;
use crate::error::ApiError;
use crate::{SharedState, commands};

/// Open alarms that are named at the most: there may be one for each stream of each account.
const MOST_NAMED: usize = 6;

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(alarms)).routes(routes!(open_alarms)).routes(routes!(acknowledge))
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

/// The alarms that are open, in short.
#[derive(Serialize, ToSchema)]
struct OpenAlarms {
    /// How many are open.
    open: u64,
    /// The newest ones, six at the most.
    #[schema(value_type = Vec<printed::Alarm>)]
    newest: Vec<Value>,
}

/// How many alarms are open, and the newest of them, from the state store.
#[utoipa::path(get, path = "/v1/alarms/open", security(("token" = ["read"])),
    responses((status = 200, body = OpenAlarms)))]
async fn open_alarms(State(shared): Of) -> Result<Json<OpenAlarms>, ApiError> {
    let mut open = shared.app.state.alarms().await?;
    open.retain(|alarm| alarm.state.name() == "open");
    // The oldest is the first.
    let newest = open.iter().rev().take(MOST_NAMED).map(serde_json::to_value).collect::<Result<Vec<Value>, _>>();
    Ok(Json(OpenAlarms { open: open.len() as u64, newest: newest.map_err(Failure::failed)? }))
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
