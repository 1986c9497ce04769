//! Tables that SQL can name before the first run wrote them.
//!
//! The lake decides their columns when it creates them; these stand in until then, empty, with the same columns in
//! the same order.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use sluice_model::unified::transaction_versions_schema;

/// Schema, name and columns of each.
pub(crate) fn fixed_tables() -> Vec<(&'static str, &'static str, SchemaRef)> {
    vec![
        ("unified", "transaction_versions", transaction_versions_schema()),
        ("meta", "runs", runs()),
        ("meta", "requests", requests()),
        ("meta", "rejects", rejects()),
        ("meta", "coverage", coverage()),
        ("meta", "coverage_state", coverage_state()),
        ("meta", "connectors", connectors()),
    ]
}

fn runs() -> SchemaRef {
    schema([
        text(&["run_id", "network", "command"]),
        time(&["started_at", "finished_at"]),
        text(&["outcome", "error", "connector_version", "connector_digest"]),
        count(&[
            "slices",
            "slices_failed",
            "requests",
            "bytes",
            "native_rows",
            "native_written",
            "transactions",
            "new_versions",
            "rejects",
            "guest_cpu_ms",
        ]),
        text(&["error_kind"]),
    ])
}

fn requests() -> SchemaRef {
    schema([
        text(&["run_id", "request_id"]),
        count(&["attempt"]),
        text(&["network", "account", "stream", "axis"]),
        time(&["window_since", "window_until"]),
        text(&["request_key", "method", "url"]),
        time(&["sent_at", "received_at"]),
        count(&["status"]),
        text(&["raw_object"]),
        count(&["body_bytes"]),
        fields(&["masked"], &DataType::Boolean),
        text(&["outcome", "connector_version", "connector_digest", "envelope"]),
    ])
}

fn rejects() -> SchemaRef {
    schema([
        text(&["network", "account", "stream", "run_id", "request_id", "raw_object"]),
        count(&["record_index"]),
        text(&["reason"]),
        time(&["observed_at"]),
        text(&["connector_version"]),
        fields(&["_key"], &DataType::Binary),
    ])
}

/// What the lake keeps of `meta.columns`.
pub(crate) fn columns() -> SchemaRef {
    schema([text(&["network", "stream", "column", "path", "type"]), time(&["first_seen"]), text(&["example"])])
}

fn coverage() -> SchemaRef {
    schema([
        text(&["network", "account", "stream", "axis"]),
        time(&["since", "until"]),
        text(&["run_id"]),
        time(&["read_at"]),
        count(&["requests", "records"]),
        fields(&["complete"], &DataType::Boolean),
        text(&["error", "error_kind"]),
    ])
}

fn coverage_state() -> SchemaRef {
    schema([
        text(&["network", "account", "stream", "axis", "kind"]),
        time(&["since", "until", "read_at", "failed_at"]),
        text(&["error"]),
    ])
}

fn connectors() -> SchemaRef {
    schema([text(&["network", "version", "digest"]), time(&["activated_at"]), text(&["source"])])
}

fn fields(names: &[&str], kind: &DataType) -> Vec<FieldRef> {
    names.iter().map(|name| Arc::new(Field::new(*name, kind.clone(), true))).collect()
}

fn text(names: &[&str]) -> Vec<FieldRef> {
    fields(names, &DataType::Utf8)
}

fn count(names: &[&str]) -> Vec<FieldRef> {
    fields(names, &DataType::Int64)
}

fn time(names: &[&str]) -> Vec<FieldRef> {
    fields(names, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
}

fn schema(fields: impl IntoIterator<Item = Vec<FieldRef>>) -> SchemaRef {
    Arc::new(Schema::new(fields.into_iter().flatten().collect::<Vec<_>>()))
}
