//! Building tables: from answers as they come, or from raw.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use sluice_engine::Connector;
use sluice_lake::{Counts, Gone, RawFilter};
use sluice_model::{Mapped, RawObject, Response, Window};
use tokio::sync::mpsc;

use crate::app::{App, Network};
use crate::collect::{self, Answer, Delivery};
use crate::failure::Failure;
use crate::guests::in_guest;
use crate::replay;

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
#[derive(Debug, Default)]
pub struct RawRead {
    /// Records found.
    pub records: u64,
    /// Raw objects that could not be mapped.
    pub errors: Vec<String>,
}

/// What raw no longer holds, for people.
pub fn lacking(gone: &Gone) -> String {
    let until = gone.until.map_or_else(String::new, |until| format!(", received until {}", until.format("%F %T UTC")));
    format!("raw no longer holds {} responses{until}", gone.responses)
}

/// Writes answers into the tables until there are no more.
///
/// # Errors
/// The lake's failure; what was committed before it stays.
pub async fn write(app: Arc<App>, run_id: String, mut answers: mpsc::Receiver<Delivery>) -> Result<Counts, Failure> {
    let mut ledger = app.lake.ledger(&run_id);
    while let Some(delivery) = answers.recv().await {
        match delivery {
            Delivery::Answer(Answer { raw, mapped, connector }) => {
                let Some(stream) = connector.manifest().stream(&raw.slice.stream) else { continue };
                ledger.add(raw, &stream.layout, &replay::reference(&connector), mapped).await?;
            }
            Delivery::WindowRead { slice, read_at } => ledger.window_read(&slice, read_at),
            Delivery::Unmapped { raw, connector, reason } => {
                ledger.reject(raw, &replay::reference(&connector), &reason);
            }
        }
    }
    Ok(ledger.commit().await?)
}

/// Maps the network's raw objects again and hands them on to the tables, oldest first.
///
/// # Errors
/// The lake's failure. A raw object that can't be mapped is in the result.
pub async fn read_raw(
    app: &Arc<App>,
    network: &Network,
    selection: &RawSelection,
    answers: mpsc::Sender<Delivery>,
) -> Result<RawRead, Failure> {
    let objects = app.lake.raw_objects(&selection.filter(&network.manifest().network)).await?;
    let mut mapped = map_all(app, &network.connector, objects);
    let mut read = RawRead::default();
    while let Some((raw, outcome)) = mapped.next().await.transpose()? {
        match outcome {
            Ok(mapped) => {
                collect::warn_of_unknown(&raw, &mapped);
                read.records += mapped.native.rows as u64;
                // A writer that has stopped says why itself.
                let answer = Answer { raw, mapped, connector: network.connector.clone() };
                if answers.send(Delivery::Answer(answer)).await.is_err() {
                    break;
                }
            }
            Err(failure) => {
                read.errors.push(format!("raw object {}: {}", raw.body.short(), failure.render(false)));
                let reason = collect::describe(failure.error.as_ref());
                let connector = network.connector.clone();
                if answers.send(Delivery::Unmapped { raw, connector, reason }).await.is_err() {
                    break;
                }
            }
        }
    }
    Ok(read)
}

/// A raw object, and what a connector makes of it.
pub type Remapped = (Arc<RawObject>, Result<Mapped, Failure>);

/// Maps raw objects side by side and gives them in their order. No network is asked.
///
/// An error is the lake's; that a response can't be mapped stands beside the response.
pub fn map_all<'a>(
    app: &Arc<App>,
    connector: &Connector,
    objects: BoxStream<'a, Result<RawObject, sluice_lake::Error>>,
) -> BoxStream<'a, Result<Remapped, Failure>> {
    let (app, connector) = (app.clone(), connector.clone());
    let at_once = app.guests.available_permits().max(1);
    let map = move |object: Result<RawObject, sluice_lake::Error>| {
        let (app, connector) = (app.clone(), connector.clone());
        async move {
            let raw = Arc::new(object?);
            let wire = app.lake.raw_body(raw.body).await?;
            let mapped = map_body(&app, connector, &raw, wire).await;
            Ok((raw, mapped))
        }
    };
    objects.map(map).buffered(at_once).boxed()
}

async fn map_body(app: &Arc<App>, connector: Connector, raw: &Arc<RawObject>, wire: Bytes) -> Result<Mapped, Failure> {
    let body = sluice_fetch::unpack_body(&raw.headers, &wire, &app.settings.fetch).await?;
    let response =
        Response { status: raw.status, headers: collect::visible(&raw.headers), body, records: None, problem: None };
    let object = raw.clone();
    in_guest(app, move || {
        let mut response = response;
        let native =
            connector.decode(&object.slice.stream, &object.request, &response.body).map_err(Failure::failed)?;
        response.records = u32::try_from(native.rows).ok();
        connector.map(&object.slice, &object.request, &response, native).map_err(Failure::from)
    })
    .await
}
