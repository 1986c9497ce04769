//! Rebuilding all tables from raw alone, run by run, by the connectors that serve now.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use serde::Serialize;
use sluice_lake::{CommitterOptions, ConnectorRow, Counts, CoverageRow, Lake, Ledger, RawFilter, Rebuilt};
use sluice_model::{Digest, ErrorKind, RawObject, Slice, SliceRead, describe};

use crate::app::{App, Network};
use crate::collect::{SliceReport, too_many_rejects};
use crate::doubts::WithheldResponses;
use crate::failure::Failure;
use crate::meter::Unit;
use crate::settings::network::{self, NetworkFile, NetworkSettings};
use crate::tables::Remapped;
use crate::{record, replay, tables};
use sluice_state::guard_all;

/// A table that was rebuilt.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// Its name with its schema.
    pub table: String,
    /// Its rows before.
    pub rows_before: u64,
    /// Its rows now.
    pub rows: u64,
}

/// What all responses of a run became.
#[derive(Default)]
struct RunRebuilt {
    /// Rejected records by slice.
    rejects: BTreeMap<String, u64>,
    /// Slices of which a response could not be mapped at all.
    unmapped: HashSet<String>,
}

/// Connectors that raw names: network, version and digest, and when each sent its first request.
type Connectors = BTreeMap<(String, String, Digest), DateTime<Utc>>;

/// Rebuilds all tables from raw, then replaces the old ones.
///
/// # Errors
/// A failure if raw holds responses of a network that no settings know, or, unless it may be `lossy`, if raw no longer
/// holds all that the tables were made from: then nothing is replaced. The lake's failure.
pub async fn rebuild(app: &Arc<App>, lossy: bool) -> Result<Vec<TableReport>, Failure> {
    let mut claims = Vec::new();
    for settings in network::load_all(&app.settings.networks_dir)? {
        claims.push(app.claim(&settings.name).await?);
    }
    let rebuilt = guard_all(&claims, rebuild_all(app, lossy)).await;
    for claim in claims {
        claim.release().await;
    }
    rebuilt
}

async fn rebuild_all(app: &Arc<App>, lossy: bool) -> Result<Vec<TableReport>, Failure> {
    let started_at = Utc::now();
    let gone = app.lake.raw_lacks().await?;
    if !gone.is_nothing() && !lossy {
        return Err(Failure::failed(anyhow::anyhow!(
            "{}: tables made from it would lose their history",
            tables::missing_raw(&gone)
        ))
        .hint("keep the tables; to give up what only they know, run `sluice build --from-raw --lossy`"));
    }
    let mut networks: BTreeMap<String, Network> = BTreeMap::new();
    let all = network::load_all(&app.settings.networks_dir)?;
    for settings in &all {
        let network = app.network(&settings.name)?;
        networks.entry(network.manifest().network.clone()).or_insert(network);
    }
    let ids: Vec<String> = networks.keys().cloned().collect();
    let rebuild = app.lake.rebuild(&ids).await?;
    let fresh = rebuild.lake();
    let run_id = uuid::Uuid::now_v7().to_string();
    let columns_per_table = app.settings.limits.columns_per_table;
    let mut ledger = fresh.ledger_with(CommitterOptions { columns_per_table, ..CommitterOptions::default() });
    let mut connectors = Connectors::new();
    let mut counts = Counts::default();
    let withheld = WithheldResponses::of(&app.lake, None).await?;
    let runs = fresh.raw_runs().await?;
    app.meter.begin("build all tables from raw", Unit::Responses, 0);
    for (place, run) in runs.iter().enumerate() {
        app.meter.rename(format!("build all tables from raw, run {} of {}", place + 1, runs.len()));
        fresh.index_requests(run).await?;
        let rebuilt = of_run(app, fresh, &networks, run, &withheld, &mut ledger, &mut connectors).await?;
        let reads = fresh.slice_reads(run).await?.into_iter().map(|read| undoubted(read, &withheld));
        let reads: Vec<SliceRead> = reads.collect();
        for read in reads.iter().filter(|read| is_whole(&networks, read, &rebuilt)) {
            ledger.window_read(&read.slice, read.read_at, confirm_after(app, &all, &read.slice));
        }
        counts = ledger.commit().await?;
        // What covers nothing was reported when it was read.
        let rows: Vec<CoverageRow> = reads.iter().filter_map(|read| coverage(&networks, read, &rebuilt)).collect();
        fresh.append_coverage(&rows).await?;
    }
    let rows: Vec<ConnectorRow> = connectors
        .into_iter()
        .map(|((network, version, digest), activated_at)| ConnectorRow {
            network,
            version,
            digest,
            activated_at,
            source: None,
        })
        .collect();
    fresh.append_connectors(&rows).await?;
    app.meter.rename("put the new tables in place");
    let rebuilt = rebuild.put_in_place().await?;
    app.lake.append_runs(&[record::offline(&run_id, "*", "rebuild", started_at, None, counts)]).await?;
    Ok(rebuilt.into_iter().map(report).collect())
}

fn report(rebuilt: Rebuilt) -> TableReport {
    TableReport { table: rebuilt.table, rows_before: rebuilt.rows_before, rows: rebuilt.rows }
}

/// Maps a run's responses into the ledger.
async fn of_run(
    app: &Arc<App>,
    fresh: &Lake,
    networks: &BTreeMap<String, Network>,
    run: &str,
    withheld: &WithheldResponses,
    ledger: &mut Ledger,
    connectors: &mut Connectors,
) -> Result<RunRebuilt, Failure> {
    let mut rebuilt = RunRebuilt::default();
    let filter = RawFilter { run_id: Some(run.to_owned()), ..RawFilter::default() };
    let mut objects = withheld.without(fresh.raw_objects(&filter).await?);
    // A run is of one network: its first response names it.
    let Some(first) = objects.next().await.transpose()? else { return Ok(rebuilt) };
    let id = first.slice.network.clone();
    let network = networks.get(&id).ok_or_else(|| {
        Failure::settings(format!("raw holds responses of network `{id}`, which no file in networks/ names"))
            .hint(format!("add a network with \"connector\": \"{id}\"; nothing was replaced"))
    })?;
    let connector = replay::reference(&network.connector);
    let objects = stream::iter([Ok(first)]).chain(objects).boxed();
    let mut mapped = tables::prepare_all(app, &network.connector, objects);
    while let Some(Remapped { raw, outcome, memory }) = mapped.next().await.transpose()? {
        note_connector(connectors, &raw);
        let slice = raw.slice.id();
        match outcome {
            Ok(answer) => {
                *rebuilt.rejects.entry(slice).or_default() += answer.prepared.rejects();
                ledger.add_prepared(answer.prepared).await?;
                drop(memory);
            }
            Err(failure) => {
                rebuilt.unmapped.insert(slice);
                ledger.reject(raw, &connector, &describe(failure.error.as_ref()));
            }
        }
    }
    Ok(rebuilt)
}

/// The marker of a slice as it is after doubts were decided: an accepted one is complete.
fn undoubted(read: SliceRead, withheld: &WithheldResponses) -> SliceRead {
    match withheld.has_accepted(&read) {
        true => SliceRead { complete: true, error: None, error_kind: None, ..read },
        false => read,
    }
}

fn note_connector(connectors: &mut Connectors, raw: &RawObject) {
    let place = (raw.slice.network.clone(), raw.connector_version.clone(), raw.connector_digest);
    let first = connectors.entry(place).or_insert(raw.sent_at);
    *first = raw.sent_at.min(*first);
}

/// Whether all that happened in a slice's window is in the ledger.
fn is_whole(networks: &BTreeMap<String, Network>, read: &SliceRead, rebuilt: &RunRebuilt) -> bool {
    let id = read.slice.id();
    let stream = networks.get(&read.slice.network).and_then(|network| network.manifest().stream(&read.slice.stream));
    read.complete
        && stream.is_some_and(|stream| stream.is_complete(read.slice.axis))
        && !rebuilt.unmapped.contains(&id)
        && rebuilt.rejects.get(&id).is_none_or(|rejects| *rejects == 0)
}

/// How much later another read must confirm what a slice lacks, as the settings of its account say now.
fn confirm_after(app: &App, all: &[NetworkSettings], slice: &Slice) -> TimeDelta {
    let is_own = |settings: &&NetworkSettings| {
        let NetworkFile { connector, accounts, .. } = &*settings.content;
        *connector == slice.network && accounts.iter().any(|account| account.id() == slice.account)
    };
    let own = all.iter().find(is_own).map(|settings| settings.content.vanish).unwrap_or_default();
    own.confirm_after(app.settings.vanish)
}

/// What a slice covers, now that its run's responses are in the tables; none if none of its window could be read.
fn coverage(networks: &BTreeMap<String, Network>, read: &SliceRead, rebuilt: &RunRebuilt) -> Option<CoverageRow> {
    let slice = &read.slice;
    let id = slice.id();
    let window = match networks.get(&slice.network) {
        Some(network) => record::readable_window(network.manifest(), slice, read.sent_at.unwrap_or(read.read_at))?,
        None => slice.window,
    };
    let rejects = rebuilt.rejects.get(&id).copied().unwrap_or_default();
    let report = SliceReport { records: read.records, rejects, ..SliceReport::default() };
    let share = networks.get(&slice.network).map(|network| network.settings.max_reject_share());
    let before = read.error.as_ref().map(|error| (read.error_kind, error.clone()));
    let unmapped = || {
        rebuilt.unmapped.contains(&id).then(|| (Some(ErrorKind::Format), "a response could not be mapped".to_owned()))
    };
    let rejected = || too_many_rejects(&report, share?).map(|error| (Some(error.kind), error.message));
    let (error_kind, error) = before.or_else(unmapped).or_else(rejected).unzip();
    Some(CoverageRow {
        requests: read.requests,
        records: read.records,
        complete: read.complete && error.is_none(),
        error,
        error_kind: error_kind.flatten(),
        ..CoverageRow::of(slice, window, &read.run_id, read.read_at)
    })
}
