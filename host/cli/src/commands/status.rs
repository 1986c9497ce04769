//! `sluice status`: how fresh each network is, what is missing, what could not be mapped, and what services hold.

use std::fmt::Write as _;
use std::io::Write;

use sluice_query::GapKind;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_runtime::status::{self, NetworkStatus, OpenRejects, Status, StreamStatus};
use sluice_runtime::text::count;
use sluice_state::Pause;

use super::check::moments;
use super::{doubts, sql};
use crate::arguments::StatusArgs;

/// Prints the status: a summary per network, and a line per stream that has a gap, or per stream with `--all`.
///
/// # Errors
/// The lake's failure or the state store's, once all is printed that can be known; with `--fail-if-gaps` also one that
/// counts what is wrong.
pub(super) async fn status(settings: &Settings, args: &StatusArgs, json: bool) -> Result<(), Failure> {
    let status = status::status(settings).await?;
    if status.is_half_rebuilt {
        sql::warn_of_rebuild(json)?;
    }
    let mut err = std::io::stderr().lock();
    for failure in &status.unknown {
        writeln!(err, "{}", failure.render(json).replacen("error:", "warning:", 1))?;
    }
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &status).map_err(Failure::failed)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", text(&status, args.all))?;
    }
    out.flush()?;
    match status.state_failure {
        Some(failure) => Err(failure),
        None if args.fail_if_gaps => fail_if_gaps(&status.streams),
        None => Ok(()),
    }
}

fn fail_if_gaps(streams: &[StreamStatus]) -> Result<(), Failure> {
    let gaps: usize = streams.iter().map(|stream| stream.gaps.len()).sum();
    let bad = streams.iter().filter(|stream| stream.state.is_bad()).count();
    if gaps + bad == 0 {
        return Ok(());
    }
    let command = streams.iter().flat_map(|stream| &stream.gaps).map(|gap| gap.command.clone()).next();
    let (missing, of) = (count(gaps as u64, "window"), count(streams.len() as u64, "stream"));
    let are = if gaps == 1 { "is" } else { "are" };
    let message = format!("{missing} {are} missing, and {bad} of {of} are stale or were never read");
    Err(Failure::failed(anyhow::anyhow!(message)).maybe_hint(command))
}

fn text(status: &Status, all: bool) -> String {
    let mut text = String::new();
    for network in &status.networks {
        text.push_str(&summary(network));
        let streams = status.streams.iter().filter(|stream| stream.network == network.network);
        streams.filter(|stream| all || !stream.gaps.is_empty()).for_each(|stream| text.push_str(&lines(stream)));
    }
    for doubt in &status.doubts {
        // Writing to a String doesn't fail.
        let _ = writeln!(text, "doubtful: {}\n  sluice doubts show {}", doubts::line(doubt), doubt.doubt_id);
    }
    text.push_str(&rejects(&status.rejects));
    status.services.iter().for_each(|service| text.push_str(&service.lines()));
    text
}

/// `awin: 2 accounts, 6 streams: 2 fresh, 4 never read, 3 gaps; next run 2026-11-29 03:00 UTC`.
fn summary(network: &NetworkStatus) -> String {
    let NetworkStatus { network: name, accounts, streams, fresh, stale, never_read, unscheduled, gaps, .. } = network;
    let states = [(fresh, "fresh"), (stale, "stale"), (never_read, "never read"), (unscheduled, "not scheduled")];
    let states = states.iter().filter(|(number, _)| **number > 0).map(|(number, state)| format!("{number} {state}"));
    let mut parts: Vec<String> = states.collect();
    if *gaps > 0 {
        parts.push(count(*gaps as u64, "gap"));
    }
    let next = if network.next.is_empty() { String::new() } else { format!("; next {}", moments(&network.next)) };
    let paused = pauses(network);
    let (accounts, streams) = (count(*accounts as u64, "account"), count(*streams as u64, "stream"));
    format!("{name}: {accounts}, {streams}: {}{next}\n{paused}", parts.join(", "))
}

/// Two lines for each pause.
fn pauses(network: &NetworkStatus) -> String {
    let name = &network.network;
    let mut paused = String::new();
    for Pause { account, paused_at, reason } in &network.paused {
        let what = account.as_ref().map_or_else(|| name.clone(), |account| format!("  {name} {account}"));
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let of_account = account.as_ref().map_or_else(String::new, |account| format!(" --account {account}"));
        let since = paused_at.format("%F %H:%M UTC");
        // Writing to a String doesn't fail.
        let _ = writeln!(paused, "{what}: paused since {since}{why}\n    sluice resume {name}{of_account}");
    }
    paused
}

/// A line per network with rejects.
fn rejects(rejects: &[OpenRejects]) -> String {
    let mut text = String::new();
    for of_network in rejects.chunk_by(|a, b| a.network == b.network) {
        let Some(first) = of_network.first() else { continue };
        let number = of_network.iter().map(|rejects| rejects.count).sum();
        let streams: Vec<String> = of_network
            .iter()
            .map(|rejects| format!("{} {} {}", rejects.account, rejects.stream, rejects.count))
            .collect();
        // Writing to a String doesn't fail, here and below.
        let _ = writeln!(text, "{}: {} ({})", first.network, count(number, "open reject"), streams.join(", "));
    }
    if !text.is_empty() {
        text.push_str("  sluice rejects\n");
    }
    text
}

/// A line of a stream, and two for each gap.
fn lines(stream: &StreamStatus) -> String {
    let StreamStatus { network, account, stream: name, axis, .. } = stream;
    let mut text = format!("  {network} {account} {name} by {axis}: {}", stream.state.text());
    if let Some(at) = &stream.last_read_at {
        let _ = write!(text, ", read {at}");
    }
    if let (Some(since), Some(until)) = (&stream.read_since, &stream.read_until) {
        let _ = write!(text, ", holds {since} to {until}");
    }
    text.push('\n');
    for gap in &stream.gaps {
        let why = match (&gap.failed_at, &gap.error) {
            (Some(at), Some(error)) => format!("failed {at}: {error}"),
            (Some(at), None) => format!("failed {at}"),
            _ => GapKind::NeverRead.name().replace('-', " "),
        };
        let _ = writeln!(text, "    {} to {}: {why}\n      {}", gap.since, gap.until, gap.command);
    }
    text
}
