//! A session: the lake's tables, an engine with a limit on memory, and queries that only read.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use sluice_lake::{Coverage, Lake, TableRef};
use tokio::time::Instant;

use crate::catalogue::{self, Tables};
use crate::distributed::Workers;
use crate::empty_scans::EmptyScans;
use crate::error::Error;
use crate::function::local_day;
use crate::live::is_live;
use crate::memory::QueryMemory;
use crate::postgres::{ParameterValue, Postgres, PostgresStatement, Prepared, Query};
use crate::reads::Scope;
use crate::result::QueryResult;
use crate::{CATALOG, DEFAULT_SCHEMA, growth, relations, statement};

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
    /// How many bytes of that all queries of the session may have at once; none: 100 GiB.
    pub spill_bytes: Option<u64>,
    /// How long a query may take from its text to its last row; none: as long as it takes.
    pub timeout: Option<Duration>,
    /// How many rows a result may have; none: as many as there are.
    pub max_rows: Option<u64>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            target_partitions: None,
            spill_dir: None,
            spill_bytes: None,
            timeout: None,
            max_rows: None,
        }
    }
}

/// A table as a session finds it in SQL.
#[derive(Clone, Debug)]
pub struct TableColumns {
    /// Its SQL schema.
    pub schema: String,
    /// Its name in the schema.
    pub name: String,
    /// With their types, in the order of `SELECT *`.
    pub columns: SchemaRef,
}

/// SQL over the tables of one lake.
///
/// Opening one reads nothing: a table is opened when a query names it, at its newest version then.
#[derive(Clone, Debug)]
pub struct Session {
    state: SessionState,
    tables: Arc<Tables>,
    /// Where a client of PostgreSQL asks.
    postgres: Option<Arc<Postgres>>,
    workers: Option<Workers>,
    memory_bytes: usize,
    timeout: Option<Duration>,
    max_rows: Option<u64>,
}

impl Session {
    /// A session over tables of a lake.
    pub fn open(lake: Lake, tables: Vec<TableRef>, options: SessionOptions) -> Result<Self, Error> {
        let state = engine(&options)?;
        let tables = Arc::new(Tables::new(lake, tables));
        let SessionOptions { memory_bytes, timeout, max_rows, .. } = options;
        Ok(Self { state, tables, postgres: None, workers: None, memory_bytes, timeout, max_rows })
    }

    /// The same with heavy queries spread over other hosts.
    #[must_use]
    pub fn spread_over(self, workers: Workers) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// The same engine, with its one limit on memory, over other tables.
    #[must_use]
    pub fn with_tables(&self, tables: Vec<TableRef>) -> Self {
        let tables = Arc::new(Tables::new(self.tables.store().clone(), tables));
        Self { tables, ..self.clone() }
    }

    /// The same over the tables that the lake has now.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn refreshed(&self) -> Result<Self, Error> {
        let tables = self.tables.store().tables().await.map_err(|source| Error::Tables { source })?;
        Ok(self.with_tables(tables))
    }

    /// The same for a client of PostgreSQL: with its dialect, system tables and functions.
    ///
    /// # Errors
    /// A set-up that fails.
    pub fn for_postgres(&self, user: &str) -> Result<Self, Error> {
        let opening = catch_unwind(AssertUnwindSafe(|| Postgres::open(self.state.clone(), user)));
        let (postgres, state) = opening.map_err(|panic| Error::panicked(&*panic))?.map_err(Error::setup)?;
        Ok(Self { state, postgres: Some(Arc::new(postgres)), ..self.clone() })
    }

    /// The same with less time for a query; never with more.
    #[must_use]
    pub fn within(&self, most: Option<Duration>) -> Self {
        let timeout = self.timeout.into_iter().chain(most).min();
        Self { timeout, ..self.clone() }
    }

    /// How long a query may take; none: as long as it takes.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Plans one statement that only reads, and starts it.
    ///
    /// Each query sees every table at one version, the newest when the query first named it, unless it names
    /// another: `unified.transactions AT (TIMESTAMP => '2026-01-31')`.
    ///
    /// # Errors
    /// What is wrong with it; [`Error::TooSlow`]. The result fails with that too, or with [`Error::TooManyRows`].
    pub async fn query(&self, sql: &str) -> Result<QueryResult, Error> {
        self.run(async { statement::parse(sql) }).await
    }

    /// Runs a query as [`Session::query`] does, with values for its parameters `$1`, `$2` …
    ///
    /// # Errors
    /// As [`Session::query`]; too few values, too many, or one that isn't of its parameter's type.
    pub async fn query_with(&self, sql: &str, values: &[ParameterValue]) -> Result<QueryResult, Error> {
        if values.is_empty() {
            return self.query(sql).await;
        }
        let prepared = self.prepare(Query::of_lake(sql)?, &[]).await?;
        self.execute(&prepared, values).await
    }

    /// The types of the parameters of a query, and its columns.
    ///
    /// # Errors
    /// What is wrong with the query; [`Error::TooSlow`].
    pub async fn describe(&self, sql: &str) -> Result<(Vec<DataType>, SchemaRef), Error> {
        self.guarded(Instant::now(), self.plan_columns(sql)).await
    }

    /// The statements of a text from a client of PostgreSQL; none of a session for other clients.
    ///
    /// # Errors
    /// What can't be parsed, and what isn't a query or a statement of [`PostgresStatement`].
    pub async fn statements(&self, sql: &str) -> Result<Vec<PostgresStatement>, Error> {
        let Some(postgres) = &self.postgres else { return Ok(Vec::new()) };
        self.guarded(Instant::now(), async { postgres.statements(sql) }).await
    }

    /// Finds the types of a query's parameters and columns. `declared`: those types that the client states, by the
    /// parameter's number less one.
    ///
    /// # Errors
    /// What is wrong with the query; [`Error::TooSlow`].
    pub async fn prepare(&self, query: Query, declared: &[Option<DataType>]) -> Result<Prepared, Error> {
        self.guarded(Instant::now(), self.plan_prepared(query, declared)).await
    }

    /// Runs a query with values for its parameters, as [`Session::query`] does.
    ///
    /// # Errors
    /// As [`Session::query`]; too few values, too many, or one that isn't of its parameter's type.
    pub async fn execute(&self, prepared: &Prepared, values: &[ParameterValue]) -> Result<QueryResult, Error> {
        self.run(async { prepared.with_values(values) }).await
    }

    /// Starts a query within its limits.
    async fn run(&self, statement: impl Future<Output = Result<Statement, Error>>) -> Result<QueryResult, Error> {
        let begun = Instant::now();
        let starting = async { self.start(statement.await?).await };
        let (stream, scope, lake) = self.guarded(begun, starting).await?;
        let result = QueryResult::new(stream, scope, lake, self.memory_bytes);
        Ok(result.within(self.timeout.map(|limit| (begun + limit, limit)), self.max_rows))
    }

    /// Ends what takes too long, and makes a panic an error.
    async fn guarded<T>(&self, begun: Instant, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let work = AssertUnwindSafe(work).catch_unwind();
        let done = match self.timeout {
            Some(limit) => tokio::time::timeout_at(begun + limit, work).await.map_err(|_| Error::TooSlow { limit })?,
            None => work.await,
        };
        done.map_err(|panic| Error::panicked(&*panic))?
    }

    /// Plans a query and starts it.
    async fn start(
        &self,
        statement: Statement,
    ) -> Result<(SendableRecordBatchStream, Scope, Arc<catalogue::Lake>), Error> {
        let (plan, lake, state) = self.logical_plan(statement).await?;
        let failed = |error| self.planning(error);
        let optimized = state.optimize(&plan).map_err(failed)?;
        let scope = Scope::of(&optimized).map_err(failed)?;
        let physical = state.query_planner().create_physical_plan(&optimized, &state).await.map_err(failed)?;
        if let Some(workers) = &self.workers
            && let Some(rows) = workers.rows(&state, &plan, &physical).await
        {
            return Ok((rows, scope, lake));
        }
        let stream = execute_stream(physical, state.task_ctx()).map_err(failed)?;
        Ok((stream, scope, lake))
    }

    /// The plan of a statement that only reads, not optimised, with the tables and the state that it is of.
    pub(crate) async fn logical_plan(
        &self,
        mut statement: Statement,
    ) -> Result<(LogicalPlan, Arc<catalogue::Lake>, SessionState), Error> {
        let relations = relations::replace(&mut statement)?;
        let (lake, state) = self.lake_and_state();
        let failed = |error| self.planning(error);
        for relation in relations {
            lake.stand_in(relation).await.map_err(failed)?;
        }
        let plan = state.statement_to_plan(statement).await.map_err(failed)?;
        statement::check_plan(&plan)?;
        Ok((plan, lake, state))
    }

    /// The error of a query that can't be planned.
    pub(crate) fn planning(&self, error: DataFusionError) -> Error {
        Error::planning(error, &self.tables.full_names(), self.memory_bytes)
    }

    /// What was read of each stream of each account and what is missing of it, sorted.
    pub async fn coverage(&self) -> Result<Vec<Coverage>, Error> {
        self.lake().coverage().await.map_err(|error| Error::running(error, self.memory_bytes))
    }

    /// Every schema and table, sorted; no table is opened.
    pub fn tables(&self) -> Vec<(String, String)> {
        self.tables.names()
    }

    /// Those tables that are views or worked out from others, by schema and name; no table is opened.
    pub fn views(&self) -> BTreeSet<(String, String)> {
        let lake = self.lake();
        let is_view = |(schema, name): &(String, String)| lake.table_type(schema, name) == Some(TableType::View);
        self.tables.names().into_iter().filter(is_view).collect()
    }

    /// Every table with its columns, sorted; each table is opened.
    pub async fn catalogue(&self) -> Result<Vec<TableColumns>, Error> {
        self.columns_of(self.tables.names()).await
    }

    /// These tables, by schema and name, with their columns; each is opened.
    pub async fn columns_of(&self, names: Vec<(String, String)>) -> Result<Vec<TableColumns>, Error> {
        let lake = self.lake();
        stream::iter(names)
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

    /// The same, with a state in which names are theirs.
    pub(crate) fn lake_and_state(&self) -> (Arc<catalogue::Lake>, SessionState) {
        let lake = self.lake();
        let others = self.postgres.as_ref().map(|postgres| postgres.schemas_of(&lake)).unwrap_or_default();
        let state = lake.state_beside(others);
        (lake, state)
    }
}

/// An engine within the options, without tables.
pub(crate) fn engine(options: &SessionOptions) -> Result<SessionState, Error> {
    let disk = match &options.spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let mut disk = DiskManagerBuilder::default().with_mode(disk);
    if let Some(bytes) = options.spill_bytes {
        disk.set_max_temp_directory_size(bytes);
    }
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(QueryMemory::new(options.memory_bytes)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(Error::setup)?;
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(configured(SessionConfig::new(), options))
        .with_runtime_env(runtime)
        .with_optimizer_rule(Arc::new(EmptyScans))
        .build();
    add_functions(&mut state, options.memory_bytes).map_err(Error::setup)?;
    Ok(state)
}

/// Functions that plans may name; the same on every host.
pub(crate) fn add_functions(state: &mut SessionState, memory_bytes: usize) -> Result<(), DataFusionError> {
    for function in [local_day(), is_live()] {
        state.register_udf(Arc::new(function))?;
    }
    growth::bound(state, memory_bytes)
}

pub(crate) fn configured(config: SessionConfig, options: &SessionOptions) -> SessionConfig {
    let config = config
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
