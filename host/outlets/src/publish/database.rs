//! The published database: its tables, and the one transaction by which they change.

use std::collections::BTreeSet;
use std::str::FromStr;

use arrow::datatypes::Schema;
use futures::TryStreamExt;
use sluice_lake::{VersionFile, VersionPlace, VersionReader};
use sluice_model::Fact;
use sqlx::postgres::{PgConnectOptions, PgConnection, Postgres};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::columns::{definition, quoted};
use super::{Publication, PublishedTable, copy};
use crate::error::Error;

/// Where the place is kept that the tables have absorbed.
const PLACES: &str = "sluice_published";
/// How long another process is waited for.
const LOCK_TIMEOUT: &str = "5min";
/// Bytes that are sent at once.
const PIECE: usize = 1 << 20;

/// Connects. Statements have no names, so that a pooler may be between.
pub(super) async fn connect(url: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::from_str(url).map_err(Error::Connect)?;
    let options = options.statement_cache_capacity(0).application_name("sluice");
    options.connect().await.map_err(Error::Connect)
}

/// A transaction on the published database, rolled back when it is dropped.
pub(super) struct Transaction<'c> {
    transaction: sqlx::Transaction<'c, Postgres>,
    schema: String,
    /// The kind of facts whose tables change.
    fact: Fact,
}

impl<'c> Transaction<'c> {
    /// Begins it, once no other process publishes to this schema.
    pub(super) async fn begin(connection: &'c mut PgConnection, schema: &str, fact: Fact) -> Result<Self, Error> {
        let failed = Error::database("read");
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        let transaction = connection.begin_with(begin).await.map_err(&failed)?;
        let mut begun = Self { transaction, schema: schema.to_owned(), fact };
        // Who holds the lock may have been suspended.
        begun.execute("read", format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtext($1))").bind(format!("sluice/publish/{schema}"));
        lock.persistent(false).execute(&mut *begun.transaction).await.map_err(&failed)?;
        Ok(begun)
    }

    /// Makes what isn't there, and gives the place that the tables have absorbed; none if they lack rows of it.
    pub(super) async fn prepare(
        &mut self,
        publication: &Publication,
        columns: &Schema,
    ) -> Result<Option<VersionPlace>, Error> {
        // Making a schema that is there takes a right that its user may not have.
        if self.lacks("to_regnamespace", &quoted(&self.schema)).await? {
            self.execute("make tables in", format!("CREATE SCHEMA {}", quoted(&self.schema))).await?;
        }
        let mut is_whole = true;
        for table in publication.tables_of(self.fact) {
            let name = self.named(table.name());
            if self.lacks("to_regclass", &name).await? {
                is_whole = false;
                let key = self.fact.key();
                let key = if table.is_latest() { key.to_owned() } else { format!("{key}, version") };
                let columns: Vec<String> = columns.fields().iter().map(|field| definition(field)).collect();
                let create = format!("CREATE TABLE {name} ({}, PRIMARY KEY ({key}))", columns.join(", "));
                self.execute("make tables in", create).await?;
            }
        }
        let places = self.named(PLACES);
        if self.lacks("to_regclass", &places).await? {
            let create = format!(
                "CREATE TABLE {places} (source text PRIMARY KEY, table_id text NOT NULL, version bigint NOT NULL, \
                 choice text NOT NULL, published_at timestamptz NOT NULL)"
            );
            self.execute("make tables in", create).await?;
        }
        let select = format!("SELECT table_id, version FROM {places} WHERE source = $1 AND choice = $2");
        let query = sqlx::query(AssertSqlSafe(select))
            .bind(self.source())
            .bind(publication.choice(self.fact))
            .persistent(false);
        let row = query.fetch_optional(&mut *self.transaction).await.map_err(Error::database("read"))?;
        let place = row.map(|row| -> Result<VersionPlace, sqlx::Error> {
            Ok(VersionPlace { table: row.try_get(0)?, version: row.try_get::<i64, _>(1)?.unsigned_abs() })
        });
        Ok(place.transpose().map_err(Error::database("read"))?.filter(|_| is_whole))
    }

    /// Gives the tables the columns of the lake's that they lack. False if they have all.
    pub(super) async fn add_columns(&mut self, publication: &Publication, columns: &Schema) -> Result<bool, Error> {
        let mut is_wider = false;
        for table in publication.tables_of(self.fact) {
            let select =
                "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2";
            let query = sqlx::query(select).bind(&self.schema).bind(table.name()).persistent(false);
            let rows = query.fetch_all(&mut *self.transaction).await.map_err(Error::database("read"))?;
            let known = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<String>, _>>();
            let known = known.map_err(Error::database("read"))?;
            for field in columns.fields().iter().filter(|field| !known.contains(field.name())) {
                let name = self.named(table.name());
                self.execute("add columns to", format!("ALTER TABLE {name} ADD COLUMN {}", definition(field))).await?;
                is_wider = true;
            }
        }
        Ok(is_wider)
    }

    /// Copies the rows of files to a table of this transaction, and gives their number.
    pub(super) async fn stage(
        &mut self,
        versions: &VersionReader,
        columns: &Schema,
        files: &[&VersionFile],
    ) -> Result<u64, Error> {
        let definitions: Vec<String> = columns.fields().iter().map(|field| definition(field)).collect();
        let create = format!("CREATE TEMPORARY TABLE sluice_staged ({}) ON COMMIT DROP", definitions.join(", "));
        self.execute("copy rows to", create).await?;
        let failed = Error::database("copy rows to");
        let mut copying = self.transaction.copy_in_raw("COPY sluice_staged FROM STDIN").await.map_err(&failed)?;
        let mut piece = Vec::with_capacity(2 * PIECE);
        let table = self.fact.versions();
        for file in files {
            let mut rows = versions.rows(file).await?;
            while let Some(batch) = rows.try_next().await? {
                copy::append(&batch, &mut piece).map_err(|source| Error::Rows { table, source })?;
                if piece.len() >= PIECE {
                    copying.send(piece.as_slice()).await.map_err(&failed)?;
                    piece.clear();
                }
            }
        }
        copying.send(piece.as_slice()).await.map_err(&failed)?;
        copying.finish().await.map_err(&failed)
    }

    /// Merges what is staged, after the earlier rows are gone if the tables are made anew. Gives the rows that changed.
    pub(super) async fn merge(
        &mut self,
        publication: &Publication,
        columns: &Schema,
        anew: bool,
        is_staged: bool,
    ) -> Result<u64, Error> {
        let mut changed = 0;
        for table in publication.tables_of(self.fact) {
            let name = self.named(table.name());
            if anew {
                self.execute("change rows of", format!("DELETE FROM {name}")).await?;
            }
            if is_staged {
                changed += self.execute("change rows of", merge(table, &name, columns)).await?;
            }
        }
        Ok(changed)
    }

    /// Writes the place that the tables have absorbed.
    pub(super) async fn note(&mut self, publication: &Publication, place: &VersionPlace) -> Result<(), Error> {
        let insert = format!(
            "INSERT INTO {} (source, table_id, version, choice, published_at) VALUES ($1, $2, $3, $4, now()) \
             ON CONFLICT (source) DO UPDATE SET table_id = excluded.table_id, version = excluded.version, \
             choice = excluded.choice, published_at = excluded.published_at",
            self.named(PLACES)
        );
        let query = sqlx::query(AssertSqlSafe(insert)).bind(self.source()).bind(&place.table).persistent(false);
        let query = query.bind(i64::try_from(place.version).unwrap_or(i64::MAX)).bind(publication.choice(self.fact));
        query.execute(&mut *self.transaction).await.map_err(Error::database("change rows of"))?;
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await.map_err(Error::database("commit to"))
    }

    pub(super) async fn roll_back(self) -> Result<(), Error> {
        self.transaction.rollback().await.map_err(Error::database("read"))
    }

    /// The table that is followed, by which the place is kept.
    fn source(&self) -> String {
        format!("unified.{}", self.fact.versions())
    }

    fn named(&self, table: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(table))
    }

    /// Whether PostgreSQL knows no object of this name.
    async fn lacks(&mut self, function: &str, name: &str) -> Result<bool, Error> {
        let select = AssertSqlSafe(format!("SELECT {function}($1) IS NULL"));
        let query = sqlx::query(select).bind(name).persistent(false);
        let row = query.fetch_one(&mut *self.transaction).await.map_err(Error::database("read"))?;
        row.try_get(0).map_err(Error::database("read"))
    }

    async fn execute(&mut self, action: &'static str, statement: String) -> Result<u64, Error> {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *self.transaction).await;
        Ok(done.map_err(Error::database(action))?.rows_affected())
    }
}

/// The statement that brings staged rows to a table. What it has already, it keeps.
fn merge(table: PublishedTable, name: &str, columns: &Schema) -> String {
    let all: Vec<String> = columns.fields().iter().map(|field| quoted(field.name())).collect();
    let (list, key) = (all.join(", "), table.fact().key());
    if !table.is_latest() {
        return format!(
            "INSERT INTO {name} ({list}) SELECT {list} FROM sluice_staged ON CONFLICT ({key}, version) DO NOTHING"
        );
    }
    let set: Vec<String> = all.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO {name} AS latest ({list}) SELECT DISTINCT ON ({key}) {list} FROM sluice_staged \
         ORDER BY {key}, version DESC ON CONFLICT ({key}) DO UPDATE SET {} WHERE latest.version < excluded.version",
        set.join(", ")
    )
}
