//! What a run leaves behind besides its rows: its requests, itself, and its connector.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sluice_lake::{ConnectorRef, ConnectorRow, Counts, Fence, Lake, RunRow};
use sluice_model::{Slice, Step, Window};

use crate::failure::Failure;
use crate::network::Network;
use crate::run::RunReport;
use crate::{step, telemetry};
use sluice_state::Verb;

/// Records a run: its requests, then itself, so that a run that is listed is whole. What a resumed run had recorded
/// before it was interrupted isn't recorded twice.
///
/// # Errors
/// The lake's failure; that the run's lease was taken over.
pub async fn finish(
    lake: &Lake,
    network: &Network,
    report: &RunReport,
    is_resumed: bool,
    fence: Option<Fence>,
) -> Result<(), Failure> {
    if report.verb != Verb::Build {
        lake.index_requests(&report.run_id, fence.as_ref()).await?;
    }
    step::passed(Step::RequestsIndexed);
    if is_resumed && lake.runs_have(&report.run_id).await? {
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
        usage: report.usage.clone(),
    };
    lake.append_runs(&[row], fence).await?;
    telemetry::count_run(report);
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
        usage: BTreeMap::new(),
    }
}

/// Logs which windows cover nothing, once for each stream and date.
pub fn warn_of_uncovered<'a>(slices: impl Iterator<Item = &'a Slice>) {
    let mut uncovered = BTreeMap::<_, (Window, u64)>::new();
    for slice in slices {
        let of = (&slice.network, &slice.account, &slice.stream, slice.axis.name());
        let (window, count) = uncovered.entry(of).or_insert((slice.window, 0));
        window.since = window.since.min(slice.window.since);
        window.until = window.until.max(slice.window.until);
        *count += 1;
    }
    for ((network, account, stream, axis), (window, slices)) in uncovered {
        tracing::warn!(
            network,
            account,
            stream,
            axis,
            slices,
            "nothing is covered of {window}: it lies in the future, or before what the network keeps"
        );
    }
}

/// Keeps the connector's bytes in the lake by digest, and notes when it was first active.
///
/// # Errors
/// The lake's failure.
pub async fn keep_connector(lake: &Lake, network: &Network) -> Result<(), Failure> {
    let connector = &network.connector;
    let is_new = lake.put_connector(connector.component().clone()).await?;
    step::passed(Step::ConnectorKept);
    if !is_new && lake.connectors_have(connector.digest()).await? {
        return Ok(());
    }
    let row = ConnectorRow {
        network: network.manifest().network.clone(),
        version: connector.version().to_owned(),
        digest: connector.digest(),
        activated_at: Utc::now(),
        source: None,
    };
    Ok(lake.append_connectors(&[row]).await?)
}
