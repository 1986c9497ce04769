//! What serves, what waits and why, and what was active when.

use std::io::Write;

use serde_json::json;

use sluice_registry::TrialReport;
use sluice_registry::{Comparison, Entry};
use sluice_runtime::app;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_state::State;

use super::network_id;

/// Lists the files.
pub(super) async fn list(settings: &Settings, json: bool) -> Result<(), Failure> {
    let entries = app::open_registry_read_only(settings).await?.entries();
    let mut out = std::io::stdout().lock();
    if json {
        let rows: Vec<_> = entries.iter().map(facts).collect();
        return Ok(writeln!(out, "{}", serde_json::Value::Array(rows))?);
    }
    for entry in &entries {
        writeln!(out, "{}: {}", entry.file, line(entry))?;
        if let Some(hint) = entry.state.reason().and_then(|reason| reason.hint.as_ref()) {
            writeln!(out, "  hint: {hint}")?;
        }
    }
    Ok(())
}

fn facts(entry: &Entry) -> serde_json::Value {
    let reason = entry.state.reason();
    json!({
        "file": entry.file, "network": entry.network, "version": entry.version, "contract": entry.contract,
        "digest": entry.digest, "state": entry.state.name(), "reason": entry.refusal(),
        "hint": reason.and_then(|reason| reason.hint.as_ref()),
        "candidate_version": entry.candidate.as_ref().map(|(version, _)| version),
        "candidate_digest": entry.candidate.as_ref().map(|(_, digest)| digest),
    })
}

fn line(entry: &Entry) -> String {
    let serving = entry.version.as_ref().map(|version| {
        let digest = entry.digest.map(|digest| digest.short()).unwrap_or_default();
        let (network, contract) = (entry.network.as_deref().unwrap_or_default(), entry.contract.unwrap_or_default());
        format!("serving {network} {version} ({digest}, contract {contract})")
    });
    let Some(reason) = entry.refusal() else { return serving.unwrap_or_default() };
    let what = entry.candidate.as_ref().map(|(version, digest)| format!("{version} ({}) ", digest.short()));
    let held = format!("{}{}: {reason}", what.unwrap_or_default(), entry.state.name());
    serving.map_or(held.clone(), |serving| format!("{serving}; {held}"))
}

/// Prints how the waiting version differs.
pub(super) async fn diff(settings: &Settings, name: &str, json: bool) -> Result<(), Failure> {
    let network = network_id(settings, name);
    let registry = app::open_registry_read_only(settings).await?;
    let candidate = registry.candidate(&network).ok_or_else(|| super::decide::nothing_waits(name))?;
    let state = State::open(&settings.state_url).await?;
    let found = state.candidate_status(&network, candidate.digest()).await?.unwrap_or_default();
    let smoke: Option<TrialReport> = serde_json::from_str(&found.trial).ok();
    let live: Option<Comparison> = serde_json::from_str(&found.comparison).ok();
    let mut out = std::io::stdout().lock();
    if json {
        let facts = json!({
            "network": network, "version": candidate.version(), "digest": candidate.digest(), "state": found.state,
            "kept": smoke, "live": live,
        });
        return Ok(writeln!(out, "{facts}")?);
    }
    let running = registry.get(&network).map(|running| running.version().to_owned()).unwrap_or_default();
    writeln!(out, "{network} {running} → {} ({})", candidate.version(), candidate.digest().short())?;
    for (title, comparison) in
        [("latest kept responses", smoke.map(|smoke| smoke.comparison)), ("live responses", live)]
    {
        let Some(comparison) = comparison else { continue };
        writeln!(out, "{title}:")?;
        for line in comparison.lines() {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// Lists when which version became active.
pub(super) async fn history(settings: &Settings, name: &str, json: bool) -> Result<(), Failure> {
    let network = network_id(settings, name);
    let (lake, state) = (app::open_lake(settings).await?, State::open(&settings.state_url).await?);
    let mut rows = lake.activations(&network).await?;
    rows.reverse();
    let active = state.active("", Some(&network)).await?;
    let newest = rows.first().map(|row| row.activated_at);
    let mut out = std::io::stdout().lock();
    let mut listed = Vec::new();
    for row in rows {
        let serves = Some(row.activated_at) == newest && active.as_ref().is_none_or(|now| now.digest == row.digest);
        let source = row.source.unwrap_or_default();
        if json {
            listed.push(json!({
                "network": network, "version": row.version, "digest": row.digest, "activated_at": row.activated_at,
                "source": source, "active": serves,
            }));
            continue;
        }
        let mark = if serves { " (serves)" } else { "" };
        let at = row.activated_at.format("%F %T UTC");
        writeln!(out, "{at}  {} ({})  {source}{mark}", row.version, row.digest.short())?;
    }
    if json {
        writeln!(out, "{}", serde_json::Value::Array(listed))?;
    }
    Ok(())
}
