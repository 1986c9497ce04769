//! How a version of a connector takes over: with no more rights than the operator gave, after it did well on kept
//! responses, and, if the settings say so, on live ones.
//!
//! What serves is noted in the state store before it serves, and kept in the lake before that. So it serves again
//! after a restart, whatever its file holds by then, and the commands can change it beside a running service.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use sluice_engine::Connector;
use sluice_fetch::FetchOptions;
use sluice_lake::Lake;
use sluice_model::{Digest, Slice, describe};
use sluice_state::{Active, CandidateStatus, Decision, State};
use tokio::sync::OnceCell;

use crate::compare::Comparison;
use crate::error::Error;
use crate::folder::{Candidate, Reason, Recorded, Ruling, ServingPolicy, StoredVersion};
use crate::history::{self, restore};
use crate::rights::Rights;
use crate::settings::{Promote, SwapMode, SwapSettings};
use crate::trial::{self, TrialReport};

/// Returns how a network's connector is swapped, read from the settings at each call.
pub(crate) type ReadSwapSettings = Arc<dyn Fn(&str) -> Result<SwapSettings, Error> + Send + Sync>;

/// Gives what a version would read with the operator's settings.
pub(crate) type PlanReads = Arc<dyn Fn(&Connector) -> Result<PlannedReads, Error> + Send + Sync>;

/// What a version would read with the operator's settings.
#[derive(Clone, Debug)]
pub enum PlannedReads {
    /// More slices than a run may have: with what to do about it.
    TooMany(Reason),
    /// As many as it may.
    Slices {
        /// The newest slice of each account, stream and look-back rule.
        newest: Vec<Slice>,
        /// How many requests one slice may have.
        requests_per_slice: usize,
    },
}

/// Waits until a guest of a network may run, by the network's id. The slot is given back when what comes is dropped.
pub type TakeGuestSlot = Arc<dyn Fn(&str) -> BoxFuture<'static, Box<dyn Send>> + Send + Sync>;

/// What a policy needs of the settings.
#[derive(Clone)]
pub struct PolicyOptions {
    /// Where the responses are that trials map: `file:…`, a path, or `s3://…`.
    pub lake_url: String,
    /// Limits of bodies that are unpacked for a trial.
    pub fetch: FetchOptions,
    /// How the connector of a network is swapped, by the network's slug.
    pub swap_settings: ReadSwapSettings,
    /// What a version would read, counted before it is made.
    pub planned_reads: PlanReads,
    /// Slots for guests that run at once: a trial's share them with those of runs.
    pub guest_slots: TakeGuestSlot,
}

/// Decides what may serve, by the operator's decisions and the network's responses.
pub struct Policy {
    lake: OnceCell<Lake>,
    options: PolicyOptions,
    /// Whether versions are tried, kept and recorded; otherwise only what is known is reported.
    acts: bool,
    state: Arc<State>,
}

impl Policy {
    /// For a process that runs networks.
    pub fn new(lake: Lake, state: Arc<State>, options: PolicyOptions) -> Self {
        Self { lake: OnceCell::new_with(Some(lake)), options, acts: true, state }
    }

    /// For a process that reports only: nothing is tried, switched or recorded.
    pub fn read_only(state: Arc<State>, options: PolicyOptions) -> Self {
        Self { lake: OnceCell::new(), options, acts: false, state }
    }

    async fn lake(&self) -> Result<&Lake, Error> {
        self.lake.get_or_try_init(|| async { Ok(Lake::open(&self.options.lake_url).await?) }).await
    }

    /// Adds what a shadow compared to what is known of it.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn add_comparison(&self, network: &str, candidate: Digest, more: &Comparison) -> Result<(), Error> {
        let mut found = self.state.candidate_status(network, candidate).await?.unwrap_or_default();
        let mut comparison: Comparison = parse(&found.comparison);
        comparison.merge(more);
        found.comparison = serde_json::to_string(&comparison)?;
        Ok(self.state.save_candidate(network, candidate, &found).await?)
    }

    async fn recall(&self, file: &str, network: Option<&str>) -> Result<Option<Recorded>, Error> {
        let active = match (self.state.active(file, network).await?, network) {
            (None, Some(network)) if self.acts => restore(self.lake().await?, &self.state, network, file).await?,
            (active, _) => active,
        };
        Ok(active.map(|active| Recorded { file: active.file, digest: active.digest }))
    }

    async fn ruling(&self, candidate: &Candidate<'_>) -> Result<Ruling, Error> {
        let connector = candidate.connector;
        let (network, digest) = (connector.network(), connector.digest());
        let active = self.state.active(candidate.file, Some(network)).await?;
        let decision = self.state.decision(network, digest).await?;
        let mut found = self.state.candidate_status(network, digest).await?.unwrap_or_default();
        let ruling = match by_decision(candidate, active.as_ref(), decision) {
            Some(ruling) => ruling,
            None => self.on_trial(candidate, decision.map(|(decision, _)| decision), &mut found).await?,
        };
        if self.acts {
            let (state, reason) = match &ruling {
                Ruling::Serve => ("serving", None),
                Ruling::Refuse(reason) => ("refused", Some(reason)),
                Ruling::Wait(reason) => ("waiting", Some(reason)),
                Ruling::Shadow(reason) => ("shadow", Some(reason)),
            };
            found.version = connector.version().to_owned();
            found.state = state.to_owned();
            found.reason = reason.map(|reason| reason.reason.clone()).unwrap_or_default();
            found.hint = reason.and_then(|reason| reason.hint.clone()).unwrap_or_default();
            self.state.save_candidate(network, digest, &found).await?;
        }
        Ok(ruling)
    }

    /// What a version would read, and then what the network's responses and the operator's settings say. The first version
    /// of all serves whatever it reads: a run that reads too much is refused by itself.
    async fn on_trial(
        &self,
        candidate: &Candidate<'_>,
        decision: Option<Decision>,
        found: &mut CandidateStatus,
    ) -> Result<Ruling, Error> {
        let planned = match candidate.serving {
            Some(_) => (self.options.planned_reads)(candidate.connector)?,
            None => PlannedReads::Slices { newest: Vec::new(), requests_per_slice: usize::MAX },
        };
        match planned {
            // No word of the operator's makes good what no run would carry out.
            PlannedReads::TooMany(reason) => Ok(Ruling::Refuse(reason)),
            PlannedReads::Slices { newest, requests_per_slice } => {
                self.on_responses(candidate, decision, found, (&newest, requests_per_slice)).await
            }
        }
    }

    /// What the network's responses and the operator's settings say.
    async fn on_responses(
        &self,
        candidate: &Candidate<'_>,
        decision: Option<Decision>,
        found: &mut CandidateStatus,
        planned: (&[Slice], usize),
    ) -> Result<Ruling, Error> {
        let against = candidate.serving.map(|serving| serving.digest().to_hex()).unwrap_or_default();
        let mut tried: Option<TrialReport> = Some(&found.trial).filter(|text| !text.is_empty()).map(|text| parse(text));
        if self.acts && tried.as_ref().is_none_or(|trial| trial.against != against) {
            let (connector, serving) = (candidate.connector, candidate.serving);
            let PolicyOptions { fetch, guest_slots, .. } = &self.options;
            let trial = trial::run(self.lake().await?, (fetch, guest_slots), connector, serving, planned);
            let trial = trial.await?;
            found.trial = serde_json::to_string(&trial)?;
            tried = Some(trial);
        }
        let command = |verb: &str| {
            let connector = candidate.connector;
            format!("sluice connectors {verb} {} {}", connector.network(), connector.digest().short())
        };
        let Some(trial) = tried else {
            if candidate.serving.is_none() {
                return Ok(Ruling::Serve);
            }
            let hint = Some("`sluice serve` or the network's next run tries it".to_owned());
            return Ok(Ruling::Wait(Reason { reason: "it was not tried on kept responses yet".to_owned(), hint }));
        };
        if let Some(refused) = refused(&trial, decision, &command("approve")) {
            return Ok(Ruling::Refuse(refused));
        }
        let ruling = match candidate.serving {
            Some(_) if decision != Some(Decision::Promote) => {
                let settings = (self.options.swap_settings)(candidate.connector.network())?;
                by_mode(settings, &parse(&found.comparison), &command)
            }
            _ => Ruling::Serve,
        };
        Ok(match ruling {
            Ruling::Serve if !self.acts && candidate.serving.is_some() => Ruling::Wait(Reason {
                reason: "it takes over with the network's next run".to_owned(),
                hint: Some("a running `sluice serve` switches within a second".to_owned()),
            }),
            ruling => ruling,
        })
    }

    async fn load(&self, digest: Digest) -> Result<StoredVersion, Error> {
        let lake = self.lake().await?;
        let (component, signature) = (lake.connector(digest).await?, lake.signature(digest).await?);
        Ok(StoredVersion { component: component.to_vec(), signature })
    }

    /// Notes that candidates serve; of each, false if it was rolled back since it was judged.
    async fn note(&self, candidates: &[Candidate<'_>]) -> Result<Vec<bool>, Error> {
        if !self.acts {
            return Ok(vec![true; candidates.len()]);
        }
        let lake = self.lake().await?;
        let (mut serve, mut new) = (vec![true; candidates.len()], Vec::new());
        for (place, candidate) in candidates.iter().enumerate() {
            let connector = candidate.connector;
            let (network, digest) = (connector.network(), connector.digest());
            let active = self.state.active(candidate.file, Some(network)).await?;
            // Another process may have been first.
            if active.is_some_and(|active| active.digest == digest) {
                continue;
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
                rights: serde_json::to_string(&Rights::of(connector.manifest()))?,
                since: Utc::now(),
            };
            new.push((place, active));
        }
        let (places, new): (Vec<usize>, Vec<Active>) = new.into_iter().unzip();
        for (place, serves) in places.into_iter().zip(history::take_over(lake, &self.state, &new).await?) {
            serve[place] = serves;
        }
        Ok(serve)
    }
}

#[async_trait]
impl ServingPolicy for Policy {
    async fn recorded(&self, file: &str, network: Option<&str>) -> Result<Option<Recorded>, Reason> {
        self.recall(file, network).await.map_err(reason)
    }

    async fn stored(&self, digest: Digest) -> Result<StoredVersion, Reason> {
        self.load(digest).await.map_err(reason)
    }

    async fn admit(&self, candidate: &Candidate<'_>) -> Result<Ruling, Reason> {
        self.ruling(candidate).await.map_err(reason)
    }

    async fn activate(&self, candidates: &[Candidate<'_>]) -> Vec<Result<(), Reason>> {
        let rolled_back = |candidate: &Candidate| Reason {
            reason: format!("{} was rolled back", candidate.connector.version()),
            hint: None,
        };
        match self.note(candidates).await.map_err(reason) {
            Ok(serve) => {
                let noted = candidates.iter().zip(serve);
                noted.map(|(candidate, serves)| serves.then_some(()).ok_or_else(|| rolled_back(candidate))).collect()
            }
            Err(reason) => vec![Err(reason); candidates.len()],
        }
    }
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

/// The ruling by the operator's decision, if that is enough.
fn by_decision(
    candidate: &Candidate<'_>,
    active: Option<&Active>,
    decision: Option<(Decision, DateTime<Utc>)>,
) -> Option<Ruling> {
    let connector = candidate.connector;
    let approve = format!("sluice connectors approve {} {}", connector.network(), connector.digest().short());
    let wait = |reason: String| Some(Ruling::Wait(Reason { reason, hint: Some(approve.clone()) }));
    if let Some((Decision::Hold, at)) = decision {
        return wait(format!("{} was rolled back at {}", connector.version(), at.format("%F %T UTC")));
    }
    if let Some(active) = active.filter(|_| candidate.superseded)
        && decision.is_none_or(|(_, at)| at <= active.since)
    {
        return wait(format!("{} serves since {}", active.version, active.since.format("%F %T UTC")));
    }
    match gained(candidate, active) {
        _ if decision.is_some() => None,
        None => wait("what it wants can't be compared with the version that served before".to_owned()),
        Some(gained) if gained.is_empty() => None,
        Some(gained) => wait(format!("waiting for approval: {}", gained.join(", "))),
    }
}

/// Why a version isn't let in for what it did on kept responses.
fn refused(trial: &TrialReport, decision: Option<Decision>, approve: &str) -> Option<Reason> {
    if let Some(fault) = &trial.fault {
        let hint = "that is a bug of the connector: tell its author".to_owned();
        return Some(Reason { reason: format!("it fails {fault}"), hint: Some(hint) });
    }
    let doubt = trial.doubt.as_ref().filter(|_| decision.is_none())?;
    let hint = format!("if that is meant: {approve}");
    let reason = if doubt.starts_with(trial::PLANS) {
        format!("it fails {doubt}")
    } else {
        format!("on the latest kept responses: {doubt}")
    };
    Some(Reason { reason, hint: Some(hint) })
}

/// How the operator wants a good version to take over.
fn by_mode(settings: SwapSettings, compared: &Comparison, command: &impl Fn(&str) -> String) -> Ruling {
    let promote = || Some(command("promote"));
    match settings.mode {
        SwapMode::AtOnce => Ruling::Serve,
        SwapMode::Manual => Ruling::Wait(Reason { reason: "waits to be promoted".to_owned(), hint: promote() }),
        SwapMode::Shadow if compared.faults > 0 => {
            let first = compared.first_fault.as_deref().unwrap_or_default();
            let reason = format!("beside the running version it failed on {} responses: {first}", compared.faults);
            Ruling::Refuse(Reason { reason, hint: promote() })
        }
        SwapMode::Shadow if compared.slices < u64::from(settings.slices) => {
            let reason = format!("compared over {} of {} slices", compared.slices, settings.slices);
            Ruling::Shadow(Reason { reason, hint: promote() })
        }
        SwapMode::Shadow => {
            let share = compared.share();
            if settings.promote == Promote::Auto && share <= settings.max_diff {
                return Ruling::Serve;
            }
            let percent = share * 100.0;
            let reason = format!("compared over {} slices: {percent:.2} % of the rows differ", compared.slices);
            Ruling::Wait(Reason { reason, hint: promote() })
        }
    }
}

fn parse<T: serde::de::DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

fn reason(error: Error) -> Reason {
    Reason { reason: describe(&error), hint: error.hint() }
}
