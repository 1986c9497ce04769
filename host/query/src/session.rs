//! A session: the lake's tables, an engine with a limit on memory, and queries that only read.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::error::Result as EngineResult;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use sluice_lake::{Coverage, Lake, TableRef};
use tokio::time::{Instant, Sleep};

use crate::catalogue::{self, Tables};
use crate::empty_scans::EmptyScans;
use crate::error::Error;
use crate::function::local_day;
use crate::live::is_live;
use crate::memory::QueryMemory;
use crate::reads::Scope;
use crate::{CATALOG, DEFAULT_SCHEMA, relations, statement};

/// Tables whose columns are read at once.
const OPEN_AHEAD: usize = 16;

/// What a session may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Memory for sorts, aggregates and joins of all queries together; what exceeds it goes to disk where it can. Rows on
    /// their way between threads may take as much again.
    pub memory_bytes: usize,
    /// How many threads a query is cut for; none: one per core.
    pub target_partitions: Option<usize>,
    /// Where what doesn't fit in memory goes; none: the system's temporary directory.
    pub spill_dir: Option<PathBuf>,
    /// How long a query may take from its text to its last row; none: as long as it takes.
    pub timeout: Option<Duration>,
    /// How many rows a result may have; none: as many as there are.
    pub max_rows: Option<u64>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { memory_bytes: 512 << 20, target_partitions: None, spill_dir: None, timeout: None, max_rows: None }
    }
}

/// A table and its columns.
#[derive(Clone, Debug)]
pub struct TableColumns {
    /// Its SQL schema.
    pub schema: String,
    /// Its name in the schema.
    pub name: String,
    /// Its columns.
    pub columns: SchemaRef,
}

/// SQL over the tables of one lake.
///
/// Opening one reads nothing: a table is opened when a query names it, at its newest version then.
#[derive(Clone, Debug)]
pub struct Session {
    state: SessionState,
    tables: Arc<Tables>,
    memory_bytes: usize,
    timeout: Option<Duration>,
    max_rows: Option<u64>,
}

impl Session {
    /// A session over tables of a lake.
    pub fn open(lake: Lake, tables: Vec<TableRef>, options: SessionOptions) -> Result<Self, Error> {
        let disk = match &options.spill_dir {
            Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
            None => DiskManagerMode::OsTmpDirectory,
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(QueryMemory::new(options.memory_bytes)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
            .build_arc()
            .map_err(Error::setup)?;
        let mut state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config(&options))
            .with_runtime_env(runtime)
            .with_optimizer_rule(Arc::new(EmptyScans))
            .build();
        for function in [local_day(), is_live()] {
            state.register_udf(Arc::new(function)).map_err(Error::setup)?;
        }
        let tables = Arc::new(Tables::new(lake, tables));
        let SessionOptions { memory_bytes, timeout, max_rows, .. } = options;
        Ok(Self { state, tables, memory_bytes, timeout, max_rows })
    }

    /// The same engine, with its one limit on memory, over other tables.
    #[must_use]
    pub fn with_tables(&self, tables: Vec<TableRef>) -> Self {
        let tables = Arc::new(Tables::new(self.tables.store().clone(), tables));
        Self { tables, ..self.clone() }
    }

    /// Plans one statement that only reads, and starts it.
    ///
    /// Each query sees every table at one version, the newest when the query first named it, unless it names
    /// another: `unified.transactions AT (TIMESTAMP => '2026-01-31')`.
    ///
    /// # Errors
    /// What is wrong with it; [`Error::TooSlow`]. The result fails with that too, or with [`Error::TooManyRows`].
    pub async fn query(&self, sql: &str) -> Result<QueryResult, Error> {
        let begun = Instant::now();
        let starting = AssertUnwindSafe(self.start(sql)).catch_unwind();
        let started = match self.timeout {
            Some(limit) => tokio::time::timeout(limit, starting).await.map_err(|_| Error::TooSlow { limit })?,
            None => starting.await,
        };
        let (stream, scope) = started.map_err(|panic| Error::panicked(&*panic))??;
        let rest = self.timeout.map(|limit| (Box::pin(tokio::time::sleep_until(begun + limit)), limit));
        let rows = self.max_rows.map(|limit| (0, limit));
        Ok(QueryResult { timeout: rest, rows, ..QueryResult::new(stream, scope, self.memory_bytes) })
    }

    /// Plans a query and starts it.
    async fn start(&self, sql: &str) -> Result<(SendableRecordBatchStream, Scope), Error> {
        let mut statement = statement::parse(sql)?;
        let relations = relations::replace(&mut statement)?;
        let lake = self.lake();
        let failed = |error| Error::planning(error, &self.tables.full_names(), self.memory_bytes);
        for relation in relations {
            lake.stand_in(relation).await.map_err(failed)?;
        }
        let state = lake.state();
        let plan = state.statement_to_plan(statement).await.map_err(failed)?;
        statement::check_plan(&plan)?;
        let plan = state.optimize(&plan).map_err(failed)?;
        let scope = Scope::of(&plan).map_err(failed)?;
        let physical = state.query_planner().create_physical_plan(&plan, &state).await.map_err(failed)?;
        let stream = execute_stream(physical, state.task_ctx()).map_err(failed)?;
        Ok((stream, scope))
    }

    /// What was read of each stream of each account and what is missing of it, sorted.
    pub async fn coverage(&self) -> Result<Vec<Coverage>, Error> {
        self.lake().coverage().await.map_err(|error| Error::running(error, self.memory_bytes))
    }

    /// Every schema and table, sorted; no table is opened.
    pub fn tables(&self) -> Vec<(String, String)> {
        self.tables.names()
    }

    /// Every table with its columns, sorted; each table is opened.
    pub async fn catalogue(&self) -> Result<Vec<TableColumns>, Error> {
        let lake = self.lake();
        stream::iter(self.tables.names())
            .map(|(schema, name)| {
                let lake = lake.clone();
                async move {
                    let provider = lake.open(&schema, &name).await?;
                    let columns = provider.map_or_else(|| Arc::new(Schema::empty()), |provider| provider.schema());
                    Ok(TableColumns { schema, name, columns })
                }
            })
            .buffered(OPEN_AHEAD)
            .try_collect()
            .await
            .map_err(|error| Error::running(error, self.memory_bytes))
    }

    /// The tables as one query sees them.
    fn lake(&self) -> Arc<catalogue::Lake> {
        catalogue::Lake::new(self.tables.clone(), self.state.clone())
    }
}

fn config(options: &SessionOptions) -> SessionConfig {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, DEFAULT_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        // Money never goes through a float, neither in a literal.
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_str("datafusion.execution.time_zone", "UTC")
        // Each sort reserves it in each partition: several at once must fit.
        .set_usize("datafusion.execution.sort_spill_reservation_bytes", (options.memory_bytes / 64).min(10 << 20));
    match options.target_partitions {
        Some(partitions) => config.with_target_partitions(partitions.max(1)),
        None => config,
    }
}

/// Rows as they come.
pub struct QueryResult {
    schema: SchemaRef,
    renamed: bool,
    scope: Scope,
    stream: SendableRecordBatchStream,
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
    fn new(stream: SendableRecordBatchStream, scope: Scope, memory_bytes: usize) -> Self {
        let schema = distinct_names(&stream.schema());
        Self { renamed: schema != stream.schema(), schema, scope, stream, memory_bytes, timeout: None, rows: None }
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
fn distinct_names(schema: &SchemaRef) -> SchemaRef {
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
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn columns_of_one_name_are_numbered() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![field("id"), field("id"), field("id_2"), field("id")]));
        let names: Vec<String> = distinct_names(&schema).fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "id_3", "id_2", "id_4"]);
    }
}
