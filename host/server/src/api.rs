//! The routes, one file per topic, and their description.
//!
//! A route states the role that it needs as the scope of its `security`; [`Roles`] reads it there. One that states none
//! needs `admin`, so a new route is closed until somebody opens it.

mod alarms;
mod audit;
mod changes;
mod check;
mod connectors;
mod coverage;
mod doubts;
mod jobs;
mod lake;
mod links;
mod networks;
mod printed;
mod runs;
mod usage;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use serde_json::{Value, json};
use sluice_runtime::failure::{Exit, Failure};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{self, Guard, Roles};
use crate::error::{ApiError, ErrorBody};
use crate::{Shared, SharedState, commands, events, health};

const JSON: &str = "application/json";

#[derive(OpenApi)]
#[openapi(
    info(title = "Sluice", description = "What `sluice --output json` prints, over HTTP."),
    modifiers(&Bearer),
    components(schemas(ErrorBody, printed::ReplayReport))
)]
struct Description;

/// All of `/v1` needs a token.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The routes that need no token.
fn open_routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// What a service answers that has no API.
pub(crate) fn health_router(shared: Arc<Shared>) -> Router {
    open_routes().split_for_parts().0.with_state(shared)
}

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let open = open_routes();
    let guarded = OpenApiRouter::new()
        .merge(alarms::routes())
        .merge(audit::routes())
        .merge(changes::routes())
        .merge(check::routes())
        .merge(connectors::routes())
        .merge(coverage::routes())
        .merge(doubts::routes())
        .merge(jobs::routes())
        .merge(lake::routes())
        .merge(networks::routes())
        .merge(runs::routes())
        .merge(usage::routes())
        .routes(routes!(events::events));
    let guard = Guard { shared: shared.clone(), roles: Roles::of(guarded.get_openapi()) };
    let guarded = guarded.layer(middleware::from_fn_with_state(Arc::new(guard), access::check));
    let (router, description) = open.merge(guarded).split_for_parts();
    let description = links::with_links(with_failures(json!(description)));
    router.route("/openapi.json", get(move || async move { Json(description) })).with_state(shared)
}

/// The description with what any route under `/v1` may answer instead.
fn with_failures(mut description: Value) -> Value {
    let failure = json!({
        "description": "a failure",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    });
    let paths = description["paths"].as_object_mut().into_iter().flatten();
    let guarded = paths.filter(|(path, _)| path.starts_with("/v1/")).flat_map(|(_, item)| item.as_object_mut());
    for (_, operation) in guarded.flatten() {
        operation["responses"]["default"] = failure.clone();
    }
    description
}

type Answer = Result<Response, ApiError>;
type Of = State<Arc<Shared>>;

/// A body of JSON; another one is refused as the commands refuse.
struct Body<T>(T);

impl<T, S> FromRequest<S> for Body<T>
where
    Json<T>: FromRequest<S, Rejection = JsonRejection>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(value) = Json::<T>::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// The parameters after `?`; others are refused as the commands refuse.
struct Parameters<T>(T);

impl<T, S> FromRequestParts<S> for Parameters<T>
where
    Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::<T>::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let hint = "send JSON as /openapi.json describes it, with `Content-Type: application/json`";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.body_text(), hint)
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.body_text(), "/openapi.json names the parameters")
    }
}

/// A value of the request that isn't what it has to be. Not 404: that is for what a path names.
fn unprocessable(failure: Failure) -> ApiError {
    let is_usage = failure.exit == Exit::Usage;
    let error = ApiError::from(failure);
    if is_usage { ApiError { status: StatusCode::UNPROCESSABLE_ENTITY, ..error } } else { error }
}

/// Arguments of a command as a request gives them, and what its answer may be.
pub(crate) struct Arguments {
    pub(crate) words: Vec<String>,
    /// The largest answer.
    pub(crate) most_bytes: u64,
    /// Whether a command that fails once it has printed all is answered with what it printed.
    pub(crate) keeps_report: bool,
}

impl Arguments {
    fn of(words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { words, most_bytes: commands::MAX_ANSWER_BYTES, keeps_report: false }
    }

    /// With another limit on the answer.
    fn up_to(self, most_bytes: u64) -> Self {
        Self { most_bytes, ..self }
    }

    /// Of a command whose report says what failed.
    fn keeping_report(self) -> Self {
        Self { keeps_report: true, ..self }
    }

    /// `--name=value`, if there is a value.
    fn option(mut self, name: &str, value: Option<&str>) -> Self {
        self.words.extend(value.map(|value| format!("--{name}={value}")));
        self
    }

    /// `--name`, if it is set.
    fn flag(mut self, name: &str, is_set: bool) -> Self {
        self.words.extend(is_set.then(|| format!("--{name}")));
        self
    }

    /// What isn't an option, whatever it begins with.
    fn values(mut self, values: &[&str]) -> Self {
        self.words.push("--".to_owned());
        self.words.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }
}
