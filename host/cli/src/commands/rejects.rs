//! `sluice rejects`: lists records that could not be mapped, and retries them.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use sluice_lake::RejectRow;

use sluice_runtime::app::{self, App, open_lake};
use sluice_runtime::failure::Failure;
use sluice_runtime::rejects::{self, Retried};
use sluice_runtime::settings::{Settings, network};
use sluice_runtime::text::{count, thousands};

use crate::arguments::{RejectsArgs, RejectsCommand};
use crate::progress::Display;

/// Lists open rejects, or retries them.
///
/// # Errors
/// The lake's failure, or an unknown network.
pub(super) async fn rejects(settings: Settings, args: &RejectsArgs, json: bool) -> Result<(), Failure> {
    match args.command.as_ref().unwrap_or(&RejectsCommand::List { network: None }) {
        RejectsCommand::List { network } => list(&settings, network.as_deref(), json).await,
        RejectsCommand::Retry { network } => retry(settings, network.as_deref(), json).await,
    }
}

async fn list(settings: &Settings, name: Option<&str>, json: bool) -> Result<(), Failure> {
    let id = name.map(|name| app::network_settings(settings, name)).transpose()?;
    let id = id.map(|network| network.content.connector.clone());
    let open = open_lake(settings).await?.open_rejects(id.as_deref()).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let rows: Vec<_> = open.iter().map(row).collect();
        return Ok(writeln!(out, "{}", serde_json::Value::Array(rows))?);
    }
    for group in groups(&open) {
        let RejectRow { network, account, stream, reason, raw_object, record_index, .. } = group.first;
        let at = group.first.observed_at.format("%F %H:%M");
        let times = if group.count > 1 { format!("{} times, first ", thousands(group.count)) } else { String::new() };
        writeln!(out, "{network} {account} {stream}: {reason}\n  {times}{at}, {}", place(raw_object, *record_index))?;
    }
    Ok(writeln!(out, "{}", count(open.len() as u64, "open reject"))?)
}

/// Rejects of a stream for one reason, apart from what the reason quotes.
struct Group<'a> {
    first: &'a RejectRow,
    count: u64,
}

/// Rejects that are alike, in the order of the first of each.
fn groups(open: &[RejectRow]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: HashMap<(&str, &str, &str, String), usize> = HashMap::new();
    for reject in open {
        let alike = (&*reject.network, &*reject.account, &*reject.stream, without_values(&reject.reason));
        match known.get(&alike) {
            Some(place) => groups[*place].count += 1,
            None => {
                known.insert(alike, groups.len());
                groups.push(Group { first: reject, count: 1 });
            }
        }
    }
    groups
}

/// A reason without the digits in it: ids, amounts and dates differ where the reason is the same.
fn without_values(reason: &str) -> String {
    reason.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Where a reject is, and the command that shows it.
fn place(raw_object: &str, record: i64) -> String {
    let body = raw_object.get(..12).unwrap_or(raw_object);
    match record {
        RejectRow::WHOLE => format!("all of raw object {body}: sluice raw {body}"),
        record => format!("record {record} of raw object {body}: sluice raw {body} --record {record}"),
    }
}

fn row(reject: &RejectRow) -> serde_json::Value {
    serde_json::json!({
        "network": reject.network, "account": reject.account, "stream": reject.stream, "run_id": reject.run_id,
        "request_id": reject.request_id, "raw_object": reject.raw_object, "record_index": reject.record_index,
        "reason": reject.reason, "observed_at": reject.observed_at, "connector_version": reject.connector_version,
    })
}

async fn retry(settings: Settings, name: Option<&str>, json: bool) -> Result<(), Failure> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => network::load_all(&settings.networks_dir)?.into_iter().map(|network| network.name).collect(),
    };
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    let mut all: Vec<Retried> = Vec::new();
    for name in names {
        all.push(rejects::retry(&app, &app.network(&name)?).await?);
    }
    drop(display);
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &all).map_err(Failure::failed)?;
        return Ok(writeln!(out)?);
    }
    for Retried { network, tried, mapped, left, stranded, new_versions, .. } in &all {
        let gone = if *stranded > 0 { format!(", {stranded} of them no longer in raw") } else { String::new() };
        let (tried, versions) = (count(*tried, "reject"), count(*new_versions, "new version"));
        writeln!(out, "{network}: {tried} retried, {mapped} mapped, {left} left{gone}; {versions}")?;
    }
    Ok(())
}
