//! `meta.rejects`: records that could not be mapped, each once however often it is tried.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use sluice_model::{RawObject, Reject};

use super::{RejectRow, tables};
use crate::append::{Beyond, Chosen, Incoming, IncomingRow, RunNumber, Shaped, Source, has_incoming};
use crate::error::Error;
use crate::hash::hash;
use crate::index::IndexColumns;
use crate::lineage::{ConnectorRef, binary, now_micros, observed};
use crate::month;
use crate::table::TableSpec;

/// What the index of rejects reads: their identity is all of their content.
pub(crate) const REJECTS: IndexColumns = IndexColumns {
    key: "_key",
    content: "_key",
    version: None,
    observed_at: "observed_at",
    request: "request_id",
    scope: Some("network"),
    month: None,
};

/// What names a reject: its network, account and stream, the digest of its body, its record's place there, and the reason.
pub(crate) fn reject_key([network, account, stream]: [&str; 3], body: &str, record_index: i64, reason: &str) -> u128 {
    hash(format!("{network}\n{account}\n{stream}\n{body}\n{record_index}\n{reason}").as_bytes())
}

struct Pending {
    run: RunNumber,
    origin: Arc<RawObject>,
    connector_version: String,
    /// Partition and reason of each.
    rejects: Vec<(i64, String)>,
}

/// Rejects that wait to be written.
#[derive(Default)]
pub(crate) struct RejectRows {
    pending: Vec<Pending>,
    incoming: Incoming,
}

impl RejectRows {
    pub(crate) fn add(
        &mut self,
        run: RunNumber,
        origin: Arc<RawObject>,
        connector: &ConnectorRef,
        rejects: Vec<Reject>,
    ) {
        if !rejects.is_empty() {
            let rejects = rejects.into_iter().map(|reject| (i64::from(reject.record_index), reject.reason)).collect();
            self.pending.push(Pending { run, origin, connector_version: connector.version.clone(), rejects });
        }
    }

    /// Takes a response that could not be mapped at all.
    pub(crate) fn add_whole(&mut self, run: RunNumber, origin: Arc<RawObject>, connector: &ConnectorRef, reason: &str) {
        let rejects = vec![(RejectRow::WHOLE, reason.to_owned())];
        self.pending.push(Pending { run, origin, connector_version: connector.version.clone(), rejects });
    }

    pub(crate) fn make_incoming(&mut self) {
        let now = now_micros();
        self.pending.sort_by_key(|pending| (observed(&pending.origin).plausible(now), pending.origin.attempt));
        self.incoming = Incoming::of(self.pending.iter().map(|pending| (pending.run, &*pending.origin)));
        for (source, pending) in (0..).zip(&self.pending) {
            let slice = &pending.origin.slice;
            for (row, (record_index, reason)) in (0..).zip(&pending.rejects) {
                let body = pending.origin.body.to_hex();
                let key = reject_key([&slice.network, &slice.account, &slice.stream], &body, *record_index, reason);
                self.incoming.rows.push(IncomingRow { key, content: key, source, row, month: month::NONE });
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.incoming = Incoming::default();
    }

    fn text(&self, chosen: &[Chosen], of: impl Fn(&Pending, &str) -> String) -> ArrayRef {
        let texts = chosen.iter().map(|row| {
            let pending = &self.pending[row.source as usize];
            of(pending, &pending.rejects[row.row as usize].1)
        });
        Arc::new(StringArray::from_iter_values(texts))
    }

    fn column(&self, name: &str, chosen: &[Chosen]) -> Option<ArrayRef> {
        let column: ArrayRef = match name {
            "network" => self.text(chosen, |pending, _| pending.origin.slice.network.clone()),
            "account" => self.text(chosen, |pending, _| pending.origin.slice.account.clone()),
            "stream" => self.text(chosen, |pending, _| pending.origin.slice.stream.clone()),
            "run_id" => self.text(chosen, |pending, _| pending.origin.run_id.clone()),
            "request_id" => self.text(chosen, |pending, _| pending.origin.request_id.clone()),
            "raw_object" => self.text(chosen, |pending, _| pending.origin.body.to_hex()),
            "record_index" => {
                let index = |row: &Chosen| self.pending[row.source as usize].rejects[row.row as usize].0;
                Arc::new(Int64Array::from_iter_values(chosen.iter().map(index)))
            }
            "reason" => self.text(chosen, |_, reason| reason.to_owned()),
            "observed_at" => self.incoming.observed_at(chosen),
            "connector_version" => self.text(chosen, |pending, _| pending.connector_version.clone()),
            "_key" => binary(chosen.iter().map(|row| row.key)),
            _ => return None,
        };
        Some(column)
    }
}

impl Source for RejectRows {
    has_incoming!();

    fn scope(&self, source: u32) -> &str {
        self.pending.get(source as usize).map_or("", |pending| &pending.origin.slice.network)
    }

    fn table_spec(&self) -> TableSpec {
        let fields = tables::REJECTS.fields().map(|field| field.with_nullable(false)).collect();
        TableSpec { fields, partitions: &["network"], indexed: vec!["run_id", "observed_at"] }
    }

    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error> {
        let fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        let arrays = fields.iter().map(|field| {
            let null = || arrow::array::new_null_array(field.data_type(), chosen.len());
            self.column(field.name(), chosen).unwrap_or_else(null)
        });
        let arrays: Vec<ArrayRef> = arrays.collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        Ok(Shaped {
            rows: rows.map_err(|source| Error::rows(table, source))?,
            new_fields: Vec::new(),
            beyond: Beyond::default(),
        })
    }
}
