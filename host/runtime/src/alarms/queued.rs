//! Work beside the schedules that doesn't begin: queued backfills, replays and rebuilds, and maintenance.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::Severity;
use sluice_state::{BulkWork, FreeRun};

use super::fault::Fault;
use super::reads::Paused;
use super::rule::Rule;
use crate::app::App;
use crate::failure::Failure;
use crate::maintenance;
use crate::rebuild;
use crate::roles::Role;
use crate::take;

/// How long a run may wait without any of its network being begun: it comes after all that schedules name.
const STANDS_STILL: TimeDelta = TimeDelta::hours(24);

/// The networks whose queued work stands still. A pause holds for what reads; a part that comes after others isn't judged, these
/// are.
///
/// # Errors
/// The state store's failure.
pub(super) async fn standing_still(app: &App, paused: &Paused, now: DateTime<Utc>) -> Result<Vec<Fault>, Failure> {
    let is_late = |at: DateTime<Utc>| at <= now - STANDS_STILL;
    let mut first: BTreeMap<String, FreeRun> = BTreeMap::new();
    for run in app.state.free_runs().await? {
        let is_left_alone = run.work.is_none() && paused.has_file(&run.network);
        if !run.is_bulk || !is_late(run.queued_at) || is_left_alone || first.contains_key(&run.network) {
            continue;
        }
        let is_moving = take::bulk_taken_at(app, &run.network).await?.is_some_and(|last| !is_late(last));
        if !is_moving && !rebuild::queued::waits(app, &run).await? {
            first.insert(run.network.clone(), run);
        }
    }
    Ok(first.values().map(fault).collect())
}

/// That maintenance is late, where a service runs that would do it.
///
/// # Errors
/// The state store's failure.
pub(super) async fn late_maintenance(app: &App, now: DateTime<Utc>) -> Result<Option<Fault>, Failure> {
    let Some(late) = maintenance::overdue(app, now).await? else { return Ok(None) };
    let is_scheduler = |roles: &[String]| roles.iter().any(|role| role == Role::Scheduler.name());
    let services = app.state.services().await?;
    if !services.iter().any(|service| service.is_fresh(now) && is_scheduler(&service.roles)) {
        return Ok(None);
    }
    let summary = format!("the lake's maintenance is due for more than {} h", late.num_hours());
    let fault = Fault::new(Rule::Schedule, "maintenance", summary)
        .advice("see in the services' logs why it fails, or run it by hand: sluice maintain");
    Ok(Some(Fault { severity: Some(Severity::Warning), ..fault }))
}

fn fault(run: &FreeRun) -> Fault {
    let (name, work) = (&run.network, kind_of(run.work.as_ref()));
    let hours = STANDS_STILL.num_hours();
    let summary = format!("nobody goes on with the queued {work} of {name} for more than {hours} h");
    let since = run.queued_at.format("%F %T UTC");
    let fault = Fault::new(Rule::Schedule, format!("{name}/queue"), summary)
        .evidence([format!("run {}: waits since {since}", run.run_id)])
        .advice(
            "a service with the role `worker` begins it once no run of a schedule waits: see in its log why it doesn't, or \
             start another worker",
        );
    Fault { severity: Some(Severity::Warning), ..fault }
}

/// What people call it.
fn kind_of(work: Option<&BulkWork>) -> &'static str {
    match work {
        None => "backfill",
        Some(BulkWork::Replay { .. }) => "replay",
        Some(BulkWork::Rebuild { .. } | BulkWork::PlaceRebuild { .. }) => "rebuild",
    }
}
