//! `sluice fuzz`: a connector against bodies nobody would think of.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use sluice_engine::Connector;
use sluice_kit::{Fixtures, FuzzFinding, FuzzOptions, FuzzReport, Source};
use sluice_runtime::failure::Failure;
use sluice_runtime::meter::Unit;
use sluice_runtime::text::{count, thousands};

use super::{engine, failed, load};
use crate::arguments::FuzzArgs;
use crate::commands::print_json;
use crate::progress::Display;

/// What is done with the bodies.
enum Task {
    Search(FuzzOptions),
    /// Only the body of this file.
    Replay(PathBuf),
}

/// Searches for bodies on which a connector fails, or tries one that was found.
///
/// # Errors
/// A connector that can't be built or loaded, fixtures that can't be read, and any finding.
pub(in crate::commands) async fn fuzz(args: &FuzzArgs, json: bool) -> Result<(), Failure> {
    let source = Source::of(&args.path).map_err(failed)?;
    let fixtures = args.fixtures.clone().unwrap_or_else(|| source.fixtures());
    let task = match &args.replay {
        Some(file) => Task::Replay(file.clone()),
        None => {
            let seed = args.seed.unwrap_or_else(|| Utc::now().timestamp_micros().unsigned_abs());
            Task::Search(FuzzOptions { seed, time: Duration::from_secs(args.seconds) })
        }
    };
    // WASI's streams wait for the runtime, and panic on a thread that drives it.
    let searched = tokio::task::spawn_blocking(move || {
        let connector = load(&engine()?, &source)?;
        let fixtures = Fixtures::read(&fixtures).map_err(failed)?;
        run_task(&connector, &fixtures, &task, json)
    });
    let report = searched.await.map_err(Failure::failed)??;
    if json {
        print_json(&report)?;
    } else {
        print(&report, args)?;
    }
    match report.findings.len() {
        0 => Ok(()),
        n => {
            let FuzzReport { network, version, .. } = &report;
            let findings = count(n as u64, "finding");
            Err(Failure::failed(anyhow::anyhow!("{network} {version} fails on odd bodies: {findings}")))
        }
    }
}

fn run_task(connector: &Connector, fixtures: &Fixtures, task: &Task, json: bool) -> Result<FuzzReport, Failure> {
    let options = match task {
        Task::Replay(file) => return sluice_kit::replay(connector, fixtures, file).map_err(failed),
        Task::Search(options) => *options,
    };
    let display = Display::start(json);
    let meter = display.meter();
    let stage = format!("fuzz {}", connector.network());
    meter.begin(stage.clone(), Unit::Responses, 0);
    let mut shown = 0;
    let on_try = |findings: usize| {
        if findings != shown {
            shown = findings;
            meter.rename(format!("{stage}, {}:", count(findings as u64, "finding")));
        }
        meter.done(Unit::Responses);
    };
    sluice_kit::fuzz(connector, fixtures, options, on_try).map_err(failed)
}

fn print(report: &FuzzReport, args: &FuzzArgs) -> std::io::Result<()> {
    let FuzzReport { network, version, seed, answers, tried, findings } = report;
    let path = args.path.display();
    let fixtures = args.fixtures.as_ref().map(|folder| format!(" --fixtures {}", folder.display())).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    for FuzzFinding { kind, stream, case, text, bytes, file } in findings {
        writeln!(out, "FAILED  {kind}: {text}")?;
        let bytes = count(*bytes as u64, "byte");
        writeln!(out, "        on {bytes} in place of an answer of `{stream}` in the case {case}")?;
        if seed.is_some() {
            writeln!(out, "        again: sluice fuzz {path} --replay {}{fixtures}", file.display())?;
        }
    }
    let seed = seed.map(|seed| format!(" from --seed {seed}")).unwrap_or_default();
    let answers = count(*answers as u64, "answer");
    let findings = count(findings.len() as u64, "finding");
    writeln!(out, "{network} {version}: {} bodies in place of {answers}{seed}, {findings}", thousands(*tried))
}
