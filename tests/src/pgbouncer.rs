//! A PgBouncer of this test alone, before a PostgreSQL server: clients get another connection for each transaction.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::PostgresServer;
use crate::postgres::Programs;

/// Ports are free when they are chosen, and may be taken when the pooler wants them.
const ATTEMPTS: usize = 5;
/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pooler on a free port of this machine, stopped when dropped.
pub struct PgBouncer {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl PgBouncer {
    /// Starts it in transaction mode with two connections to the server. `settings` are further lines of its
    /// `[pgbouncer]` section.
    ///
    /// # Errors
    /// Without PgBouncer, which `just tools` installs, or one that doesn't start.
    pub fn start(server: &PostgresServer, settings: &str) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let dir = tempfile::Builder::new().prefix("sluice-pgbouncer-").tempdir()?;
        let file = dir.path().join("pgbouncer.ini");
        let log = dir.path().join("log");
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let content = format!(
                "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres user=sluice\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\nlogfile = {}\n\
                 pool_mode = transaction\ndefault_pool_size = 2\n{settings}\n",
                server.port,
                log.display()
            );
            std::fs::write(&file, content)?;
            programs.give(dir.path())?;
            let mut command = programs.command(&program()?)?;
            command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().context("cannot run pgbouncer")?;
            if has_started(&mut child, port)? {
                return Ok(Self { child, port, _dir: dir });
            }
        }
        bail!("PgBouncer doesn't start:\n{}", std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// Where it answers, as `state.url` wants it.
    pub fn url(&self) -> String {
        format!("postgres://sluice@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it answers; false if it ended instead.
fn has_started(child: &mut Child, port: u16) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(true);
        }
        if Instant::now() > deadline {
            child.kill()?;
        }
        #[expect(clippy::disallowed_methods, reason = "PgBouncer reports its start to nobody")]
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

fn program() -> anyhow::Result<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    // Debian's place, which is not in everybody's path.
    folders.push("/usr/sbin".into());
    let found = folders.into_iter().map(|folder| folder.join("pgbouncer")).find(|path| path.is_file());
    found.context("no PgBouncer: run `just tools`")
}
