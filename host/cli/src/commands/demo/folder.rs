//! The demo's folder, laid out as an operator would: settings, networks, secrets in files, connectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sluice_runtime::failure::Failure;
use sluice_simulator::Simulator;

/// Writes the folder.
///
/// # Errors
/// A folder that can't be written, or connectors that aren't built.
pub(super) fn prepare(dir: &Path, simulator: &Simulator) -> Result<(), Failure> {
    for folder in ["networks", "connectors.d", "secrets"] {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    std::fs::write(dir.join("sluice.toml"), "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n")?;
    let mut networks = BTreeMap::<&str, Vec<Value>>::new();
    for account in simulator.accounts() {
        let mut secrets = Map::new();
        for (slot, value) in &account.secrets {
            // From the folder of the settings, so that the folder may be moved.
            let file = format!("secrets/{}-{}-{slot}", account.network, account.name);
            std::fs::write(dir.join(&file), value)?;
            secrets.insert(slot.clone(), format!("file:{file}").into());
        }
        networks
            .entry(&account.network)
            .or_default()
            .push(json!({"name": account.name, "settings": account.settings, "secrets": secrets}));
    }
    let source = find_connectors()?;
    for (network, accounts) in networks {
        let file = json!({
            "connector": network, "base_url": simulator.origin(network), "accounts": accounts,
            "rate": {"requests": 1000, "per_secs": 1, "concurrency": 8},
        });
        std::fs::write(dir.join("networks").join(format!("{network}.json")), format!("{file:#}\n"))?;
        let name = format!("{network}.wasm");
        std::fs::copy(source.join(&name), dir.join("connectors.d").join(&name)).map_err(|error| {
            Failure::failed(anyhow::anyhow!("cannot copy {}: {error}", source.join(&name).display()))
                .hint("run `just build`")
        })?;
    }
    Ok(())
}

/// The built connectors: in `$SLUICE_CONNECTORS`, or where `just build` leaves them, beside the binary's folder.
fn find_connectors() -> Result<PathBuf, Failure> {
    let named = std::env::var_os("SLUICE_CONNECTORS").map(PathBuf::from);
    let built = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("connectors"));
    named.or_else(built).filter(|dir| dir.is_dir()).ok_or_else(|| {
        Failure::failed(anyhow::anyhow!("no built connectors were found"))
            .hint("run `just build`, or set SLUICE_CONNECTORS")
    })
}
