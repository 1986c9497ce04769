//! `sluice status`: how fresh each stream of each account is, what is missing of it, and what running services hold.

mod services;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_query::{Coverage, Gap, GapKind, StreamAxis};
use sluice_registry::Registry;

use services::ServiceStatus;
use sluice_runtime::app::{self, open_registry_read_only, with_connector};
use sluice_runtime::failure::Failure;
use sluice_runtime::freshness;
use sluice_runtime::schedule::parse_cron;
use sluice_runtime::settings::Settings;
use sluice_runtime::settings::network::{self, NetworkSettings};
use sluice_runtime::slices::look_back_rules;

use super::{rfc3339, sql};
use crate::arguments::StatusArgs;

/// All of it.
#[derive(Serialize)]
struct Status {
    streams: Vec<StreamStatus>,
    services: Vec<ServiceStatus>,
}

/// What was read of a stream by one date, against what the schedule wants.
#[derive(Serialize)]
struct StreamStatus {
    network: String,
    account: String,
    stream: String,
    axis: String,
    state: State,
    /// When it was last read completely.
    last_read_at: Option<String>,
    /// When it becomes stale, or became so.
    stale_at: Option<String>,
    /// The first moment that was read.
    read_since: Option<String>,
    /// The first moment after what was read.
    read_until: Option<String>,
    last_failed_at: Option<String>,
    gaps: Vec<GapStatus>,
}

#[derive(Serialize)]
struct GapStatus {
    since: String,
    until: String,
    kind: &'static str,
    failed_at: Option<String>,
    error: Option<String>,
    /// What reads it again.
    command: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Fresh,
    Stale,
    NeverRead,
    Unscheduled,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::NeverRead => "never read",
            Self::Unscheduled => "not scheduled",
        }
    }

    fn is_bad(self) -> bool {
        matches!(self, Self::Stale | Self::NeverRead)
    }
}

/// What the settings want to be read.
#[derive(Default)]
struct Wanted {
    /// Each stream, and what says when it is stale.
    streams: BTreeMap<StreamAxis, Schedule>,
    /// What commands call each network.
    names: BTreeMap<String, String>,
    /// Networks whose schedule can't be known, and why.
    unknown: Vec<Failure>,
}

#[derive(Clone)]
struct Schedule {
    cron: croner::Cron,
    every_secs: u32,
}

/// Says how fresh each stream of each account is, what is missing of it, and what running services hold.
///
/// # Errors
/// The lake's failure; with `--fail-if-gaps` also one that counts what is wrong.
pub(super) async fn status(settings: &Settings, args: &StatusArgs, json: bool) -> Result<(), Failure> {
    let mut wanted = wanted(settings).await?;
    let noted = match sluice_state::State::open(&settings.state_url).await {
        Ok(state) => state.services().await,
        Err(failure) => Err(failure),
    };
    let noted = noted.unwrap_or_else(|failure| {
        wanted.unknown.push(failure.into());
        Vec::new()
    });
    let lake = app::open_lake(settings).await?;
    sql::warn_of_halves(&lake, json).await?;
    let read = sql::over(lake).await?.coverage().await?;
    let now = Utc::now();
    let status = Status { streams: render_streams(&wanted, read, now), services: services::services(noted, now) };
    for failure in &wanted.unknown {
        eprintln!("{}", failure.render(json).replacen("error:", "warning:", 1));
    }
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &status).map_err(Failure::failed)?;
        writeln!(out)?;
    } else {
        status.streams.iter().try_for_each(|stream| write!(out, "{}", lines(stream)))?;
        status.services.iter().try_for_each(|service| write!(out, "{}", services::lines(service)))?;
    }
    out.flush()?;
    let told = &status.streams;
    let gaps: usize = told.iter().map(|stream| stream.gaps.len()).sum();
    let bad = told.iter().filter(|stream| stream.state.is_bad()).count();
    if !args.fail_if_gaps || gaps + bad == 0 {
        return Ok(());
    }
    let command = told.iter().flat_map(|stream| &stream.gaps).map(|gap| gap.command.clone()).next();
    let message =
        format!("{gaps} windows are missing, and {bad} of {} streams are stale or were never read", told.len());
    Err(Failure::failed(anyhow::anyhow!(message)).maybe_hint(command))
}

/// What the settings want, as far as the connectors can be loaded.
async fn wanted(settings: &Settings) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let registry = match open_registry_read_only(settings).await {
        Ok(registry) => registry,
        Err(failure) => {
            wanted.unknown.push(failure);
            return Ok(wanted);
        }
    };
    for network in network::load_all(&settings.networks_dir)? {
        wanted.names.insert(network.content.connector.clone(), network.name.clone());
        if let Err(failure) = wanted.add(settings, &registry, network) {
            wanted.unknown.push(failure);
        }
    }
    Ok(wanted)
}

impl Wanted {
    fn add(&mut self, settings: &Settings, registry: &Registry, network: NetworkSettings) -> Result<(), Failure> {
        let network = with_connector(registry, settings, network)?;
        let manifest = network.manifest();
        let cron = network.settings.content.schedule.as_ref().unwrap_or(&manifest.schedule);
        let cron = parse_cron(cron).map_err(Failure::settings)?;
        let rules = look_back_rules(&network);
        for account in &network.settings.content.accounts {
            for stream in &manifest.streams {
                for (axis, every_secs) in freshness::axes(stream, &rules) {
                    let of = StreamAxis {
                        network: manifest.network.clone(),
                        account: account.name.clone(),
                        stream: stream.name.clone(),
                        axis: axis.name().to_owned(),
                    };
                    self.streams.insert(of, Schedule { cron: cron.clone(), every_secs });
                }
            }
        }
        Ok(())
    }
}

/// What was read against what is wanted, sorted.
fn render_streams(wanted: &Wanted, read: Vec<Coverage>, now: DateTime<Utc>) -> Vec<StreamStatus> {
    let mut all: BTreeMap<StreamAxis, Option<Coverage>> = wanted.streams.keys().map(|of| (of.clone(), None)).collect();
    all.extend(read.into_iter().map(|coverage| (coverage.of.clone(), Some(coverage))));
    all.into_iter().map(|(of, coverage)| stream_status(wanted, of, coverage, now)).collect()
}

fn stream_status(wanted: &Wanted, of: StreamAxis, coverage: Option<Coverage>, now: DateTime<Utc>) -> StreamStatus {
    let read_at = coverage.as_ref().and_then(|coverage| coverage.read_at);
    let schedule = wanted.streams.get(&of);
    let stale_at = schedule
        .zip(read_at)
        .and_then(|(schedule, read_at)| freshness::stale_at(&schedule.cron, schedule.every_secs, read_at));
    let state = match read_at {
        None => State::NeverRead,
        Some(_) if schedule.is_none() => State::Unscheduled,
        Some(_) if stale_at.is_some_and(|stale_at| stale_at <= now) => State::Stale,
        Some(_) => State::Fresh,
    };
    let gaps = coverage.iter().flat_map(|coverage| &coverage.gaps).map(|gap| gap_status(wanted, &of, gap)).collect();
    let window = coverage.as_ref().and_then(|coverage| coverage.read);
    StreamStatus {
        state,
        last_read_at: read_at.map(rfc3339),
        stale_at: stale_at.map(rfc3339),
        read_since: window.map(|window| rfc3339(window.since)),
        read_until: window.map(|window| rfc3339(window.until)),
        last_failed_at: coverage.as_ref().and_then(|coverage| coverage.failed_at).map(rfc3339),
        gaps,
        network: of.network,
        account: of.account,
        stream: of.stream,
        axis: of.axis,
    }
}

fn gap_status(wanted: &Wanted, of: &StreamAxis, gap: &Gap) -> GapStatus {
    let network = wanted.names.get(&of.network).unwrap_or(&of.network);
    let (since, until) = (rfc3339(gap.window.since), rfc3339(gap.window.until));
    let mut command = format!("sluice run {network} --account {} --stream {}", of.account, of.stream);
    if of.axis != "none" {
        command.push_str(&format!(" --axis {} --since {since} --until {until}", of.axis));
    }
    GapStatus {
        since,
        until,
        kind: gap.kind.name(),
        failed_at: gap.failed_at.map(rfc3339),
        error: gap.error.clone(),
        command,
    }
}

/// A line for people, and one for each gap.
fn lines(stream: &StreamStatus) -> String {
    let StreamStatus { network, account, stream: name, axis, .. } = stream;
    let mut text = format!("{network} {account} {name} by {axis}: {}", stream.state.text());
    // Writing to a String doesn't fail, here and below.
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
        let _ = writeln!(text, "  {} to {}: {why}\n    {}", gap.since, gap.until, gap.command);
    }
    text
}
