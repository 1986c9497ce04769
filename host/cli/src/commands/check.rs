//! `sluice check`: everything that can be known to be wrong before a run.

use std::io::Write;

use chrono::{DateTime, Utc};
use sluice_runtime::check::{self, CheckReport, NetworkCheck, Probe, RefusedFile};
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_runtime::text::count;

use crate::arguments::CheckArgs;

/// Checks settings, connectors, rights, secrets and schedules, and the lake.
///
/// # Errors
/// A settings failure if anything is wrong, with all that is.
pub(super) async fn check(settings: &Settings, args: &CheckArgs, json: bool) -> Result<(), Failure> {
    let probe = if args.read_only { Probe::Read } else { Probe::Write };
    let report = check::check(settings, probe).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let text = if args.report { serde_json::to_string(&report) } else { serde_json::to_string(&report.networks) };
        writeln!(out, "{}", text.map_err(Failure::failed)?)?;
    }
    let CheckReport { networks, refused, problems } = report;
    if !json {
        networks.iter().try_for_each(|network| write!(out, "{}", lines(network)))?;
        writeln!(out, "lake: ok ({})", settings.lake_url)?;
    }
    let mut err = std::io::stderr().lock();
    for RefusedFile { file, reason } in &refused {
        if json {
            writeln!(err, "{}", serde_json::json!({"warning": format!("{file} is refused: {reason}")}))?
        } else {
            writeln!(err, "warning: {file} is refused: {reason}")?
        }
    }
    let problems = networks.iter().flat_map(|network| &network.problems).chain(&problems);
    let problems: Vec<&str> = problems.map(String::as_str).collect();
    if problems.is_empty() {
        return Ok(());
    }
    let listed = problems.iter().map(|problem| problem.trim_start_matches("error: ")).collect::<Vec<_>>();
    Err(Failure::settings(listed.join("\n")))
}

fn lines(network: &NetworkCheck) -> String {
    let verdict = if network.problems.is_empty() { "ok" } else { "wrong" };
    let accounts = count(network.accounts as u64, "account");
    let mut text = format!("{}: {verdict} (connector {}, {accounts})\n", network.network, network.connector);
    if let Some(schedule) = network.schedule.as_ref().filter(|_| !network.next.is_empty()) {
        text.push_str(&format!("  schedule {schedule}: next {}\n", moments(&network.next)));
    }
    for note in &network.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    text
}

/// `2026-11-29 03:00, 04:00, 2026-11-30 00:00 UTC`, seconds where there are any.
pub(super) fn moments(moments: &[DateTime<Utc>]) -> String {
    let has_seconds = moments.iter().any(|moment| moment.timestamp() % 60 != 0);
    let form = if has_seconds { "%T" } else { "%H:%M" };
    let mut texts = Vec::new();
    let mut day = None;
    for moment in moments {
        // A day is named once.
        let is_new = day.replace(moment.date_naive()) != Some(moment.date_naive());
        let form = if is_new { format!("%F {form}") } else { form.to_owned() };
        texts.push(moment.format(&form).to_string());
    }
    format!("{} UTC", texts.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_day_is_named_once() {
        let at = |text: &str| format!("2026-11-{text}Z").parse::<DateTime<Utc>>().unwrap();
        let hours = [at("29T22:00:00"), at("29T23:00:00"), at("30T00:00:00")];
        assert_eq!(moments(&hours), "2026-11-29 22:00, 23:00, 2026-11-30 00:00 UTC");
        assert_eq!(moments(&[at("29T22:00:05")]), "2026-11-29 22:00:05 UTC");
    }
}
