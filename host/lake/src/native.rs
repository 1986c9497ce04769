//! Native tables: every field that a network offers, under schemas that grow on their own.

mod columns;
mod convert;
mod literal;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray, StringBuilder, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sluice_model::{DECODE_NOTES, Kind, Kinds, NativeBatch, Notes, RawObject};

use self::columns::Columns;
use self::convert::Gather;
use crate::append::{Chosen, Incoming, RunNumber, Shaped, Source};
use crate::error::Error;
use crate::gather::{Run, runs};
use crate::index::IndexColumns;
use crate::lineage::{binary, candidates, month_names, now_micros, observed};
use crate::table::{TableSpec, assemble};

/// What the index of a native table reads.
pub(crate) const INDEX: IndexColumns = IndexColumns {
    key: "_key",
    content: "_content_hash",
    version: None,
    observed_at: "_observed_at",
    request: "_request_id",
    scope: None,
    month: Some("_month"),
};

const EXAMPLE_CHARS: usize = 100;

/// A response's records that wait to be written.
pub(crate) struct NativeResponse {
    /// The run that brings it.
    pub(crate) run: RunNumber,
    pub(crate) origin: Arc<RawObject>,
    pub(crate) connector_digest: String,
    pub(crate) batch: NativeBatch,
    /// What is odd about the response's records, by their place in it.
    pub(crate) notes: Notes,
    pub(crate) keyed: KeyedRecords,
    /// The place of each row in the response, if not all rows are here.
    pub(crate) records: Option<Vec<u32>>,
}

/// What identifies records, and where they belong.
pub(crate) struct KeyedRecords {
    /// The key of each.
    pub(crate) keys: Vec<u128>,
    /// The hash of each one's content.
    pub(crate) contents: Vec<u128>,
    /// The month of each.
    pub(crate) months: Vec<i32>,
}

/// The rows of one stream that wait to be written.
#[derive(Default)]
pub(crate) struct NativeRows {
    pending: Vec<NativeResponse>,
    pins: Vec<(String, Kind)>,
    incoming: Incoming,
}

/// A column that a table got with a flush.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewColumn {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) kind: &'static str,
    pub(crate) example: Option<String>,
}

impl NativeRows {
    /// Takes a response's records, and the kinds that its connector pins.
    pub(crate) fn push(&mut self, response: NativeResponse, pins: Vec<(String, Kind)>) {
        for pin in pins {
            if !self.pins.iter().any(|(path, _)| *path == pin.0) {
                self.pins.push(pin);
            }
        }
        self.pending.push(response);
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.pending.iter().map(|pending| pending.batch.rows).sum()
    }

    /// Sorts what waits by observation, so that the order of arrival doesn't matter.
    pub(crate) fn make_incoming(&mut self) {
        let now = now_micros();
        let order = |pending: &NativeResponse| (observed(&pending.origin).plausible(now), pending.origin.attempt);
        self.pending.sort_by_key(order);
        self.incoming = Incoming::of(self.pending.iter().map(|pending| (pending.run, &*pending.origin)));
        self.incoming.rows.reserve(self.rows());
        for (source, pending) in (0..).zip(&self.pending) {
            let KeyedRecords { keys, contents, months } = &pending.keyed;
            let rows = candidates(source, keys, contents, months);
            self.incoming.rows.extend(rows);
        }
    }

    /// Lets go of what was written.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.incoming = Incoming::default();
    }

    /// The rows of `meta.columns` for columns that it doesn't have, by the chosen rows; if an earlier run wrote them and
    /// could not note their columns any more, by all that wait.
    pub(crate) fn describe(&self, fields: &[Field], chosen: &[Chosen]) -> Vec<NewColumn> {
        let waiting = chosen.is_empty() && !fields.is_empty();
        let all: Vec<Chosen> = self.incoming.rows.iter().filter(|_| waiting).map(Chosen::of).collect();
        let runs = runs(if waiting { &all } else { chosen });
        let described = fields.iter().filter_map(|field| {
            let path = field.metadata().get(columns::PATH)?.clone();
            let kind = columns::kind_of(field.data_type())?;
            let example = match field.metadata().contains_key(columns::TEXT_OF) {
                true => None,
                false => self.gather(&path, &runs).example().map(|text| text.chars().take(EXAMPLE_CHARS).collect()),
            };
            Some(NewColumn { name: field.name().clone(), path, kind: columns::kind_name(kind), example })
        });
        described.collect()
    }

    fn gather<'a>(&'a self, path: &str, runs: &'a [Run]) -> Gather<'a> {
        let sources =
            self.pending.iter().map(|pending| pending.batch.column(path).map(|column| &column.text)).collect();
        Gather { sources, runs }
    }

    /// All paths in the order in which they were first seen, and what their values were seen to be.
    fn paths(&self) -> Vec<(&str, Kinds)> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut paths: Vec<(&str, Kinds)> = Vec::new();
        for column in self.pending.iter().flat_map(|pending| &pending.batch.columns) {
            let place = *places.entry(&column.path).or_insert_with(|| {
                paths.push((&column.path, Kinds::default()));
                paths.len() - 1
            });
            paths[place].1.insert(column.kinds);
        }
        paths
    }

    fn kind(&self, path: &str, seen: Kinds) -> Kind {
        let pinned = self.pins.iter().find(|(pinned, _)| pinned == path).map(|(_, kind)| *kind);
        pinned.or_else(|| seen.narrowest()).unwrap_or(Kind::Text)
    }

    fn lineage(&self, chosen: &[Chosen]) -> HashMap<&'static str, ArrayRef> {
        let text = |of: fn(&NativeResponse) -> &str| -> ArrayRef {
            let mut builder = StringBuilder::with_capacity(chosen.len(), chosen.len() * 32);
            chosen.iter().for_each(|row| builder.append_value(of(&self.pending[row.source as usize])));
            Arc::new(builder.finish())
        };
        let digests: Vec<String> = self.pending.iter().map(|pending| pending.origin.body.to_hex()).collect();
        let raw = StringArray::from_iter_values(chosen.iter().map(|row| digests[row.source as usize].as_str()));
        let months = month_names(chosen);
        let records = chosen.iter().map(|row| i64::from(self.pending[row.source as usize].place(row.row)));
        HashMap::from([
            ("_account", text(|pending| &pending.origin.slice.account)),
            ("_run_id", text(|pending| &pending.origin.run_id)),
            ("_request_id", text(|pending| &pending.origin.request_id)),
            ("_connector_digest", text(|pending| &pending.connector_digest)),
            ("_raw_object", Arc::new(raw)),
            ("_month", months),
            ("_observed_at", self.incoming.observed_at(chosen)),
            ("_record_index", Arc::new(Int64Array::from_iter_values(records))),
            ("_key", binary(chosen.iter().map(|row| row.key))),
            ("_content_hash", binary(chosen.iter().map(|row| row.content))),
        ])
    }

    /// What is odd about the chosen rows; none if nothing is about any of them.
    fn notes(&self, chosen: &[Chosen]) -> Option<ArrayRef> {
        if self.pending.iter().all(|pending| pending.notes.is_empty()) {
            return None;
        }
        let notes = chosen.iter().map(|row| {
            let pending = &self.pending[row.source as usize];
            pending.notes.of_record(pending.place(row.row) as usize)
        });
        let notes: StringArray = notes.collect();
        (notes.null_count() < notes.len()).then(|| Arc::new(notes) as ArrayRef)
    }
}

impl NativeResponse {
    /// The place in the response of one of its rows here.
    fn place(&self, row: u32) -> u32 {
        self.records.as_ref().map_or(row, |records| records[row as usize])
    }
}

impl Source for NativeRows {
    fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    fn incoming_mut(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    fn scope(&self, _: u32) -> &str {
        ""
    }

    fn table_spec(&self) -> TableSpec {
        let mut fields = lineage_fields();
        let mut columns = Columns::of(&Schema::new(fields.clone()));
        fields.extend(self.pins.iter().map(|(path, kind)| columns.add(path, *kind)));
        TableSpec { fields, partitions: &["_month"], indexed: vec!["_account", "_observed_at", "_run_id"] }
    }

    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error> {
        let mut columns = Columns::of(schema);
        let mut new_fields = Vec::new();
        let mut values =
            self.lineage(chosen).into_iter().map(|(name, array)| (name.to_owned(), array)).collect::<HashMap<_, _>>();
        let runs = runs(chosen);
        if let Some(notes) = self.notes(chosen) {
            // Tables of earlier releases get the column when it is needed first.
            if !columns.has(DECODE_NOTES) {
                new_fields.push(notes_field());
            }
            values.insert(DECODE_NOTES.to_owned(), notes);
        }
        for (path, seen) in self.paths() {
            let gather = self.gather(path, &runs);
            let known = columns.get(path).map(|(name, kind)| (name.to_owned(), kind));
            // A field that is only an input, and one whose column is there already, has nothing to write. One that
            // the network states as null has its column from then on.
            if gather.is_empty() && (known.is_some() || !seen.intersects(Kinds::NULL)) {
                continue;
            }
            let (name, kind) = known.unwrap_or_else(|| {
                let kind = self.kind(path, seen);
                let field = columns.add(path, kind);
                let name = field.name().clone();
                new_fields.push(field);
                (name, kind)
            });
            let converted = gather.convert(kind).map_err(|source| Error::rows(table, source))?;
            if let Some(misfits) = converted.misfits {
                let sibling = columns::sibling(&name, path);
                if !columns.has(sibling.name()) {
                    new_fields.push(sibling.clone());
                }
                values.insert(sibling.name().clone(), misfits);
            }
            values.insert(name, converted.values);
        }
        let fields: Vec<Field> =
            schema.fields().iter().map(|field| field.as_ref().clone()).chain(new_fields.iter().cloned()).collect();
        let arrays = fields.iter().map(|field| {
            values.remove(field.name()).unwrap_or_else(|| new_null_array(field.data_type(), chosen.len()))
        });
        let arrays = arrays.collect();
        Ok(Shaped { rows: assemble(table, fields, arrays)?, new_fields })
    }
}

fn lineage_fields() -> Vec<Field> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    vec![
        text("_month"),
        text("_account"),
        Field::new("_key", DataType::Binary, false),
        Field::new("_content_hash", DataType::Binary, false),
        Field::new("_observed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text("_run_id"),
        text("_request_id"),
        text("_raw_object"),
        Field::new("_record_index", DataType::Int64, false),
        text("_connector_digest"),
        notes_field(),
    ]
}

fn notes_field() -> Field {
    Field::new(DECODE_NOTES, DataType::Utf8, true)
}
