//! Replay: raw history through any connector version, with no network: what would change, and changing it.

pub mod conditions;
pub mod queued;
pub mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use futures::StreamExt;
use sluice_engine::Connector;
use sluice_lake::{Causes, ConnectorRef, Counts, Diff, FactDiff, Fence, Gone, Lake, Replay, RolledBack};
use sluice_model::{Digest, NoteTotals, describe};
use sluice_registry::Registry;

use self::conditions::Condition;
use crate::app::{App, open_session};
use crate::claims::Claims;
use crate::failure::Failure;
use crate::meter::Unit;
use crate::network::connector_ref;
use crate::record;
use crate::settings::file::read_component;
use crate::settings::network::NetworkSettings;
use crate::tables::{self, RawSelection, Remapped};
use crate::withheld::WithheldResponses;

/// How often a replay is made again because other writers wrote of the same transactions.
const MAX_ATTEMPTS: u32 = 3;

/// Which connector maps.
#[derive(Clone, Debug)]
pub enum ReplayConnector {
    /// The one that serves.
    Running,
    /// A component's file.
    File(std::path::PathBuf),
    /// A version that the lake knows: a digest, its beginning, or a version's name.
    Stored(String),
}

/// What is mapped again, by which connector.
pub struct ReplayRequest<'a> {
    /// The connector that maps.
    pub connector: &'a Connector,
    /// The responses.
    pub selection: &'a RawSelection,
    /// Conditions on the difference; one that holds keeps it from being applied.
    pub conditions: &'a [Condition],
}

/// What a replay found.
#[derive(Debug)]
pub struct ReplayOutcome {
    /// Who mapped.
    pub connector: ConnectorRef,
    /// What differs.
    pub diff: Diff,
    /// The run whose versions were written; none: nothing was written.
    pub run_id: Option<String>,
    /// Responses of the selection that raw no longer holds: what they gave isn't compared.
    pub gone: Gone,
    /// The conditions that were asked for, each with what it found.
    pub results: Vec<conditions::ConditionResult>,
}

/// The connector that a network's replay is by.
///
/// # Errors
/// A failure if there is no such connector, it can't be loaded, or it is another network's.
pub async fn connector(
    app: &App,
    settings: &NetworkSettings,
    candidate: &ReplayConnector,
) -> Result<Connector, Failure> {
    let id = &settings.content.connector;
    let connector = match candidate {
        ReplayConnector::Running => app.network(&settings.name)?.connector,
        ReplayConnector::File(file) => {
            app.registry.engine().load(&read_component(file)?, &file.display().to_string())?
        }
        ReplayConnector::Stored(name) => stored_version(&app.lake, &app.registry, id, name).await?,
    };
    if connector.network() != id {
        let message = format!("{} is a connector of `{}`, not of `{id}`", label(candidate), connector.network());
        return Err(Failure::usage(message).hint(format!(
            "{} names `{id}` as its connector; replay the network that this one is for",
            settings.file
        )));
    }
    Ok(connector)
}

fn label(candidate: &ReplayConnector) -> String {
    match candidate {
        ReplayConnector::Running => "the running connector".to_owned(),
        ReplayConnector::File(file) => file.display().to_string(),
        ReplayConnector::Stored(name) => format!("version `{name}`"),
    }
}

/// The version of this name that the lake keeps, or the one that waits in the connectors folder, by its digest.
///
/// # Errors
/// A usage failure if there is none, or several; a failure if it can't be loaded.
pub(crate) async fn stored_version(
    lake: &Lake,
    registry: &Registry,
    network: &str,
    name: &str,
) -> Result<Connector, Failure> {
    let waiting = registry.candidate(network);
    if let Some(waiting) = waiting.filter(|waiting| is_digest(name) && begins_so(waiting.digest(), name)) {
        return Ok(waiting);
    }
    let digest = kept_digest(lake, network, name).await?;
    Ok(registry.engine().load(&lake.connector(digest).await?, &format!("{digest}.wasm"))?)
}

/// Whether a text may be the beginning of a digest.
fn is_digest(text: &str) -> bool {
    text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn begins_so(digest: Digest, beginning: &str) -> bool {
    digest.to_hex().starts_with(&beginning.to_ascii_lowercase())
}

/// The digest of a version that the lake keeps: by digest, by its beginning, or by the name of the version.
async fn kept_digest(lake: &Lake, network: &str, name: &str) -> Result<Digest, Failure> {
    let digests = lake.connector_digests().await?;
    let hex = is_digest(name);
    let mut found: Vec<Digest> = digests.iter().copied().filter(|digest| hex && begins_so(*digest, name)).collect();
    if found.is_empty() {
        let session = open_session(lake.clone()).await?;
        let quoted = |text: &str| text.replace('\'', "''");
        let query = format!(
            "SELECT DISTINCT digest FROM meta.connectors WHERE network = '{}' AND version = '{}'",
            quoted(network),
            quoted(name)
        );
        for batch in session.query(&query).await?.collect().await? {
            let texts =
                arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).map_err(Failure::failed)?;
            let texts = arrow::array::AsArray::as_string::<i32>(&texts).clone();
            found.extend(texts.iter().flatten().filter_map(Digest::from_hex));
        }
        found.sort_unstable();
    }
    let list = |found: &[Digest]| found.iter().map(|digest| digest.short()).collect::<Vec<_>>().join(", ");
    match found[..] {
        [digest] => Ok(digest),
        [] => Err(Failure::usage(format!("the lake keeps no version `{name}` of `{network}`")).hint(
            "see `sluice sql \"SELECT version, digest, activated_at FROM meta.connectors\"`, or name a file by --connector",
        )),
        _ => Err(Failure::usage(format!("`{name}` names several versions of `{network}`"))
            .hint(format!("write more of a digest: {}", list(&found)))),
    }
}

/// Maps the raw objects of a selection and compares the result with the lake.
///
/// # Errors
/// The lake's failure. A response that can't be mapped is a reject of the diff.
pub async fn diff(app: &Arc<App>, request: &ReplayRequest<'_>) -> Result<ReplayOutcome, Failure> {
    let ReplayRequest { connector, selection, conditions } = *request;
    let candidate = connector_ref(connector);
    let gone = app.lake.raw_gone(&selection.filter(connector.network())).await?;
    let columns = app.settings.limits.columns_per_table;
    let mut replay = app.lake.replay(candidate.clone(), None, None).await?.with_columns_per_table(columns);
    go_through(app, connector, selection, &mut replay).await?;
    let diff = replay.finish().await?.diff;
    let results = conditions.iter().map(|condition| condition.evaluate(&diff)).collect();
    Ok(ReplayOutcome { connector: candidate, diff, run_id: None, gone, results })
}

/// Writes versions for what differs, unless a condition holds.
///
/// # Errors
/// The lake's failure; what a table lacks then, the same replay adds later.
pub async fn apply(
    app: &Arc<App>,
    settings: &NetworkSettings,
    request: &ReplayRequest<'_>,
) -> Result<ReplayOutcome, Failure> {
    // A run that wrote of the same transactions meanwhile would make this replay useless.
    let claims = Claims::of_connector(app, &settings.content.connector, &settings.name).await?;
    let run_id = uuid::Uuid::now_v7().to_string();
    let outcome = claims.guard(apply_all(app, settings, request, &run_id, claims.fence())).await;
    claims.release().await;
    outcome
}

async fn apply_all(
    app: &Arc<App>,
    settings: &NetworkSettings,
    request: &ReplayRequest<'_>,
    run_id: &str,
    fence: Option<Fence>,
) -> Result<ReplayOutcome, Failure> {
    let ReplayRequest { connector, selection, conditions } = *request;
    let candidate = connector_ref(connector);
    let started_at = Utc::now();
    // Before any row names its digest.
    app.lake.put_connector(connector.component().clone()).await?;
    let gone = app.lake.raw_gone(&selection.filter(connector.network())).await?;
    let mut attempt = 1;
    let (diff, results) = loop {
        let replay = app.lake.replay(candidate.clone(), Some(run_id), fence.clone()).await?;
        let mut replay = replay.with_columns_per_table(app.settings.limits.columns_per_table);
        go_through(app, connector, selection, &mut replay).await?;
        let mut replayed = replay.finish().await?;
        let results: Vec<_> = conditions.iter().map(|condition| condition.evaluate(&replayed.diff)).collect();
        if results.iter().any(|verdict| verdict.holds) {
            replayed.discard().await;
            return Ok(ReplayOutcome { connector: candidate, diff: replayed.diff, run_id: None, gone, results });
        }
        match replayed.commit().await {
            Ok(()) => break (replayed.diff, results),
            Err(error @ sluice_lake::Error::Overtaken { .. }) if attempt < MAX_ATTEMPTS => {
                tracing::warn!(%error, attempt, "the replay is made again");
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    };
    // Who had this month before may have noted it already.
    if !app.lake.runs_have(run_id).await? {
        let row = record::offline(run_id, &settings.name, "replay", started_at, Some(&candidate), counts(&diff));
        app.lake.append_runs(&[row], fence).await?;
    }
    Ok(ReplayOutcome { connector: candidate, diff, run_id: Some(run_id.to_owned()), gone, results })
}

/// Takes back what a replay wrote, and notes that as a run. Of one that was queued by months all that are written, the newest
/// first.
///
/// # Errors
/// The lake's failure: no such replay, or one that others have built on.
pub async fn roll_back(app: &App, settings: &NetworkSettings, run_id: &str) -> Result<RolledBack, Failure> {
    let claims = Claims::of_connector(app, &settings.content.connector, &settings.name).await?;
    let rolled_back = claims.guard(roll_back_all(app, settings, run_id, claims.fence())).await;
    claims.release().await;
    rolled_back
}

async fn roll_back_all(
    app: &App,
    settings: &NetworkSettings,
    run_id: &str,
    fence: Option<Fence>,
) -> Result<RolledBack, Failure> {
    let started_at = Utc::now();
    // Those of its months that wait are no longer wanted. One that was begun may be written in part, and stays until it isn't.
    let waited = app.state.forget_unbegun(run_id).await? > 0;
    let mut months = queued::begun_months(app, run_id).await?;
    let is_queued = waited || !months.is_empty();
    if months.is_empty() {
        months.push(run_id.to_owned());
    }
    let mut all = RolledBack { run_id: run_id.to_owned(), tables: BTreeMap::new() };
    for month in months.iter().rev() {
        let rolled_back = match app.lake.roll_back_replay(&settings.content.connector, month, fence.as_ref()).await {
            Err(error) if is_queued && queued::wrote_nothing(&error) => continue,
            rolled_back => rolled_back?,
        };
        for (table, rows) in rolled_back.tables {
            *all.tables.entry(table).or_default() += rows;
        }
    }
    app.state.forget_queued(run_id).await?;
    let own_id = uuid::Uuid::now_v7().to_string();
    let row = record::offline(&own_id, &settings.name, "rollback", started_at, None, Counts::default());
    app.lake.append_runs(&[row], fence).await?;
    Ok(all)
}

async fn go_through(
    app: &Arc<App>,
    connector: &Connector,
    selection: &RawSelection,
    replay: &mut Replay,
) -> Result<(), Failure> {
    let filter = selection.filter(connector.network());
    let passes = replay.passes();
    let withheld = WithheldResponses::of(&app.lake, Some(connector.network())).await?;
    for pass in 0..passes {
        app.meter.begin(format!("replay {}, pass {} of {passes}", connector.network(), pass + 1), Unit::Responses, 0);
        replay.begin(pass).await?;
        let objects = withheld.counted_without(&app.meter, app.lake.raw_objects(&filter).await?);
        let mut mapped = tables::map_all(app, connector, objects);
        while let Some(Remapped { raw, outcome, .. }) = mapped.next().await.transpose()? {
            let layout = connector.manifest().stream(&raw.slice.stream).map(|stream| &stream.layout);
            match (outcome, layout) {
                (Ok(mapped), Some(layout)) => replay.add(raw, layout, mapped).await?,
                (Ok(_), None) => replay.reject(&raw, &format!("the connector has no stream `{}`", raw.slice.stream)),
                (Err(failure), _) => replay.reject(&raw, &describe(failure.error.as_ref())),
            }
        }
        replay.end().await?;
    }
    Ok(())
}

fn counts(diff: &Diff) -> Counts {
    let native = diff.native.values();
    Counts {
        native_rows: native.clone().map(|native| native.compared).sum(),
        native_written: native.map(|native| native.added + native.changed).sum(),
        beyond_columns: 0,
        transactions: diff.transactions.compared,
        new_versions: diff.transactions.rows(),
        facts: diff.facts.values().map(|facts| facts.compared).sum(),
        new_facts: diff.facts.values().map(FactDiff::rows).sum(),
        rejects: diff.new_rejects.count,
        notes: NoteTotals::default(),
        older: 0,
        causes: Causes { remapped: diff.transactions.rows(), ..Causes::default() },
    }
}
