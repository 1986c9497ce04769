//! Building tables: from answers as they come, or from raw.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use sluice_engine::{Connector, TwiceCheck};
use sluice_fetch::Framing;
use sluice_lake::{Gone, Prepared, RawFilter, RunWriter};
use sluice_model::{Mapped, RawObject, Slice, Window, describe};

use crate::app::App;
use crate::collect::{CollectedSlices, JudgedBuild, RunWarnings, hold_failure, response_bytes};
use crate::doubt::Observation;
use crate::failure::{Failure, SliceError};
use crate::guests::in_guest;
use crate::memory::Reservation;
use crate::meter::Unit;
use crate::network::{Network, connector_ref};
use crate::withheld::WithheldResponses;

/// Which raw objects to build from.
#[derive(Clone, Debug, Default)]
pub struct RawSelection {
    /// Only this account.
    pub account: Option<String>,
    /// Only this stream.
    pub stream: Option<String>,
    /// Only what this run fetched.
    pub run_id: Option<String>,
    /// Only windows that touch this one.
    pub window: Option<Window>,
}

impl RawSelection {
    /// Whether a slice is of it, whichever run read it.
    pub fn has(&self, slice: &Slice) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let touches = |window: Window| window.since < slice.window.until && slice.window.since < window.until;
        is(&self.account, &slice.account) && is(&self.stream, &slice.stream) && self.window.is_none_or(touches)
    }

    /// What it asks the lake for, of a network id.
    pub fn filter(&self, network: &str) -> RawFilter {
        RawFilter {
            network: Some(network.to_owned()),
            account: self.account.clone(),
            stream: self.stream.clone(),
            run_id: self.run_id.clone(),
            since: self.window.map(|window| window.since),
            until: self.window.map(|window| window.until),
        }
    }
}

/// What reading raw gave.
#[derive(Default)]
pub struct RawRead {
    /// Records found.
    pub records: u64,
    /// Raw objects that could not be mapped. Of thousands the first.
    pub errors: Vec<SliceError>,
    /// How many further ones there were.
    pub further_errors: u64,
    /// Slices of which no table was made before.
    pub judged: JudgedBuild,
}

/// What raw no longer holds, for people.
pub fn missing_raw(gone: &Gone) -> String {
    let until = gone.until.map_or_else(String::new, |until| format!(", received until {}", until.format("%F %T UTC")));
    format!("raw no longer holds {} responses{until}", gone.responses)
}

/// A response as the tables take it, and what its run counts and logs of it.
pub struct PreparedResponse {
    /// Its rows.
    pub prepared: Prepared,
    /// Records found in it.
    pub records: u64,
    /// Status words that the connector doesn't know.
    pub unknown_statuses: Vec<String>,
    /// How many records the network states for the listing that it belongs to.
    pub total: Option<u64>,
    /// What it is like.
    pub seen: Observation,
}

impl PreparedResponse {
    /// Bytes that it takes, with its envelope.
    pub fn bytes(&self) -> usize {
        self.prepared.bytes() + self.seen.bytes() + self.prepared.origin().text_bytes()
    }

    /// Makes a mapped response ready for the tables; where it was mapped, since that takes processor time.
    ///
    /// # Errors
    /// Rows that don't fit the tables.
    pub fn of(connector: &Connector, raw: Arc<RawObject>, mut mapped: Mapped) -> Result<Self, Failure> {
        let name = &raw.slice.stream;
        let stream = connector.manifest().stream(name).ok_or_else(|| {
            Failure::failed(anyhow::anyhow!("connector `{}` has no stream `{name}`", connector.network()))
        })?;
        let (records, total) = (mapped.records() as u64, mapped.total);
        let mut seen = Observation::of(&mapped);
        seen.note_end(&mapped.findings, Framing::of(raw.status, &raw.headers) == Framing::Close);
        let unknown_statuses = std::mem::take(&mut mapped.unknown_statuses);
        let prepared = Prepared::of(raw, &stream.layout, connector_ref(connector), mapped)?;
        Ok(Self { prepared, records, unknown_statuses, total, seen })
    }
}

/// Maps the network's raw objects again and hands them on to the tables, oldest first. Slices of which no table was made yet
/// are judged before.
///
/// # Errors
/// The lake's failure. A raw object that can't be mapped is in the result.
pub async fn read_raw(
    app: &Arc<App>,
    network: &Network,
    selection: &RawSelection,
    tables: &Arc<RunWriter>,
) -> Result<RawRead, Failure> {
    let id = &network.manifest().network;
    let withheld = WithheldResponses::of(&app.lake, Some(id)).await?;
    let objects = withheld.counted_without(&app.meter, app.lake.raw_objects(&selection.filter(id)).await?);
    let mut mapped = prepare_all(app, &network.connector, objects);
    let mut read = RawRead::default();
    let warnings = Arc::new(RunWarnings::default());
    let mut collected = CollectedSlices::new(app, network, selection, tables, &warnings);
    loop {
        let next = tokio::select! {
            next = mapped.next() => next,
            // Whoever waits may be the next response.
            () = app.memory.contended(), if collected.is_holding() => {
                collected.hand_on().await?;
                continue;
            }
        };
        let Some(Remapped { raw, outcome, memory }) = next.transpose()? else { break };
        match outcome {
            Ok(answer) => {
                warnings.unknown_statuses(&raw.slice, &answer.unknown_statuses);
                read.records += answer.records;
                memory.resize(answer.bytes());
                if let Some((answer, memory)) = collected.take(&raw, answer, memory).await? {
                    tables.add(answer.prepared, Box::new(memory)).await?;
                }
            }
            Err(failure) => {
                let reason = describe(failure.error.as_ref());
                let error = SliceError::from(failure).about(raw.body);
                collected.failed(&raw, &error).await?;
                hold_failure(&mut read.errors, &mut read.further_errors, error);
                tables.reject(raw, &connector_ref(&network.connector), &reason);
            }
        }
    }
    read.judged = collected.judge_all().await?;
    Ok(read)
}

/// A raw object and its outcome.
pub struct Remapped<T> {
    /// The envelope of the response that was mapped.
    pub raw: Arc<RawObject>,
    /// What it gave.
    pub outcome: Result<T, Failure>,
    /// What both take of the process's budget.
    pub memory: Arc<Reservation>,
}

/// Maps raw objects in parallel and returns them in their order. No request is sent.
///
/// An error is the lake's; why a response can't be mapped is beside the response.
pub fn map_all<'a>(
    app: &Arc<App>,
    connector: &Connector,
    objects: BoxStream<'a, Result<RawObject, sluice_lake::Error>>,
) -> BoxStream<'a, Result<Remapped<Mapped>, Failure>> {
    map_then(app, connector, objects, |_, _, mapped| Ok(mapped))
}

/// The same, ready for the tables.
pub fn prepare_all<'a>(
    app: &Arc<App>,
    connector: &Connector,
    objects: BoxStream<'a, Result<RawObject, sluice_lake::Error>>,
) -> BoxStream<'a, Result<Remapped<PreparedResponse>, Failure>> {
    map_then(app, connector, objects, |connector, raw, mapped| PreparedResponse::of(connector, raw.clone(), mapped))
}

/// What is made of a mapped response on the thread that mapped it.
type Then<T> = fn(&Connector, &Arc<RawObject>, Mapped) -> Result<T, Failure>;

fn map_then<'a, T: Send + 'static>(
    app: &Arc<App>,
    connector: &Connector,
    objects: BoxStream<'a, Result<RawObject, sluice_lake::Error>>,
    then: Then<T>,
) -> BoxStream<'a, Result<Remapped<T>, Failure>> {
    let (app, connector) = (app.clone(), connector.clone());
    let at_once = app.guests.free().max(1);
    let reserving = app.clone();
    // In their order, and before anything of them is read: one that waits for memory never holds up one that has some.
    let reserved = objects.then(move |object| {
        let app = reserving.clone();
        async move {
            let raw = Arc::new(object?);
            let memory = Arc::new(app.memory.reserve(response_bytes(raw.body_bytes)).await);
            Ok::<_, Failure>((raw, memory))
        }
    });
    let map = move |reserved: Result<(Arc<RawObject>, Arc<Reservation>), Failure>| {
        let (app, connector) = (app.clone(), connector.clone());
        async move {
            let (raw, memory) = reserved?;
            let wire = app.lake.raw_body(raw.body).await?;
            app.meter.read(wire.len());
            let outcome = map_body(&app, connector, &raw, wire, then, &memory).await;
            app.meter.done(Unit::Responses);
            Ok(Remapped { raw, outcome, memory })
        }
    };
    reserved.map(map).buffered(at_once).boxed()
}

async fn map_body<T: Send + 'static>(
    app: &Arc<App>,
    connector: Connector,
    raw: &Arc<RawObject>,
    wire: Bytes,
    then: Then<T>,
    memory: &Arc<Reservation>,
) -> Result<T, Failure> {
    let body = sluice_fetch::unpack_body(&raw.headers, &wire, &app.settings.fetch).await?;
    // A packed body may be larger than what was reserved; as many as there are guests at once.
    memory.resize(response_bytes(body.len() as u64));
    let (object, meter, memory) = (raw.clone(), app.meter.clone(), memory.clone());
    in_guest(&app.guests, &raw.slice.network, move || {
        let _memory = memory;
        let mapped = connector.map_raw(&object, body, TwiceCheck::Sampled)?;
        meter.found(mapped.records());
        then(&connector, &object, mapped)
    })
    .await
}
