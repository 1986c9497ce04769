//! What the lake holds: queries, the history of a transaction, and responses as they came.

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, Body, JSON, Of};
use crate::{SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(transaction)).routes(routes!(raw)).routes(routes!(sql))
}

/// The history of a transaction: `sluice explain`.
#[utoipa::path(get, path = "/v1/transactions/{key}",
    params(("key" = String, Path, description = "the transaction's key, its beginning, or network/account/id")),
    security(("token" = ["read"])), responses((status = 200, body = Object)))]
async fn transaction(State(shared): Of, Path(key): Path<String>) -> Answer {
    commands::answer(&shared, JSON, Arguments::of(&["explain"]).values(&[&key])).await
}

/// The bytes of a response: `sluice raw --body`.
#[utoipa::path(get, path = "/v1/raw/{digest}",
    params(("digest" = String, Path, description = "the body's digest, or its beginning")),
    security(("token" = ["read"])),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
async fn raw(State(shared): Of, Path(digest): Path<String>) -> Answer {
    let arguments = Arguments::of(&["raw", "--body"]).values(&[&digest]);
    commands::answer(&shared, "application/octet-stream", arguments).await
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
