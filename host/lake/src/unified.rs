//! Unified transactions: every version of every transaction of all networks.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::datatypes::{Field, SchemaRef, TimestampMicrosecondType, UInt32Type};
use sluice_model::unified::transaction_versions_schema;
use sluice_model::{Change, RawObject, TransactionKind, mapped_transactions_schema, transaction_keys};

use crate::append::{Beyond, Chosen, Incoming, IncomingRow, RunNumber, Shaped, Source, change_of_known, has_incoming};
use crate::error::Error;
use crate::gather::{gather, runs};
use crate::hash::{TransactionCells, VANISHED, same_core};
use crate::index::{IndexColumns, LatestRow, to_hex};
use crate::ledger::ConnectorRef;
use crate::lineage::{binary, candidates, month_names, now_micros, observed};
use crate::month;
use crate::table::{TableSpec, assemble};

/// The table's name with its schema.
pub(crate) const TABLE: &str = "unified.transaction_versions";

/// What the index of unified transactions reads.
pub(crate) const INDEX: IndexColumns = IndexColumns {
    key: "transaction_key",
    content: "content_hash",
    version: Some("version"),
    observed_at: "observed_at",
    request: "request_id",
    scope: Some("network"),
    month: Some("month"),
};

/// A mapped response that waits to be written.
struct Pending {
    run: RunNumber,
    origin: Arc<RawObject>,
    connector: ConnectorRef,
    rows: RecordBatch,
    kinds: StringArray,
    keys: Vec<u128>,
    contents: Vec<u128>,
    months: Vec<i32>,
}

/// Keys, content hashes and months of a response's transactions.
pub(crate) struct Keyed {
    /// The key of each.
    pub(crate) keys: Vec<u128>,
    /// The hash of each one's content.
    pub(crate) contents: Vec<u128>,
    /// The month of each.
    pub(crate) months: Vec<i32>,
    /// The month of each of the response's records.
    pub(crate) record_months: Vec<i32>,
}

impl Keyed {
    /// Of the transactions that came of so many records.
    pub(crate) fn of(origin: &RawObject, rows: &RecordBatch, records: usize) -> Result<Self, Error> {
        check(rows)?;
        let contents = TransactionCells::of(rows)?.hashes();
        let slice = &origin.slice;
        let ids = texts(rows, "transaction_id")?;
        let mut key_of = transaction_keys(&slice.network, &slice.account, &slice.stream);
        let keys = (0..rows.num_rows()).map(|row| key_of(ids.value(row))).collect();
        let times = rows
            .column_by_name("transacted_at")
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
            .ok_or_else(|| mismatch("transacted_at", "missing", "a timestamp"))?;
        let months: Vec<i32> = times.values().iter().map(|micros| month::of_micros(*micros)).collect();
        let mut record_months = vec![month::NONE; records];
        let places = record_index(rows)?;
        for (place, month) in places.iter().zip(&months).rev() {
            if let Some(record) = place.and_then(|place| record_months.get_mut(place as usize)) {
                *record = *month;
            }
        }
        Ok(Self { keys, contents, months, record_months })
    }

    /// Of some of the transactions only.
    pub(crate) fn some(&self, rows: &[u32]) -> Self {
        let of = |numbers: &[u128]| rows.iter().map(|row| numbers[*row as usize]).collect();
        Self {
            keys: of(&self.keys),
            contents: of(&self.contents),
            months: rows.iter().map(|row| self.months[*row as usize]).collect(),
            record_months: Vec::new(),
        }
    }
}

/// Unified transactions that wait to be written.
#[derive(Default)]
pub(crate) struct UnifiedRows {
    pending: Vec<Pending>,
    incoming: Incoming,
}

impl UnifiedRows {
    /// Takes a response's transactions.
    pub(crate) fn push(
        &mut self,
        run: RunNumber,
        origin: Arc<RawObject>,
        connector: &ConnectorRef,
        rows: RecordBatch,
        keyed: Keyed,
    ) -> Result<(), Error> {
        let Keyed { keys, contents, months, .. } = keyed;
        let kinds = texts(&rows, "kind")?.clone();
        self.pending.push(Pending { run, origin, connector: connector.clone(), rows, kinds, keys, contents, months });
        Ok(())
    }

    /// How many transactions wait.
    pub(crate) fn rows(&self) -> usize {
        self.pending.iter().map(|pending| pending.rows.num_rows()).sum()
    }

    /// Sorts what waits by observation, so that the order of arrival doesn't matter.
    pub(crate) fn make_incoming(&mut self) {
        let now = now_micros();
        let order = |pending: &Pending| (observed(&pending.origin).plausible(now), pending.origin.attempt);
        self.pending.sort_by_key(order);
        self.incoming = Incoming::of(self.pending.iter().map(|pending| (pending.run, &*pending.origin)));
        self.incoming.rows.reserve(self.rows());
        for (source, pending) in (0..).zip(&self.pending) {
            let rows = candidates(source, &pending.keys, &pending.contents, &pending.months);
            self.incoming.rows.extend(rows);
        }
    }

    /// Lets go of what was written.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.incoming = Incoming::default();
    }

    fn text(&self, chosen: &[Chosen], of: impl Fn(&Pending) -> &str) -> ArrayRef {
        let mut builder = StringBuilder::with_capacity(chosen.len(), chosen.len() * 32);
        chosen.iter().for_each(|row| builder.append_value(of(&self.pending[row.source as usize])));
        Arc::new(builder.finish())
    }

    /// A column that the host adds.
    fn added(&self, name: &str, chosen: &[Chosen]) -> Result<ArrayRef, Error> {
        let column: ArrayRef = match name {
            "transaction_key" => {
                let mut keys = StringBuilder::with_capacity(chosen.len(), chosen.len() * 32);
                chosen.iter().for_each(|row| keys.append_value(str::from_utf8(&to_hex(row.key)).unwrap_or_default()));
                Arc::new(keys.finish())
            }
            "network" => self.text(chosen, |pending| &pending.origin.slice.network),
            "account" => self.text(chosen, |pending| &pending.origin.slice.account),
            "stream" => self.text(chosen, |pending| &pending.origin.slice.stream),
            "month" => month_names(chosen),
            "version" => Arc::new(Int32Array::from_iter_values(chosen.iter().map(|row| row.version))),
            "content_hash" => binary(chosen.iter().map(|row| row.content)),
            "change" => Arc::new(StringArray::from_iter_values(chosen.iter().map(|row| row.change.name()))),
            "observed_at" => self.incoming.observed_at(chosen),
            "connector" => self.text(chosen, |pending| &pending.connector.name),
            "connector_version" => self.text(chosen, |pending| &pending.connector.version),
            "connector_digest" => {
                let digests: Vec<String> =
                    self.pending.iter().map(|pending| pending.connector.digest.to_hex()).collect();
                Arc::new(StringArray::from_iter_values(chosen.iter().map(|row| &digests[row.source as usize])))
            }
            "run_id" => self.text(chosen, |pending| &pending.origin.run_id),
            "request_id" => self.text(chosen, |pending| &pending.origin.request_id),
            "raw_object" => {
                let digests: Vec<String> = self.pending.iter().map(|pending| pending.origin.body.to_hex()).collect();
                Arc::new(StringArray::from_iter_values(chosen.iter().map(|row| &digests[row.source as usize])))
            }
            "record_index" => {
                let places = self.pending.iter().map(|pending| record_index(&pending.rows));
                let places = places.collect::<Result<Vec<_>, Error>>()?;
                let place = |row: &Chosen| i64::from(places[row.source as usize].value(row.row as usize));
                Arc::new(Int64Array::from_iter_values(chosen.iter().map(place)))
            }
            _ => return Err(mismatch(name, "unknown", "one that this version writes")),
        };
        Ok(column)
    }
}

impl Source for UnifiedRows {
    has_incoming!();

    fn scope(&self, source: u32) -> &str {
        self.pending.get(source as usize).map_or("", |pending| &pending.origin.slice.network)
    }

    fn change(&self, known: Option<&LatestRow>, row: &IncomingRow, now: i64) -> Option<Change> {
        let pending = &self.pending[row.source as usize];
        let place = row.row as usize;
        let Some(known) = known else {
            let corrects = pending.kinds.value(place) == TransactionKind::Adjustment.name();
            return Some(if corrects { Change::Correction } else { Change::FirstSeen });
        };
        let change = change_of_known(known, row, self.incoming.observed(row.source), now)?;
        let arrived = || {
            same_core(row.content, known.content)
                && TransactionCells::of(&pending.rows).is_ok_and(|cells| cells.arrived(place, known.content))
        };
        match change {
            Change::NetworkChange if known.content == VANISHED => Some(Change::Reappeared),
            Change::NetworkChange if arrived() => Some(Change::LateAttribution),
            other => Some(other),
        }
    }

    fn lacks_amount(&self, row: &Chosen) -> bool {
        let pending = &self.pending[row.source as usize];
        let amounts = pending.rows.column_by_name("commission_amount");
        amounts.is_none_or(|amounts| amounts.is_null(row.row as usize))
    }

    fn table_spec(&self) -> TableSpec {
        table_spec()
    }

    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error> {
        let failed = |source| Error::rows(table, source);
        let mapped = mapped_transactions_schema();
        let runs = runs(chosen);
        let known = |name: &str| schema.field_with_name(name).is_ok();
        let own = transaction_versions_schema();
        let is_own = |name: &str| own.field_with_name(name).is_ok();
        let missing = own.fields().iter().filter(|field| !known(field.name()));
        let new_fields: Vec<Field> = missing.map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let all: Vec<Field> =
            schema.fields().iter().map(|field| field.as_ref().clone()).chain(new_fields.iter().cloned()).collect();
        let mut arrays = Vec::with_capacity(all.len());
        for field in &all {
            arrays.push(match mapped.index_of(field.name()) {
                Ok(place) if field.name() != "record_index" => {
                    let columns: Vec<Option<&dyn Array>> =
                        self.pending.iter().map(|pending| Some(pending.rows.column(place).as_ref())).collect();
                    gather(field.data_type(), &columns, &runs).map_err(failed)?
                }
                // A column that another writer added.
                _ if !is_own(field.name()) && field.is_nullable() => new_null_array(field.data_type(), chosen.len()),
                _ => self.added(field.name(), chosen)?,
            });
        }
        Ok(Shaped { rows: assemble(table, all, arrays)?, new_fields, beyond: Beyond::default() })
    }
}

/// What the table is made with, and that of the latest state.
pub(crate) fn table_spec() -> TableSpec {
    TableSpec {
        fields: transaction_versions_schema().fields().iter().map(|field| field.as_ref().clone()).collect(),
        partitions: &["network", "month"],
        // `version` lets the view of the latest state skip every file that holds only first ones.
        indexed: vec![
            "account",
            "stream",
            "transacted_at",
            "advertiser_id",
            "modified_at",
            "version",
            "observed_at",
            "run_id",
        ],
    }
}

fn check(rows: &RecordBatch) -> Result<(), Error> {
    let expected = mapped_transactions_schema();
    let schema = rows.schema();
    for (place, field) in expected.fields().iter().enumerate() {
        let found = schema.fields().get(place).filter(|found| found.name() == field.name());
        let found_type = found.map_or("missing".to_owned(), |found| found.data_type().to_string());
        if found.is_none_or(|found| found.data_type() != field.data_type()) {
            return Err(mismatch(field.name(), &found_type, &field.data_type().to_string()));
        }
    }
    Ok(())
}

/// The id of each transaction, and the place of its record in the response.
pub(crate) fn ids_and_places(rows: &RecordBatch) -> Result<(&StringArray, &arrow::array::UInt32Array), Error> {
    Ok((texts(rows, "transaction_id")?, record_index(rows)?))
}

fn record_index(rows: &RecordBatch) -> Result<&arrow::array::UInt32Array, Error> {
    rows.column_by_name("record_index")
        .and_then(|column| column.as_primitive_opt::<UInt32Type>())
        .ok_or_else(|| mismatch("record_index", "missing", "UInt32"))
}

fn texts<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray, Error> {
    rows.column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| mismatch(name, "missing", "Utf8"))
}

fn mismatch(column: &str, found: &str, expected: &str) -> Error {
    Error::Column {
        table: TABLE.to_owned(),
        column: column.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}
