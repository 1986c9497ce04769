//! The result of a query: rows as they come, within its limits.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::error::Result as EngineResult;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::catalogue;
use crate::error::Error;
use crate::reads::Scope;

/// Rows as they come.
pub struct QueryResult {
    schema: SchemaRef,
    renamed: bool,
    scope: Scope,
    stream: SendableRecordBatchStream,
    /// What system tables of PostgreSQL describe while they are read.
    _lake: Arc<catalogue::Lake>,
    memory_bytes: usize,
    /// Ends with the time that is allowed.
    timeout: Option<(Pin<Box<Sleep>>, Duration)>,
    /// The rows so far, and how many are allowed.
    rows: Option<(u64, u64)>,
}

impl std::fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryResult").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl QueryResult {
    pub(crate) fn new(
        stream: SendableRecordBatchStream,
        scope: Scope,
        lake: Arc<catalogue::Lake>,
        memory_bytes: usize,
    ) -> Self {
        let schema = distinct_names(&stream.schema());
        let renamed = schema != stream.schema();
        Self { renamed, schema, scope, stream, _lake: lake, memory_bytes, timeout: None, rows: None }
    }

    /// The same with limits: until when its rows may come, which is so long after its beginning, and how many.
    pub(crate) fn within(self, timeout: Option<(Instant, Duration)>, max_rows: Option<u64>) -> Self {
        let timeout = timeout.map(|(until, limit)| (Box::pin(sleep_until(until)), limit));
        Self { timeout, rows: max_rows.map(|limit| (0, limit)), ..self }
    }

    /// The streams that it may hold rows of.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Its columns; of several with one name, the second and further have `_2`, `_3` … at their end.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// All its rows.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, Error> {
        self.try_collect().await
    }

    fn shape(&mut self, batch: EngineResult<RecordBatch>) -> Result<RecordBatch, Error> {
        let batch = batch.map_err(|error| Error::running(error, self.memory_bytes))?;
        if let Some((rows, limit)) = &mut self.rows {
            *rows += batch.num_rows() as u64;
            if *rows > *limit {
                return Err(Error::TooManyRows { limit: *limit });
            }
        }
        if !self.renamed {
            return Ok(batch);
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let shaped = RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &rows);
        shaped.map_err(|source| Error::running(source.into(), self.memory_bytes))
    }
}

impl Stream for QueryResult {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some((sleep, limit)) = &mut self.timeout
            && sleep.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(Error::TooSlow { limit: *limit })));
        }
        let polled = catch_unwind(AssertUnwindSafe(|| self.stream.poll_next_unpin(context)));
        let polled = match polled {
            Ok(polled) => polled,
            Err(panic) => return Poll::Ready(Some(Err(Error::panicked(&*panic)))),
        };
        polled.map(|batch| batch.map(|batch| self.shape(batch)))
    }
}

/// `SELECT a.id, b.id` has two columns `id`, which neither JSON nor Parquet can hold.
pub(crate) fn distinct_names(schema: &SchemaRef) -> SchemaRef {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut fields: Vec<Arc<Field>> = Vec::with_capacity(schema.fields().len());
    let taken = |name: &str| schema.fields().iter().any(|field| field.name() == name);
    for field in schema.fields() {
        let count = seen.entry(field.name()).or_default();
        *count += 1;
        let mut name = field.name().clone();
        while *count > 1 {
            name = format!("{}_{count}", field.name());
            if !taken(&name) {
                break;
            }
            *count += 1;
        }
        fields.push(if name == *field.name() {
            field.clone()
        } else {
            Arc::new(field.as_ref().clone().with_name(name))
        });
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn columns_of_one_name_are_numbered() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![field("id"), field("id"), field("id_2"), field("id")]));
        let names: Vec<String> = distinct_names(&schema).fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "id_3", "id_2", "id_4"]);
    }
}
