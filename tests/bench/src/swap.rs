//! Hot swap: from a file's change to the new version serving, in a running `sluice serve`.
//!
//! Each swap writes the file aside, renames it, and ends when the service says that the new digest serves. That holds
//! the watcher's 200 ms of quiet, the check, the compiler or its cache, and the notes in lake and state store; there are
//! no kept responses to try the version on.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Serialize;
use tempfile::TempDir;

/// Versions that are compiled, and then swapped in again.
const VERSIONS: u32 = 9;
const CONNECTOR: &str = "awin.wasm";

/// Medians over so many swaps.
#[derive(Serialize)]
pub(crate) struct SwapSpeed {
    /// Swaps of each kind.
    pub(crate) swaps: usize,
    /// With a version that has to be compiled, in milliseconds.
    pub(crate) compiled_ms: f64,
    /// With a version whose machine code is kept, in milliseconds.
    pub(crate) cached_ms: f64,
    /// Resident memory of the service: with the first version, after the compiled ones, and at the end, in MiB. None
    /// where the system doesn't say it.
    pub(crate) resident_mib: Option<[f64; 3]>,
}

/// Measures both.
pub(crate) fn measure(sluice: &Path, connectors: &Path) -> anyhow::Result<SwapSpeed> {
    let built = connectors.join(CONNECTOR);
    let built = std::fs::read(&built).with_context(|| format!("no {}: run `just build`", built.display()))?;
    let mut service = Service::start(sluice, &version(&built, 0))?;
    let process = service.child.id();
    let mut swap_all = |rounds: std::ops::Range<u32>| -> anyhow::Result<Vec<f64>> {
        rounds.map(|round| service.swap(&version(&built, round % VERSIONS))).collect()
    };
    let mut resident = vec![resident_mib(process)];
    let compiled = swap_all(1..VERSIONS)?;
    resident.push(resident_mib(process));
    let cached = swap_all(VERSIONS..2 * VERSIONS - 1)?;
    resident.push(resident_mib(process));
    let resident: Option<Vec<f64>> = resident.into_iter().collect();
    let resident_mib = resident.and_then(|resident| resident.try_into().ok());
    Ok(SwapSpeed { swaps: compiled.len(), compiled_ms: median(compiled), cached_ms: median(cached), resident_mib })
}

/// Resident memory of a process; none where the system doesn't say it.
fn resident_mib(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// The same connector with a note in it: other bytes, so another digest.
fn version(built: &[u8], note: u32) -> Vec<u8> {
    [built, &[0, 6, 1, b'n'], &note.to_le_bytes()].concat()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

struct Service {
    dir: TempDir,
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Service {
    fn start(sluice: &Path, first: &[u8]) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-bench-").tempdir()?;
        for folder in ["networks", "connectors.d", "cache"] {
            std::fs::create_dir(dir.path().join(folder))?;
        }
        let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n";
        std::fs::write(dir.path().join("sluice.toml"), settings)?;
        std::fs::write(dir.path().join("connectors.d").join(CONNECTOR), first)?;
        let mut command = Command::new(sluice);
        command.arg("serve").current_dir(dir.path()).env("XDG_CACHE_HOME", dir.path().join("cache"));
        command
            .env("SLUICE_LOG", "sluice_engine=info,sluice_registry=info,sluice_state=info,sluice_runtime=info")
            .env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", sluice.display()))?;
        let log = BufReader::new(child.stderr.take().context("no log")?);
        let mut service = Self { dir, child, log };
        service.wait_for("serving")?;
        Ok(service)
    }

    /// Milliseconds until a version serves.
    fn swap(&mut self, component: &[u8]) -> anyhow::Result<f64> {
        let folder: PathBuf = self.dir.path().join("connectors.d");
        let part = folder.join("part");
        std::fs::write(&part, component)?;
        let begun = Instant::now();
        std::fs::rename(&part, folder.join(CONNECTOR))?;
        let short = &blake3::hash(component).to_hex()[..12];
        self.wait_for(&format!("digest={short}"))?;
        Ok(begun.elapsed().as_secs_f64() * 1_000.0)
    }

    fn wait_for(&mut self, words: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            ensure!(self.log.read_line(&mut line)? > 0, "`sluice serve` ended before it logged {words}");
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
