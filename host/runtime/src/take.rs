//! Taking a run from the queue: claim its accounts, and begin it, or resume it where another process left it.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sluice_state::{BulkWork, Claim, FreeRun, NotedRun, RunEnd};

use crate::app::{App, Network, with_connector};
use crate::bulk::BulkPart;
use crate::failure::Failure;
use crate::run::{self, RunReport};
use crate::settings::network::{self, Loaded};
use crate::{rebuild, replay};

/// A run whose accounts this process has claimed.
pub struct Taken {
    network: Network,
    claim: Claim,
    noted: NotedRun,
}

/// The outcome of a run that was taken, or of a network of which none could be.
pub struct RunOutcome {
    /// The network's name in the settings.
    pub network: String,
    /// What it did; none if it failed without coming to an end, or was given up.
    pub report: Option<RunReport>,
    /// Why it didn't come to its end.
    pub failure: Option<Failure>,
}

impl RunOutcome {
    /// Whether a run of this network didn't come to its end.
    pub fn has_failed(&self, network: &str) -> bool {
        self.failure.is_some() && self.network == network
    }
}

/// The outcome of an attempt to take a run.
pub enum Attempt {
    /// It is this process's.
    Taken(Box<Taken>),
    /// It is a part of a rebuild that comes after others.
    Waits,
    /// Its network is paused: it would read.
    Paused,
    /// Another process was first, the run has ended, or its network is no longer in the settings.
    Missed,
}

/// The networks of which runs were tried in a pass over the queue: what keeps one from being taken keeps others too.
#[derive(Default)]
pub struct Tried {
    closed: HashSet<String>,
    /// Only what reads isn't tried any more.
    paused: HashSet<String>,
}

impl Tried {
    /// Whether a run needn't be tried.
    pub fn skips(&self, free: &FreeRun) -> bool {
        self.closed.contains(&free.network) || (free.work.is_none() && self.paused.contains(&free.network))
    }

    /// Has no further run of a network tried.
    pub fn close(&mut self, network: &str) {
        self.closed.insert(network.to_owned());
    }

    /// Notes an attempt. Behind a part that waits another one may be taken; otherwise one of a network is begun at a time.
    pub fn note(&mut self, free: &FreeRun, attempt: &Result<Attempt, Failure>) {
        match attempt {
            Ok(Attempt::Waits) => {}
            Ok(Attempt::Paused) => _ = self.paused.insert(free.network.clone()),
            Ok(Attempt::Taken(_) | Attempt::Missed) | Err(_) => self.close(&free.network),
        }
    }
}

/// Takes a run, if it can be. A pause holds for what reads, and not for work on what was read.
///
/// # Errors
/// A failure of the settings or the state store.
pub async fn take(app: &App, free: &FreeRun) -> Result<Attempt, Failure> {
    let Loaded { networks, broken } = network::load_each(&app.settings.networks_dir)?;
    if let Some((_, failure)) = broken.into_iter().find(|(name, _)| *name == free.network) {
        return Err(failure);
    }
    let settings = networks.into_iter().find(|settings| settings.name == free.network);
    let Some(settings) = settings else { return Ok(Attempt::Missed) };
    let network = with_connector(&app.registry, &app.settings, settings)?;
    if free.work.is_none() && is_paused(app, &free.network).await? {
        return Ok(Attempt::Paused);
    }
    // What comes before a part only gets less.
    if rebuild::queued::waits(app, free).await? {
        return Ok(Attempt::Waits);
    }
    let Some(claim) = app.state.try_claim(&free.network, &free.accounts).await? else { return Ok(Attempt::Missed) };
    match still_queued(app, free).await {
        Ok(Some(noted)) => Ok(Attempt::Taken(Box::new(Taken { network, claim, noted }))),
        other => {
            claim.release().await;
            other.map(|_| Attempt::Missed)
        }
    }
}

/// The run whose accounts are claimed now, unless it has ended between the look at the queue and the claim.
async fn still_queued(app: &App, free: &FreeRun) -> Result<Option<NotedRun>, Failure> {
    let noted = app.state.noted_run(&free.network, &free.run_id).await?;
    if noted.is_some() && free.is_bulk {
        let before = bulk_taken_at(app, &free.network).await?;
        app.state.note_happened(&bulk_entry(&free.network), before, Utc::now()).await?;
    }
    Ok(noted)
}

/// When a run of a network that has time was taken last.
///
/// # Errors
/// The state store's failure.
pub async fn bulk_taken_at(app: &App, network: &str) -> Result<Option<DateTime<Utc>>, Failure> {
    Ok(app.state.schedule_times("").await?.read_at(&bulk_entry(network), None))
}

/// The entry of that among the times of what happens by itself.
fn bulk_entry(network: &str) -> String {
    format!("bulk/{network}")
}

/// Whether a network as a whole is paused.
///
/// # Errors
/// The state store's failure.
pub async fn is_paused(app: &App, network: &str) -> Result<bool, Failure> {
    Ok(app.state.pauses(network).await?.iter().any(|pause| pause.account.is_none()))
}

impl Taken {
    /// The network's name in the settings.
    pub fn network(&self) -> &str {
        &self.noted.network
    }

    /// Carries the run out, and gives its accounts back. One that fails stays in the queue.
    pub async fn carry_out(self, app: &Arc<App>) -> RunOutcome {
        let Self { network, claim, noted } = self;
        let name = noted.network.clone();
        // On the heap: a run's future is larger than a worker's stack likes in a debug build.
        let outcome = claim.guard(Box::pin(carry_on(app, &network, &claim, noted))).await;
        claim.release().await;
        match outcome {
            Ok(report) => RunOutcome { network: name, report, failure: None },
            Err(failure) => RunOutcome { network: name, report: None, failure: Some(failure) },
        }
    }
}

async fn carry_on(
    app: &Arc<App>,
    network: &Network,
    claim: &Claim,
    noted: NotedRun,
) -> Result<Option<RunReport>, Failure> {
    let part = BulkPart { app, settings: &network.settings, claim, noted: &noted };
    match &noted.selection.work {
        Some(BulkWork::Replay { .. }) => {
            replay::queued::carry_out(&part).await?;
            return Ok(None);
        }
        Some(BulkWork::Rebuild { .. } | BulkWork::PlaceRebuild { .. }) => {
            rebuild::queued::carry_out(&part).await?;
            return Ok(None);
        }
        None => {}
    }
    if noted.starts > 0 {
        return run::resume(app, network, claim, noted).await;
    }
    if was_over(app, &noted).await? {
        return Ok(None);
    }
    let accounts = noted.selection.accounts.len();
    tracing::info!(network = noted.network, accounts, version = network.connector.version(), "run begins");
    run::begin(app, network, claim, noted).await.map(Some)
}

/// Whether a run that waits to be begun has ended already: the state store is a backup of before it began. It leaves the queue,
/// and what it was to read is unread.
async fn was_over(app: &App, noted: &NotedRun) -> Result<bool, Failure> {
    if !app.lake.runs_have(&noted.run_id).await? {
        return Ok(false);
    }
    let NotedRun { network, run_id, .. } = noted;
    tracing::warn!(network, run_id, "a queued run has ended before: the state store was put back from a backup");
    app.state.end_run(run_id, &RunEnd::Unread).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(network: &str, work: Option<BulkWork>) -> FreeRun {
        let (run_id, network) = (String::new(), network.to_owned());
        FreeRun { run_id, network, accounts: Vec::new(), work, is_bulk: true, queued_at: Utc::now() }
    }

    #[test]
    fn of_a_thousand_runs_of_a_network_one_is_tried_at_a_time() {
        let queued: Vec<FreeRun> = (0..1_000).map(|_| run("awin", None)).chain([run("cj", None)]).collect();
        let mut tried = Tried::default();
        let mut networks = Vec::new();
        for free in &queued {
            if !tried.skips(free) {
                networks.push(free.network.as_str());
                tried.note(free, &Ok(Attempt::Missed));
            }
        }
        assert_eq!(networks, ["awin", "cj"]);
    }

    #[test]
    fn what_waits_keeps_nothing_back_and_a_pause_only_what_reads() {
        let replay = run("awin", Some(BulkWork::Replay { connector: String::new() }));
        let mut tried = Tried::default();
        tried.note(&replay, &Ok(Attempt::Waits));
        assert!(!tried.skips(&run("awin", None)));
        tried.note(&run("awin", None), &Ok(Attempt::Paused));
        assert!(tried.skips(&run("awin", None)) && !tried.skips(&replay));
    }
}
