//! `sluice connectors`: what may serve, and why not.

use std::io::Write;
use std::path::Path;

use sluice_engine::{Connector, Engine, EngineOptions};

use crate::app;
use crate::cli::{ConnectorsArgs, ConnectorsCommand};
use crate::failure::Failure;
use crate::settings::Settings;

/// Lists, inspects or verifies connectors.
///
/// # Errors
/// A failure of the settings, or the reason why a file may not serve.
pub(super) fn connectors(
    settings: impl Fn() -> Result<Settings, Failure>,
    args: &ConnectorsArgs,
    json: bool,
) -> Result<(), Failure> {
    match args.command.as_ref().unwrap_or(&ConnectorsCommand::List) {
        ConnectorsCommand::List => list(&settings()?, json),
        ConnectorsCommand::Verify { file } => {
            let connector = load(file)?;
            print(&connector, json)
        }
        ConnectorsCommand::Inspect { connector } => {
            let path = Path::new(connector);
            let found = if path.extension().is_some_and(|extension| extension == "wasm") {
                load(path)?
            } else {
                app::open_registry(&settings()?)?.get(connector).ok_or_else(|| {
                    Failure::usage(format!("no connector `{connector}` serves")).hint("see `sluice connectors list`")
                })?
            };
            let manifest = serde_json::to_string_pretty(found.manifest()).map_err(Failure::failed)?;
            Ok(writeln!(std::io::stdout(), "{manifest}")?)
        }
    }
}

fn load(file: &Path) -> Result<Connector, Failure> {
    let bytes = std::fs::read(file).map_err(|error| {
        Failure::failed(anyhow::anyhow!("cannot read {}: {error}", file.display())).hint("name a .wasm file")
    })?;
    Ok(Engine::new(EngineOptions::default())?.load(&bytes, &file.display().to_string())?)
}

fn print(connector: &Connector, json: bool) -> Result<(), Failure> {
    let manifest = connector.manifest();
    let mut out = std::io::stdout().lock();
    if json {
        let facts = serde_json::json!({
            "network": manifest.network, "version": manifest.version, "digest": connector.digest(), "state": "serving",
        });
        return Ok(writeln!(out, "{facts}")?);
    }
    Ok(writeln!(out, "{} {} ({}) may serve", manifest.network, manifest.version, connector.digest().short())?)
}

fn list(settings: &Settings, json: bool) -> Result<(), Failure> {
    let entries = app::open_registry(settings)?.entries();
    let mut out = std::io::stdout().lock();
    if json {
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                serde_json::json!({
                    "file": entry.file, "network": entry.network, "version": entry.version, "digest": entry.digest,
                    "state": if entry.refusal().is_some() { "refused" } else { "serving" }, "reason": entry.refusal(),
                })
            })
            .collect();
        return Ok(writeln!(out, "{}", serde_json::Value::Array(rows))?);
    }
    for entry in entries {
        let state = match entry.refusal() {
            Some(reason) => format!("refused: {reason}"),
            None => {
                let digest = entry.digest.map(|digest| digest.short()).unwrap_or_default();
                format!(
                    "serving {} {} ({digest})",
                    entry.network.unwrap_or_default(),
                    entry.version.unwrap_or_default()
                )
            }
        };
        writeln!(out, "{}: {state}", entry.file)?;
    }
    Ok(())
}
