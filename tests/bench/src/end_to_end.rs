//! `sluice run` over 1,200 requests, again with nothing changed, and the yardsticks on the same.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::network::{Address, FIRST_PUBLISHER, Network, ROWS_PER_REQUEST, Work};
use crate::process::{self, Usage};
use crate::yardstick::{self, Outputs};
use crate::{guards, map};

const TOKEN: &str = "BENCH_TOKEN";

/// What was measured.
#[derive(Serialize)]
pub(crate) struct EndToEnd {
    /// Requests of each run.
    pub(crate) requests: usize,
    /// Rows of each run.
    pub(crate) rows: usize,
    /// The first run, into an empty lake.
    pub(crate) first: Usage,
    /// The same windows again, with nothing changed.
    pub(crate) again: Usage,
    /// Versions that the second run added: none, if the lake is right.
    pub(crate) again_new_versions: u64,
    /// The native pipeline.
    pub(crate) native: Usage,
    /// The native pipeline with the three outputs of the run.
    pub(crate) native_three: Usage,
    /// The share of the first run's CPU time that its guards take.
    pub(crate) guards_share: f64,
    /// The same if each window had an odd answer and an empty one, which are compared with the tables.
    pub(crate) odd_guards_share: f64,
    /// The share of the first run's CPU time that its bounds take.
    pub(crate) bounds_share: f64,
    /// CPU seconds of the first run for one of the native pipeline.
    pub(crate) ratio: f64,
    /// Seconds of the first run for one of the native pipeline.
    pub(crate) wall_ratio: f64,
    /// CPU seconds of the first run for one of the native pipeline with its three outputs.
    pub(crate) three_ratio: f64,
}

/// Measures all four.
pub(crate) fn measure(work: Work, sluice: &Path, connectors: &Path) -> anyhow::Result<EndToEnd> {
    let network = Network::start(ROWS_PER_REQUEST)?;
    // Its folder stays until all is measured: ext4 without a journal looks around files that were just deleted whenever
    // it makes a new one, which cost the runs after it up to a tenth of their time.
    let (three, _folder_of_three) = native(Outputs::NativeThree, work, &network.address)?;
    let (native, _folder) = native(Outputs::Native, work, &network.address)?;
    let operator = Operator::new(work, &network.address, sluice, connectors)?;
    // Compiling a connector costs 0.1 s once per version, not per run.
    operator.succeed(&["check"])?;
    let (first_report, first) = operator.run(work)?;
    let expected = (work.requests() as u64, work.rows() as u64);
    let seen = (count(&first_report, "requests"), count(&first_report, "records"));
    ensure!(seen == expected, "the run had {seen:?} requests and records, not {expected:?}: {first_report}");
    operator.holds(work.rows())?;
    let (again_report, again) = operator.run(work)?;
    operator.holds(work.rows())?;
    let lake = operator.dir.path().join("lake");
    let guards = guards::measure(connectors, "awin", &lake, work)?;
    let bounds_secs = map::bounds_secs_per_row(connectors, "awin", ROWS_PER_REQUEST)? * work.rows() as f64;
    Ok(EndToEnd {
        bounds_share: bounds_secs / first.cpu_secs,
        guards_share: guards.secs / first.cpu_secs,
        odd_guards_share: guards.odd_secs / first.cpu_secs,
        requests: work.requests(),
        rows: work.rows(),
        first,
        again,
        again_new_versions: count(&again_report, "new_versions"),
        native,
        native_three: three,
        three_ratio: first.cpu_secs / three.cpu_secs,
        ratio: first.cpu_secs / native.cpu_secs,
        wall_ratio: first.wall_secs / native.wall_secs,
    })
}

fn native(outputs: Outputs, work: Work, address: &Address) -> anyhow::Result<(Usage, TempDir)> {
    let dir = tempfile::Builder::new().prefix("sluice-yardstick-").tempdir()?;
    let (out, usage) = process::measure(&mut yardstick::command(outputs, work, address, dir.path())?, dir.path())?;
    ensure!(out.trim() == work.rows().to_string(), "the yardstick wrote {} rows", out.trim());
    let bodies = std::fs::read_dir(dir.path().join("raw"))?.count();
    ensure!(bodies == work.requests(), "the yardstick kept {bodies} bodies: answers repeat");
    Ok((usage, dir))
}

fn count(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_default()
}

/// `sluice run` over all windows.
fn run_arguments(work: Work) -> [String; 8] {
    let [since, until] = [0, work.windows].map(|windows| format!("{}Z", Work::bound(windows)));
    ["--output", "json", "run", "awin", "--since", &since, "--until", &until].map(str::to_owned)
}

/// A folder with settings in which `sluice` runs.
pub(crate) struct Operator {
    dir: TempDir,
    sluice: PathBuf,
    token: String,
}

impl Operator {
    pub(crate) fn new(work: Work, address: &Address, sluice: &Path, connectors: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-bench-").tempdir()?;
        let path = |name: &str| dir.path().join(name);
        for folder in ["networks", "connectors.d", "cache"] {
            std::fs::create_dir(path(folder))?;
        }
        std::fs::write(path("sluice.toml"), "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n")?;
        let account = |number: usize| {
            let publisher = (FIRST_PUBLISHER + number).to_string();
            let secrets = json!({"token": format!("env:{TOKEN}")});
            json!({"name": format!("a{number:03}"), "settings": {"publisher_id": publisher}, "secrets": secrets})
        };
        let network = json!({
            "connector": "awin", "schedule": "0 * * * *", "hosts": [], "base_url": address.origin,
            "rate": {"requests": 100_000, "per_secs": 1, "concurrency": yardstick::CONCURRENCY},
            "accounts": (0..work.accounts).map(account).collect::<Vec<_>>(),
        });
        std::fs::write(path("networks/awin.json"), network.to_string())?;
        let component = connectors.join("awin.wasm");
        std::fs::copy(&component, path("connectors.d/awin.wasm"))
            .with_context(|| format!("no {}: run `just build`", component.display()))?;
        let sluice = std::path::absolute(sluice)?;
        Ok(Self { sluice, token: address.token.clone(), dir })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.sluice);
        command.args(arguments).current_dir(self.dir.path()).env_clear();
        command.env(TOKEN, &self.token).env("XDG_CACHE_HOME", self.dir.path().join("cache"));
        command
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> anyhow::Result<(String, Usage)> {
        process::measure(&mut self.command(arguments), self.dir.path())
            .with_context(|| format!("`sluice {}` failed", arguments.join(" ")))
    }

    /// A run over all windows by `perf` with these arguments: the file of its samples.
    pub(crate) fn profiled(&self, work: Work, perf: &[&str]) -> anyhow::Result<PathBuf> {
        let samples = self.dir.path().join("perf.data");
        let run = self.command(&run_arguments(work).each_ref().map(String::as_str));
        let mut profiled = Command::new("perf");
        profiled.args(perf).arg("-o").arg(&samples).arg("--").arg(run.get_program()).args(run.get_args());
        profiled.current_dir(self.dir.path());
        profiled.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        process::measure(&mut profiled, self.dir.path())?;
        Ok(samples)
    }

    /// A run over all windows: its report and what it used up.
    fn run(&self, work: Work) -> anyhow::Result<(Value, Usage)> {
        self.run_under(&[], work)
    }

    /// A run over all windows that another command starts.
    pub(crate) fn run_under(&self, under: &[&str], work: Work) -> anyhow::Result<(Value, Usage)> {
        let run = self.command(&run_arguments(work).each_ref().map(String::as_str));
        let words = under.iter().map(OsStr::new).chain([run.get_program()]).chain(run.get_args());
        let words: Vec<&OsStr> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.dir.path()).env_clear();
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let (text, usage) = process::measure(&mut command, self.dir.path()).context("a run failed")?;
        let reports: Value = serde_json::from_str(&text).with_context(|| format!("no report: {text}"))?;
        Ok((reports[0].clone(), usage))
    }

    /// Fails unless each table that a run fills has so many rows.
    pub(crate) fn holds(&self, rows: usize) -> anyhow::Result<()> {
        for table in ["unified.transactions", "unified.transaction_versions", "awin.transactions"] {
            let (text, _) =
                self.succeed(&["sql", &format!("SELECT count(*) AS n FROM {table}"), "--format", "json"])?;
            let answer: Value = serde_json::from_str(&text).with_context(|| format!("no answer: {text}"))?;
            ensure!(answer[0]["n"] == rows, "{table} has {} rows instead of {rows}", answer[0]["n"]);
        }
        Ok(())
    }
}
