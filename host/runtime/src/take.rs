//! Taking a run from the queue: claim its accounts, and begin it, or resume it where another process left it.

use std::sync::Arc;

use sluice_state::{Claim, FreeRun, NotedRun};

use crate::app::{App, Network, with_connector};
use crate::failure::Failure;
use crate::replay;
use crate::run::{self, RunReport};
use crate::settings::network::{self, Loaded};

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

/// Takes a run. None if another process was first, the run has ended, or its network is paused or no longer in the settings.
///
/// # Errors
/// A failure of the settings or the state store.
pub async fn take(app: &App, free: &FreeRun) -> Result<Option<Taken>, Failure> {
    let Loaded { networks, broken } = network::load_each(&app.settings.networks_dir)?;
    if let Some((_, failure)) = broken.into_iter().find(|(name, _)| *name == free.network) {
        return Err(failure);
    }
    let Some(settings) = networks.into_iter().find(|settings| settings.name == free.network) else { return Ok(None) };
    let network = with_connector(&app.registry, &app.settings, settings)?;
    if is_paused(app, &free.network).await? {
        return Ok(None);
    }
    let Some(claim) = app.state.try_claim(&free.network, &free.accounts).await? else { return Ok(None) };
    // It may have ended between the look at the queue and the claim.
    let noted = app.state.noted_run(&free.network, &free.run_id).await;
    match noted {
        Ok(Some(noted)) => Ok(Some(Taken { network, claim, noted })),
        other => {
            claim.release().await;
            other?;
            Ok(None)
        }
    }
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
    if noted.selection.work.is_some() {
        replay::queued::carry_out(app, &network.settings, claim, &noted).await?;
        return Ok(None);
    }
    if noted.starts > 0 {
        return run::resume(app, network, claim, noted).await;
    }
    let accounts = noted.selection.accounts.len();
    tracing::info!(network = noted.network, accounts, version = network.connector.version(), "run begins");
    run::begin(app, network, claim, noted).await.map(Some)
}
