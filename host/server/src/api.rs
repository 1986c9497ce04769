//! The routes, each with its description.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use sluice_runtime::settings::network;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, ErrorBody};
use crate::{Shared, access, commands, events, health};

const JSON: &str = "application/json";

#[derive(OpenApi)]
#[openapi(
    info(title = "Sluice", description = "What `sluice --output json` prints, over HTTP."),
    modifiers(&Bearer),
    components(schemas(ErrorBody))
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

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let open = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics));
    let guarded = OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(runs))
        .routes(routes!(networks))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(connectors))
        .routes(routes!(decide_version))
        .routes(routes!(doubts))
        .routes(routes!(doubt))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(rejects))
        .routes(routes!(transaction))
        .routes(routes!(raw))
        .routes(routes!(sql))
        .routes(routes!(calls))
        .routes(routes!(events::events))
        .layer(middleware::from_fn_with_state(shared.clone(), access::check));
    let (router, description) = open.merge(guarded).split_for_parts();
    let description = Arc::new(description);
    router.route("/openapi.json", get(move || async move { Json((*description).clone()) })).with_state(shared)
}

type Answer = Result<Response, ApiError>;
type Of = State<Arc<Shared>>;

/// Freshness, gaps, rejects, doubts and services: `sluice status`.
#[utoipa::path(get, path = "/v1/status", security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody)))]
async fn status(State(shared): Of) -> Answer {
    commands::answer(&shared, JSON, &["status"]).await
}

#[derive(Deserialize, IntoParams)]
struct RunsQuery {
    /// At most this many.
    limit: Option<u32>,
    /// Only those of this network.
    network: Option<String>,
}

/// Runs, newest first: `sluice runs`.
#[utoipa::path(get, path = "/v1/runs", params(RunsQuery), security(("token" = [])), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = ErrorBody)))]
async fn runs(State(shared): Of, Query(query): Query<RunsQuery>) -> Answer {
    let limit = query.limit.unwrap_or(20).to_string();
    let mut arguments = vec!["runs", "--limit", &limit];
    let network = query.network.map(|name| format!("--network={name}"));
    arguments.extend(network.as_deref());
    commands::answer(&shared, JSON, &arguments).await
}

/// A network as the settings have it. References to secrets stay there.
#[derive(Serialize, ToSchema)]
struct NetworkBody {
    name: String,
    connector: String,
    accounts: Vec<AccountBody>,
    /// What is paused of it.
    #[schema(value_type = Vec<Object>)]
    paused: Vec<sluice_state::Pause>,
}

#[derive(Serialize, ToSchema)]
struct AccountBody {
    name: String,
    /// What tables call it.
    id: String,
}

/// Networks and accounts as the settings have them.
#[utoipa::path(get, path = "/v1/networks", security(("token" = [])), responses(
    (status = 200, body = Vec<NetworkBody>), (status = 401, body = ErrorBody)))]
async fn networks(State(shared): Of) -> Result<Json<Vec<NetworkBody>>, ApiError> {
    let mut found = Vec::new();
    for network in network::load_all(&shared.app.settings.networks_dir)? {
        let accounts = network.content.accounts.iter();
        found.push(NetworkBody {
            accounts: accounts.map(|a| AccountBody { name: a.name.clone(), id: a.id().to_owned() }).collect(),
            paused: shared.app.state.pauses(&network.name).await?,
            connector: network.content.connector,
            name: network.name,
        });
    }
    Ok(Json(found))
}

/// What to pause.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    /// Only this account.
    account: Option<String>,
    /// The reason.
    #[serde(default)]
    reason: String,
}

/// What to resume.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResumeBody {
    /// Only this account.
    account: Option<String>,
}

/// Pauses a network or an account: `sluice pause`.
#[utoipa::path(post, path = "/v1/networks/{network}/pause", params(("network" = String, Path, description = "the name of its file in networks/")), request_body = PauseBody, security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn pause(State(shared): Of, Path(network): Path<String>, body: Result<Json<PauseBody>, JsonRejection>) -> Answer {
    let PauseBody { account, reason } = json_body(body)?;
    let (account, reason) = (account.map(|account| format!("--account={account}")), format!("--reason={reason}"));
    let mut arguments = vec!["pause", reason.as_str()];
    arguments.extend(account.as_deref());
    arguments.extend(["--", &network]);
    commands::answer(&shared, JSON, &arguments).await
}

/// Resumes a network or an account: `sluice resume`.
#[utoipa::path(post, path = "/v1/networks/{network}/resume", params(("network" = String, Path, description = "the name of its file in networks/")), request_body = ResumeBody, security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn resume(
    State(shared): Of,
    Path(network): Path<String>,
    body: Result<Json<ResumeBody>, JsonRejection>,
) -> Answer {
    let account = json_body(body)?.account.map(|account| format!("--account={account}"));
    let mut arguments = vec!["resume"];
    arguments.extend(account.as_deref());
    arguments.extend(["--", &network]);
    commands::answer(&shared, JSON, &arguments).await
}

/// Which versions serve, which wait and why: `sluice connectors`.
#[utoipa::path(get, path = "/v1/connectors", security(("token" = [])), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = ErrorBody)))]
async fn connectors(State(shared): Of) -> Answer {
    commands::answer(&shared, JSON, &["connectors", "list"]).await
}

/// Approves, promotes or rolls back a connector: `sluice connectors approve|promote|rollback`.
#[utoipa::path(post, path = "/v1/connectors/{network}/{decision}", params(("network" = String, Path, description = "the name of its file in networks/"), ("decision" = String, Path, description = "approve, promote or rollback")), security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn decide_version(State(shared): Of, Path((network, decision)): Path<(String, String)>) -> Answer {
    if !matches!(decision.as_str(), "approve" | "promote" | "rollback") {
        let error = format!("`{decision}` is no decision");
        return Err(ApiError::new(StatusCode::NOT_FOUND, error, "decide approve, promote or rollback"));
    }
    commands::answer(&shared, JSON, &["connectors", &decision, "--", &network]).await
}

#[derive(Deserialize, IntoParams)]
struct DoubtsQuery {
    /// Those that are decided too.
    #[serde(default)]
    all: bool,
}

/// Answers that are held back: `sluice doubts`.
#[utoipa::path(get, path = "/v1/doubts", params(DoubtsQuery), security(("token" = [])), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = ErrorBody)))]
async fn doubts(State(shared): Of, Query(query): Query<DoubtsQuery>) -> Answer {
    let mut arguments = vec!["doubts", "list"];
    arguments.extend(query.all.then_some("--all"));
    commands::answer(&shared, JSON, &arguments).await
}

/// One of them: `sluice doubts show`.
#[utoipa::path(get, path = "/v1/doubts/{id}", params(("id" = String, Path, description = "the doubt's id, or its beginning")), security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn doubt(State(shared): Of, Path(id): Path<String>) -> Answer {
    commands::answer(&shared, JSON, &["doubts", "show", "--", &id]).await
}

/// Why a doubt is decided so.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    /// The reason, which is kept in `meta.doubts`.
    reason: Option<String>,
}

/// Commits what a doubt holds back: `sluice doubts accept`.
#[utoipa::path(post, path = "/v1/doubts/{id}/accept", params(("id" = String, Path, description = "the doubt's id, or its beginning")), request_body = DecisionBody, security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn accept(State(shared): Of, Path(id): Path<String>, body: Result<Json<DecisionBody>, JsonRejection>) -> Answer {
    decide(&shared, "accept", &id, json_body(body)?).await
}

/// Rejects what a doubt holds back: `sluice doubts reject`.
#[utoipa::path(post, path = "/v1/doubts/{id}/reject", params(("id" = String, Path, description = "the doubt's id, or its beginning")), request_body = DecisionBody, security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn reject(State(shared): Of, Path(id): Path<String>, body: Result<Json<DecisionBody>, JsonRejection>) -> Answer {
    decide(&shared, "reject", &id, json_body(body)?).await
}

async fn decide(shared: &Shared, decision: &str, id: &str, body: DecisionBody) -> Answer {
    let reason = body.reason.map(|reason| format!("--reason={reason}"));
    let mut arguments = vec!["doubts", decision];
    arguments.extend(reason.as_deref());
    arguments.extend(["--", id]);
    commands::answer(shared, JSON, &arguments).await
}

/// Records that could not be mapped: `sluice rejects`.
#[utoipa::path(get, path = "/v1/rejects", security(("token" = [])), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = ErrorBody)))]
async fn rejects(State(shared): Of) -> Answer {
    commands::answer(&shared, JSON, &["rejects", "list"]).await
}

/// The history of a transaction: `sluice explain`.
#[utoipa::path(get, path = "/v1/transactions/{key}", params(("key" = String, Path, description = "the transaction's key, its beginning, or network/account/id")), security(("token" = [])), responses(
    (status = 200, body = Object), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn transaction(State(shared): Of, Path(key): Path<String>) -> Answer {
    commands::answer(&shared, JSON, &["explain", "--", &key]).await
}

/// The bytes of a response: `sluice raw --body`.
#[utoipa::path(get, path = "/v1/raw/{digest}", params(("digest" = String, Path, description = "the body's digest, or its beginning")), security(("token" = [])), responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 401, body = ErrorBody),
    (status = 404, body = ErrorBody)))]
async fn raw(State(shared): Of, Path(digest): Path<String>) -> Answer {
    commands::answer(&shared, "application/octet-stream", &["raw", "--body", "--", &digest]).await
}

/// A query.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    /// One SELECT, or SHOW TABLES.
    query: String,
    /// `json` without it.
    #[serde(default)]
    format: SqlFormat,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum SqlFormat {
    /// One array of objects. Decimals have all their digits.
    #[default]
    Json,
    Csv,
    Parquet,
    /// Arrow's IPC stream.
    Arrow,
}

/// Runs a query: `sluice sql`. The header `sluice-warnings` has what the result may lack, as a JSON array.
#[utoipa::path(post, path = "/v1/sql", request_body = SqlBody, security(("token" = [])), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn sql(State(shared): Of, body: Result<Json<SqlBody>, JsonRejection>) -> Answer {
    let SqlBody { query, format } = json_body(body)?;
    let (format, content_type) = match format {
        SqlFormat::Json => ("--format=json", JSON),
        SqlFormat::Csv => ("--format=csv", "text/csv"),
        SqlFormat::Parquet => ("--format=parquet", "application/vnd.apache.parquet"),
        SqlFormat::Arrow => ("--format=arrow", "application/vnd.apache.arrow.stream"),
    };
    commands::answer(&shared, content_type, &["sql", format, "--", &query]).await
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
#[utoipa::path(get, path = "/v1/audit", security(("token" = [])), responses(
    (status = 200, body = Vec<CallBody>), (status = 401, body = ErrorBody)))]
async fn calls(State(shared): Of) -> Result<Json<Vec<CallBody>>, ApiError> {
    let calls = shared.app.state.api_calls(1_000).await?.into_iter();
    let body = |call: sluice_state::ApiCall| CallBody {
        called_at: call.called_at.to_rfc3339(),
        token: call.token,
        method: call.method,
        path: call.path,
        status: call.status,
    };
    Ok(Json(calls.map(body).collect()))
}

/// A body of JSON.
fn json_body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    body.map(|Json(body)| body).map_err(|rejection| {
        let hint = "send JSON as /openapi.json describes it, with `Content-Type: application/json`";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.body_text(), hint)
    })
}
