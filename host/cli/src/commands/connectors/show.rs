//! What serves, what waits and why, and what was active when.

use std::io::Write;

use serde_json::json;
use sluice_registry::Entry;
use sluice_runtime::app;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_runtime::versions::{Activation, VersionDiff, VersionId};

use crate::commands::print_json;

/// Lists the files.
pub(super) async fn list(settings: &Settings, json: bool) -> Result<(), Failure> {
    let entries = app::open_registry_read_only(settings).await?.entries();
    if json {
        return print_json(&entries.iter().map(facts).collect::<Vec<_>>());
    }
    let mut out = std::io::stdout().lock();
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
pub(super) fn diff(diff: VersionDiff, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&diff);
    }
    let mut out = std::io::stdout().lock();
    let serving = diff.serving.unwrap_or_default();
    let VersionId { network, version, digest } = &diff.waiting;
    writeln!(out, "{network} {serving} → {version} ({})", digest.short())?;
    let kept = diff.kept.map(|trial| trial.comparison);
    for (title, comparison) in [("latest kept responses", kept), ("live responses", diff.live)] {
        let Some(comparison) = comparison else { continue };
        writeln!(out, "{title}:")?;
        for line in comparison.lines() {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// Prints when which version became active.
pub(super) fn history(activations: &[Activation], json: bool) -> Result<(), Failure> {
    if json {
        return print_json(activations);
    }
    let mut out = std::io::stdout().lock();
    for activation in activations {
        let Activation { version: VersionId { version, digest, .. }, activated_at, source, active } = activation;
        let mark = if *active { " (serves)" } else { "" };
        writeln!(out, "{}  {version} ({})  {source}{mark}", activated_at.format("%F %T UTC"), digest.short())?;
    }
    Ok(())
}
