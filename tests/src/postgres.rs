//! A PostgreSQL server of this test alone.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Ports are free when they are chosen, and may be taken when the server wants them.
const ATTEMPTS: usize = 5;

/// A server on a free port of this machine, with data in a folder of its own; stopped when dropped.
pub struct PostgresServer {
    programs: Programs,
    dir: TempDir,
    pub(crate) port: u16,
}

/// PostgreSQL's programs, and who runs them: root may not.
pub(crate) struct Programs {
    dir: PathBuf,
    user: Option<&'static str>,
}

impl PostgresServer {
    /// Starts it with an empty database.
    ///
    /// # Errors
    /// Without PostgreSQL, which `just tools` installs, or a server that doesn't start.
    pub fn start() -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let dir = tempfile::Builder::new().prefix("sluice-postgres-").tempdir()?;
        programs.give(dir.path())?;
        let mut server = Self { programs, dir, port: 0 };
        let data = server.data();
        let made = server.programs.run("initdb", &["-D", &data, "-U", "sluice", "-A", "trust", "--no-sync"])?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let mut output = String::new();
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let options = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off");
            let log = server.dir.path().join("log").display().to_string();
            let started = server.programs.run("pg_ctl", &["-D", &data, "-l", &log, "-o", &options, "-w", "start"])?;
            if started.status.success() {
                server.port = port;
                return Ok(server);
            }
            output = std::fs::read_to_string(&log).unwrap_or_default();
        }
        Err(anyhow::anyhow!("PostgreSQL doesn't start:\n{output}"))
    }

    /// Where it answers, as `state.url` wants it.
    pub fn url(&self) -> String {
        self.url_at(&self.address())
    }

    /// The same for what passes connections on to it from `host:port`.
    pub fn url_at(&self, address: &str) -> String {
        format!("postgres://sluice@{address}/postgres")
    }

    /// Where it answers, as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The rows of a query, one per line, columns parted by `|`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn query(&self, query: &str) -> anyhow::Result<Vec<String>> {
        let answer = self.programs.run("psql", &[&self.url(), "-qAtc", query])?;
        ensure!(answer.status.success(), "psql failed: {}", String::from_utf8_lossy(&answer.stderr));
        Ok(String::from_utf8_lossy(&answer.stdout).lines().map(str::to_owned).collect())
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = self.programs.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}

impl Programs {
    /// The newest ones on this machine.
    ///
    /// # Errors
    /// Without any.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let is_root = id(&["-u"])? == 0;
        let user = is_root.then_some("postgres").filter(|user| id(&["-u", user]).is_ok());
        let user = user.or(is_root.then_some("nobody"));
        let mut folders: Vec<PathBuf> = match std::fs::read_dir("/usr/lib/postgresql") {
            Ok(versions) => versions.flatten().map(|version| version.path().join("bin")).collect(),
            Err(_) => Vec::new(),
        };
        folders.sort();
        // The newest of Debian's, or whatever is in the path.
        folders.reverse();
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        let dir = folders.into_iter().find(|folder| folder.join("initdb").is_file());
        Ok(Self { dir: dir.context("no PostgreSQL: run `just tools`")?, user })
    }

    /// Makes a folder the server's own.
    pub(crate) fn give(&self, folder: &Path) -> anyhow::Result<()> {
        let Some(user) = self.user else { return Ok(()) };
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        Ok(chown(folder, Some(id(&["-u", user])?), Some(id(&["-g", user])?))?)
    }

    /// A program, run by the server's user.
    pub(crate) fn command(&self, program: &Path) -> anyhow::Result<Command> {
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let (user, group) = (id(&["-u", user])?, id(&["-g", user])?);
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
                command.arg(program);
                command
            }
        };
        // Not the folder of the test, which the server's user may not enter.
        command.current_dir("/").env("LC_ALL", "C");
        Ok(command)
    }

    fn run(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let program = self.dir.join(name);
        let mut command = self.command(&program)?;
        command.args(arguments);
        // A server inherits what isn't closed: it would hold a pipe open, and the test would wait for its end.
        if name == "pg_ctl" {
            let status = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
            let status = status.with_context(|| format!("cannot run {}", program.display()))?;
            return Ok(Output { status, stdout: Vec::new(), stderr: Vec::new() });
        }
        command.output().with_context(|| format!("cannot run {}", program.display()))
    }
}

fn id(arguments: &[&str]) -> anyhow::Result<u32> {
    let output = Command::new("id").args(arguments).output()?;
    ensure!(output.status.success(), "id {arguments:?} knows nobody");
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}
