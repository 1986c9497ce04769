//! What a run leaves behind besides its rows: its requests, what it covered, itself, and its connector.

use chrono::Utc;
use sluice_lake::{ConnectorRow, CoverageRow, RunRow};

use crate::app::{App, Network};
use crate::failure::Failure;
use crate::run::{RunReport, SliceDone, Verb};

/// Records a run: its requests, then what it covered, then itself, so that a run that is listed is whole.
///
/// # Errors
/// The lake's failure.
pub async fn finish(app: &App, network: &Network, report: &RunReport, done: &[SliceDone]) -> Result<(), Failure> {
    if report.verb != Verb::Build {
        app.lake.index_requests(&report.run_id).await?;
    }
    // What was only collected isn't in the tables, and covers nothing yet.
    if report.verb == Verb::Run {
        let rows: Vec<CoverageRow> = done.iter().map(|slice| coverage(report, slice)).collect();
        app.lake.append_coverage(&rows).await?;
    }
    let row = RunRow {
        run_id: report.run_id.clone(),
        network: report.network.clone(),
        command: report.verb.name().to_owned(),
        started_at: report.started_at,
        finished_at: report.finished_at,
        outcome: report.status.to_owned(),
        error: report.errors.first().cloned(),
        connector_version: Some(network.connector.version().to_owned()),
        connector_digest: Some(network.connector.digest()),
        slices: report.slices,
        slices_failed: report.slices_failed,
        requests: report.requests,
        bytes: report.bytes,
        counts: report.counts,
    };
    Ok(app.lake.append_runs(&[row]).await?)
}

fn coverage(report: &RunReport, done: &SliceDone) -> CoverageRow {
    let slice = &done.job.slice;
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
        complete: done.report.errors.is_empty() && !report.tables_failed,
        error: done.report.errors.first().cloned(),
    }
}

/// Keeps the connector's bytes in the lake by digest, and notes when it was first active.
///
/// # Errors
/// The lake's failure.
pub async fn keep_connector(app: &App, network: &Network) -> Result<(), Failure> {
    let connector = &network.connector;
    if !app.lake.put_connector(connector.component().clone()).await? {
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
