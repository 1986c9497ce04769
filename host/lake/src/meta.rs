//! System tables: what happened, SQL like any other.

mod connectors;
mod rejects;
mod requests;
mod resolved;
mod rows;

pub(crate) use rejects::{REJECTS, RejectRows};
pub use resolved::{RejectRow, Resolution};
pub(crate) use rows::ColumnPlace;
pub use rows::{ConnectorRow, CoverageRow, RunRow};

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::append::wait_a_moment;
use crate::error::Error;
use crate::lake::Lake;
use crate::table::{Commit, Design, Table};

const MAX_ATTEMPTS: u32 = 60;

impl Lake {
    /// Appends rows to a small table, which is made if it isn't there. Columns are matched by name; those that the
    /// table lacks are added to it, those that the rows lack are null.
    pub async fn append_rows(&self, schema: &str, name: &str, rows: RecordBatch) -> Result<(), Error> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let _turn = self.turn_to_append(&format!("{schema}.{name}")).await;
        let mut table = Table::open(self, schema, name).await?;
        let fields = rows.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let indexed: &[&str] = if rows.column_by_name("run_id").is_some() { &["run_id"] } else { &[] };
        table.ensure(&Design { fields, partitions: &[], indexed }).await?;
        let mut written: Option<(SchemaRef, Vec<Field>, Vec<deltalake::kernel::Add>)> = None;
        for attempt in 0..MAX_ATTEMPTS {
            let current = table.schema()?;
            if written.as_ref().is_none_or(|(schema, ..)| *schema != current) {
                if let Some((.., adds)) = &written {
                    table.discard_files(adds).await;
                }
                let (conformed, new_fields) = conform(table.name(), &current, &rows)?;
                written = Some((current, new_fields, table.write_files(&conformed, None).await?));
            }
            let Some((_, new_fields, adds)) = &written else { continue };
            match table.commit(adds.clone(), new_fields, None).await? {
                Commit::Done => return Ok(()),
                Commit::Conflict => wait_a_moment(attempt).await,
            }
            table.refresh().await?;
        }
        Err(Error::Conflict { table: table.name().to_owned(), attempts: MAX_ATTEMPTS })
    }
}

/// The rows under the table's columns and then their own new ones.
fn conform(table: &str, schema: &SchemaRef, rows: &RecordBatch) -> Result<(RecordBatch, Vec<Field>), Error> {
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut new_fields = Vec::new();
    for field in rows.schema().fields() {
        match schema.field_with_name(field.name()) {
            Ok(known) if known.data_type() == field.data_type() => {}
            Ok(known) => {
                return Err(Error::Column {
                    table: table.to_owned(),
                    column: field.name().clone(),
                    found: field.data_type().to_string(),
                    expected: known.data_type().to_string(),
                });
            }
            Err(_) => new_fields.push(field.as_ref().clone().with_nullable(true)),
        }
    }
    fields.extend(new_fields.iter().cloned());
    let column = |field: &Field| -> ArrayRef {
        let given = rows.column_by_name(field.name()).cloned();
        given.unwrap_or_else(|| new_null_array(field.data_type(), rows.num_rows()))
    };
    let arrays = fields.iter().map(column).collect();
    let conformed = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
    Ok((conformed.map_err(|source| Error::rows(table, source))?, new_fields))
}
