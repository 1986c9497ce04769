//! What a job does: the same as the command of its name, without its arguments for people.

use std::sync::Arc;

use chrono::Utc;
use serde::Serialize;
use serde_json::{Value, json};
use sluice_state::{JobState, Selection, Verb};

use crate::app::{App, network_settings};
use crate::backfill;
use crate::failure::Failure;
use crate::pauses::known_account;
use crate::rebuild::{self, queued::QueuedRebuild};
use crate::replay::conditions::Condition;
use crate::replay::{self, ReplayConnector, ReplayRequest, report};
use crate::run::{self, RunReport};
use crate::tables::RawSelection;

/// What is to be done.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Collect a network, or an account of it, and build its tables: `sluice run`.
    Run {
        /// The network's name in the settings.
        network: String,
        /// Which part of it.
        selection: Selection,
    },
    /// Read a range of history month by month: `sluice backfill`.
    Backfill {
        /// The network's name in the settings.
        network: String,
        /// Which part of it, with a window.
        selection: Selection,
        /// Only queue it for the services that run.
        queue: bool,
    },
    /// Map history with another version of a connector: `sluice replay`.
    Replay(ReplayWork),
    /// Rebuild all tables from raw: `sluice build --from-raw`.
    Rebuild {
        /// Although raw no longer holds everything.
        lossy: bool,
        /// Only queue it for the services that run.
        queue: bool,
    },
}

/// Which history to map again, by which version.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayWork {
    /// The network's name in the settings.
    pub network: String,
    /// A version that the lake keeps: a digest, its beginning, or a version's name; none: the one that serves.
    pub version: Option<String>,
    /// Which responses.
    pub selection: Selection,
    /// Conditions of `--fail-if`.
    pub fail_if: Vec<String>,
    /// Write what differs, instead of only comparing.
    pub apply: bool,
    /// Only queue it for the services that run.
    pub queue: bool,
}

impl Work {
    /// What the job is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Backfill { .. } => "backfill",
            Self::Replay(_) => "replay",
            Self::Rebuild { .. } => "rebuild",
        }
    }

    /// Fails if it can't be done as it is asked for: what the settings alone tell.
    ///
    /// # Errors
    /// A usage failure that names what isn't there.
    pub fn check(&self, app: &App) -> Result<(), Failure> {
        let (network, selection) = match self {
            Self::Rebuild { .. } => return Ok(()),
            Self::Run { network, selection } => (network, selection),
            Self::Backfill { network, selection, .. } => {
                backfill::check(selection)?;
                (network, selection)
            }
            Self::Replay(ReplayWork { network, selection, fail_if, apply, queue, .. }) => {
                fail_if.iter().try_for_each(|text| Condition::parse(text).map(drop))?;
                if *queue && !(*apply && fail_if.is_empty()) {
                    return Err(Failure::usage("a replay that only compares, or has conditions, isn't queued")
                        .hint("leave `queue` out"));
                }
                (network, selection)
            }
        };
        let settings = network_settings(&app.settings, network)?;
        match &selection.account {
            Some(account) => known_account(&settings, account).map(drop),
            None => Ok(()),
        }
    }

    /// Does it. What the command would print, and whether all of it was done.
    ///
    /// # Errors
    /// The command's failure.
    pub(super) async fn carry_out(&self, app: &Arc<App>) -> Result<(JobState, Value), Failure> {
        match self {
            Self::Run { network, selection } => {
                let of = app.network(network)?;
                let claim = app.claim(network).await?;
                let report = claim.guard(Box::pin(run::run(app, &of, &claim, Verb::Run, selection))).await;
                claim.release().await;
                of_runs(&[report?])
            }
            Self::Backfill { network, selection, queue: true } => {
                let runs = backfill::queue(app, network, selection).await?;
                Ok((JobState::Done, json!({"network": network, "queued": runs})))
            }
            Self::Backfill { network, selection, .. } => {
                let done = Box::pin(backfill::backfill(app, network, selection)).await?;
                of_runs(&done.reports)
            }
            Self::Replay(work) => Box::pin(work.carry_out(app)).await,
            Self::Rebuild { lossy, queue: true } => {
                let QueuedRebuild { rebuild_id, parts, runs, left } = rebuild::queued::queue(app, *lossy).await?;
                let result = json!({"rebuild": rebuild_id, "queued": parts, "runs": runs, "left": left});
                Ok((JobState::Done, result))
            }
            Self::Rebuild { lossy, .. } => {
                let tables = Box::pin(rebuild::rebuild(app, *lossy)).await?;
                Ok((JobState::Done, serde_json::to_value(tables).map_err(Failure::failed)?))
            }
        }
    }
}

impl ReplayWork {
    async fn carry_out(&self, app: &Arc<App>) -> Result<(JobState, Value), Failure> {
        let Self { network, version, selection, fail_if, apply, queue } = self;
        let settings = network_settings(&app.settings, network)?;
        let conditions = fail_if.iter().map(|text| Condition::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let selection = RawSelection {
            account: selection.account.as_deref().map(|named| settings.account_id(named)),
            stream: selection.stream.clone(),
            run_id: None,
            window: selection.window(Utc::now()),
        };
        let candidate = version.clone().map_or(ReplayConnector::Running, ReplayConnector::Stored);
        let connector = replay::connector(app, &settings, &candidate).await?;
        if *queue {
            let queued = replay::queued::queue(app, &settings, &connector, &selection).await?;
            let result = json!({"network": network, "queued": queued.months, "replay": queued.replay_id});
            return Ok((JobState::Done, result));
        }
        let request = ReplayRequest { connector: &connector, selection: &selection, conditions: &conditions };
        let outcome =
            if *apply { replay::apply(app, &settings, &request).await? } else { replay::diff(app, &request).await? };
        // A condition that holds is the command's failure; what differs is its result all the same.
        let holds = outcome.results.iter().any(|result| result.holds);
        let state = if holds { JobState::Failed } else { JobState::Done };
        Ok((state, report::json(network, &outcome)))
    }
}

/// The outcome of runs: that of the worst.
fn of_runs(reports: &[RunReport]) -> Result<(JobState, Value), Failure> {
    let has = |status: &str| reports.iter().any(|report| report.status == status);
    let state = match (has("failed"), has("doubtful")) {
        (true, _) => JobState::Failed,
        (false, true) => JobState::Doubtful,
        (false, false) => JobState::Done,
    };
    Ok((state, serde_json::to_value(reports).map_err(Failure::failed)?))
}
