//! What runs did, for people and programs.

use std::io::Write;

use sluice_model::ErrorKind;

use crate::failure::Failure;
use crate::rebuild::TableReport;
use crate::run::{RunFailure, RunReport, Verb};

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
            writeln!(out, "{}", line(report))?;
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

/// One line for people.
pub(super) fn line(report: &RunReport) -> String {
    let took = (report.finished_at - report.started_at).num_milliseconds() as f64 / 1000.0;
    let name = &report.network;
    let asked = format!("{} slices, {} requests, {} records", report.slices, report.requests, report.records);
    let mut built =
        format!("{} new versions, {} native rows, {} rejects", report.new_versions, report.native_rows, report.rejects);
    // A build goes through history, most of which is older than what the tables hold.
    if report.older > 0 && report.verb == Verb::Run {
        built.push_str(&format!(", {} older than the tables and left out", report.older));
    }
    match report.verb {
        Verb::Run => format!("{name}: {asked}; {built} in {took:.1} s"),
        Verb::Collect => format!("{name}: {asked} kept in raw in {took:.1} s"),
        Verb::Build => format!("{name}: {} records from raw; {built} in {took:.1} s", report.records),
    }
}
