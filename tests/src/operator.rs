//! An operator's folder: settings, networks, secrets, connectors; and the binary run in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sluice_simulator::{Account, Simulator};
use tempfile::TempDir;

use crate::{connectors_dir, copy_folder, sluice_binary};

/// A folder in which `sluice` runs, removed when dropped.
pub struct Operator {
    dir: TempDir,
    environment: BTreeMap<String, String>,
    binary: PathBuf,
    connectors: PathBuf,
}

/// A command's exit code and output.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; -1 if it was killed.
    pub code: i32,
    /// Its data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Operator {
    /// A folder with settings and nothing else.
    ///
    /// # Errors
    /// A failure to write it.
    pub fn empty() -> anyhow::Result<Self> {
        Self::using(&sluice_binary(), &connectors_dir())
    }

    /// As [`Self::empty`], with a binary and connectors of another build.
    ///
    /// # Errors
    /// A failure to write it.
    pub fn using(binary: &Path, connectors: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-test-").tempdir()?;
        for folder in ["networks", "connectors.d"] {
            std::fs::create_dir(dir.path().join(folder))?;
        }
        let [binary, connectors] = [binary, connectors].map(std::path::absolute);
        let operator = Self { dir, environment: BTreeMap::new(), binary: binary?, connectors: connectors? };
        operator.write("sluice.toml", "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n")?;
        Ok(operator)
    }

    /// A copy of the folder with all that is in it, for another course of events.
    ///
    /// # Errors
    /// A failure to copy it.
    pub fn fork(&self) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-test-").tempdir()?;
        copy_folder(self.path(), dir.path())?;
        let Self { environment, binary, connectors, .. } = self;
        Ok(Self { dir, environment: environment.clone(), binary: binary.clone(), connectors: connectors.clone() })
    }

    /// A folder that knows the simulator's networks and accounts, secrets in the environment.
    ///
    /// # Errors
    /// A failure to write it, or a connector that isn't built.
    pub fn of(simulator: &Simulator, networks: &[&str]) -> anyhow::Result<Self> {
        let mut operator = Self::empty()?;
        for network in networks {
            let accounts = operator.accounts(simulator, network);
            operator.write_network(network, &simulator.origin(network), accounts)?;
            operator.install(network, &format!("{network}.wasm"))?;
        }
        Ok(operator)
    }

    /// The simulator's accounts of a network as `networks/*.json` names them; their secrets go into the environment.
    pub fn accounts(&mut self, simulator: &Simulator, network: &str) -> Vec<Value> {
        let accounts = simulator.accounts().iter().filter(|account| account.network == network);
        accounts.map(|account| self.account(account)).collect()
    }

    /// An account of `networks/*.json`, its secrets put into the environment.
    pub fn account(&mut self, account: &Account) -> Value {
        let mut secrets = serde_json::Map::new();
        for (slot, value) in &account.secrets {
            let name = format!("{}_{}_{slot}", account.network, account.name).to_uppercase();
            self.environment.insert(name.clone(), value.clone());
            secrets.insert(slot.clone(), format!("env:{name}").into());
        }
        json!({"name": account.name, "settings": account.settings, "secrets": secrets})
    }

    /// Writes `networks/<network>.json`.
    ///
    /// # Errors
    /// A failure to write it.
    pub fn write_network(&self, network: &str, base_url: &str, accounts: Vec<Value>) -> anyhow::Result<()> {
        let file = json!({
            "connector": network, "schedule": "* * * * *", "hosts": [], "base_url": base_url,
            "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8}, "accounts": accounts,
        });
        self.write(&format!("networks/{network}.json"), &format!("{file:#}"))
    }

    /// Writes `networks/<network>.json` so that a service reads the last three days every second.
    ///
    /// # Errors
    /// A failure to write it.
    pub fn read_every_second(&mut self, simulator: &Simulator, network: &str) -> anyhow::Result<()> {
        let file = json!({
            "connector": network, "schedule": "* * * * * *", "look_back": [{"every": "1s", "days": 3}],
            "base_url": simulator.origin(network), "rate": {"requests": 100, "per_secs": 1, "concurrency": 4},
            "accounts": self.accounts(simulator, network),
        });
        self.write(&format!("networks/{network}.json"), &file.to_string())
    }

    /// Copies a built connector to `connectors.d/<file>`, whole or not at all.
    ///
    /// # Errors
    /// A connector that isn't built.
    pub fn install(&self, network: &str, file: &str) -> anyhow::Result<()> {
        let source = self.connectors.join(format!("{network}.wasm"));
        let part = self.path().join("connectors.d").join(format!("{file}.part"));
        std::fs::copy(&source, &part).with_context(|| format!("no {}: run `just build`", source.display()))?;
        Ok(std::fs::rename(part, self.path().join("connectors.d").join(file))?)
    }

    /// Puts a connector into `connectors.d/<file>`, whole or not at all.
    ///
    /// # Errors
    /// A failure to write it.
    pub fn put_connector(&self, file: &str, component: &[u8]) -> anyhow::Result<()> {
        let part = self.join("connectors.d").join(format!("{file}.part"));
        std::fs::write(&part, component)?;
        Ok(std::fs::rename(part, self.join("connectors.d").join(file))?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the folder.
    pub fn join(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file in the folder.
    ///
    /// # Errors
    /// A failure to write it.
    pub fn write(&self, path: &str, content: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.join(path), content)?)
    }

    /// Sets a variable for the commands to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// A command in the folder, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        self.set_up(command)
    }

    /// The same as the last arguments of another program.
    pub fn wrapped(&self, wrapper: &[&str], arguments: &[&str]) -> Command {
        let (program, before) = wrapper.split_first().unwrap_or((&"env", &[]));
        let mut command = Command::new(program);
        command.args(before).arg(&self.binary).args(arguments);
        self.set_up(command)
    }

    fn set_up(&self, mut command: Command) -> Command {
        command.current_dir(self.path()).env_clear().envs(&self.environment);
        // Compiled components are shared by all tests; nothing else of the outside is seen.
        for name in ["HOME", "PATH", "XDG_CACHE_HOME", "TMPDIR"] {
            if let (Some(value), false) = (std::env::var_os(name), self.environment.contains_key(name)) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// A binary that isn't built.
    pub fn sluice(&self, arguments: &[&str]) -> anyhow::Result<Answer> {
        let output =
            self.command(arguments).output().with_context(|| format!("cannot run {}", self.binary.display()))?;
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed, and gives its data.
    ///
    /// # Errors
    /// Its output if it failed.
    pub fn succeed(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let answer = self.sluice(arguments)?;
        ensure!(
            answer.code == 0,
            "sluice {arguments:?} ended with {}:\n{}\n{}",
            answer.code,
            answer.stdout,
            answer.stderr
        );
        Ok(answer.stdout)
    }

    /// Runs a network over a window and gives the run's report.
    ///
    /// # Errors
    /// Its output if it failed.
    pub fn run(&self, network: &str, window: &[String; 2]) -> anyhow::Result<Value> {
        let [since, until] = window;
        let text = self.succeed(&["--output", "json", "run", network, "--since", since, "--until", until])?;
        let reports: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        Ok(reports[0].clone())
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn sql(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let text = self.succeed(&["sql", query, "--format", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }
}
