//! Rejects: trying records that could not be mapped again, by the connector that serves now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::Utc;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use sluice_lake::{RawFilter, RejectRow, Resolution, RunWriter};
use sluice_model::{RawObject, Reject, describe};

use crate::app::{App, Network};
use crate::claims::Claims;
use crate::failure::Failure;
use crate::meter::Unit;
use crate::network::connector_ref;
use crate::numbered::number_others;
use crate::tables::Remapped;
use crate::{record, tables};

/// The outcome of retrying a network's rejects.
#[derive(Clone, Debug, Serialize)]
pub struct Retried {
    /// The network's name in the settings.
    pub network: String,
    /// The run that tried them; none if there were none.
    pub run_id: Option<String>,
    /// Rejects that were tried.
    pub tried: u64,
    /// Those that are mapped now.
    pub mapped: u64,
    /// Those that are still rejected.
    pub left: u64,
    /// Of these, those that could not be tried: raw no longer holds their responses.
    pub stranded: u64,
    /// New versions of unified transactions.
    pub new_versions: u64,
    /// Rows written to native tables.
    pub native_rows: u64,
}

/// Maps the responses of a network's open rejects again, and writes what they give now.
///
/// # Errors
/// The lake's failure. A reject is only resolved when what came of it is committed.
pub async fn retry(app: &Arc<App>, network: &Network) -> Result<Retried, Failure> {
    let claims = Claims::of_connector(app, &network.settings.content.connector, &network.settings.name).await?;
    let retried = claims.guard(retry_all(app, network, &claims)).await;
    claims.release().await;
    retried
}

async fn retry_all(app: &Arc<App>, network: &Network, claims: &Claims) -> Result<Retried, Failure> {
    let name = network.settings.name.clone();
    let id = network.manifest().network.clone();
    let open = app.lake.open_rejects(Some(&id)).await?;
    let mut retried = Retried {
        network: name.clone(),
        run_id: None,
        tried: open.len() as u64,
        mapped: 0,
        left: 0,
        stranded: 0,
        new_versions: 0,
        native_rows: 0,
    };
    if open.is_empty() {
        return Ok(retried);
    }
    let open = by_run(open);
    let responses: usize = open.values().map(HashMap::len).sum();
    app.meter.begin(format!("retry rejects of {name}"), Unit::Responses, responses as u64);
    let started_at = Utc::now();
    let run_id = uuid::Uuid::now_v7().to_string();
    record::keep_connector(&app.lake, network).await?;
    let connector = connector_ref(&network.connector);
    let tables = app.committer.run(claims.fence());
    let mut again = MappedAgain::default();
    for (run, rejects) in open {
        let filter = RawFilter { network: Some(id.clone()), run_id: Some(run), ..RawFilter::default() };
        map_again(app, network, &filter, &rejects, &tables, &mut again).await?;
    }
    let MappedAgain { resolved, reached } = again;
    let counts = tables.finish().await?;
    app.lake.resolve_rejects(&id, &resolved, &run_id, Utc::now(), claims.fence()).await?;
    retried.mapped = resolved.iter().filter(|(_, resolution)| *resolution == Resolution::Mapped).count() as u64;
    retried.left = retried.tried - retried.mapped;
    retried.stranded = retried.tried - reached.len() as u64;
    (retried.new_versions, retried.native_rows) = (counts.new_versions, counts.native_written);
    let row = record::offline(&run_id, &name, "retry", started_at, Some(&connector), counts);
    app.lake.append_runs(&[row], claims.fence()).await?;
    retried.run_id = Some(run_id);
    Ok(retried)
}

/// What mapping the responses of rejects again gave.
#[derive(Default)]
struct MappedAgain {
    resolved: Vec<(u128, Resolution)>,
    /// Rejects whose responses are in raw.
    reached: HashSet<u128>,
}

/// Maps the responses again that rejects of one run came from, and hands what they give now to the tables.
async fn map_again(
    app: &Arc<App>,
    network: &Network,
    filter: &RawFilter,
    rejects: &ByResponse,
    tables: &RunWriter,
    again: &mut MappedAgain,
) -> Result<(), Failure> {
    let connector = connector_ref(&network.connector);
    let wanted: HashSet<(String, String)> = rejects.keys().cloned().collect();
    let is_wanted = |object: &RawObject| wanted.contains(&(object.request_id.clone(), object.body.to_hex()));
    number_others(app, network, filter, is_wanted, tables).await?;
    let objects = app.lake.raw_objects(filter).await?.try_filter(move |object| {
        std::future::ready(wanted.contains(&(object.request_id.clone(), object.body.to_hex())))
    });
    let mut mapped = tables::prepare_all(app, &network.connector, objects.boxed());
    while let Some(Remapped { raw, outcome, memory }) = mapped.next().await.transpose()? {
        let of_object = rejects.get(&(raw.request_id.clone(), raw.body.to_hex()));
        let of_object = of_object.map_or(&[][..], Vec::as_slice);
        again.reached.extend(of_object.iter().map(|reject| reject.key));
        match outcome {
            Ok(answer) => {
                let rejected = answer.prepared.rejected();
                again.resolved.extend(of_object.iter().filter_map(|reject| resolution(reject, rejected)));
                memory.resize(answer.bytes());
                tables.add(answer.prepared, Box::new(memory)).await?;
            }
            Err(failure) => {
                let reason = describe(failure.error.as_ref());
                again.resolved.extend(superseded(of_object, &raw, &reason));
                tables.reject(raw, &connector, &reason);
            }
        }
    }
    Ok(())
}

/// Rejects by request and body.
type ByResponse = HashMap<(String, String), Vec<RejectRow>>;

/// Rejects by the run that fetched them.
fn by_run(open: Vec<RejectRow>) -> BTreeMap<String, ByResponse> {
    let mut runs: BTreeMap<String, ByResponse> = BTreeMap::new();
    for reject in open {
        let of_run = runs.entry(reject.run_id.clone()).or_default();
        of_run.entry((reject.request_id.clone(), reject.raw_object.clone())).or_default().push(reject);
    }
    runs
}

/// The outcome of a reject of a response that could be mapped; none if it is rejected as before.
fn resolution(reject: &RejectRow, rejected: &[Reject]) -> Option<(u128, Resolution)> {
    let again: Vec<&str> = rejected
        .iter()
        .filter(|other| i64::from(other.record_index) == reject.record_index)
        .map(|other| other.reason.as_str())
        .collect();
    match again[..] {
        [] => Some((reject.key, Resolution::Mapped)),
        _ if again.contains(&reject.reason.as_str()) => None,
        _ => Some((reject.key, Resolution::Superseded)),
    }
}

/// Rejects of a response that as a whole can't be mapped now, for another reason than theirs.
fn superseded<'a>(
    rejects: &'a [RejectRow],
    raw: &'a RawObject,
    reason: &'a str,
) -> impl Iterator<Item = (u128, Resolution)> + 'a {
    let same = move |reject: &RejectRow| reject.record_index == RejectRow::WHOLE && reject.reason == reason;
    let others = rejects.iter().filter(move |reject| reject.request_id == raw.request_id && !same(reject));
    others.map(|reject| (reject.key, Resolution::Superseded))
}
