//! What a version came from: the request, the response, and the record in it.

use std::collections::HashMap;

use arrow::array::Array;
use sluice_engine::{Connector, Engine, visible_headers};
use sluice_lake::Lake;
use sluice_model::{Digest, Format, NativeBatch, RawObject, Response};

use sluice_runtime::failure::Failure;

use super::history::Version;

/// What is left of what a version came from.
#[derive(Default)]
pub(super) struct Origin {
    /// The request and its response; none if raw has them no more.
    pub(super) raw: Option<RawObject>,
    /// The record's fields by path, in the order of the response.
    pub(super) record: Option<Vec<(String, Option<String>)>>,
    /// Why something isn't told.
    pub(super) problem: Option<String>,
}

/// Reads raw, and records in it as the connectors did that mapped them.
pub(super) struct Evidence {
    lake: Lake,
    engine: Engine,
    connectors: HashMap<Digest, Connector>,
}

impl Evidence {
    /// Evidence in a lake.
    pub(super) fn new(lake: Lake, engine: Engine) -> Self {
        Self { lake, engine, connectors: HashMap::new() }
    }

    /// What a version came from, as far as it is there.
    pub(super) async fn of(&mut self, stream: &str, version: &Version) -> Origin {
        let mut found = Origin::default();
        if let Err(failure) = self.find(stream, version, &mut found).await {
            found.problem = Some(failure.error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
        }
        found
    }

    async fn find(&mut self, stream: &str, version: &Version, found: &mut Origin) -> Result<(), Failure> {
        let gone = |what: &str| Failure::failed(anyhow::anyhow!("{what}"));
        let body = Digest::from_hex(&version.raw_object).ok_or_else(|| gone("it names no raw object"))?;
        let raw = self.lake.raw_object(&version.run_id, &version.request_id, body).await?;
        let raw = found.raw.insert(raw.ok_or_else(|| gone("its response is no longer in raw"))?).clone();
        if version.change == "vanished" {
            return Ok(());
        }
        let wire = self.lake.raw_body(body).await?;
        let body = sluice_fetch::unpack_body(&raw.headers, &wire, &sluice_fetch::FetchOptions::default()).await?;
        let connector = self.connector(version).await?;
        let stream = stream.to_owned();
        let records = tokio::task::spawn_blocking(move || records(&connector, &stream, &raw, body));
        let records = records.await.map_err(Failure::failed)??;
        let row = version.record_index.filter(|row| *row < records.rows);
        let row = row.ok_or_else(|| gone("the response has no such record"))?;
        let cell = |text: &arrow::array::StringArray| text.is_valid(row).then(|| text.value(row).to_owned());
        let fields = records.columns.iter().map(|column| (column.path.clone(), cell(&column.text)));
        // A field that only other records have is no field of this one.
        found.record = Some(fields.filter(|(_, value)| value.is_some()).collect());
        Ok(())
    }

    /// The connector that mapped a version, from the lake.
    async fn connector(&mut self, version: &Version) -> Result<Connector, Failure> {
        let unknown = || Failure::failed(anyhow::anyhow!("it names no connector"));
        let digest = Digest::from_hex(&version.connector_digest).ok_or_else(unknown)?;
        if let Some(connector) = self.connectors.get(&digest) {
            return Ok(connector.clone());
        }
        let component = self.lake.connector(digest).await?;
        let (engine, origin) = (self.engine.clone(), format!("connector {}", digest.short()));
        let load = tokio::task::spawn_blocking(move || engine.load(&component, &origin));
        let connector = load.await.map_err(Failure::failed)??;
        self.connectors.insert(digest, connector.clone());
        Ok(connector)
    }
}

/// The records of a response, as the connector's layout cuts them, or as it reads them itself.
fn records(connector: &Connector, stream: &str, raw: &RawObject, body: bytes::Bytes) -> Result<NativeBatch, Failure> {
    let native = connector.decode(stream, &raw.request, &body).map_err(Failure::failed)?;
    if connector.manifest().stream(stream).is_none_or(|stream| stream.layout.format != Format::Opaque) {
        return Ok(native);
    }
    let records = u32::try_from(native.rows).ok();
    let headers = visible_headers(&raw.headers);
    let response = Response { status: raw.status, headers, body, records, problem: None };
    Ok(connector.map(&raw.slice, &raw.request, &response, native)?.native)
}
