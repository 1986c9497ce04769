//! What a run leaves behind besides its rows: its requests, what it covered, itself, and its connector.

use chrono::{DateTime, Utc};
use sluice_lake::{ConnectorRef, ConnectorRow, Counts, CoverageRow, RunRow};
use sluice_model::Step;

use crate::app::{App, Network};
use crate::failure::Failure;
use crate::run::{RunReport, SliceDone, Verb};
use crate::step;

/// Records a run: its requests, then what it covered, then itself, so that a run that is listed is whole. What a run
/// that was broken off had recorded already isn't recorded twice.
///
/// # Errors
/// The lake's failure.
pub async fn finish(
    app: &App,
    network: &Network,
    report: &RunReport,
    done: &[SliceDone],
    was_broken_off: bool,
) -> Result<(), Failure> {
    let lake = &app.lake;
    if report.verb != Verb::Build {
        lake.index_requests(&report.run_id).await?;
    }
    step::passed(Step::RequestsIndexed);
    // What was only collected isn't in the tables, and covers nothing yet.
    let is_new = report.verb == Verb::Run && !(was_broken_off && lake.coverage_has(&report.run_id).await?);
    if is_new {
        let rows: Vec<CoverageRow> = done.iter().map(|slice| coverage(report, slice)).collect();
        lake.append_coverage(&rows).await?;
    }
    step::passed(Step::CoverageNoted);
    if was_broken_off && lake.runs_have(&report.run_id).await? {
        return Ok(());
    }
    let row = RunRow {
        run_id: report.run_id.clone(),
        network: report.network.clone(),
        command: report.verb.name().to_owned(),
        started_at: report.started_at,
        finished_at: report.finished_at,
        outcome: report.status.to_owned(),
        error: report.errors.first().cloned(),
        error_kind: report.error_kind,
        connector_version: Some(network.connector.version().to_owned()),
        connector_digest: Some(network.connector.digest()),
        slices: report.slices,
        slices_failed: report.slices_failed,
        requests: report.requests,
        bytes: report.bytes,
        guest_cpu_ms: Some(report.guest_cpu_ms),
        counts: report.counts,
    };
    lake.append_runs(&[row]).await?;
    step::passed(Step::RunNoted);
    Ok(())
}

/// A run that asked no network and is done now.
pub fn offline(
    run_id: &str,
    network: &str,
    command: &str,
    started_at: DateTime<Utc>,
    connector: Option<&ConnectorRef>,
    counts: Counts,
) -> RunRow {
    RunRow {
        run_id: run_id.to_owned(),
        network: network.to_owned(),
        command: command.to_owned(),
        started_at,
        finished_at: Utc::now(),
        outcome: "done".to_owned(),
        error: None,
        error_kind: None,
        connector_version: connector.map(|connector| connector.version.clone()),
        connector_digest: connector.map(|connector| connector.digest),
        slices: 0,
        slices_failed: 0,
        requests: 0,
        bytes: 0,
        guest_cpu_ms: None,
        counts,
    }
}

fn coverage(report: &RunReport, done: &SliceDone) -> CoverageRow {
    let slice = &done.slice;
    CoverageRow {
        network: slice.network.clone(),
        account: slice.account.clone(),
        stream: slice.stream.clone(),
        axis: slice.axis,
        window: slice.window,
        run_id: report.run_id.clone(),
        read_at: done.read_at,
        requests: done.report.requests,
        records: done.report.records,
        complete: done.report.errors.is_empty(),
        error: done.report.errors.first().map(ToString::to_string),
        error_kind: done.report.errors.first().map(|error| error.kind),
    }
}

/// Keeps the connector's bytes in the lake by digest, and notes when it was first active.
///
/// # Errors
/// The lake's failure.
pub async fn keep_connector(app: &App, network: &Network) -> Result<(), Failure> {
    let connector = &network.connector;
    let is_new = app.lake.put_connector(connector.component().clone()).await?;
    step::passed(Step::ConnectorKept);
    if !is_new && app.lake.connectors_have(connector.digest()).await? {
        return Ok(());
    }
    let row = ConnectorRow {
        network: network.manifest().network.clone(),
        version: connector.version().to_owned(),
        digest: connector.digest(),
        activated_at: Utc::now(),
        source: None,
    };
    Ok(app.lake.append_connectors(&[row]).await?)
}
