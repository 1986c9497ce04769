//! Prints the operator's decisions on versions.

use std::io::Write;

use sluice_runtime::failure::Failure;
use sluice_runtime::versions::{DecisionReport, Rollback};

use crate::commands::print_json;

/// Prints a version that was approved or promoted, and what it may do now.
pub(super) fn decided(report: &DecisionReport, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(report);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {}", report.done, report.version)?;
    for right in &report.gained {
        writeln!(out, "  {right}")?;
    }
    note_when();
    Ok(())
}

/// Prints which version serves again.
pub(super) fn rolled_back(report: &Rollback, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(report);
    }
    writeln!(
        std::io::stdout(),
        "{} is back at {} ({}); {} ({}) is held until it is approved",
        report.version.network,
        report.version.version,
        report.version.digest.short(),
        report.rolled_back_version,
        report.rolled_back_digest.short()
    )?;
    for right in &report.regained {
        writeln!(std::io::stdout(), "  {right}")?;
    }
    note_when();
    Ok(())
}

fn note_when() {
    eprintln!("a running `sluice serve` acts on it within a second; else the next run does");
}
