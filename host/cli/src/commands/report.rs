//! What runs did, for people and programs.

use std::io::Write;

use sluice_model::ErrorKind;
use sluice_runtime::failure::Failure;
use sluice_runtime::rebuild::TableReport;
use sluice_runtime::rebuild::queued::QueuedRebuild;
use sluice_runtime::run::{RunFailure, RunReport};
use sluice_runtime::text::{count, thousands};
use sluice_state::Verb;

use super::print_json;

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
            if report.rejects > 0 {
                writeln!(out, "  the rejects: sluice rejects list {}", report.network)?;
            }
            if let Some(notes) = report.notes_line() {
                writeln!(out, "  odd, and read all the same (`_decode_notes` in the native tables): {notes}")?;
            }
        }
    }
    for report in reports {
        for warning in &report.warnings {
            writeln!(std::io::stderr().lock(), "warning: {}: {warning}", report.network)?;
        }
    }
    check(reports)
}

/// Whether all runs are done.
///
/// # Errors
/// A failure if any run failed, with what did.
pub(super) fn check(reports: &[RunReport]) -> Result<(), Failure> {
    let failed: Vec<&RunReport> = reports.iter().filter(|report| report.status != "done").collect();
    match failed[..] {
        [] => Ok(()),
        [report] => Err(failure(report)),
        _ => Err(Failure::all(failed.into_iter().map(failure).collect())),
    }
}

/// The failure of a run: each of what failed on a line of its own, alike ones once, with their kind and their number.
fn failure(report: &RunReport) -> Failure {
    let RunReport { network, slices, slices_failed, slices_doubtful, failures, failures_total, .. } = report;
    let mut message = match report.verb {
        Verb::Build => format!("building `{network}` from raw failed"),
        Verb::Run | Verb::Collect => {
            let of = format!("of {} of `{network}`", count(*slices, "slice"));
            let doubtful = match slices_doubtful {
                1 => "1 is doubtful".to_owned(),
                many => format!("{} are doubtful", thousands(*many)),
            };
            match (slices_failed, slices_doubtful) {
                (_, 0) => format!("{} {of} failed", thousands(*slices_failed)),
                (0, _) => format!("{of}, {doubtful}"),
                _ => format!("{} {of} failed, and {doubtful}", thousands(*slices_failed)),
            }
        }
    };
    for RunFailure { kind, message: text, slice, count, raw_object, command } in failures {
        let place = slice.as_ref().map_or_else(String::new, |slice| format!("{slice}: "));
        let times = if *count > 1 { format!(", {} times, first", thousands(*count)) } else { String::new() };
        message.push_str(&format!("\n  {kind}{times}: {place}{text}"));
        if let Some(body) = raw_object.as_ref().and_then(|body| body.get(..12)) {
            message.push_str(&format!("\n    the response: sluice raw {body}"));
        }
        if let Some(command) = command {
            message.push_str(&format!("\n    {command}"));
        }
    }
    let left = failures_total - failures.iter().map(|failure| failure.count).sum::<u64>();
    if left > 0 {
        message.push_str(&format!("\n  and {} more: see `sluice runs`", thousands(left)));
    }
    let error = anyhow::anyhow!(message);
    let kind = report.error_kind.unwrap_or(ErrorKind::Host);
    Failure { exit: report.exit, ..Failure::failed(error) }.kind(kind).hint(hint(kind, network, report.verb))
}

/// What to do about a run that failed for this kind of reason. What was answered is kept in any case.
fn hint(kind: ErrorKind, network: &str, verb: Verb) -> String {
    let again = format!("sluice {} {network}", verb.name());
    match kind {
        ErrorKind::Credentials => format!(
            "the network refuses the account's secrets: renew them where networks/{network}.json says they are, then \
             `{again}`"
        ),
        ErrorKind::Settings => format!("correct networks/{network}.json, test it with `sluice check`, then `{again}`"),
        ErrorKind::Format => format!(
            "the response is not what the connector expects, and running it again gives the same: look at it, and at \
             `sluice rejects list {network}`; with a connector that reads it, `{again}`"
        ),
        ErrorKind::Guest => format!(
            "the connector is at fault, and running it again gives the same: install a version without the fault, \
             then `{again}`"
        ),
        ErrorKind::Host => format!("this host is at fault: correct what the message says, then `{again}`"),
        ErrorKind::Doubt => {
            "raw keeps the answers, and nothing of them is in the tables: look at them, and accept or reject them"
                .to_owned()
        }
        ErrorKind::Quota => format!("the network's limit is used up: `{again}` later; what was answered is kept"),
        ErrorKind::Network => format!("what was answered is kept; for the rest, `{again}`"),
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
        writeln!(out, "{table}: {}, {} before", count(*rows, "row"), thousands(*rows_before))?;
    }
    Ok(())
}

/// Prints what of a rebuild was queued.
///
/// # Errors
/// A standard output that is closed.
pub(super) fn print_queued_rebuild(queued: &QueuedRebuild, json: bool) -> Result<(), Failure> {
    let QueuedRebuild { rebuild_id, parts, runs, left } = queued;
    if json {
        return print_json(&serde_json::json!({"rebuild": rebuild_id, "queued": parts, "runs": runs, "left": left}));
    }
    let (parts, runs, left) = (count(*parts as u64, "part"), count(*runs as u64, "run"), count(*left as u64, "run"));
    let mut out = std::io::stdout();
    writeln!(out, "{parts} with {runs} are queued for the services as rebuild {rebuild_id}")?;
    Ok(writeln!(out, "{left} read lately, or about to be read, come with its last step")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_run_again_at_once() {
        for kind in ErrorKind::ALL {
            let hint = hint(kind, "awin", Verb::Run);
            let is_passing = matches!(kind, ErrorKind::Network | ErrorKind::Quota);
            assert_eq!(hint.contains("what was answered is kept"), is_passing, "{kind}: {hint}");
            // What is doubtful is decided, not read again.
            assert_eq!(hint.contains("`sluice run awin`"), kind != ErrorKind::Doubt, "{kind}: {hint}");
        }
    }
}
