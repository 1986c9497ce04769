//! An operator's state store in SQLite, seen and changed beside the binary, as time or another process would.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use sqlx::{Connection, Row, SqliteConnection};

use crate::{Operator, python_tool, runtime};

/// Changes the state store: at least one row.
///
/// # Panics
/// If the store isn't there, or the statements change nothing.
pub fn change_state(operator: &Operator, statements: &str) {
    let changed = runtime().block_on(async {
        let mut connection = connect(operator).await?;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut connection).await?;
        ensure!(done.rows_affected() > 0, "it changed nothing");
        Ok(())
    });
    changed.unwrap_or_else(|error: anyhow::Error| panic!("{statements}: {error}"));
}

/// Holds SQLite's lock until it is dropped.
pub struct StateLock(Child);

const LOCK: &str = "import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('BEGIN EXCLUSIVE')
print('locked', flush=True)
time.sleep(600)";

impl StateLock {
    /// Locks the store of an operator.
    ///
    /// # Errors
    /// No Python, or a store that can't be locked.
    pub fn hold(operator: &Operator) -> anyhow::Result<Self> {
        let path = operator.join("state.db");
        let mut locking = Command::new(python_tool("python"));
        locking.args(["-c", LOCK, &path.display().to_string()]).stdout(Stdio::piped());
        let mut lock = Self(locking.spawn().context("no Python: run `just tools`")?);
        let mut line = String::new();
        BufReader::new(lock.0.stdout.take().context("no output")?).read_line(&mut line)?;
        ensure!(line == "locked\n", "the store isn't locked");
        Ok(lock)
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first column of a query's rows, as text.
///
/// # Errors
/// What is wrong with it.
pub fn state_rows(operator: &Operator, query: &str) -> anyhow::Result<Vec<String>> {
    runtime().block_on(async {
        let mut connection = connect(operator).await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    })
}

async fn connect(operator: &Operator) -> anyhow::Result<SqliteConnection> {
    let url = format!("sqlite:{}", operator.join("state.db").display());
    Ok(SqliteConnection::connect(&url).await?)
}
