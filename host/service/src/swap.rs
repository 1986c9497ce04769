//! How a version of a connector takes over: with no more rights than the operator gave, after it did well on kept
//! responses, and, if the operator wants so, on live ones.
//!
//! What serves is noted in the state store before it serves, and kept in the lake before that. So it serves again
//! after a restart, whatever its file holds by then, and the commands can change it beside a running service.

pub mod compare;
pub mod rights;
pub mod shadow;
pub mod smoke;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sluice_engine::{Candidate, Gate, Kept, Reason, Recorded, Verdict};
use sluice_lake::{ConnectorRow, Lake};
use sluice_model::Digest;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use self::compare::Comparison;
use self::rights::Rights;
use self::smoke::Smoke;
use crate::collect::describe;
use crate::failure::Failure;
use crate::settings::swap::{Promote, SwapMode, SwapSettings};
use crate::settings::{Settings, network};
use crate::state::State;
use crate::state::swaps::{Active, CandidateStatus, Decision};

/// Decides what may serve, by the operator's words and the network's responses.
pub struct Swaps {
    lake: OnceCell<Lake>,
    settings: Settings,
    /// Whether versions are tried, kept and noted, or only what is known is said.
    acts: bool,
    state: Arc<State>,
    runtime: Handle,
}

impl Swaps {
    /// For a process that runs networks. Must be made on the runtime; the gate must be asked on a thread that may
    /// block.
    pub fn new(lake: Lake, state: Arc<State>, settings: &Settings) -> Self {
        Self { lake: OnceCell::new_with(Some(lake)), acts: true, ..Self::looking(state, settings) }
    }

    /// For a process that only looks.
    pub fn looking(state: Arc<State>, settings: &Settings) -> Self {
        Self { lake: OnceCell::new(), settings: settings.clone(), acts: false, state, runtime: Handle::current() }
    }

    async fn lake(&self) -> Result<&Lake, Failure> {
        self.lake.get_or_try_init(|| async { Ok(Lake::open(&self.settings.lake_url).await?) }).await
    }

    /// Adds what a shadow compared to what is known of it.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn note_compared(&self, network: &str, candidate: Digest, more: &Comparison) -> Result<(), Failure> {
        let mut found = self.state.candidate_status(network, candidate).await?.unwrap_or_default();
        let mut comparison: Comparison = parse(&found.comparison);
        comparison.merge(more);
        found.comparison = serde_json::to_string(&comparison).map_err(Failure::failed)?;
        self.state.save_candidate(network, candidate, &found).await
    }

    async fn recall(&self, file: &str, network: Option<&str>) -> Result<Option<Recorded>, Failure> {
        let active = match (self.state.active(file, network).await?, network) {
            (None, Some(network)) if self.acts => restore(self.lake().await?, &self.state, network, file).await?,
            (active, _) => active,
        };
        Ok(active.map(|active| Recorded { file: active.file, digest: active.digest }))
    }

    async fn verdict(&self, candidate: &Candidate<'_>) -> Result<Verdict, Failure> {
        let connector = candidate.connector;
        let (network, digest) = (connector.network(), connector.digest());
        let active = self.state.active(candidate.file, Some(network)).await?;
        let word = self.state.decision(network, digest).await?;
        let mut found = self.state.candidate_status(network, digest).await?.unwrap_or_default();
        let verdict = match by_words(candidate, active.as_ref(), word) {
            Some(verdict) => verdict,
            None => self.on_responses(candidate, word.map(|(word, _)| word), &mut found).await?,
        };
        if self.acts {
            let (state, reason) = match &verdict {
                Verdict::Serve => ("serving", None),
                Verdict::Refuse(reason) => ("refused", Some(reason)),
                Verdict::Wait(reason) => ("waiting", Some(reason)),
                Verdict::Shadow(reason) => ("shadow", Some(reason)),
            };
            found.version = connector.version().to_owned();
            found.state = state.to_owned();
            found.reason = reason.map(|reason| reason.reason.clone()).unwrap_or_default();
            found.hint = reason.and_then(|reason| reason.hint.clone()).unwrap_or_default();
            self.state.save_candidate(network, digest, &found).await?;
        }
        Ok(verdict)
    }

    /// What the network's responses and the operator's settings say.
    async fn on_responses(
        &self,
        candidate: &Candidate<'_>,
        word: Option<Decision>,
        found: &mut CandidateStatus,
    ) -> Result<Verdict, Failure> {
        let against = candidate.serving.map(|serving| serving.digest().to_hex()).unwrap_or_default();
        let mut tried: Option<Smoke> = Some(&found.smoke).filter(|text| !text.is_empty()).map(|text| parse(text));
        if self.acts && tried.as_ref().is_none_or(|smoke| smoke.against != against) {
            let smoke =
                smoke::smoke(self.lake().await?, &self.settings.fetch, candidate.connector, candidate.serving).await?;
            found.smoke = serde_json::to_string(&smoke).map_err(Failure::failed)?;
            tried = Some(smoke);
        }
        let command = |verb: &str| {
            let connector = candidate.connector;
            format!("sluice connectors {verb} {} {}", connector.network(), connector.digest().short())
        };
        let Some(smoke) = tried else {
            if candidate.serving.is_none() {
                return Ok(Verdict::Serve);
            }
            let hint = Some("`sluice serve` or the network's next run tries it".to_owned());
            return Ok(Verdict::Wait(Reason { reason: "it was not tried on kept responses yet".to_owned(), hint }));
        };
        if let Some(refused) = refused(&smoke, word, &command("approve")) {
            return Ok(Verdict::Refuse(refused));
        }
        let verdict = match candidate.serving {
            Some(_) if word != Some(Decision::Promote) => {
                let settings = swap_settings(&self.settings.networks_dir, candidate.connector.network())?;
                by_mode(settings, &parse(&found.comparison), &command)
            }
            _ => Verdict::Serve,
        };
        Ok(match verdict {
            Verdict::Serve if !self.acts && candidate.serving.is_some() => Verdict::Wait(Reason {
                reason: "it takes over with the network's next run".to_owned(),
                hint: Some("a running `sluice serve` switches within a second".to_owned()),
            }),
            verdict => verdict,
        })
    }

    async fn note(&self, candidate: &Candidate<'_>) -> Result<(), Failure> {
        if !self.acts {
            return Ok(());
        }
        let lake = self.lake().await?;
        let connector = candidate.connector;
        let (network, digest) = (connector.network(), connector.digest());
        let active = self.state.active(candidate.file, Some(network)).await?;
        // Another process may have been first.
        if active.is_some_and(|active| active.digest == digest) {
            return Ok(());
        }
        lake.put_connector(connector.component().clone()).await?;
        if let Some(signature) = candidate.signature {
            lake.put_signature(digest, signature).await?;
        }
        let active = Active {
            network: network.to_owned(),
            file: candidate.file.to_owned(),
            digest,
            version: connector.version().to_owned(),
            rights: serde_json::to_string(&Rights::of(connector.manifest())).map_err(Failure::failed)?,
            since: Utc::now(),
        };
        activate(lake, &self.state, &active, None).await
    }
}

impl Gate for Swaps {
    fn recorded(&self, file: &str, network: Option<&str>) -> Result<Option<Recorded>, Reason> {
        self.runtime.block_on(self.recall(file, network)).map_err(reason)
    }

    fn kept(&self, digest: Digest) -> Result<Kept, Reason> {
        self.runtime
            .block_on(async {
                let lake = self.lake().await?;
                let (component, signature) = (lake.connector(digest).await?, lake.signature(digest).await?);
                Ok(Kept { component: component.to_vec(), signature })
            })
            .map_err(reason)
    }

    fn judge(&self, candidate: &Candidate<'_>) -> Result<Verdict, Reason> {
        self.runtime.block_on(self.verdict(candidate)).map_err(reason)
    }

    fn activate(&self, candidate: &Candidate<'_>) -> Result<(), Reason> {
        self.runtime.block_on(self.note(candidate)).map_err(reason)
    }
}

/// Notes that a version serves: in the lake's history, then where running services look.
///
/// # Errors
/// The lake's or the state store's failure.
pub async fn activate(lake: &Lake, state: &State, active: &Active, rolled_back: Option<Digest>) -> Result<(), Failure> {
    let source = match rolled_back {
        None => active.file.clone(),
        Some(digest) => format!("{}{ROLLED_BACK}{digest}", active.file),
    };
    let row = ConnectorRow {
        network: active.network.clone(),
        version: active.version.clone(),
        digest: active.digest,
        activated_at: active.since,
        source: Some(source),
    };
    lake.append_connectors(&[row]).await?;
    state.note_active(active).await
}

/// Between a file's name and the digest that was rolled back, in the lake's history.
const ROLLED_BACK: &str = ", rolled back from ";

/// What serves a network by the lake's history, after the state store was lost; what was rolled back stays held.
///
/// # Errors
/// The lake's or the state store's failure.
pub async fn restore(lake: &Lake, state: &State, network: &str, file: &str) -> Result<Option<Active>, Failure> {
    let history = lake.activations(network).await?;
    let Some(last) = history.last() else { return Ok(None) };
    for row in &history {
        let held = row.source.as_deref().and_then(|source| Digest::from_hex(source.split_once(ROLLED_BACK)?.1));
        let Some(held) = held else { continue };
        let came_back = history.iter().any(|later| later.digest == held && later.activated_at > row.activated_at);
        if !came_back {
            state.record_decision(network, held, Decision::Hold).await?;
        }
    }
    let source = last.source.as_deref().unwrap_or(file);
    let active = Active {
        network: network.to_owned(),
        file: source.split_once(ROLLED_BACK).map_or(source, |(file, _)| file).to_owned(),
        digest: last.digest,
        version: last.version.clone(),
        rights: String::new(),
        since: last.activated_at,
    };
    state.note_active(&active).await?;
    Ok(Some(active))
}

/// What a candidate wants beyond the version that serves; none if that isn't known.
pub fn gained(candidate: &Candidate<'_>, active: Option<&Active>) -> Option<Vec<String>> {
    let rights = Rights::of(candidate.connector.manifest());
    let before = match (candidate.serving, active) {
        (Some(serving), _) => Rights::of(serving.manifest()),
        // The first version of all has the rights that `networks/*.json` give it.
        (None, None) => return Some(Vec::new()),
        (None, Some(active)) => serde_json::from_str(&active.rights).ok()?,
    };
    Some(rights.beyond(&before))
}

/// What the operator's words say of a candidate, if they decide.
fn by_words(
    candidate: &Candidate<'_>,
    active: Option<&Active>,
    word: Option<(Decision, DateTime<Utc>)>,
) -> Option<Verdict> {
    let connector = candidate.connector;
    let approve = format!("sluice connectors approve {} {}", connector.network(), connector.digest().short());
    let wait = |reason: String| Some(Verdict::Wait(Reason { reason, hint: Some(approve.clone()) }));
    if let Some((Decision::Hold, at)) = word {
        return wait(format!("{} was rolled back at {}", connector.version(), at.format("%F %T UTC")));
    }
    if let Some(active) = active.filter(|_| candidate.superseded)
        && word.is_none_or(|(_, at)| at <= active.since)
    {
        return wait(format!("{} serves since {}", active.version, active.since.format("%F %T UTC")));
    }
    match gained(candidate, active) {
        _ if word.is_some() => None,
        None => wait("what it wants can't be compared with the version that served before".to_owned()),
        Some(gained) if gained.is_empty() => None,
        Some(gained) => wait(format!("waiting for approval: {}", gained.join(", "))),
    }
}

/// Why a version isn't let in for what it did on kept responses.
fn refused(smoke: &Smoke, word: Option<Decision>, approve: &str) -> Option<Reason> {
    if let Some(fault) = &smoke.fault {
        let hint = "that is a bug of the connector: tell its author".to_owned();
        return Some(Reason { reason: format!("it fails {fault}"), hint: Some(hint) });
    }
    let doubt = smoke.doubt.as_ref().filter(|_| word.is_none())?;
    let hint = format!("if that is meant: {approve}");
    Some(Reason { reason: format!("on the latest kept responses: {doubt}"), hint: Some(hint) })
}

/// How the operator wants a good version to take over.
fn by_mode(settings: SwapSettings, compared: &Comparison, command: &impl Fn(&str) -> String) -> Verdict {
    let promote = || Some(command("promote"));
    match settings.mode {
        SwapMode::AtOnce => Verdict::Serve,
        SwapMode::Manual => Verdict::Wait(Reason { reason: "waits to be promoted".to_owned(), hint: promote() }),
        SwapMode::Shadow if compared.faults > 0 => {
            let first = compared.first_fault.as_deref().unwrap_or_default();
            let reason = format!("beside the running version it failed on {} responses: {first}", compared.faults);
            Verdict::Refuse(Reason { reason, hint: promote() })
        }
        SwapMode::Shadow if compared.slices < u64::from(settings.slices) => {
            let reason = format!("compared over {} of {} slices", compared.slices, settings.slices);
            Verdict::Shadow(Reason { reason, hint: promote() })
        }
        SwapMode::Shadow => {
            let share = compared.share();
            if settings.promote == Promote::Auto && share <= settings.max_diff {
                return Verdict::Serve;
            }
            let percent = share * 100.0;
            let reason = format!("compared over {} slices: {percent:.2} % of the rows differ", compared.slices);
            Verdict::Wait(Reason { reason, hint: promote() })
        }
    }
}

/// How a network's connector is swapped: by the strictest of the files that name it.
fn swap_settings(networks_dir: &std::path::Path, network: &str) -> Result<SwapSettings, Failure> {
    let all = network::load_all(networks_dir)?;
    let mut named = all.iter().filter(|file| file.content.connector == network).map(|file| file.content.swap);
    let first = named.next().unwrap_or_default();
    Ok(named.fold(first, SwapSettings::stricter))
}

fn parse<T: serde::de::DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

fn reason(failure: Failure) -> Reason {
    Reason { reason: describe(failure.error.as_ref()), hint: failure.hint }
}
