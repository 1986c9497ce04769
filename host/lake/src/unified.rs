//! Unified transactions: every version of every transaction of all networks.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use sluice_model::unified::transaction_versions_schema;
use sluice_model::{Change, Fact, RawObject, TransactionKind, transaction_keys};

use crate::append::{Chosen, Incoming, IncomingRow, RunNumber, Shaped, Source, change_of_known, has_incoming};
use crate::error::Error;
use crate::hash::{TransactionCells, content_hashes, same_core};
use crate::index::{IndexColumns, LatestRow};
use crate::lineage::{ConnectorRef, candidates, now_micros, observed};
use crate::month;
use crate::table::TableSpec;
use crate::versions::{self, check, hex_keys, lake_column, mismatch, record_index, record_places, texts};

/// The table's name with its schema.
pub(crate) const TABLE: &str = "unified.transaction_versions";

/// What the index of unified transactions reads.
pub(crate) const INDEX: IndexColumns = versions::index(TRANSACTIONS);

const TRANSACTIONS: Fact = Fact::Transactions;

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
        check(TRANSACTIONS, rows)?;
        let contents = content_hashes(TRANSACTIONS, rows)?;
        let slice = &origin.slice;
        let ids = ids(rows)?;
        let mut key_of = transaction_keys(&slice.network, &slice.account, &slice.stream);
        let keys = (0..rows.num_rows()).map(|row| key_of(ids.value(row))).collect();
        let times = rows
            .column_by_name("transacted_at")
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
            .ok_or_else(|| mismatch(TRANSACTIONS, "transacted_at", "missing", "a timestamp"))?;
        let months: Vec<i32> = times.values().iter().map(|micros| month::of_micros(*micros)).collect();
        let mut record_months = vec![month::NONE; records];
        let places = record_index(TRANSACTIONS, rows)?;
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
        let kinds = texts(TRANSACTIONS, &rows, "kind")?.clone();
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

    /// The rows of each response.
    fn batches(&self) -> Vec<&RecordBatch> {
        self.pending.iter().map(|pending| &pending.rows).collect()
    }

    /// A column that the host adds.
    fn added(&self, name: &str, chosen: &[Chosen]) -> Result<ArrayRef, Error> {
        let of = |source: u32| {
            let pending = &self.pending[source as usize];
            (&*pending.origin, &pending.connector)
        };
        if let Some(column) = lake_column(name, chosen, &self.incoming, of) {
            return Ok(column);
        }
        match name {
            "transaction_key" => Ok(hex_keys(chosen.iter().map(|row| row.key))),
            "record_index" => record_places(TRANSACTIONS, &self.batches(), chosen),
            _ => Err(mismatch(TRANSACTIONS, name, "unknown", "one that this version writes")),
        }
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
                && TransactionCells::of(TRANSACTIONS, &pending.rows)
                    .is_ok_and(|cells| cells.arrived(place, known.content))
        };
        match change {
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
        versions::shape(TRANSACTIONS, (table, schema), chosen, &self.batches(), |name| self.added(name, chosen))
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

/// The id of each transaction.
pub(crate) fn ids(rows: &RecordBatch) -> Result<&StringArray, Error> {
    texts(TRANSACTIONS, rows, "transaction_id")
}
