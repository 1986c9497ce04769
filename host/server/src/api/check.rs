//! What can be known to be wrong before a run.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, JSON, Of, printed};
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(check))
}

/// Checks settings, connectors, rights, secrets and schedules, and that the lake can be read: `sluice check --read-only`. What
/// is wrong is in the answer. No network is asked.
#[utoipa::path(get, path = "/v1/check", security(("token" = ["read"])),
    responses((status = 200, body = printed::CheckReport)))]
async fn check(State(shared): Of) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["check", "--report", "--read-only"]).keeping_report()).await
}
