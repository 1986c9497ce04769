//! Rows under a table's columns, compared exactly: what isn't of a column's type is never cast in silence.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};

use super::Table;
use crate::error::Error;

impl Table {
    /// Whether rows have all of the snapshot's columns, in its order and of exactly its types, and then new ones.
    pub(crate) fn check(&self, rows: &RecordBatch) -> Result<(), Error> {
        let known = self.schema()?;
        let found = rows.schema();
        for (place, field) in known.fields().iter().enumerate() {
            let same = found.fields().get(place).filter(|found| found.name() == field.name());
            match same {
                Some(found) if found.data_type() == field.data_type() => {}
                Some(found) => return Err(mismatch(&self.name, field, &found.data_type().to_string())),
                None => return Err(mismatch(&self.name, field, "missing")),
            }
        }
        Ok(())
    }
}

/// Columns under the fields that they are for.
pub(crate) fn assemble(table: &str, fields: Vec<Field>, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    for (field, column) in fields.iter().zip(&columns) {
        if field.data_type() != column.data_type() {
            return Err(mismatch(table, field, &column.data_type().to_string()));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|source| Error::rows(table, source))
}

fn mismatch(table: &str, field: &Field, given: &str) -> Error {
    Error::Column {
        table: table.to_owned(),
        column: field.name().clone(),
        found: field.data_type().to_string(),
        expected: given.to_owned(),
    }
}
