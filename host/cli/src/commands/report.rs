//! What runs did, for people and programs.

use std::io::Write;

use sluice_model::ErrorKind;

use sluice_runtime::failure::Failure;
use sluice_runtime::rebuild::TableReport;
use sluice_runtime::run::{RunFailure, RunReport};
use sluice_state::Verb;

/// Prints reports.
///
/// # Errors
/// A failure if any run failed, with what did.
pub(super) fn print(reports: &[RunReport], json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, reports).map_err(Failure::failed)?;
        writeln!(out)?;
    } else {
        for report in reports {
            writeln!(out, "{}", report.line())?;
        }
    }
    match reports.iter().find(|report| report.status != "done") {
        None => Ok(()),
        Some(failed) => Err(failure(failed)),
    }
}

/// The failure of a run: each of what failed on a line of its own, alike ones once, with their kind and their number.
fn failure(report: &RunReport) -> Failure {
    let RunReport { network, slices, slices_failed, failures, failures_total, .. } = report;
    let mut message = match report.verb {
        Verb::Build => format!("building `{network}` from raw failed"),
        Verb::Run | Verb::Collect => format!("{slices_failed} of {slices} slices of `{network}` failed"),
    };
    for RunFailure { kind, message: text, slice, count } in failures {
        let place = slice.as_ref().map_or_else(String::new, |slice| format!("{slice}: "));
        let times = if *count > 1 { format!(", {count} times, first") } else { String::new() };
        message.push_str(&format!("\n  {kind}{times}: {place}{text}"));
    }
    let left = failures_total - failures.iter().map(|failure| failure.count).sum::<u64>();
    if left > 0 {
        message.push_str(&format!("\n  and {left} more: see `sluice runs`"));
    }
    let error = anyhow::anyhow!(message);
    let kind = report.error_kind.unwrap_or(ErrorKind::Host);
    Failure { exit: report.exit, ..Failure::failed(error) }
        .kind(kind)
        .hint("what was answered is kept; run it again for the rest")
}

/// Prints the tables that a rebuild made.
///
/// # Errors
/// A standard output that is closed.
pub(super) fn print_tables(tables: &[TableReport], json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, tables).map_err(Failure::failed)?;
        return Ok(writeln!(out)?);
    }
    for TableReport { table, rows_before, rows } in tables {
        writeln!(out, "{table}: {rows} rows, {rows_before} before")?;
    }
    Ok(())
}
