//! What a version came from: the request, the response, and the record in it.

use std::collections::HashMap;

use arrow::array::Array;
use bytes::Bytes;
use sluice_engine::{Connector, Decoded, Engine, TwiceCheck, visible_headers};
use sluice_fetch::FetchOptions;
use sluice_lake::Lake;
use sluice_model::{Digest, Format, RawObject};

use super::history::Version;
use crate::failure::Failure;

/// A record's fields by path, in the order of the response.
pub type Record = Vec<(String, Option<String>)>;

/// A response kept in raw, with its body.
#[derive(Clone, Debug)]
pub struct RawResponse {
    /// Its request, status and headers.
    pub raw: RawObject,
    /// Its body, unpacked.
    pub body: Bytes,
}

/// What is left of what a version came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The request and its response; none if raw has them no more.
    pub raw: Option<RawObject>,
    /// The record that the version was mapped from; none if that isn't known, with the problem.
    pub record: Option<Record>,
    /// Why something isn't known.
    pub problem: Option<String>,
}

/// Reads raw, and records in it as the connectors did that mapped them.
pub struct Evidence {
    lake: Lake,
    engine: Engine,
    fetch: FetchOptions,
    connectors: HashMap<Digest, Connector>,
}

impl Evidence {
    /// Evidence in a lake. `fetch`: the limits of bodies that are unpacked.
    pub fn new(lake: Lake, engine: Engine, fetch: FetchOptions) -> Self {
        Self { lake, engine, fetch, connectors: HashMap::new() }
    }

    /// What a version came from, as far as it is there.
    pub async fn of(&mut self, version: &Version) -> Origin {
        let mut found = Origin::default();
        if let Err(failure) = self.find(version, &mut found).await {
            found.problem = Some(failure.error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
        }
        found
    }

    async fn find(&mut self, version: &Version, found: &mut Origin) -> Result<(), Failure> {
        let gone = |what: &str| Failure::failed(anyhow::anyhow!("{what}"));
        let body = Digest::from_hex(&version.raw_object).ok_or_else(|| gone("it names no raw object"))?;
        let raw = self.lake.raw_object(&version.run_id, &version.request_id, body).await?;
        let raw = found.raw.insert(raw.ok_or_else(|| gone("its response is no longer in raw"))?).clone();
        if version.change == "vanished" {
            return Ok(());
        }
        let digest = Digest::from_hex(&version.connector_digest).ok_or_else(|| gone("it names no connector"))?;
        let response = RawResponse { body: self.body(&raw).await?, raw };
        let place = version.record_index.ok_or_else(|| gone("the response has no such record"))?;
        found.record = Some(self.record(&response, digest, place).await?);
        Ok(())
    }

    /// A response's body, unpacked.
    ///
    /// # Errors
    /// The lake's failure, or a body that can't be unpacked.
    pub async fn body(&self, raw: &RawObject) -> Result<Bytes, Failure> {
        let wire = self.lake.raw_body(raw.body).await?;
        Ok(sluice_fetch::unpack_body(&raw.headers, &wire, &self.fetch).await?)
    }

    /// The fields of a record of a response, as the connector with this digest reads it; of a torn row its line.
    ///
    /// # Errors
    /// A response that has no such record or can't be decoded; the lake's failure.
    pub async fn record(&mut self, response: &RawResponse, connector: Digest, place: usize) -> Result<Record, Failure> {
        let connector = self.connector(connector).await?;
        let (raw, body) = (response.raw.clone(), response.body.clone());
        let decoded = tokio::task::spawn_blocking(move || records(&connector, &raw, body));
        let decoded = decoded.await.map_err(Failure::failed)??;
        let records = &decoded.batch;
        if place >= records.rows {
            return torn(&decoded, place - records.rows, &response.body)
                .ok_or_else(|| Failure::failed(anyhow::anyhow!("the response has no such record")));
        }
        let cell = |text: &arrow::array::StringArray| text.is_valid(place).then(|| text.value(place).to_owned());
        let fields = records.columns.iter().map(|column| (column.path.clone(), cell(&column.text)));
        // A field that only other records have is no field of this one.
        Ok(fields.filter(|(_, value)| value.is_some()).collect())
    }

    /// The connector with a digest, from the lake.
    async fn connector(&mut self, digest: Digest) -> Result<Connector, Failure> {
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
fn records(connector: &Connector, raw: &RawObject, body: Bytes) -> Result<Decoded, Failure> {
    let stream = connector.manifest().stream(&raw.slice.stream);
    if stream.is_some_and(|stream| stream.layout.format == Format::Opaque) {
        let batch = connector.map_raw(raw, body, TwiceCheck::Sampled)?.native;
        return Ok(Decoded { batch, ..Decoded::default() });
    }
    connector.decode(&raw.slice.stream, &visible_headers(&raw.headers), &body).map_err(Failure::failed)
}

/// A row that is no record because it lacks fields, or has too many: its line in the body, unchanged.
fn torn(decoded: &Decoded, nth: usize, body: &Bytes) -> Option<Record> {
    let row = decoded.torn.rows.get(nth).filter(|_| decoded.torn.excluded)?;
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    let line = text.split(['\n', '\r']).nth((row.line as usize).checked_sub(1)?)?;
    Some(vec![(format!("line {}", row.line), Some(line.to_owned()))])
}
