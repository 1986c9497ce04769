//! Which calls changed something.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Of;
use crate::SharedState;
use crate::error::ApiError;

/// Calls that are listed at the most.
const MOST_CALLS: u32 = 1_000;

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(calls))
}

/// A call that changed something.
#[derive(Serialize, ToSchema)]
struct CallBody {
    called_at: String,
    token: String,
    method: String,
    path: String,
    status: u16,
}

/// Calls that changed something, or tried to, newest first.
#[utoipa::path(get, path = "/v1/audit", security(("token" = ["read"])), responses((status = 200, body = Vec<CallBody>)))]
async fn calls(State(shared): Of) -> Result<Json<Vec<CallBody>>, ApiError> {
    let calls = shared.app.state.api_calls(MOST_CALLS).await?.into_iter();
    let body = |call: sluice_state::ApiCall| CallBody {
        called_at: call.called_at.to_rfc3339(),
        token: call.token,
        method: call.method,
        path: call.path,
        status: call.status,
    };
    Ok(Json(calls.map(body).collect()))
}
