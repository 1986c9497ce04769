//! `sluice raw`: a response that is kept in raw, or one of its records.

use std::fmt::Write as _;
use std::io::Write;

use serde_json::json;
use sluice_lake::RejectRow;
use sluice_runtime::explain::Record;
use sluice_runtime::failure::Failure;
use sluice_runtime::raw_response::{self, MappedRow, MappedRows, ResponseName, ShownResponse};
use sluice_runtime::settings::Settings;
use sluice_runtime::text;

use super::rfc3339;
use crate::arguments::RawArgs;

/// Bytes of a body that are shown to people.
const SHOWN: usize = 2_000;

/// Prints a response: its request, its rejects, and its body, one record of it, or the rows that are made of it.
///
/// # Errors
/// A digest that fits none or several, a record that isn't there, or the lake's failure.
pub(super) async fn raw(settings: &Settings, args: &RawArgs, json: bool) -> Result<(), Failure> {
    let name = ResponseName { digest: &args.digest, request: args.request.as_deref() };
    let mut out = std::io::stdout();
    if args.body {
        let body = raw_response::body(settings, name).await?;
        let rest = body.get(args.skip_bytes.unwrap_or(0)..).unwrap_or_default();
        out.write_all(&rest[..rest.len().min(args.max_bytes.unwrap_or(usize::MAX))])?;
    } else if args.rows {
        let places = args.skip..args.skip.saturating_add(args.limit);
        let rows = raw_response::rows(settings, name, args.version.as_deref(), places).await?;
        if json { writeln!(out, "{}", rows_to_json(&rows))? } else { write!(out, "{}", rows_to_text(&rows))? }
    } else {
        let shown = raw_response::show(settings, name, args.record).await?;
        if json {
            writeln!(out, "{}", to_json(&shown, args.record))?
        } else {
            write!(out, "{}", to_text(&shown, args.record))?
        }
    }
    Ok(out.flush()?)
}

fn rows_to_json(rows: &MappedRows) -> serde_json::Value {
    let MappedRows { connector, records, rows, rejects } = rows;
    let row = |row: &MappedRow| {
        let transactions: Vec<_> = row.transactions.iter().map(record_json).collect();
        let facts = row.facts.iter().map(|(fact, rows)| {
            let rows: Vec<_> = rows.iter().map(record_json).collect();
            (fact.name().to_owned(), json!(rows))
        });
        json!({
            "record_index": row.record_index, "native": record_json(&row.native), "transactions": transactions,
            "facts": facts.collect::<serde_json::Map<_, _>>(),
        })
    };
    let rejects = rejects.iter().map(|reject| json!({"record_index": reject.record_index, "reason": reject.reason}));
    json!({
        "connector": {"name": connector.name, "version": connector.version, "digest": connector.digest},
        "records": records, "rows": rows.iter().map(row).collect::<Vec<_>>(), "rejects": rejects.collect::<Vec<_>>(),
    })
}

fn rows_to_text(rows: &MappedRows) -> String {
    let MappedRows { connector, records, rows, rejects } = rows;
    let mut shows = format!(
        "{} by {} {} ({})\n",
        text::count(*records as u64, "record"),
        connector.name,
        connector.version,
        connector.digest.short()
    );
    // Writing to a String doesn't fail, here and below.
    for row in rows {
        let _ = writeln!(shows, "record {}:", row.record_index);
        fields_text(&mut shows, &row.native);
        for transaction in &row.transactions {
            let _ = writeln!(shows, "  transaction:");
            fields_text(&mut shows, transaction);
        }
        for (fact, rows) in &row.facts {
            for fields in rows {
                let _ = writeln!(shows, "  of its {}:", fact.name());
                fields_text(&mut shows, fields);
            }
        }
    }
    for reject in rejects {
        let _ = writeln!(shows, "record {} is rejected: {}", reject.record_index, reject.reason);
    }
    shows
}

fn record_json(fields: &Record) -> serde_json::Value {
    serde_json::Value::Object(fields.iter().map(|(path, value)| (path.clone(), json!(value))).collect())
}

fn fields_text(shows: &mut String, fields: &Record) {
    for (path, value) in fields {
        let _ = writeln!(shows, "  {path}: {}", value.as_deref().unwrap_or("null"));
    }
}

fn to_json(shown: &ShownResponse, place: Option<usize>) -> serde_json::Value {
    let raw = &shown.response.raw;
    let record = shown.record.as_ref().map(record_json);
    let rejects =
        shown.rejects.iter().map(|reject| json!({"record_index": reject.record_index, "reason": reject.reason}));
    json!({
        "raw_object": raw.body, "run_id": raw.run_id, "request_id": raw.request_id, "network": raw.slice.network,
        "account": raw.slice.account, "stream": raw.slice.stream, "method": raw.sent.method, "url": raw.sent.url,
        "request_headers": raw.sent.headers, "request_body": raw.sent.body, "status": raw.status, "headers": raw.headers, "outcome": raw.outcome,
        "received_at": rfc3339(raw.received_at), "body_bytes": shown.response.body.len(),
        "rejects": rejects.collect::<Vec<_>>(), "record_index": place, "record": record,
    })
}

fn to_text(shown: &ShownResponse, place: Option<usize>) -> String {
    let (raw, body) = (&shown.response.raw, &shown.response.body);
    let mut shows = format!("raw object {}, {}, {}\n", raw.body, text::bytes(body.len() as u64), raw.outcome);
    // Writing to a String doesn't fail, here and below.
    let _ = writeln!(shows, "  {}, run {}", raw.slice.id(), raw.run_id);
    let _ = super::explain::request_text(&mut shows, raw);
    for RejectRow { record_index, reason, .. } in &shown.rejects {
        let _ = match *record_index {
            RejectRow::WHOLE => writeln!(shows, "  rejected: {reason}"),
            record => writeln!(shows, "  record {record} is rejected: {reason}"),
        };
    }
    match (&shown.record, place) {
        (Some(fields), Some(place)) => {
            let _ = writeln!(shows, "record {place}:");
            fields_text(&mut shows, fields);
        }
        _ => {
            let start = &body[..body.len().min(SHOWN)];
            let _ = writeln!(shows, "\n{}", String::from_utf8_lossy(start));
            if body.len() > SHOWN {
                let _ = writeln!(shows, "… {} more; all of it: --body", text::bytes((body.len() - SHOWN) as u64));
            }
        }
    }
    shows
}
