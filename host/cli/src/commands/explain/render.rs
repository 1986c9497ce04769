//! A transaction's history for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};
use sluice_model::RawObject;

use sluice_runtime::explain::{Absence, Changed, Explanation, Origin, TransactionIdentity, Version};

use crate::commands::rfc3339;

/// One object, money as text with all its digits.
pub(super) fn json(explanation: &Explanation) -> Value {
    let TransactionIdentity { key, network, account, stream, id } = &explanation.of;
    let versions: Vec<Value> =
        explanation.versions.iter().map(|(version, found)| version_json(version, found)).collect();
    json!({
        "transaction_key": key, "network": network, "account": account, "stream": stream, "transaction_id": id,
        "versions": versions,
        "absent": explanation.absent.as_ref().map(|absent| json!({
            "first_absent_at": absent.first_at, "run_id": absent.run_id,
        })),
    })
}

/// A paragraph per version.
pub(super) fn text(explanation: &Explanation) -> String {
    let TransactionIdentity { key, network, account, stream, id } = &explanation.of;
    let mut text = format!("{network}/{account}/{id}\nkey {key}, stream {stream}\n");
    for (version, found) in &explanation.versions {
        // Writing to a String doesn't fail.
        let _ = version_text(&mut text, version, found);
    }
    if let Some(Absence { first_at, run_id }) = &explanation.absent {
        let _ = writeln!(
            text,
            "\nmissing since {first_at}: run {run_id} read its window without it; another read decides whether it has \
             vanished"
        );
    }
    text
}

fn version_json(version: &Version, found: &Origin) -> Value {
    let changed: Vec<Value> = version
        .changed
        .iter()
        .map(|Changed { field, before, after }| json!({"field": field, "before": before, "after": after}))
        .collect();
    let record = found.record.as_ref().map(|fields| {
        let fields = fields.iter().map(|(path, value)| (path.clone(), json!(value)));
        Value::Object(fields.collect())
    });
    let request = found.raw.as_ref().map(|raw| {
        json!({
            "method": raw.sent.method, "url": raw.sent.url, "body": raw.sent.body, "status": raw.status,
            "sent_at": rfc3339(raw.sent_at), "received_at": rfc3339(raw.received_at),
            "axis": raw.slice.axis.name(),
            "since": rfc3339(raw.slice.window.since), "until": rfc3339(raw.slice.window.until),
        })
    });
    json!({
        "version": version.version.parse::<i64>().ok(), "change": version.change, "live": version.live,
        "observed_at": version.observed_at,
        "changed": changed,
        "connector": {
            "name": version.connector, "version": version.connector_version, "digest": version.connector_digest,
        },
        "run_id": version.run_id, "request_id": version.request_id, "request": request,
        "raw_object": version.raw_object, "record_index": version.record_index, "record": record,
        "problem": found.problem,
    })
}

fn version_text(text: &mut String, version: &Version, found: &Origin) -> std::fmt::Result {
    let Version { change, observed_at, connector, connector_version, .. } = version;
    writeln!(text, "\nversion {}: {change}, observed {observed_at}", version.version)?;
    for Changed { field, before, after } in &version.changed {
        let after = after.as_deref().unwrap_or("nothing");
        match before {
            Some(before) => writeln!(text, "  {field}: {before} → {after}")?,
            None => writeln!(text, "  {field}: {after}")?,
        }
    }
    if let Some(raw) = &found.raw {
        request_text(text, raw)?;
    }
    let (body, digest) = (start(&version.raw_object), start(&version.connector_digest));
    match (&found.record, version.record_index) {
        (Some(fields), Some(at)) => {
            writeln!(text, "  record {at} of raw object {body}, mapped by {connector} {connector_version} ({digest})")?;
            for (path, value) in fields {
                writeln!(text, "    {path}: {}", value.as_deref().unwrap_or("null"))?;
            }
        }
        _ if change == "vanished" => writeln!(text, "  the window was read whole, and doesn't hold it")?,
        _ => writeln!(text, "  raw object {body}, mapped by {connector} {connector_version} ({digest})")?,
    }
    if !version.live && change != "vanished" {
        writeln!(text, "  removed: this version of the connector makes no such transaction of the response")?;
    }
    match &found.problem {
        Some(problem) => writeln!(text, "  not known: {problem}"),
        None => Ok(()),
    }
}

pub(in crate::commands) fn request_text(text: &mut String, raw: &RawObject) -> std::fmt::Result {
    let (sent, slice) = (&raw.sent, &raw.slice);
    writeln!(text, "  {} {}", sent.method, sent.url)?;
    let received = rfc3339(raw.received_at);
    writeln!(text, "  status {}, received {received}, window {} by {}", raw.status, slice.window, slice.axis.name())
}

/// As much of a digest as people need.
fn start(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
