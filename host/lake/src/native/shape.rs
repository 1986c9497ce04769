//! Rows that wait, in the shape of their table: which field goes to which column.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use sluice_model::{DECODE_NOTES, Kind, Kinds};

use super::columns::{self, Columns};
use super::convert::Gather;
use super::rest::{REST, Rest, rest_field};
use super::{NativeRows, example_of, notes_field};
use crate::append::{Beyond, Chosen, Shaped};
use crate::error::Error;
use crate::gather::{Run, runs};
use crate::table::assemble;

/// Bytes of further fields that are brought into shape at once: a path is repeated in each row.
const PART_BYTES: usize = 32 << 20;

/// A field of the rows that wait.
pub(super) struct SeenField<'a> {
    pub(super) path: &'a str,
    /// What its values were seen to be.
    pub(super) kinds: Kinds,
    /// Its column in each response that has it.
    pub(super) columns: Vec<(usize, &'a StringArray)>,
}

impl<'a> SeenField<'a> {
    /// Its cells in some rows of `responses` responses.
    pub(super) fn gather<'r>(&self, responses: usize, runs: &'r [Run]) -> Gather<'r>
    where
        'a: 'r,
    {
        let mut sources: Vec<Option<&'r StringArray>> = vec![None; responses];
        for (response, texts) in &self.columns {
            sources[*response].get_or_insert(texts);
        }
        Gather { sources, runs }
    }
}

/// A table's columns, while rows are brought into their shape.
pub(super) struct Shaping<'a> {
    rows: &'a NativeRows,
    table: &'a str,
    columns: Columns,
    chosen: &'a [Chosen],
    runs: Vec<Run>,
    values: HashMap<String, ArrayRef>,
    new_fields: Vec<Field>,
    rest: Rest<'a>,
}

impl<'a> Shaping<'a> {
    pub(super) fn of(rows: &'a NativeRows, table: &'a str, schema: &Schema, chosen: &'a [Chosen]) -> Self {
        let lineage = rows.lineage(chosen).into_iter();
        let mut shaping = Self {
            rows,
            table,
            columns: Columns::of(schema),
            chosen,
            runs: runs(chosen),
            values: lineage.map(|(name, array)| (name.to_owned(), array)).collect(),
            new_fields: Vec::new(),
            rest: Rest::of(rows.pending.len()),
        };
        if let Some(notes) = rows.notes(chosen) {
            shaping.put(notes_field(), DECODE_NOTES, notes);
        }
        shaping
    }

    /// Puts values into a column of the ledger's own. Tables get it when it is needed first.
    fn put(&mut self, field: Field, name: &str, values: ArrayRef) {
        if !self.columns.has(name) {
            self.new_fields.push(field);
        }
        self.values.insert(name.to_owned(), values);
    }

    /// Puts a field into its column, into a new one, or to those that share one.
    pub(super) fn take(&mut self, field: &SeenField<'a>) -> Result<(), Error> {
        let path = field.path;
        let known = self.columns.get(path).map(|(name, kind)| (name.to_owned(), kind));
        if known.is_none() && !self.has_room(path) {
            self.rest.take(field);
            return Ok(());
        }
        let gather = field.gather(self.rows.pending.len(), &self.runs);
        // A field that is only an input, and one whose column is there already, has nothing to write. One that
        // the network states as null has its column from then on.
        if gather.is_empty() && (known.is_some() || !field.kinds.intersects(Kinds::NULL)) {
            return Ok(());
        }
        let (name, kind) = known.unwrap_or_else(|| {
            let kind = self.rows.declared.pin(path).or_else(|| field.kinds.narrowest()).unwrap_or(Kind::Text);
            let column = self.columns.add(path, kind);
            let name = column.name().clone();
            self.new_fields.push(column);
            (name, kind)
        });
        let converted = gather.convert(kind).map_err(|source| Error::rows(self.table, source))?;
        if let Some(misfits) = converted.misfits {
            self.take_misfits(path, &name, misfits);
        }
        self.values.insert(name, converted.values);
        Ok(())
    }

    fn take_misfits(&mut self, path: &'a str, name: &str, misfits: StringArray) {
        let sibling = columns::sibling(name, path);
        if !self.columns.has(sibling.name()) {
            if !self.has_room(path) {
                self.rest.take_misfits(path, misfits);
                return;
            }
            self.columns.add_sibling(&sibling);
            self.new_fields.push(sibling.clone());
        }
        self.values.insert(sibling.name().clone(), Arc::new(misfits));
    }

    /// Whether a field may get a column.
    fn has_room(&self, path: &str) -> bool {
        self.columns.fields() < self.rows.most_columns() || self.rows.declared.has(path)
    }

    pub(super) fn finish(mut self, schema: &SchemaRef) -> Result<Shaped, Error> {
        let rest = std::mem::replace(&mut self.rest, Rest::of(0));
        let objects = rest.finish(self.chosen).map_err(|source| Error::rows(self.table, source))?;
        let beyond = objects.as_ref().map(|objects| self.beyond(objects)).unwrap_or_default();
        if let Some(objects) = objects {
            self.put(rest_field(), REST, Arc::new(objects));
        }
        let Self { table, chosen, new_fields, mut values, .. } = self;
        let known = schema.fields().iter().map(|field| field.as_ref().clone());
        let fields: Vec<Field> = known.chain(new_fields.iter().cloned()).collect();
        let arrays = fields.iter().map(|field| {
            values.remove(field.name()).unwrap_or_else(|| new_null_array(field.data_type(), chosen.len()))
        });
        let arrays = arrays.collect();
        Ok(Shaped { rows: assemble(table, fields, arrays)?, new_fields, beyond })
    }

    fn beyond(&self, objects: &StringArray) -> Beyond {
        let mut beyond = Beyond::default();
        for (row, _) in self.chosen.iter().zip(objects).filter(|(_, object)| object.is_some()) {
            *beyond.by_run.entry(self.rows.incoming.run(row.source)).or_default() += 1;
        }
        let first = objects.iter().flatten().next();
        beyond.example = first.map(example_of);
        beyond
    }
}

/// The chosen rows in parts, so that what fields without a column take in each is bounded. One part unless the table
/// may become full.
pub(super) fn parts<'a>(rows: &NativeRows, schema: &Schema, chosen: &'a [Chosen]) -> Vec<&'a [Chosen]> {
    let columns = Columns::of(schema);
    let fields = rows.pending.iter().flat_map(|pending| &pending.batch.columns).map(|column| column.path.as_str());
    let new: HashSet<&str> = fields.filter(|path| columns.get(path).is_none()).collect();
    // Each may get a sibling too.
    if (columns.fields() + new.len()) * 2 <= rows.most_columns() {
        return vec![chosen];
    }
    let bytes_per_row = rows.pending.iter().map(|pending| -> usize {
        let count = pending.batch.rows.max(1);
        let columns = pending.batch.columns.iter();
        columns.map(|column| column.path.len() + 8 + column.text.value_data().len() / count).sum()
    });
    let bytes_per_row: Vec<usize> = bytes_per_row.collect();
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0_usize);
    for (place, row) in chosen.iter().enumerate() {
        bytes += bytes_per_row[row.source as usize];
        if bytes > PART_BYTES && place > from {
            parts.push(&chosen[from..place]);
            (from, bytes) = (place, bytes_per_row[row.source as usize]);
        }
    }
    parts.push(&chosen[from..]);
    parts
}
