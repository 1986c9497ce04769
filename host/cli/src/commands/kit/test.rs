//! `sluice test`: a connector against its fixtures and against what holds of all connectors.

use std::io::Write;
use std::path::Path;

use sluice_engine::Connector;
use sluice_kit::{Bless, CHECKS, Finding, Fixtures, Source, TestReport};
use sluice_runtime::failure::Failure;
use sluice_runtime::text::count;

use super::{engine, failed, load};
use crate::arguments::TestArgs;
use crate::commands::print_json;

/// Most lines of a difference that are shown.
const MOST_LINES: usize = 40;

/// Tests a connector.
///
/// # Errors
/// A connector that can't be built or loaded, fixtures that can't be read, and anything that isn't as it should be.
pub(in crate::commands) async fn test(args: &TestArgs, json: bool) -> Result<(), Failure> {
    let source = Source::of(&args.path).map_err(failed)?;
    let fixtures = args.fixtures.clone().unwrap_or_else(|| source.fixtures());
    let bless = if args.bless { Bless::Yes } else { Bless::No };
    // WASI's streams wait for the runtime, and panic on a thread that drives it.
    let tested = tokio::task::spawn_blocking(move || test_source(&source, &fixtures, bless));
    let (connector, report) = tested.await.map_err(Failure::failed)??;
    if json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    match report.findings.len() {
        0 => args.out.as_deref().map_or(Ok(()), |file| write_component(&connector, file)),
        n => {
            let message = format!("{} {} isn't right: {}", report.network, report.version, count(n as u64, "finding"));
            let failure = Failure::failed(anyhow::anyhow!(message));
            let differs = report.findings.iter().any(|finding| finding.check == "fixtures");
            Err(if differs { failure.hint("if that is meant, `--bless` takes it as expected") } else { failure })
        }
    }
}

fn test_source(source: &Source, fixtures: &Path, bless: Bless) -> Result<(Connector, TestReport), Failure> {
    let connector = load(&engine()?, source)?;
    let fixtures = Fixtures::read(fixtures).map_err(failed)?;
    let report = sluice_kit::test(&connector, &fixtures, bless).map_err(failed)?;
    Ok((connector, report))
}

/// Writes a component, whole or not at all: a service may watch the folder.
fn write_component(connector: &Connector, file: &Path) -> Result<(), Failure> {
    let part = file.with_extension("wasm.part");
    std::fs::write(&part, connector.component())
        .map_err(|error| Failure::failed(anyhow::anyhow!("cannot write {}: {error}", part.display())))?;
    Ok(std::fs::rename(&part, file)?)
}

fn print(report: &TestReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for file in &report.blessed {
        writeln!(out, "blessed {}", file.display())?;
    }
    for (check, meaning) in CHECKS {
        let wrong: Vec<&Finding> = report.findings.iter().filter(|finding| finding.check == *check).collect();
        writeln!(out, "{}  {check}: {meaning}", if wrong.is_empty() { "ok    " } else { "FAILED" })?;
        for Finding { at, text, difference, .. } in wrong {
            writeln!(out, "        {at}: {text}")?;
            for line in difference.iter().take(MOST_LINES) {
                writeln!(out, "          {line}")?;
            }
            if let Some(more) = difference.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
                writeln!(out, "          and {}", count(more as u64, "line"))?;
            }
        }
    }
    let TestReport { network, version, cases, rows, .. } = report;
    writeln!(out, "{network} {version}: {}, {}", count(*cases as u64, "case"), count(*rows as u64, "row"))
}
