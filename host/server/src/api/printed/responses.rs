//! Responses, what is made of them, and results of queries.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ErrorBody;

/// A response without its body.
#[derive(ToSchema)]
pub(in crate::api) struct Envelope {
    raw_object: String,
    run_id: String,
    request_id: String,
    network: String,
    account: String,
    stream: String,
    method: String,
    url: String,
    /// Names and values of the request's, secrets masked.
    request_headers: Vec<Vec<String>>,
    /// The request's body, secrets masked.
    #[schema(required)]
    request_body: Option<String>,
    status: u16,
    /// Names and values, secrets masked.
    headers: Vec<Vec<String>>,
    outcome: String,
    received_at: String,
    body_bytes: u64,
    rejects: Vec<Reject>,
    #[schema(required)]
    record_index: Option<u64>,
    #[schema(required, value_type = Option<BTreeMap<String, Option<String>>>)]
    record: Option<Value>,
}

/// A record that could not be mapped.
#[derive(ToSchema)]
struct Reject {
    record_index: u32,
    reason: String,
}

/// The rows that a version makes of a response.
#[derive(ToSchema)]
pub(in crate::api) struct MappedRows {
    connector: Connector,
    /// How many records the response has.
    records: u64,
    /// Those of the records that were asked for.
    rows: Vec<MappedRow>,
    rejects: Vec<Reject>,
}

/// Who mapped.
#[derive(ToSchema)]
struct Connector {
    name: String,
    version: String,
    digest: String,
}

/// A record, and the transactions and other facts that are made of it.
#[derive(ToSchema)]
struct MappedRow {
    record_index: u64,
    /// The fields that it has, by path.
    native: BTreeMap<String, String>,
    /// The columns of each that aren't null.
    transactions: Vec<BTreeMap<String, String>>,
    /// The same of facts of other kinds, by their kind.
    facts: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

/// The answer to one of several queries.
#[derive(ToSchema)]
pub(in crate::api) struct QueryAnswer {
    /// Decimals have all their digits.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
    /// What the rows may lack.
    warnings: Vec<Warning>,
    #[schema(required)]
    error: Option<ErrorBody>,
}

/// Something that a result may lack.
#[derive(ToSchema)]
struct Warning {
    warning: String,
    /// The doubt that holds it back.
    #[schema(nullable = false)]
    doubt_id: Option<String>,
    #[schema(nullable = false)]
    network: Option<String>,
}

/// A transaction with its versions and what each came from.
#[derive(ToSchema)]
pub(in crate::api) struct History {
    transaction_key: String,
    network: String,
    account: String,
    stream: String,
    transaction_id: String,
    versions: Vec<Version>,
    /// The read that did without it, if it isn't decided yet whether it has vanished.
    #[schema(required)]
    absent: Option<Absence>,
}

/// A version: its cause, and what it changes.
#[derive(ToSchema)]
struct Version {
    version: i64,
    /// The cause.
    change: String,
    /// Whether the transaction is there by this version.
    live: bool,
    observed_at: String,
    changed: Vec<Changed>,
    connector: Connector,
    run_id: String,
    request_id: String,
    /// Null: raw has it no more.
    #[schema(required)]
    request: Option<SentRequest>,
    raw_object: String,
    #[schema(required)]
    record_index: Option<u64>,
    /// The record's fields by path.
    #[schema(required, value_type = Option<BTreeMap<String, Option<String>>>)]
    record: Option<Value>,
    /// Why something isn't known.
    #[schema(required)]
    problem: Option<String>,
}

/// A column that differs from the version before.
#[derive(ToSchema)]
struct Changed {
    field: String,
    #[schema(required)]
    before: Option<String>,
    #[schema(required)]
    after: Option<String>,
}

/// A request, secrets masked.
#[derive(ToSchema)]
struct SentRequest {
    method: String,
    url: String,
    #[schema(required)]
    body: Option<String>,
    status: u16,
    sent_at: String,
    received_at: String,
    axis: String,
    since: String,
    until: String,
}

/// A read that did without a transaction.
#[derive(ToSchema)]
struct Absence {
    first_absent_at: String,
    run_id: String,
}
