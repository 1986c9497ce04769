//! `sluice check`: everything that can be known to be wrong before a run.

use std::io::Write;

use serde::Serialize;

use sluice_runtime::app::{self, with_connector};
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::{Settings, network};

#[derive(Serialize)]
struct Finding {
    network: String,
    connector: String,
    accounts: usize,
    problems: Vec<String>,
}

/// Checks settings, connectors, rights and secrets, and the lake.
///
/// # Errors
/// A settings failure if anything is wrong, with all that is.
pub(super) async fn check(settings: &Settings, json: bool) -> Result<(), Failure> {
    let networks = network::load_all(&settings.networks_dir)?;
    let registry = app::open_registry_read_only(settings).await?;
    app::open_writable_lake(settings).await?;
    let mut findings = Vec::new();
    for network in networks {
        let mut problems = Vec::new();
        let (name, connector) = (network.name.clone(), network.content.connector.clone());
        match with_connector(&registry, settings, network.clone()) {
            Err(failure) => problems.push(failure.render(false)),
            Ok(served) => {
                for account in &network.content.accounts {
                    problems.extend(served.access(account).await.err().map(|failure| failure.render(false)));
                }
            }
        }
        findings.push(Finding { network: name, connector, accounts: network.content.accounts.len(), problems });
    }
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&findings).map_err(Failure::failed)?)?;
    } else {
        for finding in &findings {
            let verdict = if finding.problems.is_empty() { "ok" } else { "wrong" };
            writeln!(
                out,
                "{}: {verdict} (connector {}, {} accounts)",
                finding.network, finding.connector, finding.accounts
            )?;
        }
        writeln!(out, "lake: ok ({})", settings.lake_url)?;
    }
    for entry in registry.entries() {
        if let Some(reason) = entry.refusal() {
            eprintln!("warning: {} is refused: {reason}", entry.file);
        }
    }
    let problems: Vec<&str> = findings.iter().flat_map(|finding| &finding.problems).map(String::as_str).collect();
    match problems.as_slice() {
        [] => Ok(()),
        problems => {
            let listed = problems.iter().map(|problem| problem.trim_start_matches("error: ")).collect::<Vec<_>>();
            Err(Failure::settings(listed.join("\n")))
        }
    }
}
