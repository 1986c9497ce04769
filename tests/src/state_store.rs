//! An operator's state store in SQLite, seen, changed and locked beside the binary, as time or another process would.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use crate::{Operator, python_tool};

/// Changes the state store: at least one row.
///
/// # Panics
/// If the store isn't there, or the statements change nothing.
pub fn change_state(operator: &Operator, statements: &str) {
    let changed = python(operator, CHANGE, statements);
    changed.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// Notes that a process on another machine works on these accounts of a network, all without any, for an hour.
///
/// # Panics
/// As [`change_state`].
pub fn claim_elsewhere(operator: &Operator, network: &str, accounts: &[&str]) {
    let ends = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).timestamp_millis();
    let accounts = serde_json::json!(accounts);
    change_state(
        operator,
        &format!(
            "INSERT INTO leases (resource, epoch, holder, host, machine, process_id, process_start, since, expires_at)
             VALUES ('process/9', 5, 'x', 'elsewhere', '', 17, 0, 0, {ends});
             INSERT INTO claims (claim_id, network, accounts, lease, epoch, since)
             VALUES ('c', '{network}', '{accounts}', 'process/9', 5, 0)"
        ),
    );
}

const CHANGE: &str = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60)
db.executescript(sys.argv[2])
assert db.total_changes > 0, 'it changed nothing'";

/// The first column of a query's rows, as text.
///
/// # Errors
/// What is wrong with it.
pub fn state_rows(operator: &Operator, query: &str) -> anyhow::Result<Vec<String>> {
    Ok(python(operator, QUERY, query)?.lines().map(str::to_owned).collect())
}

const QUERY: &str = "import sqlite3, sys
for row in sqlite3.connect(sys.argv[1], timeout=60).execute(sys.argv[2]):
    print(row[0])";

const WRITE: &str = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=0.5, isolation_level=None)
db.execute('BEGIN IMMEDIATE')
db.execute('ROLLBACK')";

/// Whether the store can be written: nobody is in the middle of it.
pub fn can_be_written(operator: &Operator) -> bool {
    python(operator, WRITE, "").is_ok()
}

/// Runs a script on the store, and gives what it prints.
fn python(operator: &Operator, script: &str, argument: &str) -> anyhow::Result<String> {
    let store = operator.join("state.db");
    let mut command = Command::new(python_tool("python"));
    command.args(["-c", script, &store.display().to_string(), argument]);
    let done = command.output().context("no Python: run `just tools`")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
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
