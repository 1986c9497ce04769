//! Native tables: every field that a network offers, under schemas that grow on their own.

mod columns;
mod convert;
mod declared;
mod literal;
mod rest;
mod shape;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sluice_model::{DECODE_NOTES, Kinds, NativeBatch, Notes, RawObject};

use self::columns::Columns;
pub(crate) use self::columns::path_of_field;
pub(crate) use self::declared::Declared;
use self::rest::REST;
use self::shape::{SeenField, Shaping};
use crate::append::{Chosen, Incoming, RunNumber, Shaped, Source, has_incoming};
use crate::error::Error;
use crate::gather::runs;
use crate::index::IndexColumns;
use crate::lineage::{binary, candidates, month_names, now_micros, observed, response_texts};
use crate::options::COLUMNS_PER_TABLE;
use crate::table::TableSpec;

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
    declared: Declared,
    most_columns: Option<usize>,
    incoming: Incoming,
}

/// A column that a table got with a flush.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewColumn {
    pub(crate) name: String,
    /// None for the column that fields without one share.
    pub(crate) path: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) example: Option<String>,
}

impl NativeRows {
    /// Takes a response's records, and what its connector says of their fields.
    pub(crate) fn push(&mut self, response: NativeResponse, declared: Declared) {
        self.declared.merge(declared);
        self.pending.push(response);
    }

    /// Gives fields at most so many columns. Those that have one keep it, and those that layouts name get one.
    pub(crate) fn limit_columns(&mut self, most: usize) {
        self.most_columns = Some(most);
    }

    fn most_columns(&self) -> usize {
        self.most_columns.unwrap_or(COLUMNS_PER_TABLE)
    }

    /// The runs that bring them.
    pub(crate) fn runs(&self) -> BTreeSet<RunNumber> {
        self.pending.iter().map(|pending| pending.run).collect()
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
    /// could not note their columns any more, by all that wait. `rest` is an example of fields without a column.
    pub(crate) fn describe(&self, fields: &[Field], chosen: &[Chosen], rest: Option<&str>) -> Vec<NewColumn> {
        if fields.is_empty() {
            return Vec::new();
        }
        let all: Vec<Chosen> = self.incoming.rows.iter().filter(|_| chosen.is_empty()).map(Chosen::of).collect();
        let runs = runs(if chosen.is_empty() { &all } else { chosen });
        let seen: HashMap<&str, SeenField<'_>> =
            self.seen_fields().into_iter().map(|field| (field.path, field)).collect();
        let described = fields.iter().filter_map(|field| {
            let kind = columns::kind_name(columns::kind_of(field.data_type())?);
            if field.name() == REST {
                return Some(NewColumn { name: REST.to_owned(), path: None, kind, example: rest.map(str::to_owned) });
            }
            let path = field.metadata().get(columns::PATH)?;
            let cells = seen.get(path.as_str()).filter(|_| !field.metadata().contains_key(columns::TEXT_OF));
            let example = cells.and_then(|field| field.gather(self.pending.len(), &runs).example());
            let example = example.map(example_of);
            Some(NewColumn { name: field.name().clone(), path: Some(path.clone()), kind, example })
        });
        described.collect()
    }

    /// All fields in the order in which they were first seen.
    fn seen_fields(&self) -> Vec<SeenField<'_>> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut fields: Vec<SeenField<'_>> = Vec::new();
        for (response, pending) in self.pending.iter().enumerate() {
            for column in &pending.batch.columns {
                let place = *places.entry(&column.path).or_insert_with(|| {
                    fields.push(SeenField { path: &column.path, kinds: Kinds::default(), columns: Vec::new() });
                    fields.len() - 1
                });
                fields[place].kinds.insert(column.kinds);
                fields[place].columns.push((response, &column.text));
            }
        }
        fields
    }

    fn lineage(&self, chosen: &[Chosen]) -> HashMap<&'static str, ArrayRef> {
        let response = |source: u32| &self.pending[source as usize];
        let text = |of: fn(&NativeResponse) -> &str| response_texts(chosen, |source| of(response(source)));
        let raw = response_texts(chosen, |source| response(source).origin.body.to_hex());
        let months = month_names(chosen);
        let records = chosen.iter().map(|row| i64::from(self.pending[row.source as usize].place(row.row)));
        HashMap::from([
            ("_account", text(|pending| &pending.origin.slice.account)),
            ("_run_id", text(|pending| &pending.origin.run_id)),
            ("_request_id", text(|pending| &pending.origin.request_id)),
            ("_connector_digest", text(|pending| &pending.connector_digest)),
            ("_raw_object", raw),
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
    has_incoming!();

    fn scope(&self, _: u32) -> &str {
        ""
    }

    fn table_spec(&self) -> TableSpec {
        let mut fields = lineage_fields();
        let mut columns = Columns::of(&Schema::new(fields.clone()));
        fields.extend(self.declared.pins.iter().map(|(path, kind)| columns.add(path, *kind)));
        TableSpec { fields, partitions: &["_month"], indexed: vec!["_account", "_observed_at", "_run_id"] }
    }

    fn parts<'a>(&self, schema: &SchemaRef, chosen: &'a [Chosen]) -> Vec<&'a [Chosen]> {
        shape::parts(self, schema, chosen)
    }

    fn shape(&self, table: &str, schema: &SchemaRef, chosen: &[Chosen]) -> Result<Shaped, Error> {
        let mut shaping = Shaping::of(self, table, schema, chosen);
        for field in self.seen_fields() {
            shaping.take(&field)?;
        }
        shaping.finish(schema)
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

/// The beginning of a value, without the word that would be cut: an erasure finds whole identifiers only.
fn example_of(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(EXAMPLE_CHARS) else { return text.to_owned() };
    let is_of_word = |c: char| c.is_alphanumeric() || !c.is_ascii() || "-_.+@~".contains(c);
    text[..end].trim_end_matches(is_of_word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_ends_before_a_word_that_is_cut() {
        let long = format!("{}&u1=member-81723&x", "é ".repeat(47));
        assert_eq!(example_of(&long), format!("{}&u1=", "é ".repeat(47)));
        assert_eq!(example_of("member-81723"), "member-81723");
        assert_eq!(example_of(&"a".repeat(101)), "");
        assert_eq!(example_of(&"a".repeat(100)), "a".repeat(100));
    }
}
