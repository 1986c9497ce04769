//! Doubts: deciding them. What they hold back until then is in [`crate::withheld`].

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use sluice_lake::{CoverageRow, DoubtRow, DoubtState, Lake, RawFilter, RunWriter};
use sluice_model::{ErrorKind, RawObject, SliceRead, describe};

use crate::app::{App, Network};
use crate::claims::Claims;
use crate::doubt::{DoubtKind, Observation, Profile, SliceView, judge_response};
use crate::failure::Failure;
use crate::network::connector_ref;
use crate::numbered::number_others;
use crate::slice_done::readable_window;
use crate::tables::Remapped;
use crate::withheld::{doubt_id, requests};
use crate::{record, tables};

/// What accepting a doubt did.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// The doubt's id.
    pub doubt_id: String,
    /// The run that committed its rows.
    pub run_id: String,
    /// Responses that were mapped.
    pub responses: u64,
    /// Records in them.
    pub records: u64,
    /// New versions of unified transactions.
    pub new_versions: u64,
    /// Transactions of which the tables hold something observed later: it stays.
    pub older: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
}

/// The doubt of this id, or whose id begins so.
///
/// # Errors
/// A usage failure if there is none, or more than one.
pub async fn find(lake: &Lake, id: &str) -> Result<DoubtRow, Failure> {
    let mut found = lake.doubts(None).await?;
    found.retain(|doubt| !id.is_empty() && doubt.doubt_id.starts_with(id));
    match (found.len(), found.pop()) {
        (1, Some(doubt)) => Ok(doubt),
        (0, _) => {
            Err(Failure::usage(format!("there is no doubt `{id}`")).hint("`sluice doubts --all` lists all doubts"))
        }
        (count, _) => Err(Failure::usage(format!("{count} doubts begin with `{id}`")).hint("write more of the id")),
    }
}

/// Refuses what was decided already.
fn undecided(doubt: &DoubtRow) -> Result<(), Failure> {
    if matches!(doubt.state, DoubtState::Open) {
        return Ok(());
    }
    let (id, state) = (&doubt.doubt_id, doubt.state.name());
    let by = doubt.decided_by.as_deref().unwrap_or("nobody");
    Err(Failure::usage(format!("doubt `{id}` is {state} already, by {by}")).hint(format!("sluice doubts show {id}")))
}

/// Commits what a doubt holds back, mapped again by the connector that serves, as if it had come without doubt. What the
/// tables hold of a later read stays.
///
/// # Errors
/// A usage failure if it is decided already; the lake's failure. Nothing is decided then.
pub async fn accept(
    app: &Arc<App>,
    network: &Network,
    doubt: &DoubtRow,
    why: Option<&str>,
) -> Result<Accepted, Failure> {
    undecided(doubt)?;
    let claims = Claims::of_connector(app, &network.settings.content.connector, &network.settings.name).await?;
    let accepted = claims.guard(accept_under(app, network, &claims, doubt, why)).await;
    claims.release().await;
    accepted
}

async fn accept_under(
    app: &Arc<App>,
    network: &Network,
    claims: &Claims,
    doubt: &DoubtRow,
    why: Option<&str>,
) -> Result<Accepted, Failure> {
    // Another process may have decided while this one waited for the lease.
    let doubt = &find(&app.lake, &doubt.doubt_id).await?;
    undecided(doubt)?;
    let started_at = Utc::now();
    let run_id = uuid::Uuid::now_v7().to_string();
    record::keep_connector(&app.lake, network).await?;
    let tables = app.committer.run(claims.fence());
    let mapped = commit_held(app, network, doubt, &tables).await?;
    let reads = app.lake.slice_reads(&doubt.run_id).await?;
    let read = reads.into_iter().rfind(|read| doubt_id(&read.run_id, &read.slice) == doubt.doubt_id);
    if let Some(read) = read.as_ref().filter(|read| is_only_doubted(read)) {
        cover(app, network, read, &mapped, &tables);
    }
    let counts = tables.finish().await?;
    let connector = connector_ref(&network.connector);
    let row = record::offline(&run_id, &network.settings.name, "accept", started_at, Some(&connector), counts);
    app.lake.append_runs(&[row], claims.fence()).await?;
    let why = why.unwrap_or("accepted");
    decide(app, doubt, DoubtState::Accepted, &format!("operator, run {run_id}"), why, claims.fence()).await?;
    learn(app, network, doubt, read.as_ref(), &mapped.seen).await?;
    Ok(Accepted {
        doubt_id: doubt.doubt_id.clone(),
        run_id,
        responses: mapped.responses,
        records: mapped.seen.records,
        new_versions: counts.new_versions,
        older: counts.older,
        rejects: mapped.rejects,
    })
}

/// What mapping the held responses gave.
#[derive(Default)]
struct MappedAgain {
    responses: u64,
    rejects: u64,
    seen: Observation,
}

async fn commit_held(
    app: &Arc<App>,
    network: &Network,
    doubt: &DoubtRow,
    tables: &RunWriter,
) -> Result<MappedAgain, Failure> {
    let wanted: HashSet<String> = requests(doubt).into_iter().collect();
    let count = wanted.len() as u64;
    let filter =
        RawFilter { network: Some(doubt.network.clone()), run_id: Some(doubt.run_id.clone()), ..RawFilter::default() };
    number_others(app, network, &filter, |object| wanted.contains(&object.request_id), tables).await?;
    let objects = app.lake.raw_objects(&filter).await?;
    let objects = objects.try_filter(move |object| std::future::ready(wanted.contains(&object.request_id)));
    let objects: Vec<RawObject> = objects.try_collect().await?;
    if objects.len() as u64 != count {
        let id = &doubt.doubt_id;
        let message =
            format!("doubt `{id}` can't be accepted: raw holds {} of its {count} responses whole", objects.len());
        return Err(Failure::failed(anyhow::anyhow!(message))
            .hint(format!("read the window again: `sluice run`; or `sluice doubts reject {id}`")));
    }
    let objects = futures::stream::iter(objects.into_iter().map(Ok));
    let mut mapped = tables::prepare_all(app, &network.connector, objects.boxed());
    let mut again = MappedAgain::default();
    while let Some(Remapped { raw, outcome, memory }) = mapped.next().await.transpose()? {
        let answer = outcome.map_err(|failure| {
            let reason = describe(failure.error.as_ref());
            Failure::failed(anyhow::anyhow!("raw object {} can't be mapped: {reason}", raw.body.short()))
                .hint("nothing was committed; a connector that maps it may accept it later")
        })?;
        again.responses += 1;
        again.rejects += answer.prepared.rejects();
        again.seen.merge(&answer.seen);
        memory.resize(answer.bytes());
        tables.add(answer.prepared, Box::new(memory)).await?;
    }
    Ok(again)
}

/// Whether nothing but its doubts kept a slice from being read: of one of which a request failed too, something never came.
/// Markers of earlier versions don't say.
pub(crate) fn is_only_doubted(read: &SliceRead) -> bool {
    read.error_kind.is_none_or(|kind| kind == ErrorKind::Doubt)
}

/// Says that the slice of an accepted doubt covers its window.
fn cover(app: &App, network: &Network, read: &SliceRead, mapped: &MappedAgain, tables: &RunWriter) {
    let manifest = network.manifest();
    let is_complete = manifest.stream(&read.slice.stream).is_some_and(|stream| stream.is_complete(read.slice.axis));
    if is_complete && mapped.rejects == 0 {
        let confirm_after = network.settings.content.vanish.confirm_after(app.settings.vanish);
        tables.window_read(&read.slice, read.read_at, confirm_after);
    }
    let Some(window) = readable_window(manifest, &read.slice, read.sent_at.unwrap_or(read.read_at)) else {
        return;
    };
    tables.covered(CoverageRow {
        requests: read.requests,
        records: read.records,
        // Only what was read later closes the gap that the doubtful read left.
        ..CoverageRow::of(&read.slice, window, &read.run_id, read.read_at + TimeDelta::microseconds(1))
    });
}

/// Makes what was accepted the usual. `read`: how its slice was read.
async fn learn(
    app: &Arc<App>,
    network: &Network,
    doubt: &DoubtRow,
    read: Option<&SliceRead>,
    seen: &Observation,
) -> Result<(), Failure> {
    let text = app.state.profile(&doubt.network, &doubt.account, &doubt.stream).await?;
    let mut profile = text.map(|text| Profile::from_json(&text)).unwrap_or_default();
    if let Some(stream) = network.manifest().stream(&doubt.stream) {
        for found in judge_response(&profile.clone(), &stream.layout, &network.settings.content.doubt, seen) {
            profile.forget(found.kind, found.field.as_deref());
        }
    }
    if let Some(kind) = DoubtKind::ALL.into_iter().find(|kind| kind.name() == doubt.kind) {
        profile.forget(kind, doubt.field.as_deref());
    }
    profile.accept_pages(&doubt.kind, doubt.field.as_deref());
    if let Some(read) = read {
        let (slice, rules) = (&read.slice, &network.settings.content.doubt);
        let read_at = read.sent_at.unwrap_or(read.read_at);
        let window = readable_window(network.manifest(), slice, read_at);
        let view = window.map(|window| SliceView { window, timezone: slice.timezone, read_at });
        // What was handed on before the doubt arose, and what never came, isn't in `seen`.
        if is_only_doubted(read) && seen.records >= read.records {
            profile.accept(rules, slice, view.as_ref(), seen);
        } else {
            profile.accept_part(rules, slice, seen);
        }
    }
    profile.add(seen);
    Ok(app.state.keep_profile(&doubt.network, &doubt.account, &doubt.stream, &profile.to_json()).await?)
}

/// Decides that what a doubt holds back is never committed.
///
/// # Errors
/// A usage failure if it is decided already; the lake's failure.
pub async fn reject(app: &Arc<App>, doubt: &DoubtRow, why: Option<&str>) -> Result<(), Failure> {
    undecided(doubt)?;
    decide(app, doubt, DoubtState::Rejected, "operator", why.unwrap_or("rejected"), None).await
}

async fn decide(
    app: &App,
    doubt: &DoubtRow,
    state: DoubtState,
    by: &str,
    why: &str,
    fence: Option<sluice_lake::Fence>,
) -> Result<(), Failure> {
    let decided_at: DateTime<Utc> = Utc::now();
    let row = DoubtRow {
        state,
        decided_at: Some(decided_at),
        decided_by: Some(by.to_owned()),
        decision: Some(why.to_owned()),
        ..doubt.clone()
    };
    Ok(app.lake.append_doubts(&[row], fence).await?)
}

/// A doubt as `sluice doubts` prints it, its JSON columns parsed.
pub fn json(doubt: &DoubtRow) -> serde_json::Value {
    let parsed = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap_or_default();
    serde_json::json!({
        "doubt_id": doubt.doubt_id, "network": doubt.network, "account": doubt.account, "stream": doubt.stream,
        "axis": doubt.axis, "since": rfc3339(doubt.window.since), "until": rfc3339(doubt.window.until),
        "run_id": doubt.run_id, "kind": doubt.kind, "field": doubt.field, "reason": doubt.reason,
        "request_ids": parsed(&doubt.request_ids), "records": doubt.records,
        "money_in_tables": parsed(&doubt.money_in_tables), "money_in_answer": parsed(&doubt.money_in_answer),
        "connector_version": doubt.connector_version, "found_at": rfc3339(doubt.found_at),
        "agrees_since": rfc3339(doubt.agrees_since), "state": doubt.state.name(),
        "decided_at": doubt.decided_at.map(rfc3339), "decided_by": doubt.decided_by, "decision": doubt.decision,
    })
}

/// Doubts as a JSON array.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: serde::Serializer>(doubts: &[DoubtRow], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(doubts.iter().map(json))
}

fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
