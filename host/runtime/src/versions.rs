//! Versions of connectors: which serve, which wait and how they differ, and the operator's decisions on them.
//!
//! Decisions are recorded in the state store: a running service reads them within a second, and without one they hold
//! from the next run on.

mod rollback;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_engine::Connector;
use sluice_model::Digest;
use sluice_registry::{Candidate, Comparison, Registry, TrialReport};
use sluice_state::{Decision, State};

use crate::app;
use crate::failure::Failure;
use crate::settings::{Settings, network};

pub use rollback::{Rollback, roll_back};

/// A version of a network's connector.
#[derive(Clone, Debug, Serialize)]
pub struct VersionId {
    /// The connector's network id.
    pub network: String,
    /// The version, as its manifest names it.
    pub version: String,
    /// The digest of its component.
    pub digest: Digest,
}

/// `awin 1.2.0 (af1349b9f5f9)`.
impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.network, self.version, self.digest.short())
    }
}

/// A decision on a version that waits.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionReport {
    /// The version decided on.
    #[serde(flatten)]
    pub version: VersionId,
    /// `approved` or `promoted`.
    pub done: &'static str,
    /// What it wants beyond the version that serves, one sentence each.
    pub gained: Vec<String>,
}

/// How the version that waits differs from the one that serves.
#[derive(Clone, Debug, Serialize)]
pub struct VersionDiff {
    /// The version in the connectors folder that doesn't serve yet.
    #[serde(flatten)]
    pub waiting: VersionId,
    /// The version that serves; none if none does.
    #[serde(skip)]
    pub serving: Option<String>,
    /// `waiting`, `shadow` or `refused`; empty if it wasn't tried yet.
    pub state: String,
    /// On the latest kept responses.
    pub kept: Option<TrialReport>,
    /// On live responses, as a shadow.
    pub live: Option<Comparison>,
}

/// A version that became active.
#[derive(Clone, Debug, Serialize)]
pub struct Activation {
    /// Which version it was.
    #[serde(flatten)]
    pub version: VersionId,
    /// Since when.
    pub activated_at: DateTime<Utc>,
    /// The file that it came from, and what was rolled back for it.
    pub source: String,
    /// Whether it serves now.
    pub active: bool,
}

/// The network id of a connector: of the network with this name in the settings, else the name itself.
pub fn network_id(settings: &Settings, name: &str) -> String {
    let all = network::load_each(&settings.networks_dir).unwrap_or_default().networks;
    all.into_iter()
        .find(|network| network.name == name)
        .map_or_else(|| name.to_owned(), |network| network.content.connector.clone())
}

/// The connector that serves a network, by the network's name or id.
///
/// # Errors
/// A usage failure if none does.
pub async fn serving(settings: &Settings, name: &str) -> Result<Connector, Failure> {
    let registry = app::open_registry_read_only(settings).await?;
    registry
        .get(&network_id(settings, name))
        .ok_or_else(|| Failure::usage(format!("no connector `{name}` serves")).hint("see `sluice connectors list`"))
}

/// Grants the version that waits the rights that it asks for. `digest`: the digits that its digest must begin with.
///
/// # Errors
/// A usage failure if no such version waits; the state store's failure.
pub async fn approve(settings: &Settings, name: &str, digest: Option<&str>) -> Result<DecisionReport, Failure> {
    let waiting = WaitingVersion::find(settings, name, digest).await?;
    waiting.state.record_decision(&waiting.network, waiting.candidate.digest(), Decision::Approve).await?;
    Ok(waiting.report("approved"))
}

/// Lets the version that waits take over. `digest`: the digits that its digest must begin with.
///
/// # Errors
/// A usage failure if no such version waits, or if it must be approved first; the state store's failure.
pub async fn promote(settings: &Settings, name: &str, digest: Option<&str>) -> Result<DecisionReport, Failure> {
    let waiting = WaitingVersion::find(settings, name, digest).await?;
    if let Some(reason) = waiting.held_because().await? {
        let (network, candidate) = (&waiting.network, &waiting.candidate);
        let message = format!("{network} {} waits for more than promotion: {reason}", candidate.version());
        let command = format!("sluice connectors approve {name} {}", candidate.digest().short());
        return Err(Failure::usage(message).hint(format!("approve it first: {command}")));
    }
    waiting.state.record_decision(&waiting.network, waiting.candidate.digest(), Decision::Promote).await?;
    Ok(waiting.report("promoted"))
}

/// Compares the version that waits with the one that serves.
///
/// # Errors
/// A usage failure if no version waits; the state store's failure.
pub async fn diff(settings: &Settings, name: &str) -> Result<VersionDiff, Failure> {
    let network = network_id(settings, name);
    let registry = app::open_registry_read_only(settings).await?;
    let candidate = registry.candidate(&network).ok_or_else(|| nothing_waits(name))?;
    let state = State::open(&settings.state_url).await?;
    let status = state.candidate_status(&network, candidate.digest()).await?.unwrap_or_default();
    Ok(VersionDiff {
        serving: registry.get(&network).map(|serving| serving.version().to_owned()),
        state: status.state,
        kept: serde_json::from_str(&status.trial).ok(),
        live: serde_json::from_str(&status.comparison).ok(),
        waiting: version_id(network, &candidate),
    })
}

/// When which version became active, the newest first.
///
/// # Errors
/// The lake's or the state store's failure.
pub async fn history(settings: &Settings, name: &str) -> Result<Vec<Activation>, Failure> {
    let network = network_id(settings, name);
    let (lake, state) = (app::open_lake(settings).await?, State::open(&settings.state_url).await?);
    let rows = lake.activations(&network).await?;
    let active = state.active("", Some(&network)).await?;
    let newest = rows.last().map(|row| row.activated_at);
    let activations = rows.into_iter().rev().map(|row| Activation {
        active: Some(row.activated_at) == newest && active.as_ref().is_none_or(|now| now.digest == row.digest),
        version: VersionId { network: network.clone(), version: row.version, digest: row.digest },
        activated_at: row.activated_at,
        source: row.source.unwrap_or_default(),
    });
    Ok(activations.collect())
}

/// A version in the connectors folder that doesn't serve.
struct WaitingVersion {
    network: String,
    candidate: Connector,
    /// What it wants beyond the version that serves.
    gained: Vec<String>,
    state: State,
}

impl WaitingVersion {
    async fn find(settings: &Settings, name: &str, digest: Option<&str>) -> Result<Self, Failure> {
        let network = network_id(settings, name);
        let registry = app::open_registry_read_only(settings).await?;
        let candidate = registry.candidate(&network).ok_or_else(|| nothing_waits(name))?;
        let hex = candidate.digest().to_hex();
        if let Some(named) = digest.filter(|named| !hex.starts_with(&named.to_ascii_lowercase())) {
            let message = format!("the version of `{name}` that waits isn't {named}");
            return Err(Failure::usage(message).hint(format!(
                "it is {} ({}); what was written over must be put back into the connectors folder, or see \
                 `sluice connectors rollback {name} --to {named}`",
                candidate.version(),
                candidate.digest().short(),
            )));
        }
        let state = State::open(&settings.state_url).await?;
        let gained = gained(&registry, &state, &network, &candidate).await?;
        Ok(Self { network, candidate, gained, state })
    }

    /// Why promotion alone doesn't let it serve.
    async fn held_because(&self) -> Result<Option<String>, Failure> {
        let digest = self.candidate.digest();
        Ok(match self.state.decision(&self.network, digest).await? {
            Some((Decision::Hold, _)) => Some("it was rolled back".to_owned()),
            Some(_) => None,
            None if !self.gained.is_empty() => Some(self.gained.join(", ")),
            None => {
                let status = self.state.candidate_status(&self.network, digest).await?.unwrap_or_default();
                serde_json::from_str::<TrialReport>(&status.trial).ok().and_then(|trial| trial.doubt)
            }
        })
    }

    fn report(self, done: &'static str) -> DecisionReport {
        DecisionReport { version: version_id(self.network, &self.candidate), done, gained: self.gained }
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

fn version_id(network: String, connector: &Connector) -> VersionId {
    VersionId { network, version: connector.version().to_owned(), digest: connector.digest() }
}

fn nothing_waits(name: &str) -> Failure {
    Failure::usage(format!("no version of `{name}` waits")).hint("see `sluice connectors list`")
}
