//! The operator's decisions on versions. They are recorded in the state store: a running service reads them within a
//! second, and
//! without one it holds from the next run on.

use std::io::Write;

use chrono::Utc;
use serde_json::json;
use sluice_engine::Connector;
use sluice_lake::{ConnectorRow, Lake};
use sluice_model::Digest;

use sluice_registry::TrialReport;
use sluice_registry::restore;
use sluice_registry::{Candidate, Registry, Rights};
use sluice_runtime::app;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_state::State;
use sluice_state::{Active, Decision};

use super::network_id;
use crate::arguments::VersionArgs;

/// Gives a version what it asks for.
pub(super) async fn approve(settings: &Settings, args: &VersionArgs, json: bool) -> Result<(), Failure> {
    let waiting = Waiting::find(settings, args).await?;
    waiting.state.record_decision(&waiting.network, waiting.candidate.digest(), Decision::Approve).await?;
    waiting.print("approved", json)
}

/// Lets a version take over.
pub(super) async fn promote(settings: &Settings, args: &VersionArgs, json: bool) -> Result<(), Failure> {
    let waiting = Waiting::find(settings, args).await?;
    let (network, digest) = (&waiting.network, waiting.candidate.digest());
    let found = waiting.state.candidate_status(network, digest).await?.unwrap_or_default();
    let doubt = serde_json::from_str::<TrialReport>(&found.trial).ok().and_then(|smoke| smoke.doubt);
    let held = match waiting.state.decision(network, digest).await? {
        Some((Decision::Hold, _)) => Some("it was rolled back".to_owned()),
        Some(_) => None,
        None if !waiting.gained.is_empty() => Some(waiting.gained.join(", ")),
        None => doubt,
    };
    if let Some(held) = held {
        let message = format!("{network} {} waits for more than promotion: {held}", waiting.candidate.version());
        return Err(Failure::usage(message).hint(format!(
            "approve it first: sluice connectors approve {} {}",
            args.network,
            digest.short()
        )));
    }
    waiting.state.record_decision(network, digest, Decision::Promote).await?;
    waiting.print("promoted", json)
}

/// A failure for a network of which no version waits.
pub(super) fn nothing_waits(name: &str) -> Failure {
    Failure::usage(format!("no version of `{name}` waits")).hint("see `sluice connectors list`")
}

/// A version in the connectors folder that doesn't serve.
struct Waiting {
    network: String,
    candidate: Connector,
    /// What it wants beyond the version that serves.
    gained: Vec<String>,
    state: State,
}

impl Waiting {
    async fn find(settings: &Settings, args: &VersionArgs) -> Result<Self, Failure> {
        let network = network_id(settings, &args.network);
        let registry = app::open_registry_read_only(settings).await?;
        let candidate = registry.candidate(&network).ok_or_else(|| nothing_waits(&args.network))?;
        let digest = candidate.digest().to_hex();
        if let Some(named) = args.digest.as_ref().filter(|named| !digest.starts_with(&named.to_ascii_lowercase())) {
            let message = format!("the version of `{}` that waits isn't {named}", args.network);
            return Err(Failure::usage(message).hint(format!(
                "it is {} ({}); what was written over must be put back into the connectors folder, or see \
                 `sluice connectors rollback {} --to {named}`",
                candidate.version(),
                candidate.digest().short(),
                args.network
            )));
        }
        let state = State::open(&settings.state_url).await?;
        let gained = gained(&registry, &state, &network, &candidate).await?;
        Ok(Self { network, candidate, gained, state })
    }

    fn print(&self, done: &str, json: bool) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let (network, candidate) = (&self.network, &self.candidate);
        if json {
            let facts = json!({
                "network": network, "version": candidate.version(), "digest": candidate.digest(), "done": done,
                "gained": self.gained,
            });
            return Ok(writeln!(out, "{facts}")?);
        }
        writeln!(out, "{done} {network} {} ({})", candidate.version(), candidate.digest().short())?;
        for right in &self.gained {
            writeln!(out, "  {right}")?;
        }
        eprintln!("a running `sluice serve` acts on it within a second; else the next run does");
        Ok(())
    }
}

async fn gained(
    registry: &Registry,
    state: &State,
    network: &str,
    candidate: &Connector,
) -> Result<Vec<String>, Failure> {
    let active = state.active("", Some(network)).await?;
    let serving = registry.get(network);
    let candidate =
        Candidate { file: "", connector: candidate, signature: None, serving: serving.as_ref(), superseded: false };
    let unknown = || vec!["rights that can't be compared with the version before".to_owned()];
    Ok(sluice_registry::gained(&candidate, active.as_ref()).unwrap_or_else(unknown))
}

/// Puts an earlier version back.
pub(super) async fn roll_back(settings: &Settings, name: &str, to: Option<&str>, json: bool) -> Result<(), Failure> {
    let network = network_id(settings, name);
    let (lake, state) = (app::open_writable_lake(settings).await?, State::open(&settings.state_url).await?);
    let active = match state.active("", Some(&network)).await? {
        Some(active) => Some(active),
        None => restore(&lake, &state, &network, &format!("{network}.wasm")).await?,
    };
    let active = active.ok_or_else(|| {
        Failure::usage(format!("no version of `{name}` was ever active")).hint("see `sluice connectors list`")
    })?;
    let history = lake.activations(&network).await?;
    let target = target(&state, &history, &active, to).await?;
    let version = load(settings, &lake, &target).await?;
    state.record_decision(&network, active.digest, Decision::Hold).await?;
    if let Some((Decision::Hold, _)) = state.decision(&network, target.digest).await? {
        state.record_decision(&network, target.digest, Decision::Approve).await?;
    }
    let now = Active {
        network: network.clone(),
        file: active.file.clone(),
        digest: target.digest,
        version: target.version.clone(),
        rights: serde_json::to_string(&Rights::of(version.manifest())).map_err(Failure::failed)?,
        since: Utc::now(),
    };
    sluice_registry::activate(&lake, &state, &now, Some(active.digest)).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let facts = json!({
            "network": network, "version": target.version, "digest": target.digest,
            "rolled_back_version": active.version, "rolled_back_digest": active.digest,
        });
        return Ok(writeln!(out, "{facts}")?);
    }
    writeln!(
        out,
        "{network} is back at {} ({}); {} ({}) is held until it is approved",
        target.version,
        target.digest.short(),
        active.version,
        active.digest.short()
    )?;
    eprintln!("a running `sluice serve` acts on it within a second; else the next run does");
    Ok(())
}

/// The version to go back to.
async fn target(
    state: &State,
    history: &[ConnectorRow],
    active: &Active,
    to: Option<&str>,
) -> Result<ConnectorRow, Failure> {
    let others = || history.iter().rev().filter(|row| row.digest != active.digest);
    let see = format!("see `sluice connectors history {}`", active.network);
    let Some(to) = to else {
        for row in others() {
            if !matches!(state.decision(&active.network, row.digest).await?, Some((Decision::Hold, _))) {
                return Ok(row.clone());
            }
        }
        return Err(Failure::usage(format!("`{}` had no other version that isn't held", active.network)).hint(see));
    };
    let lower = to.to_ascii_lowercase();
    let is_prefix = lower.len() >= 4 && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = |row: &&ConnectorRow| (is_prefix && row.digest.to_hex().starts_with(&lower)) || row.version == to;
    let mut found: Vec<&ConnectorRow> = others().filter(fits).collect();
    found.sort_by_key(|row| row.digest);
    found.dedup_by_key(|row| row.digest);
    match found[..] {
        [row] => Ok(row.clone()),
        [] => Err(Failure::usage(format!("no other version `{to}` of `{}` was ever active", active.network)).hint(see)),
        _ => {
            let digests: Vec<String> = found.iter().map(|row| row.digest.short()).collect();
            Err(Failure::usage(format!("`{to}` names several versions"))
                .hint(format!("name one: {}", digests.join(", "))))
        }
    }
}

/// The version as the lake keeps it, so that nothing is switched to that can't serve.
async fn load(settings: &Settings, lake: &Lake, target: &ConnectorRow) -> Result<Connector, Failure> {
    let (component, signature) = (lake.connector(target.digest).await?, lake.signature(target.digest).await?);
    let origin = format!("version {}", Digest::short(target.digest));
    let engine = app::open_engine(settings)?;
    settings.connector_keys.check_as(&origin, &component, signature.as_deref())?;
    tokio::task::spawn_blocking(move || Ok(engine.load(&component, &origin)?)).await.map_err(Failure::failed)?
}
