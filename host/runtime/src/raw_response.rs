//! A response that raw keeps: found by the beginning of its body's digest, with the rejects that it gave.

mod rows;

pub use rows::{MappedRow, MappedRows, rows};

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use bytes::Bytes;
use sluice_lake::{Lake, RejectRow};
use sluice_model::{Digest, RawObject};
use sluice_query::Session;

use crate::app::{open_engine, open_lake, open_session};
use crate::explain::{Evidence, RawResponse, Record};
use crate::failure::Failure;
use crate::settings::Settings;

/// A response with its rejects.
#[derive(Clone, Debug)]
pub struct ShownResponse {
    /// The response with its body.
    pub response: RawResponse,
    /// Its open rejects.
    pub rejects: Vec<RejectRow>,
    /// The record that was asked for.
    pub record: Option<Record>,
}

/// How a person names a response: by its body, and by its request if several have this body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseName<'a> {
    /// The digest of its body, or its beginning.
    pub digest: &'a str,
    /// The request, where several responses have this body; none: the newest of them.
    pub request: Option<&'a str>,
}

/// A response, and one of its records if `place` is given, from 0.
///
/// # Errors
/// A name that fits none or several, a record that isn't there or can't be decoded, or the lake's failure.
pub async fn show(settings: &Settings, name: ResponseName<'_>, place: Option<usize>) -> Result<ShownResponse, Failure> {
    let lake = open_lake(settings).await?;
    let raw = envelope(&lake, name).await?;
    let body = raw.body;
    let mut rejects = lake.open_rejects(Some(&raw.slice.network)).await?;
    rejects.retain(|reject| reject.raw_object == body.to_hex());
    let mut evidence = Evidence::new(lake, open_engine(settings)?, settings.fetch.clone());
    let response = RawResponse { body: evidence.body(&raw).await?, raw };
    let record = match place {
        Some(place) => Some(evidence.record(&response, response.raw.connector_digest, place).await?),
        None => None,
    };
    Ok(ShownResponse { response, rejects, record })
}

/// The bytes of a response's body, unpacked.
///
/// # Errors
/// A name that fits none or several, or the lake's failure.
pub async fn body(settings: &Settings, name: ResponseName<'_>) -> Result<Bytes, Failure> {
    let lake = open_lake(settings).await?;
    let raw = envelope(&lake, name).await?;
    let wire = lake.raw_body(raw.body).await?;
    Ok(sluice_fetch::unpack_body(&raw.headers, &wire, &settings.fetch).await?)
}

/// The response without its body.
async fn envelope(lake: &Lake, name: ResponseName<'_>) -> Result<RawObject, Failure> {
    let session = open_session(lake.clone()).await?;
    let (run_id, request_id, body) = find(&session, name).await?;
    let raw = lake.raw_object(&run_id, &request_id, body).await?;
    raw.ok_or_else(|| Failure::failed(anyhow::anyhow!("raw no longer holds the response {}", body.short())))
}

/// Run, request and body of the newest response of this name.
async fn find(session: &Session, name: ResponseName<'_>) -> Result<(String, String, Digest), Failure> {
    let ResponseName { digest, request } = name;
    let prefix = digest.to_lowercase();
    if prefix.len() < 4 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!("`{digest}` is not the beginning of a digest"))
            .hint("write at least 4 digits of a raw_object, as tables and reports name it"));
    }
    let of_request = request.map(|id| format!("AND request_id = '{}'", id.replace('\'', "''"))).unwrap_or_default();
    let query = format!(
        "SELECT run_id, request_id, raw_object FROM raw.objects WHERE starts_with(raw_object, '{prefix}') {of_request}
         ORDER BY received_at DESC"
    );
    let mut found: Vec<[String; 3]> = Vec::new();
    for rows in session.query(&query).await?.collect().await? {
        let text = |place: usize| arrow::compute::cast(rows.column(place), &DataType::Utf8).map_err(Failure::failed);
        let columns = [text(0)?, text(1)?, text(2)?];
        for row in 0..rows.num_rows() {
            found.push([0, 1, 2].map(|place: usize| {
                let column: &dyn Array = &columns[place];
                column.as_string::<i32>().value(row).to_owned()
            }));
        }
    }
    let Some([run_id, request_id, body]) = found.first() else {
        return Err(Failure::failed(anyhow::anyhow!("no response `{digest}` in raw"))
            .hint("see: sluice sql \"SELECT raw_object, network, received_at, outcome FROM raw.objects\""));
    };
    if let Some([.., other]) = found.iter().find(|[.., other]| other != body) {
        let known = [body, other].map(|digest| digest.get(..16).unwrap_or(digest));
        return Err(Failure::usage(format!("`{digest}` fits several responses"))
            .hint(format!("write more digits: {} …", known.join(", "))));
    }
    let body = Digest::from_hex(body).ok_or_else(|| Failure::failed(anyhow::anyhow!("`{body}` is not a digest")))?;
    Ok((run_id.clone(), request_id.clone(), body))
}
