//! What a run would ask for first.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_fetch::Fetcher;
use sluice_model::SentRequest;
use sluice_state::{Selection, State};

use crate::adaptive::{self, AdaptiveRead};
use crate::app;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::settings::look_back::LookBackRule;
use crate::slices::{self, SliceJob};
use crate::text::span;
use crate::widths::Widths;

/// The first request of each page chain of each slice.
#[derive(Debug)]
pub struct Plan {
    /// By slice, in the order in which a run would begin them.
    pub requests: Vec<PlannedRequest>,
    /// Which windows are narrower than was asked for, one sentence each.
    pub clipped: Vec<String>,
    /// Why accounts can't be planned, one failure each.
    pub failures: Vec<Failure>,
}

/// A request that a run would send.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedRequest {
    /// The id of its slice.
    pub slice: String,
    /// Why its slice is read.
    pub why: String,
    /// Its key in the slice.
    pub key: String,
    /// The request, secrets masked.
    pub request: SentRequest,
}

/// Plans the slices of a selection without sending anything.
///
/// # Errors
/// A failure of the settings, or the connector's refusal.
pub async fn plan(
    settings: &Settings,
    network: &str,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<Plan, Failure> {
    let registry = app::open_registry_read_only(settings).await?;
    let network = app::find_network(&registry, settings, network)?;
    let fetcher = Fetcher::new(settings.fetch.clone())?;
    let state = State::open(&settings.state_url).await?;
    let widths = Widths::new(state.widths(&network.manifest().network).await?);
    let rules = slices::look_back_rules(&network);
    let (again, unread) = match rules.iter().any(|rule| rule.budget().is_some()) {
        true => adaptive::reads(&app::open_lake(settings).await?, &settings.limits, &network, selection, now).await?,
        false => Default::default(),
    };
    let limits = (&widths, settings.limits.slices_per_run);
    let jobs = slices::jobs(&network, &fetcher, selection, &again, limits, now).await?;
    let mut planned = Vec::new();
    for job in jobs.jobs {
        let (connector, slice) = (network.connector.clone(), Arc::new(job.slice.clone()));
        let requests = tokio::task::spawn_blocking(move || connector.plan(&slice)).await.map_err(Failure::failed)??;
        for request in &requests {
            let sent = job.account.preview(request)?;
            let why = why(&job, &rules, &again);
            planned.push(PlannedRequest { slice: job.slice.id(), why, key: request.key.clone(), request: sent });
        }
    }
    let clipped = jobs.left_out.into_iter().chain(unread).collect();
    Ok(Plan { requests: planned, clipped, failures: jobs.failures })
}

/// Why a slice is read: the rule, or what an adaptive rule expects of its window.
fn why(job: &SliceJob, rules: &[LookBackRule], again: &[AdaptiveRead]) -> String {
    let slice = &job.slice;
    if let Some(rule) = rules.iter().find(|rule| job.rule.as_ref().is_some_and(|key| *key == rule.key())) {
        return format!("look_back: {} d, every {}", rule.days, span(rule.every.into()));
    }
    let holds = |read: &&AdaptiveRead| {
        read.account == slice.account
            && read.stream == slice.stream
            && read.window.since < slice.window.until
            && slice.window.since < read.window.until
    };
    again.iter().find(holds).map_or_else(|| "asked for".to_owned(), |read| read.why.clone())
}
