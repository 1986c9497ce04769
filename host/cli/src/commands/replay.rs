//! `sluice replay`: what another connector would make of history, and making it so.

use std::io::Write;
use std::sync::Arc;

use chrono::Utc;
use sluice_lake::RolledBack;

use sluice_runtime::app::{self, App};
use sluice_runtime::failure::Failure;
use sluice_runtime::replay::conditions::Condition;
use sluice_runtime::replay::queued::{self, QueuedReplay};
use sluice_runtime::replay::{self, ReplayConnector, ReplayOutcome, ReplayRequest, report};
use sluice_runtime::settings::Settings;
use sluice_runtime::tables::RawSelection;
use sluice_runtime::text::count;

use super::print_json;
use crate::arguments::ReplayArgs;
use crate::progress::Display;

/// Compares or applies.
///
/// # Errors
/// What is wrong with the command line, the connector or the lake; a condition that holds.
pub(super) async fn replay(settings: Settings, args: &ReplayArgs, json: bool) -> Result<(), Failure> {
    let conditions = args.fail_if.iter().map(|text| Condition::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let network = app::network_settings(&settings, &args.network)?;
    let selection = RawSelection {
        account: args.scope.account.as_deref().map(|named| network.account_id(named)),
        stream: args.scope.stream.clone(),
        run_id: None,
        window: args.window.window(Utc::now())?,
    };
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    if let Some(run_id) = &args.rollback {
        let rolled_back = replay::roll_back(&app, &network, run_id).await;
        drop(display);
        return print_rollback(&network.name, &rolled_back?, json);
    }
    let candidate = match (&args.connector, &args.version) {
        (Some(file), _) => ReplayConnector::File(file.clone()),
        (None, Some(version)) => ReplayConnector::Stored(version.clone()),
        (None, None) => ReplayConnector::Running,
    };
    let connector = replay::connector(&app, &network, &candidate).await?;
    if args.queue {
        let queued = queued::queue(&app, &network, &connector, &selection).await;
        drop(display);
        return print_queued(&network.name, &queued?, json);
    }
    let request = ReplayRequest { connector: &connector, selection: &selection, conditions: &conditions };
    let outcome =
        if args.apply { replay::apply(&app, &network, &request).await? } else { replay::diff(&app, &request).await? };
    drop(display);
    print(&network.name, &outcome, json)?;
    match outcome.results.iter().find(|result| result.holds) {
        None => Ok(()),
        Some(result) => {
            let done = if args.apply { "; nothing was applied" } else { "" };
            let message = format!("`{}` holds: {}{done}", result.condition, result.value);
            Err(Failure::failed(anyhow::anyhow!(message)).hint("the diff above shows what differs"))
        }
    }
}

fn print_queued(network: &str, queued: &QueuedReplay, json: bool) -> Result<(), Failure> {
    let QueuedReplay { replay_id, months } = queued;
    if json {
        return print_json(&serde_json::json!({"network": network, "queued": months, "replay": replay_id}));
    }
    let months = count(*months as u64, "month");
    let mut out = std::io::stdout();
    Ok(writeln!(out, "{months} of `{network}` are queued for the services as replay {replay_id}")?)
}

fn print(network: &str, outcome: &ReplayOutcome, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(writeln!(out, "{}", report::json(network, outcome))?);
    }
    Ok(write!(out, "{}", report::human(network, outcome))?)
}

fn print_rollback(network: &str, rolled_back: &RolledBack, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let RolledBack { run_id, tables } = rolled_back;
    if json {
        let facts = serde_json::json!({"network": network, "rolled_back": run_id, "tables": tables});
        return Ok(writeln!(out, "{facts}")?);
    }
    for (table, rows) in tables {
        writeln!(out, "{table}: {} taken back", count(*rows, "row"))?;
    }
    Ok(writeln!(out, "{network} is what it was before run {run_id}")?)
}
