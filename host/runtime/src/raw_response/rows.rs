//! The rows that a version of a connector makes of one response. Nothing is written.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use sluice_engine::{Connector, TwiceCheck};
use sluice_lake::{ConnectorRef, Lake};
use sluice_model::{Mapped, NativeBatch, RawObject, Reject};

use super::{ResponseName, envelope};
use crate::app::{open_engine, open_lake, open_registry_read_only};
use crate::explain::{Record, texts};
use crate::failure::Failure;
use crate::replay::{self, stored_version};
use crate::settings::Settings;

/// What a version makes of a response.
#[derive(Clone, Debug)]
pub struct MappedRows {
    /// Who mapped.
    pub connector: ConnectorRef,
    /// How many records the response has.
    pub records: usize,
    /// The rows of the first of them.
    pub rows: Vec<MappedRow>,
    /// Records that could not be mapped.
    pub rejects: Vec<Reject>,
}

/// A record, and the transactions that are made of it.
#[derive(Clone, Debug)]
pub struct MappedRow {
    /// Its place in the response, from 0.
    pub record_index: usize,
    /// The fields that it has, by path.
    pub native: Record,
    /// The columns of each transaction that aren't null.
    pub transactions: Vec<Record>,
}

/// Maps a response by a version, which may be the one that waits; without one by that which mapped it when it came.
/// `most`: of so many records the rows are given.
///
/// # Errors
/// A name that fits none or several, a version that isn't there, a response that can't be mapped, or the lake's failure.
pub async fn rows(
    settings: &Settings,
    name: ResponseName<'_>,
    version: Option<&str>,
    most: usize,
) -> Result<MappedRows, Failure> {
    let lake = open_lake(settings).await?;
    let raw = envelope(&lake, name).await?;
    let connector = connector(settings, &lake, &raw, version).await?;
    let wire = lake.raw_body(raw.body).await?;
    let body = sluice_fetch::unpack_body(&raw.headers, &wire, &settings.fetch).await?;
    let reference = replay::reference(&connector);
    // Guests take processor time: not on the threads of asynchronous tasks.
    let map = tokio::task::spawn_blocking(move || connector.map_raw(&raw, body, TwiceCheck::Sampled));
    let mapped: Mapped = map.await.map_err(Failure::failed)??;
    let rows = rows_of(&mapped, most).map_err(Failure::failed)?;
    Ok(MappedRows { connector: reference, records: mapped.records(), rows, rejects: mapped.rejects })
}

async fn connector(
    settings: &Settings,
    lake: &Lake,
    raw: &RawObject,
    version: Option<&str>,
) -> Result<Connector, Failure> {
    if let Some(version) = version {
        let registry = open_registry_read_only(settings).await?;
        return stored_version(lake, &registry, &raw.slice.network, version).await;
    }
    let digest = raw.connector_digest;
    Ok(open_engine(settings)?.load(&lake.connector(digest).await?, &format!("{digest}.wasm"))?)
}

fn rows_of(mapped: &Mapped, most: usize) -> Result<Vec<MappedRow>, arrow::error::ArrowError> {
    let shown = mapped.native.rows.min(most);
    let mut rows: Vec<MappedRow> = (0..shown)
        .map(|record_index| MappedRow {
            record_index,
            native: fields(&mapped.native, record_index),
            transactions: Vec::new(),
        })
        .collect();
    let Some(transactions) = &mapped.transactions else { return Ok(rows) };
    for (place, columns) in places(transactions).into_iter().zip(texts(transactions)?) {
        if let Some(row) = rows.get_mut(place) {
            let known = columns.into_iter().filter(|(name, value)| value.is_some() && name != PLACE);
            row.transactions.push(known.collect());
        }
    }
    Ok(rows)
}

const PLACE: &str = "record_index";

/// The record of each transaction.
fn places(transactions: &RecordBatch) -> Vec<usize> {
    let column = transactions.column_by_name(PLACE);
    let places = column.and_then(|column| column.as_primitive_opt::<UInt32Type>());
    places.into_iter().flat_map(|places| places.values().iter().map(|place| *place as usize)).collect()
}

/// The fields that a record has.
fn fields(native: &NativeBatch, row: usize) -> Record {
    let present = native.columns.iter().filter(|column| column.text.is_valid(row));
    present.map(|column| (column.path.clone(), Some(column.text.value(row).to_owned()))).collect()
}
