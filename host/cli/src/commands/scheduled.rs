//! `sluice run`, `backfill`, `pause` and `resume`: what the schedule reads, what it doesn't, and when it is left alone.

use std::io::Write;
use std::sync::Arc;

use chrono::Utc;
use serde_json::json;
use sluice_runtime::alarms;
use sluice_runtime::app::App;
use sluice_runtime::backfill::{self, Backfill};
use sluice_runtime::due;
use sluice_runtime::failure::Failure;
use sluice_runtime::outlets;
use sluice_runtime::pauses;
use sluice_runtime::settings::Settings;
use sluice_runtime::take::RunOutcome;
use sluice_state::Verb;

use super::{print_json, read, report, rfc3339};
use crate::arguments::{BackfillArgs, PauseArgs, ResumeArgs, RunArgs};
use crate::progress::Display;

/// Runs a network, or all that is due.
///
/// # Errors
/// The run's failure; with `--due` those of all runs.
pub(super) async fn run(settings: Settings, args: &RunArgs, json: bool) -> Result<(), Failure> {
    match &args.network {
        Some(name) => read(settings, name, &args.part, Verb::Run, json).await,
        None => run_due(settings, json).await,
    }
}

async fn run_due(settings: Settings, json: bool) -> Result<(), Failure> {
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    let outcomes = due::run_due(&app).await;
    let ran = outcomes.iter().flatten().map(|outcome| outcome.network.clone()).collect();
    alarms::evaluate_and_send(&app, &ran).await;
    outlets::pass_on(&app).await;
    drop(display);
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for RunOutcome { report, failure, .. } in outcomes? {
        reports.extend(report);
        failures.extend(failure);
    }
    if reports.is_empty() && failures.is_empty() && !json {
        writeln!(std::io::stdout(), "nothing is due")?;
        return Ok(());
    }
    let printed = report::print(&reports, json);
    failures.extend(printed.err());
    if failures.is_empty() { Ok(()) } else { Err(Failure::all(failures)) }
}

/// Reads a range of history.
///
/// # Errors
/// The failures of its runs.
pub(super) async fn backfill(settings: Settings, args: &BackfillArgs, json: bool) -> Result<(), Failure> {
    let selection = args.part.selection(Utc::now())?;
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    if args.queue {
        let runs = backfill::queue(&app, &args.network, &selection).await;
        drop(display);
        return queued(&args.network, runs?, json);
    }
    let done = backfill::backfill(&app, &args.network, &selection).await;
    drop(display);
    let Backfill { reports, stopped_at } = done?;
    let printed = report::print(&reports, json);
    match stopped_at {
        None => printed,
        Some(at) => printed.map_err(|failure| {
            let hint = format!("the backfill stopped at {}: the same command goes on there", rfc3339(at));
            let hint = failure.hint.as_ref().map_or_else(|| hint.clone(), |own| format!("{own}; {hint}"));
            failure.hint(hint)
        }),
    }
}

fn queued(network: &str, runs: usize, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&json!({"network": network, "queued": runs}));
    }
    Ok(writeln!(std::io::stdout(), "{runs} runs of `{network}` are queued for the services")?)
}

/// Pauses a network or an account.
///
/// # Errors
/// A failure of the settings or the state store.
pub(super) async fn pause(settings: &Settings, args: &PauseArgs, json: bool) -> Result<(), Failure> {
    let PauseArgs { network, account, reason } = args;
    let paused = pauses::pause(settings, network, account.as_deref(), reason).await?;
    if json {
        return print_json(&json!({"network": network, "pause": paused}));
    }
    let (what, command) = named(network, paused.account.as_deref());
    Ok(writeln!(std::io::stdout(), "{what} is paused: the schedule leaves it alone until `sluice resume {command}`")?)
}

/// Resumes a network or an account.
///
/// # Errors
/// A failure of the settings or the state store.
pub(super) async fn resume(settings: &Settings, args: &ResumeArgs, json: bool) -> Result<(), Failure> {
    let ResumeArgs { network, account } = args;
    let was_paused = pauses::resume(settings, network, account.as_deref()).await?;
    if json {
        return print_json(&json!({"network": network, "account": account, "was_paused": was_paused}));
    }
    let (what, _) = named(network, account.as_deref());
    let words = if was_paused { "is resumed" } else { "was not paused" };
    Ok(writeln!(std::io::stdout(), "{what} {words}")?)
}

/// What a pause is about in words, and as arguments.
fn named(network: &str, account: Option<&str>) -> (String, String) {
    match account {
        Some(account) => {
            (format!("account `{account}` of network `{network}`"), format!("{network} --account {account}"))
        }
        None => (format!("network `{network}`"), network.to_owned()),
    }
}
