//! Rebuilding all tables from raw alone, run by run, by the connectors that serve now.
//!
//! `rebuild` does it in one process, which has claimed all networks. [`queued`] cuts it into parts that hosts share.

pub mod queued;
mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_lake::{Fence, Rebuilt};
use sluice_model::Step;

use self::runs::{NetworksById, RunMapper};
use crate::app::App;
use crate::claims::Claims;
use crate::failure::Failure;
use crate::meter::Unit;
use crate::{record, step, tables};

/// A table that was rebuilt.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// Its name with its schema.
    pub table: String,
    /// How many rows the table had before.
    pub rows_before: u64,
    /// Its rows now.
    pub rows: u64,
}

/// Rebuilds all tables from raw, then replaces the old ones. It takes the place of a rebuild that is queued.
///
/// # Errors
/// A failure if raw holds responses of a network that no settings know, or, unless it may be `lossy`, if raw no longer
/// holds all that the tables were made from: then nothing is replaced. The lake's failure.
pub async fn rebuild(app: &Arc<App>, lossy: bool) -> Result<Vec<TableReport>, Failure> {
    let claims = Claims::of_all(app, None).await?;
    let rebuilt = claims.guard(rebuild_all(app, lossy, claims.fence())).await;
    claims.release().await;
    rebuilt
}

async fn rebuild_all(app: &Arc<App>, lossy: bool, fence: Option<Fence>) -> Result<Vec<TableReport>, Failure> {
    let started_at = Utc::now();
    require_raw(app, lossy).await?;
    let networks = NetworksById::load(app)?;
    if let Some(queued) = queued::waiting(app).await? {
        tracing::warn!(rebuild = queued, "the rebuild that was queued is forgotten: this one takes its place");
        app.state.forget_queued(&queued).await?;
    }
    app.lake.remove_new_tables().await?;
    let runs = app.lake.raw_runs().await?;
    let id = uuid::Uuid::now_v7().to_string();
    finish(app, &networks, &Rebuilding { id: &id, is_shared: false, fence, started_at }, &runs).await
}

/// # Errors
/// A failure, unless it may be `lossy`, if raw no longer holds all that the tables were made from.
async fn require_raw(app: &App, lossy: bool) -> Result<(), Failure> {
    match lacks_raw(app, lossy).await? {
        None => Ok(()),
        Some(reason) => Err(Failure::failed(anyhow::anyhow!(reason))
            .hint("keep the tables; to give up what only they know, run `sluice build --from-raw --lossy`")),
    }
}

/// What raw no longer holds of what the tables were made from; nothing counts if it may be `lossy`.
async fn lacks_raw(app: &App, lossy: bool) -> Result<Option<String>, Failure> {
    let gone = app.lake.raw_lacks().await?;
    let is_lost = !gone.is_nothing() && !lossy;
    Ok(is_lost.then(|| format!("{}: tables made from it would lose their history", tables::missing_raw(&gone))))
}

/// A rebuild whose last step is taken.
struct Rebuilding<'a> {
    id: &'a str,
    /// Whether its parts were mapped before.
    is_shared: bool,
    /// The lease of the process; none without networks.
    fence: Option<Fence>,
    started_at: DateTime<Utc>,
}

/// Maps the runs that are left, puts the new tables in the place of the old ones, and records the rebuild. All networks must be
/// claimed.
async fn finish(
    app: &Arc<App>,
    networks: &NetworksById,
    of: &Rebuilding<'_>,
    runs: &[String],
) -> Result<Vec<TableReport>, Failure> {
    let rebuild = app.lake.rebuild(of.id, &networks.ids(), of.fence.clone()).await?;
    if of.is_shared && !app.lake.has_rebuild_plan(of.id).await? {
        return Err(Failure::failed(anyhow::anyhow!(
            "another process has deleted the new tables of rebuild {}",
            of.id
        )));
    }
    let fresh = rebuild.lake();
    let mut mapper = RunMapper::new(app, fresh, networks, of.fence.clone()).await?;
    app.meter.begin("build all tables from raw", Unit::Runs, runs.len() as u64);
    for run in runs {
        mapper.map(run).await?;
        app.meter.done(Unit::Runs);
    }
    let counts = mapper.counts();
    fresh.note_connectors_of_requests().await?;
    app.meter.rename("put the new tables in place");
    let rebuilt = rebuild.put_in_place().await?;
    let row = record::offline(of.id, "*", "rebuild", of.started_at, None, counts);
    app.lake.append_runs(&[row], of.fence.clone()).await?;
    step::passed(Step::RebuildNoted);
    // Only now: as long as it may be begun again, it needs them.
    app.lake.remove_new_tables_of(of.id).await?;
    Ok(rebuilt.into_iter().map(report).collect())
}

fn report(rebuilt: Rebuilt) -> TableReport {
    TableReport { table: rebuilt.table, rows_before: rebuilt.rows_before, rows: rebuilt.rows }
}

/// Runs by the network that each read, oldest first.
type RunsByNetwork = BTreeMap<String, Vec<String>>;
