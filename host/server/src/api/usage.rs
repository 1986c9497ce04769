//! What networks and accounts used.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, JSON, Of, Parameters};
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(usage))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UsageQuery {
    /// Only runs that began at this moment or later: a day or RFC 3339, UTC; the first day of this month without it.
    since: Option<String>,
    /// Only runs that began before this moment; now without it.
    until: Option<String>,
}

/// What networks and accounts used, priced by the rates of the settings: `sluice usage`.
#[utoipa::path(get, path = "/v1/usage", params(UsageQuery), security(("token" = ["read"])),
    responses((status = 200, body = Object)))]
async fn usage(State(shared): Of, Parameters(query): Parameters<UsageQuery>) -> Answer {
    let arguments =
        Arguments::of(&["usage"]).option("since", query.since.as_deref()).option("until", query.until.as_deref());
    commands::answer(&shared, JSON, arguments).await
}
