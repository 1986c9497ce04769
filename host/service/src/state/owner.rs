//! Who runs a network: one process at a time, as far as they share a state store.
//!
//! The right is held by what the operating system takes back from a process that dies: a lock on a file beside the
//! SQLite file, a session of PostgreSQL. So a run that is noted and has no living owner was broken off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use sluice_model::Digest;
use sqlx::{AnyPool, Row};

use super::State;
use crate::failure::Failure;

/// How often a network that another process runs is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The right to run a network. It ends when it is dropped, or with the process.
pub struct Owner {
    _held: Option<Box<dyn Send + Sync>>,
}

/// Where the right is asked for.
pub(super) enum Door {
    /// Files beside this one.
    Files(PathBuf),
    /// Sessions of the database.
    Sessions,
    /// The store is this process's own.
    Open,
}

impl Door {
    /// The door of a store's URL.
    pub(super) fn of(url: &str) -> Self {
        let Some(path) = url.strip_prefix("sqlite:") else { return Self::Sessions };
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        if path.is_empty() || path == ":memory:" { Self::Open } else { Self::Files(PathBuf::from(path)) }
    }
}

impl State {
    /// The right to run a network; none while another process has it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn try_own(&self, network: &str) -> Result<Option<Owner>, Failure> {
        match &self.door {
            Door::Files(store) => Ok(try_file(&lock_file(store, network))?.map(Owner::holding)),
            Door::Sessions => try_session(&self.pool, network).await,
            Door::Open => Ok(Some(Owner { _held: None })),
        }
    }

    /// The right to run a network, as soon as no other process has it. Says if it has to wait.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn own(&self, network: &str) -> Result<Owner, Failure> {
        let mut said = false;
        loop {
            if let Some(owner) = self.try_own(network).await? {
                return Ok(owner);
            }
            if !said {
                tracing::warn!(
                    "`{network}` is being run by {}: this waits until that run is over",
                    self.holder(network)
                );
                said = true;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Who has the right to run a network, for people.
    pub fn holder(&self, network: &str) -> String {
        let mut text = String::new();
        if let Door::Files(store) = &self.door
            && let Ok(mut file) = File::open(lock_file(store, network))
        {
            // Without a name it is still another process.
            let _ = file.read_to_string(&mut text);
        }
        if text.is_empty() { "another process".to_owned() } else { format!("process {text}") }
    }
}

impl Owner {
    fn holding(held: impl Send + Sync + 'static) -> Self {
        Self { _held: Some(Box::new(held)) }
    }
}

fn lock_file(store: &Path, network: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(format!(".{network}.lock"));
    PathBuf::from(name)
}

fn try_file(path: &Path) -> Result<Option<File>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(anyhow::Error::from(error).context(format!("cannot lock {}", path.display())))
            .hint("let sluice write beside the state store")
    };
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    write!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(Some(file))
}

async fn try_session(pool: &AnyPool, network: &str) -> Result<Option<Owner>, Failure> {
    // Not of the pool: the right lasts as long as the session.
    let mut session = pool.acquire().await?.detach();
    // A host that is gone without a word gives the right back within a minute.
    for setting in ["tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("SET {setting}"))).execute(&mut session).await?;
    }
    let row = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(lock_key(network)).fetch_one(&mut session).await?;
    Ok(row.try_get::<bool, _>(0)?.then(|| Owner::holding(Mutex::new(session))))
}

fn lock_key(network: &str) -> i64 {
    let hex = Digest::of(format!("sluice/run/{network}").as_bytes()).to_hex();
    u64::from_str_radix(&hex[..16], 16).map_or(0, u64::cast_signed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_runs_a_network() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("state.db").display());
        let (here, there) = (State::open(&url).await.unwrap(), State::open(&url).await.unwrap());
        let owner = here.try_own("awin").await.unwrap();
        assert!(owner.is_some());
        assert!(there.try_own("awin").await.unwrap().is_none());
        assert_eq!(there.holder("awin"), format!("process {}", std::process::id()));
        assert!(there.try_own("cj").await.unwrap().is_some(), "another network is another right");
        drop(owner);
        assert!(there.try_own("awin").await.unwrap().is_some());
    }

    #[test]
    fn a_store_in_memory_has_no_door() {
        assert!(matches!(Door::of("sqlite::memory:"), Door::Open));
        assert!(matches!(Door::of("postgres://host/db"), Door::Sessions));
        for url in ["sqlite:/var/state.db", "sqlite:///var/state.db", "sqlite:/var/state.db?mode=ro"] {
            assert!(matches!(Door::of(url), Door::Files(path) if path == Path::new("/var/state.db")), "{url}");
        }
    }
}
