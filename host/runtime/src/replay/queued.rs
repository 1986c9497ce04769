//! A replay in the queue: a run for each month, which services take when nothing else waits.
//!
//! Each month is atomic by itself, the replay as a whole isn't: a partial selection compares nothing that it can't know of
//! (decision 13), so months may come in any order and on any host. They are called after the replay, `<replay>.<month>`, so that
//! one rollback finds all of them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sluice_engine::Connector;
use sluice_lake::{Counts, Error as LakeError, RunRow};
use sluice_model::{ErrorKind, Window};
use sluice_state::{BulkWork, RunEnd, Selection};

use super::{ReplayConnector, ReplayRequest, apply_all, connector};
use crate::app::{App, fence, open_session};
use crate::backfill::months;
use crate::bulk::{BulkPart, MAX_STARTS};
use crate::claims::{Claims, networks_of};
use crate::duplicates::{quoted, texts};
use crate::failure::Failure;
use crate::record;
use crate::settings::network::NetworkSettings;
use crate::tables::RawSelection;

/// What was queued.
pub struct QueuedReplay {
    /// What `replay --rollback` takes.
    pub replay_id: String,
    /// How many months.
    pub months: usize,
}

/// Queues a replay of a selection by a connector, which the lake keeps from now on.
///
/// # Errors
/// A usage failure if raw holds nothing of it; the failure of the lake or the state store.
pub async fn queue(
    app: &App,
    settings: &NetworkSettings,
    connector: &Connector,
    selection: &RawSelection,
) -> Result<QueuedReplay, Failure> {
    let id = connector.network();
    app.lake.put_connector(connector.component().clone()).await?;
    let window = match selection.window {
        Some(window) => window,
        None => window_of_raw(app, id).await?.ok_or_else(|| {
            Failure::usage(format!("raw holds nothing of `{}`", settings.name))
                .hint("run it first: there is no history")
        })?,
    };
    let replay_id = uuid::Uuid::now_v7().to_string();
    let work = BulkWork::Replay { connector: connector.digest().to_hex() };
    let runs = months(window).map(|month| {
        let selection = Selection {
            account: selection.account.clone(),
            stream: selection.stream.clone(),
            since: Some(month.since),
            until: Some(month.until),
            work: Some(work.clone()),
            ..Selection::default()
        };
        (format!("{replay_id}.{}", month.since.format("%Y%m")), selection)
    });
    let runs: Vec<(String, Selection)> = runs.collect();
    // Of several files that name the connector the first: the others are claimed after it, in the order of their names.
    let first = networks_of(app, id)?.into_iter().next().unwrap_or_else(|| settings.name.clone());
    app.state.queue_bulk_as(&first, &runs).await?;
    Ok(QueuedReplay { replay_id, months: runs.len() })
}

/// The window that holds all that raw has of a network.
async fn window_of_raw(app: &App, id: &str) -> Result<Option<Window>, Failure> {
    let session = open_session(app.lake.clone()).await?;
    let query = format!(
        "SELECT CAST(min(window_since) AS VARCHAR), CAST(max(window_until) AS VARCHAR) FROM meta.requests WHERE network = {}
         HAVING min(window_since) IS NOT NULL",
        quoted(id)
    );
    let rows: Vec<[String; 2]> = texts(&session, &query).await?;
    let moment = |text: &String| {
        let text = text.replace(' ', "T");
        let text = if text.ends_with('Z') { text } else { format!("{text}Z") };
        text.parse::<DateTime<Utc>>().map_err(Failure::failed)
    };
    rows.first().map(|[since, until]| Ok(Window { since: moment(since)?, until: moment(until)? })).transpose()
}

/// Carries out a month of a replay. One that was begun too often is given up, and the other months stay.
///
/// # Errors
/// The failure of the lake or the state store: it stays in the queue.
pub(crate) async fn carry_out(part: &BulkPart<'_>) -> Result<(), Failure> {
    let BulkPart { app, noted, .. } = *part;
    let Some(BulkWork::Replay { connector: digest }) = &noted.selection.work else { return Ok(()) };
    if part.is_spent() {
        return give_up(part).await;
    }
    let started = part.begin().await?;
    if let Err(failure) = apply_month(part, digest).await {
        part.forgive(started).await?;
        return Err(failure);
    }
    Ok(app.state.end_run(&noted.run_id, &RunEnd::all_read()).await?)
}

/// Replays the month of a part by a connector that the lake keeps.
async fn apply_month(part: &BulkPart<'_>, digest: &str) -> Result<(), Failure> {
    let BulkPart { app, settings, claim, noted } = *part;
    let by = connector(app, settings, &ReplayConnector::Stored(digest.to_owned())).await?;
    let selection = RawSelection {
        account: noted.selection.account.clone(),
        stream: noted.selection.stream.clone(),
        run_id: None,
        window: noted.selection.window(Utc::now()),
    };
    let request = ReplayRequest { connector: &by, selection: &selection, conditions: &[] };
    let id = &settings.content.connector;
    let others = Claims::of_others(app, id, &settings.name, Some(claim.network())).await?;
    let fence = others.fence().unwrap_or_else(|| fence(claim));
    let applied = others.guard(apply_all(app, settings, &request, &noted.run_id, Some(fence))).await;
    others.release().await;
    let rows = applied?.diff.transactions.rows();
    tracing::info!(run_id = noted.run_id, rows, version = by.version(), "a month was replayed");
    Ok(())
}

/// Takes a month out of the queue that ended its process too often. It may be written in part: a rollback finds it in `meta.runs`.
async fn give_up(part: &BulkPart<'_>) -> Result<(), Failure> {
    let BulkPart { app, settings, claim, noted } = *part;
    let reason = format!("this month of a replay ended its process {MAX_STARTS} times");
    tracing::error!(run_id = noted.run_id, "{reason}: given up");
    if !app.lake.runs_have(&noted.run_id).await? {
        let row = record::offline(&noted.run_id, &settings.name, "replay", Utc::now(), None, Counts::default());
        let (error, error_kind) = (Some(reason), Some(ErrorKind::Host));
        let row = RunRow { outcome: "failed".to_owned(), error, error_kind, ..row };
        app.lake.append_runs(&[row], Some(fence(claim))).await?;
    }
    Ok(app.state.end_run(&noted.run_id, &RunEnd::Unread).await?)
}

/// The runs of the months of a replay that were begun, oldest first: those that were written, and those that are still in the
/// queue, since who had one may have been stopped between two tables. None of a replay that wasn't queued.
pub(super) async fn begun_months(app: &App, replay_id: &str) -> Result<Vec<String>, Failure> {
    let session = open_session(app.lake.clone()).await?;
    let prefix = format!("{replay_id}.");
    let query = format!(
        "SELECT run_id FROM meta.runs WHERE command = 'replay' AND starts_with(run_id, {}) ORDER BY run_id",
        quoted(&prefix)
    );
    let rows: Vec<[String; 1]> = texts(&session, &query).await?;
    let queued = app.state.queued_work().await?.into_iter().map(|(run_id, _)| run_id);
    let begun = queued.filter(|run_id| run_id.starts_with(&prefix));
    let months: BTreeSet<String> = rows.into_iter().map(|[run_id]| run_id).chain(begun).collect();
    Ok(months.into_iter().collect())
}

/// Whether a rollback found nothing to take back: a month in which nothing differed was no commit.
pub(super) fn wrote_nothing(error: &LakeError) -> bool {
    matches!(error, LakeError::NoReplay { .. })
}
