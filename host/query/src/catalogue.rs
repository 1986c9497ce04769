//! The lake's tables as a catalogue that opens them only when a query names them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::TableType;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::kernel::Snapshot;
use deltalake::{DeltaTable, DeltaTableError};
use sluice_lake::TableRef;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use crate::error::Error;
use crate::fixed::fixed_tables;
use crate::views::View;

/// What stands behind a name.
#[derive(Clone, Debug)]
enum Entry {
    Delta(Url),
    /// A table that every lake has and this one hasn't yet.
    Empty(SchemaRef),
    View(View),
}

/// The names of a lake and what stands behind them.
#[derive(Debug)]
pub(crate) struct Tables {
    store: sluice_lake::Lake,
    schemas: BTreeMap<String, BTreeMap<String, Entry>>,
}

impl Tables {
    pub(crate) fn new(store: sluice_lake::Lake, tables: Vec<TableRef>) -> Self {
        let mut schemas: BTreeMap<String, BTreeMap<String, Entry>> = BTreeMap::new();
        let mut insert = |schema: &str, name: &str, entry| {
            schemas.entry(schema.to_owned()).or_default().insert(name.to_owned(), entry);
        };
        for (schema, name, columns) in fixed_tables() {
            insert(schema, name, Entry::Empty(columns));
        }
        for view in View::ALL {
            let (schema, name) = view.name();
            insert(schema, name, Entry::View(view));
        }
        for table in tables {
            insert(&table.schema, &table.name, Entry::Delta(table.url));
        }
        Self { store, schemas }
    }

    /// Every schema and table, sorted.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let tables = self.schemas.iter();
        tables.flat_map(|(schema, tables)| tables.keys().map(|table| (schema.clone(), table.clone()))).collect()
    }

    /// Every `schema.table`, sorted.
    pub(crate) fn full_names(&self) -> Vec<String> {
        self.names().into_iter().map(|(schema, table)| format!("{schema}.{table}")).collect()
    }

    /// The lake that they are in.
    pub(crate) fn store(&self) -> &sluice_lake::Lake {
        &self.store
    }

    fn entry(&self, schema: &str, name: &str) -> Option<&Entry> {
        self.schemas.get(schema)?.get(name)
    }
}

type Opened = HashMap<(String, String), Arc<OnceCell<Arc<dyn TableProvider>>>>;

/// The tables as one query sees them: each is opened at most once, so that one named twice is read at one version.
pub(crate) struct Lake {
    tables: Arc<Tables>,
    state: SessionState,
    opened: Mutex<Opened>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl Lake {
    pub(crate) fn new(tables: Arc<Tables>, state: SessionState) -> Arc<Self> {
        Arc::new(Self { tables, state, opened: Mutex::new(HashMap::new()) })
    }

    pub(crate) async fn open(&self, schema: &str, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        let Some(entry) = self.tables.entry(schema, name) else { return Ok(None) };
        let cell = self.opened.lock().await.entry((schema.to_owned(), name.to_owned())).or_default().clone();
        let provider = cell.get_or_try_init(|| self.provider(schema, name, entry)).await?;
        Ok(Some(provider.clone()))
    }

    async fn provider(&self, schema: &str, name: &str, entry: &Entry) -> PlanResult<Arc<dyn TableProvider>> {
        match entry {
            Entry::Empty(columns) => Ok(Arc::new(EmptyTable::new(columns.clone()))),
            Entry::Delta(url) => {
                let log =
                    self.tables.store.log_store(url).map_err(|error| DataFusionError::External(Box::new(error)))?;
                self.delta(DeltaTable::new(log)).await.map_err(|source| {
                    let table = format!("{schema}.{name}");
                    DataFusionError::External(Box::new(Error::Open { table, source: Arc::new(source) }))
                })
            }
            Entry::View(view) => {
                let (schema, name) = view.base();
                let base = Box::pin(self.open(schema, name)).await?;
                view.over(
                    base.unwrap_or_else(|| Arc::new(EmptyTable::new(Arc::new(arrow::datatypes::Schema::empty())))),
                )
            }
        }
    }

    async fn delta(&self, table: DeltaTable) -> Result<Arc<dyn TableProvider>, DeltaTableError> {
        tracing::debug!(url = %table.table_url(), "opening table");
        table.update_datafusion_session(&self.state)?;
        // A bare snapshot reads the log's newest protocol and columns; its files are listed only when it is scanned.
        let snapshot = Snapshot::try_new(table.log_store().as_ref(), None).await?;
        // Partition columns as plain text, not as dictionaries: they join and print like any other.
        let config = DeltaScanConfig::new().with_wrap_partition_values(false);
        Ok(Arc::new(DeltaScanNext::new(snapshot, config)?))
    }
}

/// The catalogue `sluice`.
#[derive(Debug)]
pub(crate) struct Catalogue(pub(crate) Arc<Lake>);

impl CatalogProvider for Catalogue {
    fn schema_names(&self) -> Vec<String> {
        self.0.tables.schemas.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.0.tables.schemas.contains_key(name).then(|| {
            let schema = LakeSchema { lake: self.0.clone(), name: name.to_owned() };
            Arc::new(schema) as Arc<dyn SchemaProvider>
        })
    }
}

/// One schema of it.
#[derive(Debug)]
struct LakeSchema {
    lake: Arc<Lake>,
    name: String,
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        self.lake.tables.schemas.get(&self.name).map(|tables| tables.keys().cloned().collect()).unwrap_or_default()
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        self.lake.open(&self.name, name).await
    }

    async fn table_type(&self, name: &str) -> PlanResult<Option<TableType>> {
        Ok(self.lake.tables.entry(&self.name, name).map(|entry| match entry {
            Entry::View(_) => TableType::View,
            Entry::Delta(_) | Entry::Empty(_) => TableType::Base,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.lake.tables.entry(&self.name, name).is_some()
    }
}
