//! `sluice plan`: the requests that a run would send.

use std::io::Write;

use chrono::Utc;
use sluice_runtime::failure::Failure;
use sluice_runtime::plan::{PlannedRequest, plan as plan_requests};
use sluice_runtime::settings::Settings;

use super::print_json;
use crate::arguments::ReadArgs;

/// Prints the first requests of every slice, secrets masked.
///
/// # Errors
/// A failure of the settings, or the connector's refusal.
pub(super) async fn plan(settings: Settings, args: &ReadArgs, json: bool) -> Result<(), Failure> {
    let now = Utc::now();
    let plan = plan_requests(&settings, &args.network, &args.part.selection(now)?, now).await?;
    plan.clipped.iter().for_each(|sentence| eprintln!("warning: {}: {sentence}", args.network));
    if json {
        print_json(&plan.requests)?;
    } else {
        plan.requests.iter().try_for_each(print)?;
    }
    // What can be planned of the other accounts is printed.
    plan.failures.into_iter().next().map_or(Ok(()), Err)
}

fn print(planned: &PlannedRequest) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let request = &planned.request;
    writeln!(out, "{}  ({})\n  {} {}", planned.slice, planned.why, request.method, request.url)?;
    for (name, value) in &request.headers {
        writeln!(out, "  {name}: {value}")?;
    }
    match &request.body {
        Some(body) => writeln!(out, "  {body}"),
        None => Ok(()),
    }
}
