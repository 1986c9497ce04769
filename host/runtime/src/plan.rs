//! What a run would ask for first.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_fetch::Fetcher;
use sluice_model::SentRequest;
use sluice_state::{Selection, State};

use crate::app;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::slices;
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
    let jobs = slices::jobs(&network, &fetcher, selection, &widths, settings.limits.slices_per_run, now).await?;
    let mut planned = Vec::new();
    for job in jobs.jobs {
        let (connector, slice) = (network.connector.clone(), Arc::new(job.slice.clone()));
        let requests = tokio::task::spawn_blocking(move || connector.plan(&slice)).await.map_err(Failure::failed)??;
        for request in &requests {
            let sent = job.account.preview(request)?;
            planned.push(PlannedRequest { slice: job.slice.id(), key: request.key.clone(), request: sent });
        }
    }
    Ok(Plan { requests: planned, clipped: jobs.left_out, failures: jobs.failures })
}
