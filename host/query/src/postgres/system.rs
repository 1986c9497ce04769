//! What PostgreSQL's system tables describe: the tables of the lake as the query that reads them sees it.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{LogicalPlanBuilder, TableType, col, lit};
use datafusion_pg_catalog::pg_catalog::PgCatalogSchemaProvider;
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;

use super::PG_CATALOG;
use crate::CATALOG;
use crate::catalogue::Lake;

/// Schemas that hold no tables of the lake.
const OTHER_SCHEMAS: [&str; 2] = [PG_CATALOG, "information_schema"];

/// The lake of the query that was planned last: a session has one query at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct CurrentLake(Arc<RwLock<Weak<Lake>>>);

impl CurrentLake {
    pub(super) fn set(&self, lake: &Arc<Lake>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(lake);
    }

    fn lake(&self) -> PlanResult<Arc<Lake>> {
        let lake = self.0.read().unwrap_or_else(PoisonError::into_inner).upgrade();
        lake.ok_or_else(|| DataFusionError::Execution("the query that system tables are read for has ended".to_owned()))
    }
}

#[async_trait]
impl CatalogInfo for CurrentLake {
    async fn catalog_names(&self) -> PlanResult<Vec<String>> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> PlanResult<Option<Vec<String>>> {
        if catalog != CATALOG {
            return Ok(None);
        }
        let mut names = self.lake()?.schema_names();
        names.extend(OTHER_SCHEMAS.map(str::to_owned));
        Ok(Some(names))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> PlanResult<Option<Vec<String>>> {
        if catalog != CATALOG {
            return Ok(None);
        }
        Ok(Some(self.lake()?.table_names(schema)))
    }

    async fn table_schema(&self, catalog: &str, schema: &str, table: &str) -> PlanResult<Option<SchemaRef>> {
        if catalog != CATALOG {
            return Ok(None);
        }
        Ok(self.lake()?.open(schema, table).await?.map(|provider| provider.schema()))
    }

    async fn table_type(&self, catalog: &str, schema: &str, table: &str) -> PlanResult<Option<TableType>> {
        if catalog != CATALOG {
            return Ok(None);
        }
        Ok(self.lake()?.table_type(schema, table))
    }
}

/// The schema `pg_catalog`, in which there is one database.
#[derive(Debug)]
pub(super) struct PgCatalog(pub(super) PgCatalogSchemaProvider<CurrentLake, EmptyContextProvider>);

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        match self.0.table(name).await? {
            Some(databases) if name == "pg_database" => {
                let plan = LogicalPlanBuilder::scan(name, provider_as_source(databases), None)?;
                let plan = plan.filter(col("datname").eq(lit(CATALOG)))?.build()?;
                Ok(Some(Arc::new(ViewTable::new(plan, None))))
            }
            table => Ok(table),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}
