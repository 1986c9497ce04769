//! `sluice rejects`: records that could not be mapped, and trying them again.

use std::io::Write;
use std::sync::Arc;

use sluice_lake::RejectRow;

use sluice_runtime::app::{self, App, open_lake};
use sluice_runtime::failure::Failure;
use sluice_runtime::rejects::{self, Retried};
use sluice_runtime::settings::{Settings, network};

use crate::arguments::{RejectsArgs, RejectsCommand};

/// Lists open rejects, or tries them again.
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
    let id = id.map(|network| network.content.connector);
    let open = open_lake(settings).await?.open_rejects(id.as_deref()).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let rows: Vec<_> = open.iter().map(row).collect();
        return Ok(writeln!(out, "{}", serde_json::Value::Array(rows))?);
    }
    for reject in &open {
        let RejectRow { network, account, stream, reason, .. } = reject;
        let body = reject.raw_object.get(..12).unwrap_or(&reject.raw_object);
        let place = match reject.record_index {
            RejectRow::WHOLE => "all".to_owned(),
            place => format!("record {place}"),
        };
        let at = reject.observed_at.format("%Y-%m-%d %H:%M");
        writeln!(out, "{at} {network}.{stream} {account}: {place} of raw object {body}: {reason}")?;
    }
    Ok(writeln!(out, "{} open rejects", open.len())?)
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
    let app = Arc::new(App::open(settings).await?);
    let mut all: Vec<Retried> = Vec::new();
    for name in names {
        all.push(rejects::retry(&app, &app.network(&name)?).await?);
    }
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &all).map_err(Failure::failed)?;
        return Ok(writeln!(out)?);
    }
    for Retried { network, tried, mapped, left, stranded, new_versions, .. } in &all {
        let gone = if *stranded > 0 { format!(", {stranded} of them no longer in raw") } else { String::new() };
        writeln!(
            out,
            "{network}: {tried} rejects tried, {mapped} mapped, {left} left{gone}; {new_versions} new versions"
        )?;
    }
    Ok(())
}
