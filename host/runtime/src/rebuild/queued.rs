//! A rebuild in the queue: a part for each network and month, which services take when nothing else waits.
//!
//! Networks don't depend on each other. Of a network, versions are numbered and what vanished is found in the order in which it
//! was observed, so its months are done one after another, by whichever host is free. They are mapped into the tables
//! of the rebuild, which nobody reads. The last step, under claims of all networks, maps what was read since the parts were
//! cut, and puts all tables in place: as a rebuild in one process does.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_lake::{Counts, DoubtRow, DoubtState, Fence, RunRow};
use sluice_model::Digest;
use sluice_state::{BulkWork, Claim, FreeRun, NotedRun, RunEnd, Selection};
use uuid::Uuid;

use super::runs::{NetworksById, RunMapper};
use super::{Rebuilding, RunsByNetwork, finish, lacks_raw, require_raw};
use crate::app::{App, Network, fence};
use crate::bulk::{BulkPart, MAX_STARTS};
use crate::claims::{Claims, networks_of};
use crate::failure::Failure;
use crate::network::connector_ref;
use crate::record;
use crate::replay::{self, ReplayConnector};
use crate::settings::network::NetworkSettings;

/// How far the clocks of hosts may differ, by which runs get their ids.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// The part that puts the tables in place, behind all others.
const LAST: &str = "99999999";

/// What was queued.
pub struct QueuedRebuild {
    /// The rebuild's id.
    pub rebuild_id: String,
    /// How many parts hosts share.
    pub parts: usize,
    /// How many runs are in them.
    pub runs: usize,
    /// How many runs are left to the last step: what was read lately, what waits to be read, and what is behind an open doubt.
    pub left: usize,
}

/// The rebuild that waits in the queue, if there is one.
///
/// # Errors
/// The state store's failure.
pub async fn waiting(app: &App) -> Result<Option<String>, Failure> {
    let queued = app.state.queued_work().await?;
    Ok(queued.iter().find_map(|(_, work)| work.as_ref()?.rebuild().map(str::to_owned)))
}

/// Queues a rebuild of all tables by the connectors that serve now.
///
/// # Errors
/// A usage failure if one is queued; as [`super::rebuild`].
pub async fn queue(app: &App, lossy: bool) -> Result<QueuedRebuild, Failure> {
    require_raw(app, lossy).await?;
    if let Some(id) = waiting(app).await? {
        return Err(Failure::usage(format!("rebuild {id} is queued already"))
            .hint("a service goes on with it; `sluice build --from-raw` without --queue takes its place"));
    }
    let networks = NetworksById::load(app)?;
    let until = horizon(app).await?;
    let RunsInRaw { before: runs, later } = RunsInRaw::of(app, &until).await?;
    let rebuild_id = Uuid::now_v7().to_string();
    let mut queued = Vec::new();
    for (network, runs) in &runs {
        let connector = &networks.network(network)?.connector;
        app.lake.put_connector(connector.component().clone()).await?;
        let first = first_network(app, network)?;
        for month in months(runs) {
            let part = format!("{:08}.{network}", queued.len());
            app.lake.put_rebuild_part(&rebuild_id, &part, month).await?;
            let connector = connector.digest().to_hex();
            let work = BulkWork::Rebuild { rebuild: rebuild_id.clone(), part: part.clone(), connector };
            queued.push((first.clone(), format!("{rebuild_id}.{part}"), selection(work)));
        }
    }
    app.lake.close_rebuild_plan(&rebuild_id).await?;
    let parts = queued.len();
    let plan = plan(&runs, &networks);
    let work = BulkWork::PlaceRebuild { rebuild: rebuild_id.clone(), until, plan, lossy };
    let names = networks.iter().map(|(_, network)| network.settings.name.clone());
    let first = names.min().ok_or_else(|| Failure::usage("no network is set up: there is nothing to rebuild"))?;
    queued.push((first, format!("{rebuild_id}.{LAST}"), selection(work)));
    app.state.queue_bulk_of_all(&queued).await?;
    let runs = runs.values().map(Vec::len).sum();
    Ok(QueuedRebuild { rebuild_id, parts, runs, left: later.len() })
}

fn selection(work: BulkWork) -> Selection {
    Selection { work: Some(work), ..Selection::default() }
}

/// Of several files that name a connector the first, under which parts are claimed.
fn first_network(app: &App, id: &str) -> Result<String, Failure> {
    let first = networks_of(app, id)?.into_iter().next();
    first.ok_or_else(|| Failure::settings(format!("no file in networks/ names connector `{id}`")))
}

/// An id that only runs are before to which nothing is added any more: not those that are queued or interrupted, nor those of
/// which a doubt is open.
async fn horizon(app: &App) -> Result<String, Failure> {
    let millis = u64::try_from((Utc::now() - CLOCK_TOLERANCE).timestamp_millis()).unwrap_or_default();
    let now = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid().to_string();
    let reading = app.state.queued_work().await?.into_iter().filter(|(_, work)| work.is_none()).map(|(id, _)| id);
    let holds_back = |doubt: &DoubtRow| matches!(doubt.state, DoubtState::Open) && doubt.request_ids != "[]";
    let doubts = app.lake.doubts(None).await?.into_iter().filter(holds_back);
    Ok(reading.chain(doubts.map(|doubt| doubt.run_id)).fold(now, Ord::min))
}

/// All runs in raw, oldest first.
struct RunsInRaw {
    /// Those whose ids are before another one.
    before: RunsByNetwork,
    later: Vec<String>,
}

impl RunsInRaw {
    async fn of(app: &App, until: &str) -> Result<Self, Failure> {
        let (early, later) = app.lake.raw_runs().await?.into_iter().partition(|run| run.as_str() < until);
        let mut before = RunsByNetwork::new();
        for (run, network) in app.lake.networks_of_runs(early).await? {
            before.entry(network).or_default().push(run);
        }
        Ok(Self { before, later })
    }
}

/// Runs, oldest first, cut at the ends of months. One whose id doesn't state its time belongs to the month before.
fn months(runs: &[String]) -> impl Iterator<Item = &[String]> {
    let month = |run: &String| {
        let (secs, _) = Uuid::parse_str(run).ok()?.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(secs).ok()?, 0).map(|at| at.format("%Y%m").to_string())
    };
    runs.chunk_by(move |a, b| month(b).is_none_or(|of| month(a) == Some(of)))
}

/// The digest of what the parts are cut from, and of the connectors that map.
fn plan(runs: &RunsByNetwork, networks: &NetworksById) -> String {
    let connectors: BTreeMap<&String, String> =
        networks.iter().map(|(id, network)| (id, network.connector.digest().to_hex())).collect();
    Digest::of(format!("{runs:?}\n{connectors:?}").as_bytes()).to_hex()
}

/// Whether a part of a rebuild waits for others: a month for those of its network before, the last step for all.
///
/// # Errors
/// The state store's failure.
pub async fn waits(app: &App, free: &FreeRun) -> Result<bool, Failure> {
    let Some(work) = &free.work else { return Ok(false) };
    let network = match work {
        BulkWork::Replay { .. } => return Ok(false),
        BulkWork::Rebuild { part, .. } => part.split_once('.').map(|(_, network)| network),
        BulkWork::PlaceRebuild { .. } => None,
    };
    let is_before = |(run_id, of): &(String, Option<BulkWork>)| {
        let of = of.as_ref();
        let is_of_network = network.is_none_or(|network| run_id.ends_with(&format!(".{network}")));
        of.and_then(BulkWork::rebuild) == work.rebuild() && *run_id < free.run_id && is_of_network
    };
    Ok(app.state.queued_work().await?.iter().any(is_before))
}

/// Carries out a part of a rebuild. One that was begun too often ends the rebuild.
///
/// # Errors
/// The failure of the lake or the state store: the part stays in the queue.
pub(crate) async fn carry_out(part: &BulkPart<'_>) -> Result<(), Failure> {
    let BulkPart { app, settings, claim, noted } = *part;
    let Some(work) = &noted.selection.work else { return Ok(()) };
    let Some(rebuild) = work.rebuild() else { return Ok(()) };
    if part.is_spent() {
        let reason = format!("part {} ended its process {MAX_STARTS} times", noted.run_id);
        return give_up(app, claim, rebuild, &reason).await;
    }
    let mut started = part.begin().await?;
    let done = match work {
        BulkWork::PlaceRebuild { until, plan, lossy, .. } => {
            let last = LastStep { rebuild, until, plan, lossy: *lossy, started_at: noted.started_at };
            last.carry_out(app, settings, claim).await
        }
        _ => carry_out_month(app, settings, claim, &mut started).await,
    };
    match done {
        Ok(Done::Whole) => Ok(app.state.end_run(&noted.run_id, &RunEnd::all_read()).await?),
        Ok(Done::GivenUp(reason)) => give_up(app, claim, rebuild, &reason).await,
        Err(failure) => {
            part.forgive(started).await?;
            Err(failure)
        }
    }
}

/// How a part ended.
enum Done {
    Whole,
    /// What it was cut from is another by now.
    GivenUp(String),
}

/// Forgets a rebuild. Nothing is replaced, unless its last step was interrupted at that.
async fn give_up(app: &App, claim: &Claim, rebuild: &str, reason: &str) -> Result<(), Failure> {
    let left = if app.lake.is_half_rebuilt().await? {
        "some tables are new and others old: run `sluice build --from-raw`"
    } else {
        "nothing was replaced"
    };
    tracing::error!(rebuild, reason, "the rebuild is given up, and {left}");
    app.lake.remove_new_tables().await?;
    app.state.forget_queued(rebuild).await?;
    let row = record::offline(rebuild, "*", "rebuild", Utc::now(), None, Counts::default());
    let row = RunRow { outcome: "failed".to_owned(), error: Some(format!("{reason}; {left}")), ..row };
    Ok(app.lake.append_runs(&[row], Some(fence(claim))).await?)
}

/// Maps the runs of a month that aren't mapped yet. After each, `started` has how many are.
async fn carry_out_month(
    app: &Arc<App>,
    settings: &NetworkSettings,
    claim: &Claim,
    started: &mut NotedRun,
) -> Result<Done, Failure> {
    let Some(BulkWork::Rebuild { rebuild, part, connector }) = started.selection.work.clone() else {
        return Ok(Done::Whole);
    };
    let Some(runs) = app.lake.rebuild_part(&rebuild, &part).await? else {
        return Ok(Done::GivenUp("another rebuild has taken its place".to_owned()));
    };
    let mut network = app.network(&settings.name)?;
    network.connector = replay::connector(app, settings, &ReplayConnector::Stored(connector)).await?;
    let others = Claims::of_others(app, &settings.content.connector, &settings.name, Some(claim.network())).await?;
    let fence = others.fence().unwrap_or_else(|| fence(claim));
    let month = Month { rebuild, runs, fence };
    let mapped = others.guard(month.map(app, network, started)).await;
    others.release().await;
    mapped.map(|()| Done::Whole)
}

/// A part whose networks are claimed.
struct Month {
    rebuild: String,
    runs: Vec<String>,
    fence: Fence,
}

impl Month {
    async fn map(&self, app: &Arc<App>, network: Network, started: &mut NotedRun) -> Result<(), Failure> {
        let began_at = Utc::now();
        let by = connector_ref(&network.connector);
        let name = network.settings.name.clone();
        let networks = NetworksById::only(app, network)?;
        let fresh = app.lake.new_tables(&self.rebuild);
        let mut mapper = RunMapper::new(app, &fresh, &networks, Some(self.fence.clone())).await?;
        let mapped = usize::try_from(started.kept).unwrap_or(usize::MAX);
        for run in self.runs.iter().skip(mapped) {
            mapper.map(run).await?;
            // Who comes further may be interrupted any number of times.
            (started.kept, started.starts) = (started.kept + 1, 1);
            app.state.note_start(started).await?;
        }
        if !app.lake.runs_have(&started.run_id).await? {
            let row = record::offline(&started.run_id, &name, "rebuild", began_at, Some(&by), mapper.counts());
            app.lake.append_runs(&[row], Some(self.fence.clone())).await?;
        }
        tracing::info!(run_id = started.run_id, runs = self.runs.len(), "a month was mapped for a rebuild");
        Ok(())
    }
}

/// The last step of a rebuild.
struct LastStep<'a> {
    rebuild: &'a str,
    until: &'a str,
    plan: &'a str,
    lossy: bool,
    started_at: DateTime<Utc>,
}

impl LastStep<'_> {
    async fn carry_out(&self, app: &Arc<App>, settings: &NetworkSettings, claim: &Claim) -> Result<Done, Failure> {
        let others = Claims::of_all(app, Some(&settings.name)).await?;
        let fence = others.fence().unwrap_or_else(|| fence(claim));
        let done = others.guard(self.place(app, fence)).await;
        others.release().await;
        done
    }

    async fn place(&self, app: &Arc<App>, fence: Fence) -> Result<Done, Failure> {
        if app.lake.runs_have(self.rebuild).await? {
            // Whoever had it before came to no end after that; the new tables may be deleted in part.
            app.lake.remove_new_tables_of(self.rebuild).await?;
            tracing::info!(rebuild = self.rebuild, "all tables were rebuilt before this step was interrupted");
            return Ok(Done::Whole);
        }
        if !app.lake.has_rebuild_plan(self.rebuild).await? {
            return Ok(Done::GivenUp("another rebuild has taken its place".to_owned()));
        }
        if let Some(reason) = lacks_raw(app, self.lossy).await? {
            return Ok(Done::GivenUp(reason));
        }
        let networks = NetworksById::load(app)?;
        let runs = RunsInRaw::of(app, self.until).await?;
        if plan(&runs.before, &networks) != self.plan {
            let reason = "since it was queued a connector was exchanged, or runs came or went that are older than that";
            return Ok(Done::GivenUp(reason.to_owned()));
        }
        let started_at = self.started_at;
        let of = Rebuilding { id: self.rebuild, is_shared: true, fence: Some(fence), started_at };
        let tables = Box::pin(finish(app, &networks, &of, &runs.later)).await?;
        tracing::info!(
            rebuild = self.rebuild,
            tables = tables.len(),
            runs = runs.later.len(),
            "all tables were rebuilt"
        );
        Ok(Done::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_at(text: &str) -> String {
        let millis = DateTime::parse_from_rfc3339(text).map_or(0, |at| at.timestamp_millis());
        uuid::Builder::from_unix_timestamp_millis(millis.unsigned_abs(), &[7; 10]).into_uuid().to_string()
    }

    #[test]
    fn runs_are_cut_where_a_month_begins() {
        let times = ["2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-04-01T00:00:00Z"];
        let runs: Vec<String> = times.into_iter().map(run_at).collect();
        let lengths: Vec<usize> = months(&runs).map(<[String]>::len).collect();
        assert_eq!(lengths, [1, 2, 1]);
        assert!(runs.is_sorted(), "ids begin with their time");
        assert_eq!(months(&["a".to_owned(), "b".to_owned()]).count(), 1);
    }
}
