//! The change feed.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, JSON, Of, Parameters};
use crate::error::ApiError;
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(changes))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ChangesQuery {
    /// Begin after this cursor: `next` of an earlier answer, or `now`. Without it the feed begins at its beginning.
    after: Option<String>,
    /// Only of these network ids, separated by commas.
    network: Option<String>,
    /// Only for these reasons, separated by commas: `first-seen`, `network-change`, `vanished` …
    change: Option<String>,
    /// Stop after this many, or a few more: 1000 without it, 10000 at the most.
    limit: Option<u32>,
}

/// New versions of transactions, in order per transaction, each at least once to whoever keeps `next`: `sluice changes`.
#[utoipa::path(get, path = "/v1/changes", params(ChangesQuery), security(("token" = ["read"])),
    responses((status = 200, body = Object)))]
async fn changes(State(shared): Of, Parameters(query): Parameters<ChangesQuery>) -> Answer {
    let limit = query.limit.unwrap_or(1_000).clamp(1, 10_000).to_string();
    let mut arguments =
        Arguments::of(&["changes"]).option("after", query.after.as_deref()).option("limit", Some(&limit));
    for (name, values) in [("network", &query.network), ("change", &query.change)] {
        for value in values.iter().flat_map(|values| values.split(',')) {
            arguments = arguments.option(name, Some(value));
        }
    }
    commands::answer(&shared, JSON, arguments).await.map_err(|error| match error.status {
        // The path is there: what was asked of it is wrong.
        StatusCode::NOT_FOUND => ApiError { status: StatusCode::UNPROCESSABLE_ENTITY, ..error },
        _ => error,
    })
}
