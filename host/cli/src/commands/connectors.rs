//! `sluice connectors`: what may serve, why not, and the operator's decisions.

mod decide;
mod show;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sluice_engine::{Connector, Engine, EngineOptions, Limits};
use sluice_kit::{Fixtures, Inspection, Source};
use sluice_model::describe;
use sluice_runtime::app;
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
            if path.extension().is_some_and(|extension| extension == "wasm") {
                let fixtures = Some(Source::File(path.to_owned()).fixtures()).filter(|folder| folder.is_dir());
                inspect(read_component(path)?, connector, fixtures, json).await
            } else {
                let serving = versions::serving(&settings()?, connector).await?;
                inspect(serving.component().to_vec(), connector, None, json).await
            }
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
    Ok(app::open_engine_within(Limits::default())?.load(&bytes, &file.display().to_string())?)
}

/// Shows a component.
async fn inspect(component: Vec<u8>, origin: &str, fixtures: Option<PathBuf>, json: bool) -> Result<(), Failure> {
    let origin = origin.to_owned();
    // WASI's streams wait for the runtime, and panic on a thread that drives it.
    let inspected = tokio::task::spawn_blocking(move || inspection(&component, &origin, fixtures.as_deref()));
    let inspection = inspected.await.map_err(Failure::failed)??;
    if json {
        return print_json(&inspection);
    }
    Ok(write!(std::io::stdout(), "{inspection}")?)
}

/// What a component is. It is compiled anew, to see how long that takes, and maps its fixtures, to see how fast it is.
fn inspection(component: &[u8], origin: &str, fixtures: Option<&Path>) -> Result<Inspection, Failure> {
    let engine = Engine::new(EngineOptions::default())?;
    let started = Instant::now();
    let connector = engine.load(component, origin)?;
    let compiled_in = started.elapsed();
    let speed = fixtures.map(|folder| sluice_kit::rows_per_second(&connector, &Fixtures::read(folder)?)).transpose();
    // They may be another connector's, which stands beside it.
    let unfit = |error: &sluice_kit::Error| tracing::warn!("its speed isn't known: {}", describe(error));
    let rows_per_second = speed.inspect_err(unfit).ok().flatten().flatten();
    Ok(Inspection::of(&connector, compiled_in, rows_per_second))
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
