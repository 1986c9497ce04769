//! The state store's database: SQLite, or PostgreSQL for several hosts.
//!
//! No operation relies on a session, so a pooler that gives each transaction another connection, as PgBouncer does in
//! transaction mode, changes nothing. On PostgreSQL this takes two things: each operation is one transaction, and no
//! prepared statement has a name, since a name would stay on a connection that others get. (sqlx prepares and executes
//! in two steps, between which a pooler may change the connection outside of a transaction.)

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures::FutureExt;
use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Row, Transaction};

use super::migrations;
use crate::error::Error;
use crate::shown_url::without_credentials;

/// How long an operation waits for a connection, and SQLite for another writer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time between two attempts to set up a connection to a file in use.
const RETRY: Duration = Duration::from_millis(20);

/// What each connection to SQLite is set to. The wait comes first: the next line may have to wait itself. With
/// `synchronous = FULL`, what was committed survives a power cut: a refresh token can't be had again.
const PRAGMAS: &[&str] = &["PRAGMA busy_timeout = 10000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"];

/// A statement with its arguments.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Connections to the database, whose tables are those of this version.
#[derive(Clone)]
pub(crate) struct Database {
    pool: AnyPool,
    kind: Kind,
}

impl Database {
    /// Opens or makes it, and brings its tables to this version.
    ///
    /// # Errors
    /// A settings failure that names the database, without a password.
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let kind = if url.starts_with("sqlite:") { Kind::Sqlite } else { Kind::Postgres };
        let failed = |source: sqlx::Error| Error::Open { url: without_credentials(url), source };
        let options = AnyConnectOptions::from_str(&with_parameters(url, kind)).map_err(failed)?;
        if is_in_memory(url) {
            // Another connection would be another database, and so would a later one.
            let pool = AnyPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
            let database = Self { pool: pool.connect_with(options).await.map_err(failed)?, kind };
            migrations::run(&mut *database.pool.acquire().await.map_err(failed)?, kind).await?;
            return Ok(database);
        }
        // A pool tries again and again to reach a server that refuses connections, and then doesn't tell why.
        let mut connection = options.connect().await.map_err(failed)?;
        set_up(&mut connection).await.map_err(failed)?;
        migrations::run(&mut connection, kind).await?;
        connection.close().await.map_err(failed)?;
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(PATIENCE)
            .after_connect(|connection, _| set_up(connection).boxed())
            .after_release(|connection, _| is_usable(connection).boxed())
            .connect_lazy_with(options);
        Ok(Self { pool, kind })
    }

    /// The database's clock in milliseconds since 1970, as an expression.
    pub(crate) fn clock(&self) -> &'static str {
        match self.kind {
            Kind::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Kind::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// Executes a statement, and returns how many rows it changed.
    pub(crate) async fn execute(&self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        let mut transaction = self.begin_write().await?;
        let done = self.unnamed(query).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    /// Executes a statement that changes rows and returns at most one.
    pub(crate) async fn execute_returning(&self, query: Query<'_>) -> Result<Option<AnyRow>, sqlx::Error> {
        let mut transaction = self.begin_write().await?;
        let row = self.unnamed(query).fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(row)
    }

    /// Executes statements in one transaction: the further ones only if the first changes a row. False if it doesn't.
    pub(crate) async fn execute_all(&self, first: Query<'_>, further: Vec<Query<'_>>) -> Result<bool, sqlx::Error> {
        let mut transaction = self.begin_write().await?;
        if self.unnamed(first).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        for query in further {
            self.unnamed(query).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    pub(crate) async fn fetch_all(&self, query: Query<'_>) -> Result<Vec<AnyRow>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let rows = self.unnamed(query).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// The first row of a query.
    pub(crate) async fn fetch_optional(&self, query: Query<'_>) -> Result<Option<AnyRow>, sqlx::Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// The only row of a query.
    pub(crate) async fn fetch_one(&self, query: Query<'_>) -> Result<AnyRow, sqlx::Error> {
        self.fetch_optional(query).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Begins a transaction of several statements. On PostgreSQL those that name the same `subject` come one after another;
    /// in SQLite all that write do.
    pub(crate) async fn begin(&self, subject: &str) -> Result<Statements, sqlx::Error> {
        let mut statements = Statements { transaction: self.begin_write().await?, kind: self.kind };
        if self.kind == Kind::Postgres {
            // It ends with the transaction, so a pooler is harmless.
            let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtext($1))").bind(subject.to_owned());
            statements.execute(lock).await?;
        }
        Ok(statements)
    }

    /// Begins a transaction of several queries.
    pub(crate) async fn begin_read(&self) -> Result<Statements, sqlx::Error> {
        Ok(Statements { transaction: self.pool.begin().await?, kind: self.kind })
    }

    /// Writes these tables anew, without what was changed or deleted in them; of SQLite the whole file, and its log.
    pub(crate) async fn write_anew(&self, tables: &BTreeSet<&str>) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        if self.kind == Kind::Sqlite {
            sqlx::raw_sql("VACUUM").execute(&mut *connection).await?;
            let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
            // It is no error of SQLite's if somebody still reads the log, which then keeps what was there.
            if emptied.try_get::<i64, _>(0)? != 0 {
                let busy = "another process reads the state store, and its log can't be emptied meanwhile: do it again";
                return Err(sqlx::Error::Protocol(busy.to_owned()));
            }
            return Ok(());
        }
        for table in tables {
            sqlx::raw_sql(AssertSqlSafe(format!("VACUUM FULL {table}"))).execute(&mut *connection).await?;
        }
        Ok(())
    }

    async fn begin_write(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.pool.begin_with(begin(self.kind)).await
    }

    fn unnamed<'q>(&self, query: Query<'q>) -> Query<'q> {
        unnamed(self.kind, query)
    }

    /// Makes every later operation fail.
    #[cfg(test)]
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Statements of one transaction, which is rolled back when it is dropped.
pub(crate) struct Statements {
    transaction: Transaction<'static, Any>,
    kind: Kind,
}

impl Statements {
    /// Executes a statement, and returns how many rows it changed.
    pub(crate) async fn execute(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        Ok(unnamed(self.kind, query).execute(&mut *self.transaction).await?.rows_affected())
    }

    pub(crate) async fn fetch_all(&mut self, query: Query<'_>) -> Result<Vec<AnyRow>, sqlx::Error> {
        unnamed(self.kind, query).fetch_all(&mut *self.transaction).await
    }

    /// The first row of a query.
    pub(crate) async fn fetch_optional(&mut self, query: Query<'_>) -> Result<Option<AnyRow>, sqlx::Error> {
        unnamed(self.kind, query).fetch_optional(&mut *self.transaction).await
    }

    /// Commits them.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

fn unnamed(kind: Kind, query: Query<'_>) -> Query<'_> {
    query.persistent(kind == Kind::Sqlite)
}

/// Begins a transaction that writes. In SQLite a transaction that began as a reader can't wait for its turn to write; in
/// PostgreSQL a condition must see what another writer has just committed, whatever the server's default is.
pub(crate) fn begin(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
    }
}

async fn set_up(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    if connection.backend_name() != "SQLite" {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    for pragma in PRAGMAS {
        // Of two connections that switch a file to WAL at once, SQLite refuses one without waiting.
        while let Err(error) = sqlx::raw_sql(*pragma).execute(&mut *connection).await {
            if !is_busy(&error) || Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(RETRY).await;
        }
    }
    Ok(())
}

/// Whether a connection that was given back can be used again. SQLite itself ends a transaction whose commit finds the disk full.
/// sqlx 0.9 counts it as open all the same, and begins no other one that writes on that connection.
async fn is_usable(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if connection.backend_name() != "SQLite" {
        return Ok(true);
    }
    // It comes after what was to be rolled back.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Whether SQLite found the file in use: SQLITE_BUSY, with or without an extension (<https://sqlite.org/rescode.html#busy>).
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// The URL with what sqlx has to know: that a SQLite file may be made; that no statement is kept for later.
fn with_parameters(url: &str, kind: Kind) -> String {
    let parameter = match kind {
        Kind::Sqlite if is_in_memory(url) || url.contains("mode=") => return url.to_owned(),
        Kind::Sqlite => "mode=rwc",
        Kind::Postgres => "statement-cache-capacity=0",
    };
    format!("{url}{}{parameter}", if url.contains('?') { '&' } else { '?' })
}

fn is_in_memory(url: &str) -> bool {
    url.starts_with("sqlite:") && (url.contains(":memory:") || url.contains("mode=memory"))
}

/// What to do about a failing database.
pub(crate) fn hint(error: &sqlx::Error) -> String {
    let text = error.to_string();
    if text.contains("unsupported startup parameter") {
        return "the server is PgBouncer; add to its [pgbouncer] section: ignore_startup_parameters = extra_float_digits"
            .to_owned();
    }
    if text.contains("database is locked") {
        return "another process keeps writing to the file, or was stopped while it did: `fuser -v` on it names that process; \
                where several services share a state store, use PostgreSQL"
            .to_owned();
    }
    if text.contains("disk is full") || text.contains("No space left on device") {
        return "the disk of the state store is full: free space there, and whatever runs continues by itself"
            .to_owned();
    }
    "check state.url in sluice.toml: sqlite:./state.db or postgres://host/database".to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::{DateTime, Utc};
    use sqlx::Row;

    use super::*;
    use crate::State;

    pub(crate) fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// One store, as two processes open it. The folder lasts as long as the store.
    pub(crate) async fn two_stores() -> (tempfile::TempDir, State, State) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("state.db").display());
        let (here, there) = (State::open(&url).await.unwrap(), State::open(&url).await.unwrap());
        (folder, here, there)
    }

    async fn open(folder: &tempfile::TempDir) -> Database {
        Database::open(&format!("sqlite:{}", folder.path().join("state.db").display())).await.unwrap()
    }

    #[tokio::test]
    async fn every_connection_of_the_pool_has_the_pragmas() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(database.pool.acquire().await.unwrap());
        }
        for connection in &mut connections {
            let mut number = async |pragma: &'static str| -> i64 {
                sqlx::query(pragma).fetch_one(&mut **connection).await.unwrap().try_get(0).unwrap()
            };
            assert_eq!(number("PRAGMA busy_timeout").await, 10_000);
            assert_eq!(number("PRAGMA synchronous").await, 2, "FULL");
            let mode = sqlx::query("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
            assert_eq!(mode.try_get::<String, _>(0).unwrap(), "wal");
        }
    }

    #[tokio::test]
    async fn a_connection_whose_transaction_a_full_disk_ended_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        database.execute(sqlx::query("CREATE TABLE large (content TEXT)")).await.unwrap();
        let mut connection = database.pool.acquire().await.unwrap();
        // The file may not grow, as on a full disk, for what this connection writes.
        sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
        let mut transaction = connection.begin_with(begin(Kind::Sqlite)).await.unwrap();
        let insert = sqlx::query("INSERT INTO large VALUES (hex(zeroblob(1000000)))");
        let full = insert.execute(&mut *transaction).await.unwrap_err();
        assert!(hint(&full).contains("free space"), "{full}");
        drop(transaction);
        drop(connection);
        // All that the pool gives.
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(database.pool.acquire().await.unwrap());
        }
        for connection in &mut connections {
            connection.begin_with(begin(Kind::Sqlite)).await.unwrap().rollback().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_database_in_memory_is_one() {
        let database = Database::open("sqlite::memory:").await.unwrap();
        let insert = || sqlx::query("INSERT INTO services (id, noted_at, vitals) VALUES ('a', 'b', 'c')");
        assert_eq!(database.execute(insert()).await.unwrap(), 1);
        assert!(database.execute(insert()).await.is_err(), "the id is taken");
        assert_eq!(database.fetch_all(sqlx::query("SELECT id FROM services")).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_a_settings_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        std::fs::write(&path, "this is a text file, and long enough to be mistaken for a header".repeat(9)).unwrap();
        for url in [format!("sqlite:{}", path.display()), format!("sqlite:{}/none/state.db", folder.path().display())] {
            let failure = Database::open(&url).await.err().unwrap();
            assert!(failure.is_settings(), "{failure:?}");
            assert!(failure.to_string().contains("state.db") && failure.hint().is_some(), "{failure:?}");
        }
    }

    #[test]
    fn parameters_are_added_to_those_that_are_there() {
        let url = |url: &str, kind| with_parameters(url, kind);
        assert_eq!(url("sqlite:/srv/state.db", Kind::Sqlite), "sqlite:/srv/state.db?mode=rwc");
        assert_eq!(
            url("sqlite:/srv/state.db?cache=private", Kind::Sqlite),
            "sqlite:/srv/state.db?cache=private&mode=rwc"
        );
        assert_eq!(url("sqlite::memory:", Kind::Sqlite), "sqlite::memory:");
        let postgres = url("postgres://db/sluice?sslmode=require", Kind::Postgres);
        assert_eq!(postgres, "postgres://db/sluice?sslmode=require&statement-cache-capacity=0");
    }
}
