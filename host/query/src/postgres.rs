//! The lake as clients of PostgreSQL expect a database: its dialect, its system tables and functions, and the statements of
//! a session.
//!
//! What reads the lake is planned as it is written. Only what reads nothing but system tables is rewritten for DataFusion by
//! `datafusion-pg-catalog`, whose rewriting may leave columns empty: that is of use for a tool's list of columns, and
//! would be a wrong number in a sum.

mod functions;
mod information_schema;
mod parameters;
mod prepared;
mod statement;
mod system;

use std::sync::Arc;

use datafusion::catalog::{MemoryCatalogProvider, SchemaProvider};
use datafusion::error::Result as EngineResult;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::{PgCatalogSchemaProvider, PgCatalogStaticTables, setup_pg_catalog};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

pub use functions::SERVER_VERSION;
pub use parameters::ParameterValue;
pub use prepared::Prepared;
pub use statement::{PostgresStatement, Query};

use crate::CATALOG;
use crate::catalogue::Lake;
use information_schema::{INFORMATION_SCHEMA, InformationSchema};
use system::{CurrentLake, PgCatalog};

/// The schema of PostgreSQL's own tables.
pub(crate) const PG_CATALOG: &str = "pg_catalog";

/// What a session with a client of PostgreSQL has beside the lake.
pub(crate) struct Postgres {
    parser: PostgresCompatibilityParser,
    /// Its schema `pg_catalog`, in which a table keeps its number for the session.
    pg_catalog: Arc<dyn SchemaProvider>,
    current: CurrentLake,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

impl Postgres {
    /// For one session of a user, and a state that has PostgreSQL's functions.
    pub(crate) fn open(state: SessionState, user: &str) -> EngineResult<(Self, SessionState)> {
        let context = SessionContext::new_with_state(state);
        context.register_catalog(CATALOG, Arc::new(MemoryCatalogProvider::new()));
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        let mut state = context.state();
        // Ours stands in for it, with PostgreSQL's names of types.
        state.config_mut().options_mut().catalog.information_schema = false;
        functions::register(&mut state, user)?;
        let (current, tables) = (CurrentLake::default(), Arc::new(PgCatalogStaticTables::try_new()?));
        let pg_catalog = PgCatalogSchemaProvider::try_new(current.clone(), tables, EmptyContextProvider)?;
        let parser = PostgresCompatibilityParser::new();
        Ok((Self { parser, pg_catalog: Arc::new(PgCatalog(pg_catalog)), current }, state))
    }

    /// Lets the system tables describe this lake; gives its further schemas.
    pub(crate) fn schemas_of(&self, lake: &Arc<Lake>) -> Vec<(&'static str, Arc<dyn SchemaProvider>)> {
        self.current.set(lake);
        let information: Arc<dyn SchemaProvider> = Arc::new(InformationSchema(lake.clone()));
        vec![(PG_CATALOG, self.pg_catalog.clone()), (INFORMATION_SCHEMA, information)]
    }
}
