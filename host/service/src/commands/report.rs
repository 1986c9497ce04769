//! What runs did, for people and programs.

use std::io::Write;

use crate::failure::Failure;
use crate::rebuild::TableReport;
use crate::run::{RunReport, Verb};

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
        Some(failed) => {
            let message = format!(
                "{} of {} slices of `{}` failed: {}",
                failed.slices_failed,
                failed.slices,
                failed.network,
                failed.errors.join("; ")
            );
            Err(Failure::failed(anyhow::anyhow!(message)).hint("what was answered is kept; run it again for the rest"))
        }
    }
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
    let built =
        format!("{} new versions, {} native rows, {} rejects", report.new_versions, report.native_rows, report.rejects);
    match report.verb {
        Verb::Run => format!("{name}: {asked}; {built} in {took:.1} s"),
        Verb::Collect => format!("{name}: {asked} kept in raw in {took:.1} s"),
        Verb::Build => format!("{name}: {} records from raw; {built} in {took:.1} s", report.records),
    }
}
