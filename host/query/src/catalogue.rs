//! The lake's tables as a catalogue that opens them only when a query names them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, TableProvider,
};
use datafusion::common::ScalarValue;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::TableType;
use datafusion::logical_expr::execution_props::ExecutionProps;
use deltalake::DeltaTable;
use deltalake::kernel::Snapshot;
use sluice_lake::TableRef;
use sluice_model::Fact;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use crate::columns::Columns;
use crate::computed::Computed;
use crate::delta_table::DeltaReader;
use crate::error::Error;
use crate::fixed::fixed_tables;
use crate::gaps::Gaps;
use crate::relations::{Relation, Source, TableState};
use crate::travel::{self, Pin};
use crate::views::{Definition, MomentsView, RESTATEMENTS, View, latest_versions, moment_value, with_later_columns};
use crate::{CATALOG, moment, statement, unified_columns};

/// What a name refers to.
#[derive(Clone, Debug)]
enum Entry {
    Delta(Url),
    /// A table that every lake has and this one hasn't yet.
    Empty(SchemaRef),
    View(View),
    /// `meta.gaps`, which is worked out.
    Gaps,
    /// `meta.columns`, of which a part is counted, over the table of this URL; none if the lake has none, then over no
    /// rows of these columns.
    Columns(Option<Url>, SchemaRef),
    /// `meta.unified_columns`, which is the same for every lake.
    UnifiedColumns,
}

/// The names of a lake and what they refer to.
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
        let mut described = Arc::new(Schema::empty());
        for (schema, name, columns) in fixed_tables() {
            match (schema, name) {
                ("meta", "columns") => described = columns,
                _ => insert(schema, name, Entry::Empty(columns)),
            }
        }
        for view in View::ALL {
            let (schema, name) = view.name();
            insert(schema, name, Entry::View(view));
        }
        insert("meta", "gaps", Entry::Gaps);
        insert("meta", "columns", Entry::Columns(None, described.clone()));
        insert("meta", "unified_columns", Entry::UnifiedColumns);
        for table in tables {
            let entry = match (table.schema.as_str(), table.name.as_str()) {
                ("meta", "columns") => Entry::Columns(Some(table.url), described.clone()),
                _ => Entry::Delta(table.url),
            };
            insert(&table.schema, &table.name, entry);
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
    /// When the query began.
    now: DateTime<Utc>,
    /// The moment at which all tables are read; none for now.
    at: Option<DateTime<Utc>>,
    opened: Mutex<Opened>,
    /// What the names refer to that relations were given, see [`crate::relations`].
    stand_ins: Mutex<HashMap<String, Arc<dyn TableProvider>>>,
}

/// A schema that holds no tables of the lake, by its name.
pub(crate) type OtherSchema = (&'static str, Arc<dyn SchemaProvider>);

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("tables", &self.tables).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Lake {
    pub(crate) fn new(tables: Arc<Tables>, state: SessionState) -> Arc<Self> {
        Arc::new(Self {
            tables,
            state,
            now: Utc::now(),
            at: None,
            opened: Mutex::default(),
            stand_ins: Mutex::default(),
        })
    }

    /// The same tables as they were.
    fn at(&self, at: DateTime<Utc>) -> Arc<Self> {
        let (tables, state) = (self.tables.clone(), self.state.clone());
        let (opened, stand_ins) = Default::default();
        Arc::new(Self { tables, state, now: self.now, at: Some(at), opened, stand_ins })
    }

    /// Whether tables are read as they were at a moment.
    pub(crate) fn is_as_it_was(&self) -> bool {
        self.at.is_some()
    }

    /// The lake that the tables are in.
    pub(crate) fn store(&self) -> &sluice_lake::Lake {
        &self.tables.store
    }

    /// Schemas with tables, sorted.
    pub(crate) fn schema_names(&self) -> Vec<String> {
        self.tables.schemas.keys().cloned().collect()
    }

    /// Tables of a schema, sorted.
    pub(crate) fn table_names(&self, schema: &str) -> Vec<String> {
        self.tables.schemas.get(schema).map(|tables| tables.keys().cloned().collect()).unwrap_or_default()
    }

    /// What a table is, without opening it.
    pub(crate) fn table_type(&self, schema: &str, name: &str) -> Option<TableType> {
        self.tables.entry(schema, name).map(|entry| match entry {
            Entry::View(_) | Entry::Gaps | Entry::Columns(..) | Entry::UnifiedColumns => TableType::View,
            Entry::Delta(_) | Entry::Empty(_) => TableType::Base,
        })
    }

    /// A state in which names are those of this lake.
    pub(crate) fn state(self: &Arc<Self>) -> SessionState {
        self.state_beside(Vec::new())
    }

    /// The same, with further schemas.
    pub(crate) fn state_beside(self: &Arc<Self>, others: Vec<OtherSchema>) -> SessionState {
        let catalogues = MemoryCatalogProviderList::new();
        let catalogue = Catalogue { lake: self.clone(), others };
        catalogues.register_catalog(CATALOG.to_owned(), Arc::new(catalogue));
        SessionStateBuilder::new_from_existing(self.state.clone())
            .with_catalog_list(Arc::new(catalogues))
            .with_execution_props(ExecutionProps::new().with_query_execution_start_time(self.now))
            .build()
    }

    pub(crate) async fn open(self: &Arc<Self>, schema: &str, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        if let Some(provider) = self.stand_ins.lock().await.get(name) {
            return Ok(Some(provider.clone()));
        }
        let Some(entry) = self.tables.entry(schema, name) else { return Ok(None) };
        let cell = self.opened.lock().await.entry((schema.to_owned(), name.to_owned())).or_default().clone();
        let provider = cell.get_or_try_init(|| self.provider(schema, name, entry)).await?;
        Ok(Some(provider.clone()))
    }

    /// A table that must be there.
    pub(crate) async fn table(self: &Arc<Self>, schema: &str, name: &str) -> PlanResult<Arc<dyn TableProvider>> {
        let missing = || DataFusionError::Plan(format!("table '{CATALOG}.{schema}.{name}' not found"));
        Box::pin(self.open(schema, name)).await?.ok_or_else(missing)
    }

    /// Opens what a relation of a query reads, and lets its name stand for it.
    pub(crate) async fn stand_in(self: &Arc<Self>, relation: Relation) -> PlanResult<()> {
        let moment = |expression| moment::moment(&self.state, self.now, expression).map_err(external);
        let pin = match relation.state {
            None => None,
            Some(TableState::Version(number)) => {
                Some(Pin::Version(moment::version(&self.state, self.now, number).map_err(external)?))
            }
            Some(TableState::Moment(text)) => Some(Pin::Moment(moment(text)?)),
        };
        let lake = match pin {
            Some(Pin::Moment(moment)) => self.at(moment),
            _ => self.clone(),
        };
        let provider = match (relation.source, pin) {
            (Source::Table(schema, name), Some(Pin::Version(version))) => {
                lake.at_version(&schema, &name, version).await?
            }
            (Source::Table(schema, name), _) => lake.table(&schema, &name).await?,
            (Source::Moments(view, _), Some(Pin::Version(_))) => {
                return Err(external(Error::NoVersions { table: view.full_name() }));
            }
            (Source::Moments(view, arguments), _) => {
                let moments = arguments.into_iter().map(moment).collect::<PlanResult<Vec<_>>>()?;
                lake.moments_view(view, &moments).await?
            }
        };
        self.stand_ins.lock().await.insert(relation.stand_in, provider);
        Ok(())
    }

    async fn moments_view(
        self: &Arc<Self>,
        view: MomentsView,
        moments: &[DateTime<Utc>],
    ) -> PlanResult<Arc<dyn TableProvider>> {
        match (view, moments) {
            (MomentsView::AsOf, [by]) => self.as_of(*by).await,
            (MomentsView::Restatements, [from, to]) if from <= to => {
                let values = [("from", moment_value(*from)), ("to", moment_value(*to))];
                self.plan(RESTATEMENTS, &values).await
            }
            _ => Err(external(Error::Backwards { function: view.full_name() })),
        }
    }

    async fn as_of(self: &Arc<Self>, by: DateTime<Utc>) -> PlanResult<Arc<dyn TableProvider>> {
        let fact = Fact::Transactions;
        latest_versions(fact, self.table("unified", fact.versions()).await?, Some(by))
    }

    /// A view from its SQL.
    async fn plan(self: &Arc<Self>, sql: &str, values: &[(&str, ScalarValue)]) -> PlanResult<Arc<dyn TableProvider>> {
        let statement = statement::parse(sql).map_err(external)?;
        let mut plan = self.state().statement_to_plan(statement).await?;
        if !values.is_empty() {
            let values: HashMap<&str, ScalarValue> = values.iter().cloned().collect();
            plan = plan.with_param_values(values)?;
        }
        Ok(Arc::new(ViewTable::new(plan, values.is_empty().then(|| sql.to_owned()))))
    }

    async fn at_version(
        self: &Arc<Self>,
        schema: &str,
        name: &str,
        version: u64,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        match self.tables.entry(schema, name) {
            Some(Entry::Delta(url) | Entry::Columns(Some(url), _)) => {
                self.delta(schema, name, url, Some(Pin::Version(version))).await
            }
            Some(_) => Err(external(Error::NoVersions { table: format!("{schema}.{name}") })),
            None => self.table(schema, name).await,
        }
    }

    async fn provider(self: &Arc<Self>, schema: &str, name: &str, entry: &Entry) -> PlanResult<Arc<dyn TableProvider>> {
        match entry {
            Entry::Empty(columns) => Ok(Arc::new(EmptyTable::new(columns.clone()))),
            Entry::Gaps => Ok(Arc::new(Computed(Gaps::new(self.clone())))),
            Entry::UnifiedColumns => unified_columns::table(),
            Entry::Columns(url, columns) => {
                let base: Arc<dyn TableProvider> = match url {
                    Some(url) => self.delta(schema, name, url, self.at.map(Pin::Moment)).await?,
                    None => Arc::new(EmptyTable::new(columns.clone())),
                };
                Ok(Arc::new(Computed(Columns::new(self.clone(), base))))
            }
            Entry::Delta(url) => {
                let table = self.delta(schema, name, url, self.at.map(Pin::Moment)).await?;
                match Fact::of_versions(name).filter(|_| schema == "unified") {
                    Some(fact) => with_later_columns(fact, table),
                    None => Ok(table),
                }
            }
            Entry::View(view) => match view.definition() {
                Definition::Sql(sql) => Box::pin(self.plan(sql, &[])).await,
                Definition::Over(schema, name) => view.over(self.table(schema, name).await?),
            },
        }
    }

    async fn delta(&self, schema: &str, name: &str, url: &Url, pin: Option<Pin>) -> PlanResult<Arc<dyn TableProvider>> {
        tracing::debug!(%url, "opening table");
        let table = format!("{schema}.{name}");
        let log = self.tables.store.log_store(url).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let failed = |source| external(Error::Open { table: table.clone(), source: Arc::new(source) });
        let delta = DeltaTable::new(log.clone());
        delta.update_datafusion_session(&self.state).map_err(failed)?;
        let snapshot = match pin {
            Some(pin) => travel::snapshot_at(&table, &log, pin).await.map_err(external)?,
            // A bare snapshot reads the log's newest protocol and columns; its files are listed only when it is scanned.
            None => match Snapshot::try_new(log.as_ref(), None).await {
                Ok(snapshot) => snapshot,
                Err(source) => match sluice_lake::unhonoured_in_log(&table, &log).await {
                    Some(refused) => return Err(external(Error::Unhonoured(Arc::new(refused)))),
                    None => return Err(failed(source)),
                },
            },
        };
        let honoured = sluice_lake::require_honoured(&table, snapshot.protocol(), snapshot.metadata());
        honoured.map_err(|refused| external(Error::Unhonoured(Arc::new(refused))))?;
        Ok(Arc::new(DeltaReader::open(&self.tables.store, url, snapshot)?))
    }
}

pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The catalogue `sluice`.
#[derive(Debug)]
pub(crate) struct Catalogue {
    lake: Arc<Lake>,
    others: Vec<OtherSchema>,
}

impl CatalogProvider for Catalogue {
    fn schema_names(&self) -> Vec<String> {
        let others = self.others.iter().map(|(name, _)| (*name).to_owned());
        self.lake.schema_names().into_iter().chain(others).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if let Some((_, schema)) = self.others.iter().find(|(other, _)| *other == name) {
            return Some(schema.clone());
        }
        self.lake.tables.schemas.contains_key(name).then(|| {
            let schema = LakeSchema { lake: self.lake.clone(), name: name.to_owned() };
            Arc::new(schema) as Arc<dyn SchemaProvider>
        })
    }
}

#[derive(Debug)]
struct LakeSchema {
    lake: Arc<Lake>,
    name: String,
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        self.lake.table_names(&self.name)
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        self.lake.open(&self.name, name).await
    }

    async fn table_type(&self, name: &str) -> PlanResult<Option<TableType>> {
        Ok(self.lake.table_type(&self.name, name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.lake.tables.entry(&self.name, name).is_some()
    }
}
