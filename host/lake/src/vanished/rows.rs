//! Vanished transactions as further versions: what was last known of them, without a commission.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int32Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, SchemaRef};
use sluice_model::{Change, money_type};

use super::StreamRead;
use super::windows::Missing;
use crate::append::{Beyond, Chosen, Incoming, IncomingRow, Observed, RunNumber, Shaped, Source, has_incoming};
use crate::error::Error;
use crate::hash::VANISHED;
use crate::index::{LatestRow, column, keys_of, wrong};
use crate::latest::lay_out;
use crate::lineage::{ConnectorRef, binary, month_names};
use crate::month;
use crate::table::{Table, TableSpec};
use crate::unified::{self, INDEX};

/// Transactions that are gone, of one stream.
pub(crate) struct VanishedRows {
    run: RunNumber,
    network: String,
    run_id: String,
    connector: ConnectorRef,
    /// As the latest state has them.
    rows: RecordBatch,
    versions: Vec<i32>,
    /// One response represents all windows that were read at one moment.
    incoming: Incoming,
}

impl VanishedRows {
    pub(super) fn new(
        stream: &StreamRead,
        latest: &Table,
        rows: RecordBatch,
        missing: &[Missing],
    ) -> Result<Self, Error> {
        let read_at: HashMap<u128, i64> =
            missing.iter().map(|missing| (missing.row.key, missing.window.read_at)).collect();
        let mut moments: Vec<i64> = missing.iter().map(|missing| missing.window.read_at).collect();
        moments.sort_unstable();
        moments.dedup();
        let versions = column(latest, &rows, "version")?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| wrong(latest, "version", "an integer"))?;
        let months =
            column(latest, &rows, "month")?.as_string_opt::<i32>().ok_or_else(|| wrong(latest, "month", "text"))?;
        let keys = keys_of(latest, &rows, INDEX.key)?;
        let rows_of = (0..).zip(keys.iter().zip(months)).map(|(row, (key, month))| {
            let source = read_at.get(key).and_then(|at| moments.binary_search(at).ok()).unwrap_or_default();
            let month = month::code(month.unwrap_or_default());
            IncomingRow { key: *key, content: VANISHED, source: source as u32, row, month }
        });
        Ok(Self {
            run: stream.run,
            network: stream.network.clone(),
            run_id: stream.run_id.clone(),
            connector: stream.connector.clone(),
            incoming: Incoming {
                rows: rows_of.collect(),
                responses: moments.into_iter().map(|at| (stream.run, Observed { at, request: 0 })).collect(),
            },
            versions: versions.values().to_vec(),
            rows,
        })
    }

    /// The run whose windows they are gone from.
    pub(crate) fn run(&self) -> RunNumber {
        self.run
    }

    /// A column that isn't what it was.
    fn changed(&self, name: &str, chosen: &[Chosen]) -> Option<ArrayRef> {
        let count = chosen.len();
        let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; count])) };
        Some(match name {
            "version" => Arc::new(Int32Array::from_iter_values(chosen.iter().map(|row| row.version))),
            "month" => month_names(chosen),
            "content_hash" => binary(chosen.iter().map(|row| row.content)),
            "change" => same(Change::Vanished.name()),
            // What the network no longer reports will not be paid.
            "commission_effective" => {
                let none = Decimal128Array::from_iter_values(std::iter::repeat_n(0, count));
                Arc::new(none.with_data_type(money_type()))
            }
            "observed_at" => self.incoming.observed_at(chosen),
            "run_id" => same(&self.run_id),
            "connector" => same(&self.connector.name),
            "connector_version" => same(&self.connector.version),
            "connector_digest" => same(&self.connector.digest.to_hex()),
            _ => return None,
        })
    }
}

impl Source for VanishedRows {
    has_incoming!();

    fn scope(&self, _: u32) -> &str {
        &self.network
    }

    /// Only what was judged vanishes: if another writer had news of it meanwhile, that counts.
    fn change(&self, known: Option<&LatestRow>, row: &IncomingRow, _: i64) -> Option<Change> {
        known.filter(|known| known.version == self.versions[row.row as usize]).map(|_| Change::Vanished)
    }

    fn table_spec(&self) -> TableSpec {
        unified::table_spec()
    }

    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error> {
        let failed = |source| Error::rows(table, source);
        let places = UInt32Array::from_iter_values(chosen.iter().map(|row| row.row));
        let rows = take_record_batch(&self.rows, &places).map_err(failed)?;
        let rows = lay_out(table, &rows, schema, &HashMap::new())?;
        let columns = schema
            .fields()
            .iter()
            .zip(rows.columns())
            .map(|(field, column)| self.changed(field.name(), chosen).unwrap_or_else(|| column.clone()));
        let rows = RecordBatch::try_new(schema.clone(), columns.collect()).map_err(failed)?;
        Ok(Shaped { rows, new_fields: Vec::new(), beyond: Beyond::default() })
    }
}
