//! System tables: what happened, SQL like any other.

mod accounts;
mod alarms;
mod connectors;
mod doubts;
mod rejects;
mod requests;
mod resolved;
mod rows;
mod tables;

pub use accounts::AccountRow;
pub use doubts::{DoubtRow, DoubtState};
pub(crate) use rejects::{REJECTS, RejectRows, reject_key};
pub(crate) use requests::networks_of_requests;
pub use resolved::{RejectRow, Resolution};
pub(crate) use rows::ColumnPlace;
pub use rows::{AccountUsage, ConnectorRow, CoverageRow, Covered, RunRow};
pub(crate) use tables::{ABSENT, COVERAGE_STATE};
pub use tables::{SYSTEM_TABLES, SystemColumn, SystemTable};

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::lake::Lake;
use crate::table::{Fence, Proposal, Table, TableChange, TableSpec, commit_with};

/// Rows that wait to be appended to a small table.
struct PendingAppend {
    rows: RecordBatch,
    fence: Option<Fence>,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// A small table that this process appends to: what several bring at once is appended in one commit.
#[derive(Default)]
pub(crate) struct SmallTable {
    waiting: Mutex<Vec<PendingAppend>>,
    table: tokio::sync::Mutex<Option<Table>>,
}

/// Small tables to which this process appends: it doesn't race against itself.
type SmallTables = Mutex<HashMap<String, Arc<SmallTable>>>;

impl Lake {
    /// A small table that this process appends to.
    fn small_table(&self, table: &str) -> Arc<SmallTable> {
        let tables = self.known::<SmallTables>();
        let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.entry(table.to_owned()).or_default().clone()
    }

    /// Appends rows to a small table, which is made if it isn't there. Columns are matched by name; those that the
    /// table lacks are added to it, those that the rows lack are null.
    pub async fn append_rows(&self, schema: &str, name: &str, rows: RecordBatch) -> Result<(), Error> {
        self.append_rows_under(schema, name, rows, None).await
    }

    /// The same for rows of a run that holds a lease.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another process has taken the lease over.
    pub async fn append_rows_under(
        &self,
        schema: &str,
        name: &str,
        rows: RecordBatch,
        fence: Option<Fence>,
    ) -> Result<(), Error> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let small = self.small_table(&format!("{schema}.{name}"));
        let (reply, answer) = oneshot::channel();
        small.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(PendingAppend { rows, fence, reply });
        let (lake, schema, name) = (self.clone(), schema.to_owned(), name.to_owned());
        // Whoever comes first appends for all; not even a caller that is cancelled takes the others with it.
        tokio::spawn(async move { small.append_waiting(&lake, &schema, &name).await });
        answer.await.unwrap_or(Err(Error::Stopped))
    }

    /// A table of `meta` as it now is, which needn't exist. It is read from where this process read it last.
    pub(crate) async fn system_table(&self, name: &str) -> Result<Table, Error> {
        self.small_table(&format!("meta.{name}")).opened(self, "meta", name).await
    }
}

impl SmallTable {
    /// Appends what waits once it is this task's turn.
    async fn append_waiting(&self, lake: &Lake, schema: &str, name: &str) {
        let mut open = self.table.lock().await;
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return;
        }
        match refreshed(open.take(), lake, schema, name).await {
            Ok(mut table) => {
                let anew = Table::open(lake, schema, name);
                append_all(&mut table, waiting, anew).await;
                *open = Some(table);
            }
            Err(error) => answer_all(waiting, Err(error)),
        }
    }

    async fn opened(&self, lake: &Lake, schema: &str, name: &str) -> Result<Table, Error> {
        let mut open = self.table.lock().await;
        let table = refreshed(open.take(), lake, schema, name).await?;
        *open = Some(table.clone());
        Ok(table)
    }
}

/// A table as it now is. If it can't be followed, another one may have been made in its place.
async fn refreshed(open: Option<Table>, lake: &Lake, schema: &str, name: &str) -> Result<Table, Error> {
    if let Some(mut table) = open
        && table.refresh().await.is_ok()
    {
        return Ok(table);
    }
    Table::open(lake, schema, name).await
}

/// Columns of system tables that files are skipped by.
const INDEXED: [&str; 4] = ["run_id", "network", "digest", "received_at"];

/// Appends rows of several in one commit. Whose lease was taken over, and whose columns don't fit, is reported and left out.
/// After a failure the table is opened `anew`, once: another one may have been made in its place.
async fn append_all(
    table: &mut Table,
    mut waiting: Vec<PendingAppend>,
    anew: impl Future<Output = Result<Table, Error>> + Send,
) {
    let mut anew = Some(anew);
    while !waiting.is_empty() {
        let mut append = AppendAll { waiting: &mut waiting, written: None };
        match commit_with(table, &mut append).await {
            Ok(_) => return answer_all(waiting, Ok(())),
            Err(Error::Fenced { table, resource, epoch, known }) => {
                let is_fenced = |fence: &Fence| fence.resource == resource && fence.epoch <= epoch;
                let (fenced, rest) = waiting.into_iter().partition(|one| one.fence.as_ref().is_some_and(is_fenced));
                answer_all(fenced, Err(Error::Fenced { table, resource, epoch, known }));
                waiting = rest;
            }
            Err(error) => match anew.take() {
                Some(anew) => match anew.await {
                    Ok(opened) => *table = opened,
                    Err(_) => return answer_all(waiting, Err(error)),
                },
                None => return answer_all(waiting, Err(error)),
            },
        }
    }
}

fn answer_all(waiting: Vec<PendingAppend>, outcome: Result<(), Error>) {
    let mut outcome = outcome.map_err(Arc::new);
    let last = waiting.len().saturating_sub(1);
    for (place, PendingAppend { reply, .. }) in waiting.into_iter().enumerate() {
        let own = if place == last { std::mem::replace(&mut outcome, Ok(())) } else { outcome.clone() };
        // Who was cancelled doesn't wait.
        let _ = reply.send(own.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(Error::Shared)));
    }
}

struct AppendAll<'a> {
    waiting: &'a mut Vec<PendingAppend>,
    /// The columns for which the files of the last attempt were written.
    written: Option<SchemaRef>,
}

impl TableChange for AppendAll<'_> {
    async fn propose(&mut self, table: &mut Table, earlier: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        let Some(first) = self.waiting.first() else { return Ok(None) };
        let fields =
            first.rows.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let indexed = INDEXED.into_iter().filter(|name| first.rows.column_by_name(name).is_some()).collect();
        table.create_if_missing(&TableSpec { fields, partitions: &[], indexed }).await?;
        let schema = table.schema()?;
        match earlier {
            Some(earlier) if self.written.as_ref() == Some(&schema) => return Ok(Some(earlier)),
            Some(earlier) => table.discard_files(&earlier.adds).await,
            None => {}
        }
        let (rows, new_fields) = self.conform(table.name(), &schema)?;
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let adds = table.write_files(&rows, None).await?;
        self.written = Some(schema);
        let fences: BTreeSet<Fence> = self.waiting.iter().filter_map(|one| one.fence.clone()).collect();
        Ok(Some(Proposal { adds, new_fields, fences: fences.into_iter().collect(), ..Proposal::default() }))
    }
}

impl AppendAll<'_> {
    /// The rows of all under the table's columns and their own new ones; those that don't fit are reported and left out.
    fn conform(&mut self, table: &str, schema: &SchemaRef) -> Result<(RecordBatch, Vec<Field>), Error> {
        let mut all = schema.clone();
        let mut fitting = Vec::with_capacity(self.waiting.len());
        for one in self.waiting.drain(..) {
            match conform(table, &all, &one.rows) {
                Ok((rows, _)) => {
                    all = rows.schema();
                    fitting.push(one);
                }
                Err(error) => answer_all(vec![one], Err(error)),
            }
        }
        *self.waiting = fitting;
        let rows = self.waiting.iter().map(|one| Ok(conform(table, &all, &one.rows)?.0));
        let rows = concat_batches(&all, &rows.collect::<Result<Vec<_>, Error>>()?);
        let new_fields = all.fields().iter().skip(schema.fields().len()).map(|field| field.as_ref().clone()).collect();
        Ok((rows.map_err(|source| Error::rows(table, source))?, new_fields))
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
