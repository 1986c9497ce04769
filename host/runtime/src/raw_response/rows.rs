//! The rows that a version of a connector makes of one response. Nothing is written.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use sluice_engine::{Connector, TwiceCheck};
use sluice_lake::{ConnectorRef, Lake};
use sluice_model::{Fact, Mapped, NativeBatch, RawObject, Reject};

use super::{ResponseName, envelope};
use crate::app::{open_engine, open_lake, open_registry_read_only};
use crate::explain::{Record, texts};
use crate::failure::Failure;
use crate::network::connector_ref;
use crate::replay::stored_version;
use crate::settings::Settings;

/// What a version makes of a response.
#[derive(Clone, Debug)]
pub struct MappedRows {
    /// The connector that mapped, with its version.
    pub connector: ConnectorRef,
    /// How many records the response has.
    pub records: usize,
    /// The rows of those that were asked for.
    pub rows: Vec<MappedRow>,
    /// Records that could not be mapped.
    pub rejects: Vec<Reject>,
}

/// A record, and the transactions and other facts that are made of it.
#[derive(Clone, Debug)]
pub struct MappedRow {
    /// Its place in the response, from 0.
    pub record_index: usize,
    /// The fields that it has, by path.
    pub native: Record,
    /// The columns of each transaction that aren't null.
    pub transactions: Vec<Record>,
    /// The same of facts of other kinds.
    pub facts: BTreeMap<Fact, Vec<Record>>,
}

/// Maps a response by a version, which may be the one that waits; without one by that which mapped it when it came.
/// `places`: the rows of these records are given.
///
/// # Errors
/// A name that fits none or several, a version that isn't there, a response that can't be mapped, or the lake's failure.
pub async fn rows(
    settings: &Settings,
    name: ResponseName<'_>,
    version: Option<&str>,
    places: Range<usize>,
) -> Result<MappedRows, Failure> {
    let lake = open_lake(settings).await?;
    let raw = envelope(&lake, name).await?;
    let connector = connector(settings, &lake, &raw, version).await?;
    let wire = lake.raw_body(raw.body).await?;
    let body = sluice_fetch::unpack_body(&raw.headers, &wire, &settings.fetch).await?;
    let reference = connector_ref(&connector);
    // Guests take processor time: not on the threads of asynchronous tasks.
    let map = tokio::task::spawn_blocking(move || connector.map_raw(&raw, body, TwiceCheck::Sampled));
    let mapped: Mapped = map.await.map_err(Failure::failed)??;
    let rows = rows_of(&mapped, places).map_err(Failure::failed)?;
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

fn rows_of(mapped: &Mapped, wanted: Range<usize>) -> Result<Vec<MappedRow>, arrow::error::ArrowError> {
    let first = wanted.start;
    let mut rows: Vec<MappedRow> = (first..mapped.native.rows.min(wanted.end))
        .map(|record_index| MappedRow {
            record_index,
            native: fields(&mapped.native, record_index),
            transactions: Vec::new(),
            facts: BTreeMap::new(),
        })
        .collect();
    let transactions = mapped.transactions.iter().map(|batch| (Fact::Transactions, batch));
    for (fact, batch) in transactions.chain(mapped.facts.iter().map(|(fact, batch)| (*fact, batch))) {
        for (place, columns) in places(batch).into_iter().zip(texts(batch)?) {
            if let Some(row) = place.checked_sub(first).and_then(|at| rows.get_mut(at)) {
                let known = columns.into_iter().filter(|(name, value)| value.is_some() && name != PLACE);
                let of_kind = match fact {
                    Fact::Transactions => &mut row.transactions,
                    other => row.facts.entry(other).or_default(),
                };
                of_kind.push(known.collect());
            }
        }
    }
    Ok(rows)
}

const PLACE: &str = "record_index";

/// The record of each row.
fn places(batch: &RecordBatch) -> Vec<usize> {
    let column = batch.column_by_name(PLACE);
    let places = column.and_then(|column| column.as_primitive_opt::<UInt32Type>());
    places.into_iter().flat_map(|places| places.values().iter().map(|place| *place as usize)).collect()
}

/// The fields that a record has.
fn fields(native: &NativeBatch, row: usize) -> Record {
    let present = native.columns.iter().filter(|column| column.text.is_valid(row));
    present.map(|column| (column.path.clone(), Some(column.text.value(row).to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, UInt32Array};

    use super::*;

    #[test]
    fn a_record_is_shown_with_the_facts_that_it_gives() {
        let places: ArrayRef = Arc::new(UInt32Array::from(vec![0, 1, 1]));
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        let payments = RecordBatch::try_from_iter([(PLACE, places), ("payment_id", ids)]).unwrap();
        let native = NativeBatch { rows: 2, columns: vec![] };
        let mapped = Mapped { native, facts: BTreeMap::from([(Fact::Payments, payments)]), ..Mapped::default() };
        let rows = rows_of(&mapped, 1..2).unwrap();
        let id = |id: &str| vec![("payment_id".to_owned(), Some(id.to_owned()))];
        assert_eq!((rows.len(), rows[0].record_index), (1, 1));
        assert!(rows[0].transactions.is_empty());
        assert_eq!(rows[0].facts, BTreeMap::from([(Fact::Payments, vec![id("b"), id("c")])]));
    }
}
