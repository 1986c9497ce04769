//! What the lake holds: queries, the history of a transaction, and responses as they came.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, Body, JSON, Of, Parameters, printed};
use crate::error::ApiError;
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(transaction))
        .routes(routes!(raw))
        .routes(routes!(envelope))
        .routes(routes!(rows))
        .routes(routes!(sql))
        .routes(routes!(queries))
}

/// The history of a transaction: `sluice explain`.
#[utoipa::path(get, path = "/v1/transactions/{key}",
    params(("key" = String, Path, description = "the transaction's key, its beginning, or network/account/id")),
    security(("token" = ["read"])), responses((status = 200, body = printed::History)))]
async fn transaction(State(shared): Of, Path(key): Path<String>) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["explain"]).values(&[&key])).await
}

/// Which of a response's bytes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct BytesQuery {
    /// Leave out so many bytes; what is empty is beyond the end.
    skip_bytes: Option<u64>,
    /// At most so many bytes; all without it.
    max_bytes: Option<u64>,
}

/// The bytes of a response, all of them or a piece: `sluice raw --body`.
#[utoipa::path(get, path = "/v1/raw/{digest}",
    params(("digest" = String, Path, description = "the body's digest, or its beginning"), BytesQuery),
    security(("token" = ["read"])),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
async fn raw(State(shared): Of, Path(digest): Path<String>, Parameters(query): Parameters<BytesQuery>) -> Answer {
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    let arguments = Arguments::of(&["raw", "--body"])
        .option("skip-bytes", text(query.skip_bytes).as_deref())
        .option("max-bytes", text(query.max_bytes).as_deref())
        // What a network may send can be fetched.
        .up_to(shared.app.settings.fetch.max_body_bytes)
        .values(&[&digest]);
    commands::answer(&shared, "application/octet-stream", arguments).await
}

/// Of which request.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EnvelopeQuery {
    /// Of several responses with this body, the one of this request; the newest without it.
    request: Option<String>,
}

/// A response without its body: its request, secrets masked, status and headers, and what could not be mapped: `sluice raw`.
#[utoipa::path(get, path = "/v1/raw/{digest}/envelope",
    params(("digest" = String, Path, description = "the body's digest, or its beginning"), EnvelopeQuery),
    security(("token" = ["read"])), responses((status = 200, body = printed::Envelope)))]
async fn envelope(
    State(shared): Of,
    Path(digest): Path<String>,
    Parameters(query): Parameters<EnvelopeQuery>,
) -> Answer {
    let arguments = Arguments::of(&["raw"]).option("request", query.request.as_deref()).values(&[&digest]);
    commands::answer(&shared, JSON, arguments).await
}

/// Which rows, by which version.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MappedQuery {
    /// Of several responses with this body, the one of this request; the newest without it.
    request: Option<String>,
    /// Made by this version of the connector, which may be one that waits: a digest, its beginning, or a version's name.
    /// That which mapped the response when it came without it.
    version: Option<String>,
    /// Without those of so many records, the first ones.
    skip: Option<u32>,
    /// Of at most so many records: 100 without it, 1000 at the most.
    limit: Option<u32>,
}

/// The rows that a version of its connector makes of a response, native ones and transactions: `sluice raw --rows`. Nothing is
/// written.
#[utoipa::path(get, path = "/v1/raw/{digest}/rows",
    params(("digest" = String, Path, description = "the body's digest, or its beginning"), MappedQuery),
    security(("token" = ["read"])), responses((status = 200, body = printed::MappedRows)))]
async fn rows(State(shared): Of, Path(digest): Path<String>, Parameters(query): Parameters<MappedQuery>) -> Answer {
    let limit = query.limit.unwrap_or(100).min(1_000).to_string();
    let skip = query.skip.unwrap_or(0).to_string();
    let arguments = Arguments::of(&["raw", "--rows"])
        .option("request", query.request.as_deref())
        .option("version", query.version.as_deref())
        .option("skip", Some(&skip))
        .option("limit", Some(&limit))
        .values(&[&digest]);
    commands::answer(&shared, JSON, arguments).await
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
#[utoipa::path(post, path = "/v1/sql", request_body = SqlBody, security(("token" = ["read"])),
    responses((status = 200, content(
        (Vec<Object> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.parquet"), (Vec<u8> = "application/vnd.apache.arrow.stream")))))]
async fn sql(State(shared): Of, Body(body): Body<SqlBody>) -> Answer {
    let (format, content_type) = match body.format {
        SqlFormat::Json => ("json", JSON),
        SqlFormat::Csv => ("csv", "text/csv"),
        SqlFormat::Parquet => ("parquet", "application/vnd.apache.parquet"),
        SqlFormat::Arrow => ("arrow", "application/vnd.apache.arrow.stream"),
    };
    let arguments = Arguments::of(&["sql"]).option("format", Some(format)).values(&[&body.query]);
    commands::answer(&shared, content_type, arguments).await
}

/// Queries of one call at the most.
const MOST_QUERIES: usize = 16;

/// Queries that are run side by side.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QueriesBody {
    /// Each one SELECT, or SHOW TABLES; 16 at the most.
    #[schema(min_items = 1, max_items = 16)]
    queries: Vec<String>,
}

/// Runs queries in one process, with the limits of one: `sluice sql --batch`. The answers are in their order.
#[utoipa::path(post, path = "/v1/queries", request_body = QueriesBody, security(("token" = ["read"])),
    responses((status = 200, body = Vec<printed::QueryAnswer>)))]
async fn queries(State(shared): Of, Body(body): Body<QueriesBody>) -> Answer {
    if body.queries.is_empty() || body.queries.len() > MOST_QUERIES {
        let error = format!("{} queries, and a call has 1 to {MOST_QUERIES}", body.queries.len());
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error, "send the others in another call"));
    }
    let queries: Vec<&str> = body.queries.iter().map(String::as_str).collect();
    commands::answer(&shared, JSON, Arguments::of(&["sql", "--batch"]).keeping_report().values(&queries)).await
}
