//! `sluice connectors`: what may serve, why not, and the operator's decisions.

mod decide;
mod show;

use std::io::Write;
use std::path::Path;

use sluice_engine::{Connector, Engine, EngineOptions};

use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_runtime::settings::file::read_component;
use sluice_runtime::versions;

use super::print_json;
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
                versions::serving(&settings()?, connector).await?
            };
            let manifest = serde_json::to_string_pretty(found.manifest()).map_err(Failure::failed)?;
            Ok(writeln!(std::io::stdout(), "{manifest}")?)
        }
        ConnectorsCommand::Approve(args) => {
            let report = versions::approve(&settings()?, &args.network, args.digest.as_deref()).await?;
            decide::decided(&report, json)
        }
        ConnectorsCommand::Promote(args) => {
            let report = versions::promote(&settings()?, &args.network, args.digest.as_deref()).await?;
            decide::decided(&report, json)
        }
        ConnectorsCommand::Rollback { network, to } => {
            decide::rolled_back(&versions::roll_back(&settings()?, network, to.as_deref()).await?, json)
        }
        ConnectorsCommand::Diff { network } => show::diff(versions::diff(&settings()?, network).await?, json),
        ConnectorsCommand::History { network } => show::history(&versions::history(&settings()?, network).await?, json),
    }
}

fn load(file: &Path) -> Result<Connector, Failure> {
    let bytes = read_component(file)?;
    Ok(Engine::new(EngineOptions::default())?.load(&bytes, &file.display().to_string())?)
}

fn print(connector: &Connector, json: bool) -> Result<(), Failure> {
    let manifest = connector.manifest();
    if json {
        let facts = serde_json::json!({
            "network": manifest.network, "version": manifest.version, "contract": connector.contract(),
            "digest": connector.digest(), "state": "serving",
        });
        return print_json(&facts);
    }
    let (digest, contract) = (connector.digest().short(), connector.contract());
    Ok(writeln!(
        std::io::stdout(),
        "{} {} ({digest}, contract {contract}) may serve",
        manifest.network,
        manifest.version
    )?)
}
