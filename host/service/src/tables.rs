//! Building tables: from answers as they come, or from raw.

use std::sync::Arc;

use futures::StreamExt;
use sluice_lake::{ConnectorRef, Counts, RawFilter};
use sluice_model::{RawObject, Response, Window};
use tokio::sync::mpsc;

use crate::app::{App, Network};
use crate::collect::{self, Answer, in_guest};
use crate::failure::Failure;

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

/// What reading raw gave.
#[derive(Debug, Default)]
pub struct RawRead {
    /// Records found.
    pub records: u64,
    /// Raw objects that could not be mapped.
    pub errors: Vec<String>,
}

/// Writes answers into the tables until there are no more.
///
/// # Errors
/// The lake's failure; what was committed before it stays.
pub async fn write(
    app: Arc<App>,
    network: Network,
    run_id: String,
    mut answers: mpsc::Receiver<Answer>,
) -> Result<Counts, Failure> {
    let mut ledger = app.lake.ledger(&run_id);
    let connector = ConnectorRef {
        name: network.manifest().network.clone(),
        version: network.connector.version().to_owned(),
        digest: network.connector.digest(),
    };
    while let Some(Answer { raw, mapped }) = answers.recv().await {
        let Some(stream) = network.manifest().stream(&raw.slice.stream) else { continue };
        ledger.add(raw, &stream.layout, &connector, mapped).await?;
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
    answers: mpsc::Sender<Answer>,
) -> Result<RawRead, Failure> {
    let filter = RawFilter {
        network: Some(network.manifest().network.clone()),
        account: selection.account.clone(),
        stream: selection.stream.clone(),
        run_id: selection.run_id.clone(),
        since: selection.window.map(|window| window.since),
        until: selection.window.map(|window| window.until),
    };
    let mut objects = app.lake.raw_objects(&filter).await?;
    let mut read = RawRead::default();
    while let Some(object) = objects.next().await {
        let raw = Arc::new(object?);
        match map_raw(app, network, &raw).await {
            Ok(answer) => {
                read.records += answer.mapped.native.rows as u64;
                // A writer that has stopped says why itself.
                if answers.send(answer).await.is_err() {
                    break;
                }
            }
            Err(failure) => read.errors.push(format!("raw object {}: {}", raw.body.short(), failure.render(false))),
        }
    }
    Ok(read)
}

async fn map_raw(app: &Arc<App>, network: &Network, raw: &Arc<RawObject>) -> Result<Answer, Failure> {
    let wire = app.lake.raw_body(raw.body).await?;
    let body = sluice_fetch::unpack_body(&raw.headers, &wire, &sluice_fetch::FetchOptions::default()).await?;
    let response =
        Response { status: raw.status, headers: collect::visible(&raw.headers), body, records: None, problem: None };
    let (connector, object) = (network.connector.clone(), raw.clone());
    let mapped = in_guest(app, move || {
        let mut response = response;
        let native =
            connector.decode(&object.slice.stream, &object.request, &response.body).map_err(Failure::failed)?;
        response.records = u32::try_from(native.rows).ok();
        connector.map(&object.slice, &object.request, &response, native).map_err(Failure::from)
    })
    .await?;
    collect::warn_of_unknown(raw, &mapped);
    Ok(Answer { raw: raw.clone(), mapped })
}
