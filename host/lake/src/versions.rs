//! What all tables of versions have in common: the columns that the lake adds, and the shape of rows that are written.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder, UInt32Array,
    new_null_array,
};
use arrow::datatypes::{Field, SchemaRef, UInt32Type};
use sluice_model::{Digest, Fact, RawObject};

use crate::append::{Beyond, Chosen, Incoming, Shaped};
use crate::error::Error;
use crate::gather::{gather, runs};
use crate::index::{IndexColumns, to_hex};
use crate::lineage::{ConnectorRef, binary, month_names, response_texts};
use crate::table::assemble;

/// What the index of a table of versions reads.
pub(crate) const fn index(fact: Fact) -> IndexColumns {
    IndexColumns {
        key: fact.key(),
        content: "content_hash",
        version: Some("version"),
        observed_at: "observed_at",
        request: "request_id",
        scope: Some("network"),
        month: Some("month"),
    }
}

/// The table's name with its schema.
pub(crate) fn table_name(fact: Fact) -> String {
    format!("unified.{}", fact.versions())
}

/// A response, and the connector that mapped it.
pub(crate) type Mapping<'a> = (&'a RawObject, &'a ConnectorRef);

/// A column that says which version a row is and where it came from; none for others. `of` gives each response by its number.
pub(crate) fn lake_column<'a>(
    name: &str,
    chosen: &[Chosen],
    incoming: &Incoming,
    of: impl Fn(u32) -> Mapping<'a>,
) -> Option<ArrayRef> {
    let text = |part: fn(Mapping<'a>) -> &'a str| response_texts(chosen, |source| part(of(source)));
    let digest = |part: fn(Mapping<'a>) -> Digest| response_texts(chosen, |source| part(of(source)).to_hex());
    Some(match name {
        "network" => text(|(origin, _)| &origin.slice.network),
        "account" => text(|(origin, _)| &origin.slice.account),
        "stream" => text(|(origin, _)| &origin.slice.stream),
        "month" => month_names(chosen),
        "version" => Arc::new(Int32Array::from_iter_values(chosen.iter().map(|row| row.version))),
        "content_hash" => binary(chosen.iter().map(|row| row.content)),
        "change" => Arc::new(StringArray::from_iter_values(chosen.iter().map(|row| row.change.name()))),
        "observed_at" => incoming.observed_at(chosen),
        "connector" => text(|(_, connector)| &connector.name),
        "connector_version" => text(|(_, connector)| &connector.version),
        "connector_digest" => digest(|(_, connector)| connector.digest),
        "run_id" => text(|(origin, _)| &origin.run_id),
        "request_id" => text(|(origin, _)| &origin.request_id),
        "raw_object" => digest(|(origin, _)| origin.body),
        _ => return None,
    })
}

/// Keys as 32 hexadecimal digits each.
pub(crate) fn hex_keys(keys: impl ExactSizeIterator<Item = u128>) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(keys.len(), keys.len() * 32);
    keys.for_each(|key| builder.append_value(str::from_utf8(&to_hex(key)).unwrap_or_default()));
    Arc::new(builder.finish())
}

/// The place of each row's record in its response.
pub(crate) fn record_places(fact: Fact, rows: &[&RecordBatch], chosen: &[Chosen]) -> Result<ArrayRef, Error> {
    let places = rows.iter().map(|rows| record_index(fact, rows)).collect::<Result<Vec<_>, Error>>()?;
    let place = |row: &Chosen| i64::from(places[row.source as usize].value(row.row as usize));
    Ok(Arc::new(Int64Array::from_iter_values(chosen.iter().map(place))))
}

/// The record that each of a response's rows came from.
pub(crate) fn record_index(fact: Fact, rows: &RecordBatch) -> Result<&UInt32Array, Error> {
    rows.column_by_name("record_index")
        .and_then(|column| column.as_primitive_opt::<UInt32Type>())
        .ok_or_else(|| mismatch(fact, "record_index", "missing", "UInt32"))
}

/// A column of texts of a response's rows.
pub(crate) fn texts<'a>(fact: Fact, rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray, Error> {
    rows.column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| mismatch(fact, name, "missing", "Utf8"))
}

/// The chosen rows of responses in the shape of their table. `added` gives the columns that mapping doesn't.
pub(crate) fn shape(
    fact: Fact,
    (table, schema): (&str, &SchemaRef),
    chosen: &[Chosen],
    rows: &[&RecordBatch],
    added: impl Fn(&str) -> Result<ArrayRef, Error>,
) -> Result<Shaped, Error> {
    let (mapped, own) = (fact.mapped_schema(), fact.versions_schema());
    let runs = runs(chosen);
    let missing = own.fields().iter().filter(|field| schema.field_with_name(field.name()).is_err());
    let new_fields: Vec<Field> = missing.map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let all: Vec<Field> =
        schema.fields().iter().map(|field| field.as_ref().clone()).chain(new_fields.iter().cloned()).collect();
    let mut arrays = Vec::with_capacity(all.len());
    for field in &all {
        let is_own = own.field_with_name(field.name()).is_ok();
        arrays.push(match mapped.index_of(field.name()) {
            Ok(place) if field.name() != "record_index" => {
                let columns: Vec<Option<&dyn Array>> =
                    rows.iter().map(|rows| Some(rows.column(place).as_ref())).collect();
                gather(field.data_type(), &columns, &runs).map_err(|source| Error::rows(table, source))?
            }
            // A column that another writer added.
            _ if !is_own && field.is_nullable() => new_null_array(field.data_type(), chosen.len()),
            _ => added(field.name())?,
        });
    }
    Ok(Shaped { rows: assemble(table, all, arrays)?, new_fields, beyond: Beyond::default() })
}

/// Refuses rows of another schema than the kind's.
pub(crate) fn check(fact: Fact, rows: &RecordBatch) -> Result<(), Error> {
    let schema = rows.schema();
    for (place, field) in fact.mapped_schema().fields().iter().enumerate() {
        let found = schema.fields().get(place).filter(|found| found.name() == field.name());
        let found_type = found.map_or("missing".to_owned(), |found| found.data_type().to_string());
        if found.is_none_or(|found| found.data_type() != field.data_type()) {
            return Err(mismatch(fact, field.name(), &found_type, &field.data_type().to_string()));
        }
    }
    Ok(())
}

/// A column that isn't what it should be.
pub(crate) fn mismatch(fact: Fact, column: &str, found: &str, expected: &str) -> Error {
    Error::Column {
        table: table_name(fact),
        column: column.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}
