//! `sluice alarms`: faults that somebody should know of; and `sluice checks`: the operator's own.

use std::io::Write;

use sluice_model::{Alarm, AlarmState};
use sluice_runtime::alarms::checks::{self, CheckResult};
use sluice_runtime::alarms::{decide, text};
use sluice_runtime::app::{open_lake, open_limited_session};
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_runtime::text::count;

use super::{print_json, rfc3339};
use crate::arguments::{AlarmsArgs, AlarmsCommand, ChecksArgs};

/// Lists alarms, or acknowledges one.
///
/// # Errors
/// A usage failure for an alarm that isn't open; the failure of the state store or the lake.
pub(super) async fn alarms(settings: &Settings, args: &AlarmsArgs, json: bool) -> Result<(), Failure> {
    match &args.command {
        None => list(settings, args.all, json).await,
        Some(AlarmsCommand::List { all }) => list(settings, *all || args.all, json).await,
        Some(AlarmsCommand::Ack { id, by }) => acknowledge(settings, id, by, None, json).await,
        Some(AlarmsCommand::Snooze { id, duration, by }) => acknowledge(settings, id, by, Some(duration), json).await,
    }
}

async fn list(settings: &Settings, all: bool, json: bool) -> Result<(), Failure> {
    let alarms = decide::list(settings, all).await?;
    if json {
        return print_json(&alarms);
    }
    let mut out = std::io::stdout().lock();
    for alarm in &alarms {
        write!(out, "{}", lines(alarm))?;
    }
    let lasting = alarms.iter().filter(|alarm| alarm.state != AlarmState::Resolved).count();
    Ok(writeln!(out, "{}", count(lasting as u64, "alarm"))?)
}

/// An alarm as people read it; of one that is over its first line.
fn lines(alarm: &Alarm) -> String {
    let Alarm { alarm_id, rule, severity, summary, evidence, advice, .. } = alarm;
    let (severity, standing) = (severity.name(), text::standing(alarm));
    let mut text = format!("{alarm_id} {severity} {rule} ({standing}): {summary}\n");
    if let Some(at) = alarm.resolved_at {
        text.push_str(&format!("  {} to {}\n", rfc3339(alarm.opened_at), rfc3339(at)));
        return text;
    }
    text.push_str(&format!("  since {}\n", rfc3339(alarm.opened_at)));
    text.extend(evidence.lines().map(|line| format!("    {line}\n")));
    text.push_str(&format!("  {advice}\n"));
    text
}

async fn acknowledge(
    settings: &Settings,
    id: &str,
    by: &str,
    duration: Option<&String>,
    json: bool,
) -> Result<(), Failure> {
    let alarm = decide::acknowledge(settings, id, by, duration.map(String::as_str)).await?;
    if json {
        return print_json(&alarm);
    }
    Ok(writeln!(std::io::stdout(), "{} {}", alarm.alarm_id, text::standing(&alarm))?)
}

/// Runs checks.
///
/// # Errors
/// A usage failure for a check that isn't there; a failure if any doesn't pass.
pub(super) async fn checks(settings: &Settings, args: &ChecksArgs, json: bool) -> Result<(), Failure> {
    let mut known = checks::load_all(settings)?;
    if let Some(name) = &args.check {
        known.retain(|(known, _)| known == name);
        if known.is_empty() {
            let folder = settings.checks_dir();
            return Err(Failure::usage(format!("there is no check `{name}`"))
                .hint(format!("put it into {}/{name}.sql", folder.display())));
        }
    }
    let session = open_limited_session(open_lake(settings).await?, settings).await?;
    let mut results = Vec::new();
    for (name, check) in known {
        let result = match check {
            Ok(check) => {
                let watch = super::sql::query_watch(settings, json);
                let result = checks::run(&session, &check).await;
                drop(watch);
                result
            }
            Err(failure) => CheckResult::failed(&name, failure.error.to_string()),
        };
        results.push(result);
    }
    print(&results, json)
}

fn print(results: &[CheckResult], json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(results).map_err(Failure::failed)?)?;
    } else {
        for result in results {
            writeln!(out, "{}", result.line())?;
            for row in &result.first_rows {
                writeln!(out, "  {row}")?;
            }
        }
    }
    let failing = results.iter().filter(|result| !result.passes()).count();
    match failing {
        0 => Ok(()),
        _ => Err(Failure::failed(anyhow::anyhow!("{} of {} failed", failing, count(results.len() as u64, "check")))),
    }
}
