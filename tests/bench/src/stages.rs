//! Where the CPU time of `sluice run` goes: samples of `perf`, each counted for the first stage that its stack names.
//!
//! What a stage calls is its own: memory, copies and the kernel. Guests have no symbols, so a stack without any is theirs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::end_to_end::Operator;
use crate::network::{Network, ROWS_PER_REQUEST, Work};

/// Samples a second, of each core.
const SAMPLES_PER_SEC: &str = "400";
/// The stack's first bytes are enough to name its stage.
const STACKS: &str = "dwarf,16384";

/// Stages with the functions that show them, the innermost first.
const STAGES: &[(&str, &[&str])] = &[
    ("guests: instances, lifting", &["wasmtime::"]),
    ("redaction", &["sluice_fetch::redact"]),
    ("decode", &["sluice_decode::", "Connector::decode"]),
    ("check mapped rows", &["sluice_engine::"]),
    ("doubt", &["sluice_runtime::doubt", "collect::guard"]),
    ("latest state", &["sluice_lake::latest", "sluice_lake::follow"]),
    ("Parquet", &["parquet::", "deltalake_core::datafile"]),
    ("key index", &["sluice_lake::index", "sluice_lake::append::choice"]),
    ("hashes, keys of rows", &["sluice_lake::hash", "sluice_lake::prepare"]),
    ("shape, gather", &["sluice_lake::native", "sluice_lake::gather", "sluice_lake::unified"]),
    ("commits", &["sluice_lake::table", "deltalake_core::", "delta_kernel", "buoyant_kernel"]),
    ("tables, other", &["sluice_lake::append", "sluice_lake::batch", "sluice_lake::committer"]),
    ("raw: hash, zstd, files", &["sluice_lake::", "object_store::", "blake3", "ZSTD_"]),
    ("SQL at the end", &["datafusion", "sluice_query"]),
    ("HTTP", &["hyper", "reqwest", "sluice_fetch", "rustls", "tcp_", "sock_"]),
    ("state store", &["sqlx", "sqlite3"]),
    ("files", &["vfs_", "ksys_"]),
    ("run, other", &["sluice_"]),
    ("threads: wake, sleep, switch", &["futex", "schedule", "epoll", "tokio::", "parking_lot"]),
];
const GUEST: &str = "guests: compiled code";
const OTHER: &str = "other";

/// A stage's share of all samples.
#[derive(Serialize)]
pub(crate) struct Stage {
    name: &'static str,
    user: f64,
    system: f64,
}

/// The stages of a first run, the most expensive first; none where there is no `perf`.
pub(crate) fn measure(work: Work, sluice: &Path, connectors: &Path) -> anyhow::Result<Vec<Stage>> {
    if Command::new("perf").arg("version").output().is_err() {
        println!("\nstages: there is no `perf` here");
        return Ok(Vec::new());
    }
    let network = Network::start(ROWS_PER_REQUEST)?;
    let operator = Operator::new(work, &network.address, sluice, connectors)?;
    operator.succeed(&["check"])?;
    let samples = operator.profiled(work, &["record", "-q", "-F", SAMPLES_PER_SEC, "--call-graph", STACKS])?;
    let mut script = Command::new("perf")
        .args(["script", "--no-inline", "-F", "ip,sym,dso", "-i"])
        .arg(samples)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stacks = stages(BufReader::new(script.stdout.take().context("perf prints nothing")?))?;
    ensure!(script.wait()?.success(), "`perf script` failed");
    Ok(stacks)
}

/// Reads stacks, innermost frame first, a blank line after each.
fn stages(script: impl BufRead) -> anyhow::Result<Vec<Stage>> {
    let mut counts: BTreeMap<&'static str, [u64; 2]> = BTreeMap::new();
    let mut stack: Vec<String> = Vec::new();
    for line in script.lines().chain([Ok(String::new())]) {
        let line = line?;
        if !line.trim().is_empty() {
            stack.push(line);
        } else if let Some(innermost) = stack.first() {
            let is_system = innermost.contains("[kernel");
            counts.entry(stage(&stack)).or_default()[usize::from(is_system)] += 1;
            stack.clear();
        }
    }
    let all = counts.values().flatten().sum::<u64>().max(1) as f64;
    let share = |count: u64| count as f64 / all;
    let mut stages: Vec<Stage> = counts
        .into_iter()
        .map(|(name, [user, system])| Stage { name, user: share(user), system: share(system) })
        .collect();
    stages.sort_by(|a, b| (b.user + b.system).total_cmp(&(a.user + a.system)));
    Ok(stages)
}

fn stage(stack: &[String]) -> &'static str {
    let names = |parts: &[&str]| stack.iter().any(|frame| parts.iter().any(|part| frame.contains(part)));
    match STAGES.iter().find(|(_, parts)| names(parts)) {
        Some((name, _)) => name,
        None if stack.iter().all(|frame| frame.contains("[unknown]")) => GUEST,
        None => OTHER,
    }
}

/// Prints them.
pub(crate) fn print(stages: &[Stage]) {
    if stages.is_empty() {
        return;
    }
    println!("\nwhere the CPU time of the first run goes, in % of all samples\n");
    println!("{:<30} {:>6} {:>8} {:>6}", "", "user", "system", "both");
    for Stage { name, user, system } in stages {
        println!("{name:<30} {:>6.1} {:>8.1} {:>6.1}", 100.0 * user, 100.0 * system, 100.0 * (user + system));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stack_counts_for_the_stage_that_it_passes_through() {
        let script = "  12 ZSTD_compress (/bin/sluice)\n  13 parquet::write (/bin/sluice)\n\n\
                      ffff copy_page ([kernel.kallsyms])\n  14 ZSTD_compress (/bin/sluice)\n\n  9 [unknown] (/tmp/x)\n\n";
        let stages = stages(script.as_bytes()).unwrap();
        let found = |name: &str| stages.iter().find(|stage| stage.name == name).map(|stage| (stage.user, stage.system));
        let third = 1.0 / 3.0;
        assert_eq!(found("Parquet"), Some((third, 0.0)));
        assert_eq!(found("raw: hash, zstd, files"), Some((0.0, third)));
        assert_eq!(found(GUEST), Some((third, 0.0)));
    }
}
