//! `sluice connectors`: what may serve, why not, and the operator's decisions.

mod decide;
mod show;

use std::io::Write;
use std::path::Path;

use sluice_engine::{Connector, Engine, EngineOptions};

use sluice_runtime::app;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::{Settings, network};

use crate::arguments::{ConnectorsArgs, ConnectorsCommand};

/// Lists, inspects, verifies or decides on connectors.
///
/// # Errors
/// A failure of the settings, or the reason why a file may not serve.
pub(super) async fn connectors(
    settings: impl Fn() -> Result<Settings, Failure>,
    args: &ConnectorsArgs,
    json: bool,
) -> Result<(), Failure> {
    match args.command.as_ref().unwrap_or(&ConnectorsCommand::List) {
        ConnectorsCommand::List => show::list(&settings()?, json).await,
        ConnectorsCommand::Verify { file } => {
            let connector = load(file)?;
            print(&connector, json)
        }
        ConnectorsCommand::Inspect { connector } => {
            let path = Path::new(connector);
            let found = if path.extension().is_some_and(|extension| extension == "wasm") {
                load(path)?
            } else {
                let settings = settings()?;
                let id = network_id(&settings, connector);
                app::open_registry_read_only(&settings).await?.get(&id).ok_or_else(|| {
                    Failure::usage(format!("no connector `{connector}` serves")).hint("see `sluice connectors list`")
                })?
            };
            let manifest = serde_json::to_string_pretty(found.manifest()).map_err(Failure::failed)?;
            Ok(writeln!(std::io::stdout(), "{manifest}")?)
        }
        ConnectorsCommand::Approve(args) => decide::approve(&settings()?, args, json).await,
        ConnectorsCommand::Promote(args) => decide::promote(&settings()?, args, json).await,
        ConnectorsCommand::Rollback { network, to } => {
            decide::roll_back(&settings()?, network, to.as_deref(), json).await
        }
        ConnectorsCommand::Diff { network } => show::diff(&settings()?, network, json).await,
        ConnectorsCommand::History { network } => show::history(&settings()?, network, json).await,
    }
}

/// The network id of a connector: of the network with this name in the settings, else the name itself.
fn network_id(settings: &Settings, name: &str) -> String {
    let all = network::load_all(&settings.networks_dir).unwrap_or_default();
    all.into_iter()
        .find(|network| network.name == name)
        .map_or_else(|| name.to_owned(), |network| network.content.connector)
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
            "network": manifest.network, "version": manifest.version, "contract": connector.contract(),
            "digest": connector.digest(), "state": "serving",
        });
        return Ok(writeln!(out, "{facts}")?);
    }
    let (digest, contract) = (connector.digest().short(), connector.contract());
    Ok(writeln!(out, "{} {} ({digest}, contract {contract}) may serve", manifest.network, manifest.version)?)
}
