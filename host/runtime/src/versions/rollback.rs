//! Going back to an earlier version.

use chrono::Utc;
use serde::Serialize;
use sluice_engine::Connector;
use sluice_lake::{ConnectorRow, Lake};
use sluice_model::Digest;
use sluice_registry::{Rights, restore};
use sluice_state::{Active, Decision, State};

use super::{VersionId, network_id};
use crate::app;
use crate::failure::Failure;
use crate::settings::Settings;

/// How often what is to be rolled back is looked for.
const ATTEMPTS: usize = 5;

/// An earlier version that serves again.
#[derive(Clone, Debug, Serialize)]
pub struct Rollback {
    /// The version that serves from now on.
    #[serde(flatten)]
    pub version: VersionId,
    /// The version that served: it is held until it is approved.
    pub rolled_back_version: String,
    /// Digest of its file.
    pub rolled_back_digest: Digest,
    /// What the earlier version may do that the one rolled back didn't ask for, a line for each. It may: it was let in once.
    pub regained: Vec<String>,
}

/// Puts an earlier version back. `to`: its version or its digest's first digits; none is the latest that isn't held.
///
/// # Errors
/// A usage failure if there is no such version; the lake's or the state store's failure; a version that can't serve.
pub async fn roll_back(settings: &Settings, name: &str, to: Option<&str>) -> Result<Rollback, Failure> {
    let network = network_id(settings, name);
    let (lake, state) = (app::open_writable_lake(settings).await?, State::open(&settings.state_url).await?);
    // What takes over meanwhile is what is to be rolled back.
    for _ in 0..ATTEMPTS {
        if let Some(rollback) = attempt(settings, (&lake, &state), name, &network, to).await? {
            return Ok(rollback);
        }
    }
    Err(Failure::failed(anyhow::anyhow!("the versions of `{name}` change faster than one can be rolled back")))
}

/// One attempt to put a version back; none if another one has taken over since it was looked for.
async fn attempt(
    settings: &Settings,
    (lake, state): (&Lake, &State),
    name: &str,
    network: &str,
    to: Option<&str>,
) -> Result<Option<Rollback>, Failure> {
    let active = match state.active("", Some(network)).await? {
        Some(active) => Some(active),
        None => restore(lake, state, network, &format!("{network}.wasm")).await?,
    };
    let active = active.ok_or_else(|| {
        Failure::usage(format!("no version of `{name}` was ever active")).hint("see `sluice connectors list`")
    })?;
    let (rolled_back, pending) = rolled_back(settings, state, &active).await?;
    let history = lake.activations(network).await?;
    let target = target(state, &history, &rolled_back, to).await?;
    let version = load(settings, lake, &target).await?;
    let rights = Rights::of(version.manifest());
    let before: Option<Rights> = serde_json::from_str(&rolled_back.rights).ok();
    let regained = before.map(|before| rights.beyond(&before)).unwrap_or_default();
    let now = Active {
        network: network.to_owned(),
        file: active.file.clone(),
        digest: target.digest,
        version: target.version.clone(),
        rights: serde_json::to_string(&rights).map_err(Failure::failed)?,
        since: Utc::now(),
    };
    let held: Vec<Digest> = std::iter::once(rolled_back.digest).chain(pending).collect();
    if !sluice_registry::roll_back(lake, state, &now, active.digest, &held).await? {
        return Ok(None);
    }
    Ok(Some(Rollback {
        version: VersionId { network: network.to_owned(), version: target.version, digest: target.digest },
        rolled_back_version: rolled_back.version,
        rolled_back_digest: rolled_back.digest,
        regained,
    }))
}

/// The version that is rolled back: one that was approved and hasn't taken over yet, else the one that serves. With the
/// latter, one that would take over by itself is held too.
async fn rolled_back(settings: &Settings, state: &State, active: &Active) -> Result<(Active, Option<Digest>), Failure> {
    let registry = app::open_registry_read_only(settings).await?;
    let Some(candidate) = registry.candidate(&active.network) else { return Ok((active.clone(), None)) };
    let digest = candidate.digest();
    match state.decision(&active.network, digest).await? {
        Some((Decision::Approve | Decision::Promote, _)) => {
            let rights = serde_json::to_string(&Rights::of(candidate.manifest())).map_err(Failure::failed)?;
            Ok((Active { digest, version: candidate.version().to_owned(), rights, ..active.clone() }, None))
        }
        Some((Decision::Hold, _)) => Ok((active.clone(), None)),
        None => {
            let waits = !super::gained(&registry, state, &active.network, &candidate).await?.is_empty();
            let status = state.candidate_status(&active.network, digest).await?.unwrap_or_default();
            let takes_over = !waits && !matches!(status.state.as_str(), "refused" | "waiting");
            Ok((active.clone(), takes_over.then_some(digest)))
        }
    }
}

/// The version to go back to.
async fn target(
    state: &State,
    history: &[ConnectorRow],
    rolled_back: &Active,
    to: Option<&str>,
) -> Result<ConnectorRow, Failure> {
    let others = || history.iter().rev().filter(|row| row.digest != rolled_back.digest);
    let see = format!("see `sluice connectors history {}`", rolled_back.network);
    let Some(to) = to else {
        for row in others() {
            if !matches!(state.decision(&rolled_back.network, row.digest).await?, Some((Decision::Hold, _))) {
                return Ok(row.clone());
            }
        }
        return Err(Failure::usage(format!("`{}` had no other version that isn't held", rolled_back.network)).hint(see));
    };
    let lower = to.to_ascii_lowercase();
    let is_prefix = lower.len() >= 4 && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = |row: &&ConnectorRow| (is_prefix && row.digest.to_hex().starts_with(&lower)) || row.version == to;
    let mut found: Vec<&ConnectorRow> = others().filter(fits).collect();
    found.sort_by_key(|row| row.digest);
    found.dedup_by_key(|row| row.digest);
    match found[..] {
        [row] => Ok(row.clone()),
        [] => {
            Err(Failure::usage(format!("no other version `{to}` of `{}` was ever active", rolled_back.network))
                .hint(see))
        }
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
