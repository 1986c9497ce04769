//! Items, payments, programmes and aggregates: every version of each, by the same rules as transactions. What was read before
//! and is unchanged is not written again, and of two observations the newer one counts.

mod known;
mod part;

pub use known::{FactWorth, KnownFact, KnownFacts};

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, SchemaRef, TimestampMicrosecondType};
use sluice_model::{Fact, RawObject, Reject, transaction_keys};

use crate::append::{Chosen, Incoming, RunNumber, Shaped, Source, has_incoming};
use crate::error::Error;
use crate::hash::content_hashes;
use crate::lineage::{ConnectorRef, candidates, now_micros, observed};
use crate::month;
use crate::prepare::{conflicting, without_rejected};
use crate::table::TableSpec;
use crate::versions::{self, check, hex_keys, lake_column, mismatch, record_places, texts};

const DAY_MICROS: i64 = 86_400_000_000;

/// A response's facts of one kind, with their keys, content hashes and months.
pub(crate) struct FactBatch {
    pub(crate) fact: Fact,
    pub(crate) rows: RecordBatch,
    keys: Vec<u128>,
    contents: Vec<u128>,
    months: Vec<i32>,
}

impl FactBatch {
    /// Facts of one id with different contents in one response become rejects: which one is right isn't known.
    pub(crate) fn of(
        origin: &RawObject,
        fact: Fact,
        rows: RecordBatch,
        rejects: &mut Vec<Reject>,
    ) -> Result<Self, Error> {
        let batch = Self::keyed(origin, fact, rows)?;
        let conflicting = conflicting(&batch.keys, &batch.contents);
        if conflicting.is_empty() {
            return Ok(batch);
        }
        let reasons = batch.reasons(&conflicting)?;
        let kept = without_rejected(fact, &batch.rows, &batch.keys, &reasons, rejects)?;
        Self::keyed(origin, fact, kept)
    }

    /// Why the rows of each of these keys are rejected.
    fn reasons(&self, conflicting: &HashSet<u128>) -> Result<HashMap<u128, String>, Error> {
        let ids = texts(self.fact, &self.rows, self.fact.id())?;
        let mut reasons = HashMap::new();
        for (row, key) in self.keys.iter().enumerate().filter(|(_, key)| conflicting.contains(key)) {
            reasons.entry(*key).or_insert_with(|| {
                let (id, name) = (ids.value(row).chars().take(100).collect::<String>(), self.fact.name());
                format!("the response holds `{id}` of its {name} more than once, with different contents")
            });
        }
        Ok(reasons)
    }

    fn keyed(origin: &RawObject, fact: Fact, rows: RecordBatch) -> Result<Self, Error> {
        check(fact, &rows)?;
        let contents = content_hashes(fact, &rows)?;
        let slice = &origin.slice;
        let mut key_of = transaction_keys(&slice.network, &slice.account, &slice.stream);
        let ids = texts(fact, &rows, fact.id())?;
        let keys = (0..rows.num_rows()).map(|row| key_of(ids.value(row))).collect();
        let months = months(fact, &rows);
        Ok(Self { fact, rows, keys, contents, months })
    }

    /// The month of each.
    pub(crate) fn months(&self) -> &[i32] {
        &self.months
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.get_array_memory_size() + self.rows.num_rows() * 64
    }
}

/// The month of each row's partition.
pub(crate) fn months(fact: Fact, rows: &RecordBatch) -> Vec<i32> {
    let column = fact.month_of().and_then(|name| rows.column_by_name(name));
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let days = column.and_then(|column| column.as_primitive_opt::<Date32Type>());
    let micros = |row: usize| {
        let time = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
        time.or_else(|| Some(i64::from(days.filter(|days| days.is_valid(row))?.value(row)) * DAY_MICROS))
    };
    (0..rows.num_rows()).map(|row| micros(row).map_or(month::NONE, month::of_micros)).collect()
}

/// A response's facts that wait to be written.
struct Pending {
    run: RunNumber,
    origin: Arc<RawObject>,
    connector: ConnectorRef,
    batch: FactBatch,
}

/// Facts of one kind that wait to be written.
pub(crate) struct FactRows {
    fact: Fact,
    pending: Vec<Pending>,
    incoming: Incoming,
}

impl FactRows {
    /// None yet.
    pub(crate) fn new(fact: Fact) -> Self {
        Self { fact, pending: Vec::new(), incoming: Incoming::default() }
    }

    /// Takes a response's facts.
    pub(crate) fn push(&mut self, run: RunNumber, origin: Arc<RawObject>, connector: &ConnectorRef, batch: FactBatch) {
        self.pending.push(Pending { run, origin, connector: connector.clone(), batch });
    }

    /// The runs that bring them.
    pub(crate) fn runs(&self) -> BTreeSet<RunNumber> {
        self.pending.iter().map(|pending| pending.run).collect()
    }

    /// Sorts what waits by observation, so that the order of arrival doesn't matter.
    pub(crate) fn make_incoming(&mut self) {
        let now = now_micros();
        let order = |pending: &Pending| (observed(&pending.origin).plausible(now), pending.origin.attempt);
        self.pending.sort_by_key(order);
        self.incoming = Incoming::of(self.pending.iter().map(|pending| (pending.run, &*pending.origin)));
        for (source, Pending { batch, .. }) in (0..).zip(&self.pending) {
            self.incoming.rows.extend(candidates(source, &batch.keys, &batch.contents, &batch.months));
        }
    }

    /// The rows of each response.
    fn batches(&self) -> Vec<&RecordBatch> {
        self.pending.iter().map(|pending| &pending.batch.rows).collect()
    }

    /// A column that mapping doesn't give.
    fn added(&self, name: &str, chosen: &[Chosen]) -> Result<ArrayRef, Error> {
        let of = |source: u32| {
            let pending = &self.pending[source as usize];
            (&*pending.origin, &pending.connector)
        };
        if let Some(column) = lake_column(name, chosen, &self.incoming, of) {
            return Ok(column);
        }
        match name {
            name if name == self.fact.key() => Ok(hex_keys(chosen.iter().map(|row| row.key))),
            name if name == Fact::Transactions.key() => self.transaction_keys(chosen),
            "record_index" => record_places(self.fact, &self.batches(), chosen),
            _ => Err(mismatch(self.fact, name, "unknown", "one that this version writes")),
        }
    }

    /// The keys of the transactions that rows belong to, if the same stream brought these.
    fn transaction_keys(&self, chosen: &[Chosen]) -> Result<ArrayRef, Error> {
        let mut keys = Vec::with_capacity(chosen.len());
        for rows in chosen.chunk_by(|one, next| one.source == next.source) {
            let Pending { origin, batch, .. } = &self.pending[rows[0].source as usize];
            let (slice, ids) = (&origin.slice, texts(self.fact, &batch.rows, Fact::Transactions.id())?);
            let mut key_of = transaction_keys(&slice.network, &slice.account, &slice.stream);
            keys.extend(rows.iter().map(|row| key_of(ids.value(row.row as usize))));
        }
        Ok(hex_keys(keys.into_iter()))
    }
}

impl Source for FactRows {
    has_incoming!();

    fn scope(&self, source: u32) -> &str {
        self.pending.get(source as usize).map_or("", |pending| &pending.origin.slice.network)
    }

    fn table_spec(&self) -> TableSpec {
        TableSpec {
            fields: self.fact.versions_schema().fields().iter().map(|field| field.as_ref().clone()).collect(),
            partitions: &["network", "month"],
            indexed: vec!["account", "stream", "version", "observed_at", "run_id"],
        }
    }

    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error> {
        versions::shape(self.fact, (table, schema), chosen, &self.batches(), |name| self.added(name, chosen))
    }
}
