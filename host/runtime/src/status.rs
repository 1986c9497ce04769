//! How fresh each stream of each account is, what is missing of it, what could not be mapped, and what running services
//! hold.

mod services;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sluice_lake::{DoubtRow, DoubtState, Lake, RejectRow};
use sluice_query::{Coverage, Gap, StreamAxis};
use sluice_registry::Registry;
use sluice_state::{Pause, State};

pub use services::ServiceStatus;

use crate::app::{self, App, open_registry_read_only, open_session, with_connector};
use crate::check::SHOWN_MOMENTS;
use crate::doubts;
use crate::failure::Failure;
use crate::freshness;
use crate::network::look_back_rules;
use crate::settings::Settings;
use crate::settings::look_back::axes;
use crate::settings::network::{self, Loaded, NetworkSettings};
use crate::timetable::{Schedule, Timetable};

/// What `sluice status` prints.
#[derive(Debug, Serialize)]
pub struct Status {
    /// A summary by network, sorted by its id.
    pub networks: Vec<NetworkStatus>,
    /// What was read of each stream by each date.
    pub streams: Vec<StreamStatus>,
    /// Records that could not be mapped, by network, account and stream.
    pub rejects: Vec<OpenRejects>,
    /// Answers that are doubted and held back, oldest first.
    #[serde(serialize_with = "doubts::serialize")]
    pub doubts: Vec<DoubtRow>,
    /// The services that noted themselves in the state store.
    pub services: Vec<ServiceStatus>,
    /// Networks whose schedule can't be known, and why.
    #[serde(skip)]
    pub unknown: Vec<Failure>,
    /// Why the state store can't be read.
    #[serde(skip)]
    pub state_failure: Option<Failure>,
    /// Whether a rebuild is putting new tables in place, or was interrupted while it did.
    #[serde(skip)]
    pub is_half_rebuilt: bool,
}

/// A network's streams, summed up.
#[derive(Debug, Default, Serialize)]
pub struct NetworkStatus {
    /// The network id.
    pub network: String,
    /// Accounts with a stream.
    pub accounts: usize,
    /// Streams, by account and date.
    pub streams: usize,
    /// Of these, those that are fresh.
    pub fresh: usize,
    /// Of these, those that weren't read for two periods of their schedule.
    pub stale: usize,
    /// Those that were never read.
    pub never_read: usize,
    /// Those that no settings name any more.
    pub unscheduled: usize,
    /// Windows that are missing.
    pub gaps: usize,
    /// The next moments of its schedule.
    pub next: Vec<DateTime<Utc>>,
    /// Pauses of it, or of some of its accounts.
    pub paused: Vec<Pause>,
}

/// What was read of a stream by one date, against what the schedule requires.
#[derive(Debug, Serialize)]
pub struct StreamStatus {
    /// The network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// The date.
    pub axis: String,
    /// Whether it is fresh.
    pub state: Freshness,
    /// When it was last read completely.
    pub last_read_at: Option<String>,
    /// When it becomes stale, or became so.
    pub stale_at: Option<String>,
    /// The first moment that was read.
    pub read_since: Option<String>,
    /// The first moment after what was read.
    pub read_until: Option<String>,
    /// When a read failed last.
    pub last_failed_at: Option<String>,
    /// What is missing.
    pub gaps: Vec<GapStatus>,
}

/// A window that is missing.
#[derive(Debug, Serialize)]
pub struct GapStatus {
    /// Its first moment.
    pub since: String,
    /// The first moment after it.
    pub until: String,
    /// `never-read` or `failed`.
    pub kind: &'static str,
    /// When it failed.
    pub failed_at: Option<String>,
    /// Why.
    pub error: Option<String>,
    /// What reads it again.
    pub command: String,
}

/// Records of a stream that could not be mapped.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct OpenRejects {
    /// The network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// How many.
    pub count: u64,
}

/// Whether a stream was read as its schedule requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// It was.
    Fresh,
    /// Not for two periods of it.
    Stale,
    /// No run read it yet.
    NeverRead,
    /// No settings name it.
    Unscheduled,
}

impl Freshness {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::NeverRead => "never read",
            Self::Unscheduled => "not scheduled",
        }
    }

    /// Whether something has to be done.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Stale | Self::NeverRead)
    }
}

/// What the settings require to be read.
#[derive(Default)]
struct Wanted {
    /// Each stream with its schedule.
    streams: BTreeMap<StreamAxis, WantedStream>,
    /// What commands call the network of each account, by its id and the account's; under an empty account one of the network's
    /// files.
    names: BTreeMap<(String, String), String>,
    /// By network id.
    paused: BTreeMap<String, Vec<Pause>>,
    /// By network id.
    next: BTreeMap<String, Vec<DateTime<Utc>>>,
    unknown: Vec<Failure>,
}

#[derive(Clone)]
struct WantedStream {
    schedule: Schedule,
    every_secs: u32,
}

/// Reads the status of all that the settings name and the lake holds.
///
/// # Errors
/// The lake's failure. That of the state store is in the result.
pub async fn status(settings: &Settings) -> Result<Status, Failure> {
    let now = Utc::now();
    let opened = match State::open(&settings.state_url).await {
        Ok(state) => state.services().await.map(|noted| (noted, state)),
        Err(failure) => Err(failure),
    };
    // The state store decides which connectors serve.
    let (noted, wanted, state_failure) = match opened {
        Ok((noted, state)) => match open_registry_read_only(settings).await {
            Ok(registry) => (noted, wanted(settings, &state, &registry, now).await?, None),
            Err(failure) => (noted, Wanted { unknown: vec![failure], ..Wanted::default() }, None),
        },
        Err(failure) => (Vec::new(), Wanted::default(), Some(Failure::from(failure))),
    };
    let lake = app::open_lake(settings).await?;
    let is_half_rebuilt = lake.is_half_rebuilt().await?;
    let rejects = by_stream(&lake.open_rejects(None).await?);
    let open_doubts = open_doubts(&lake).await?;
    let read = open_session(lake).await?.coverage().await?;
    let streams = streams(&wanted, read, now);
    Ok(Status {
        networks: summaries(&wanted, &streams),
        streams,
        rejects,
        doubts: open_doubts,
        services: services::services(noted, now),
        unknown: wanted.unknown,
        state_failure,
        is_half_rebuilt,
    })
}

/// The open doubts, oldest first.
///
/// # Errors
/// The lake's failure.
pub async fn open_doubts(lake: &Lake) -> Result<Vec<DoubtRow>, Failure> {
    let mut doubts = lake.doubts(None).await?;
    doubts.retain(|doubt| doubt.state == DoubtState::Open);
    Ok(doubts)
}

/// Open rejects by network, account and stream.
pub fn by_stream(rejects: &[RejectRow]) -> Vec<OpenRejects> {
    let mut counts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for reject in rejects {
        *counts.entry((&reject.network, &reject.account, &reject.stream)).or_default() += 1;
    }
    let row = |((network, account, stream), count): ((&str, &str, &str), u64)| OpenRejects {
        network: network.to_owned(),
        account: account.to_owned(),
        stream: stream.to_owned(),
        count,
    };
    counts.into_iter().map(row).collect()
}

/// What was read of each stream, by the connectors that serve.
///
/// # Errors
/// A failure of the settings, the state store or the lake.
pub async fn streams_now(app: &App, now: DateTime<Utc>) -> Result<Vec<StreamStatus>, Failure> {
    let wanted = wanted(&app.settings, &app.state, &app.registry, now).await?;
    let read = open_session(app.lake.clone()).await?.coverage().await?;
    Ok(streams(&wanted, read, now))
}

/// What the settings require, as far as the connectors can be loaded.
async fn wanted(
    settings: &Settings,
    state: &State,
    registry: &Registry,
    now: DateTime<Utc>,
) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let Loaded { networks, broken } = network::load_each(&settings.networks_dir)?;
    wanted.unknown.extend(broken.into_iter().map(|(_, failure)| failure));
    for network in networks {
        let id = network.content.connector.clone();
        wanted.paused.entry(id.clone()).or_default().extend(state.pauses(&network.name).await?);
        let accounts = network.content.accounts.iter().map(|account| account.id().to_owned());
        let keys = accounts.chain([String::new()]).map(|account| (id.clone(), account));
        wanted.names.extend(keys.map(|key| (key, network.name.clone())));
        if let Err(failure) = wanted.add(settings, registry, network, now) {
            wanted.unknown.push(failure);
        }
    }
    Ok(wanted)
}

impl Wanted {
    fn add(
        &mut self,
        settings: &Settings,
        registry: &Registry,
        network: NetworkSettings,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let network = with_connector(registry, settings, network)?;
        let manifest = network.manifest();
        let timetable = Timetable::of(&network)?;
        let rules = look_back_rules(&network);
        let next = self.next.entry(manifest.network.clone()).or_default();
        next.extend(timetable.next_moments(now, SHOWN_MOMENTS));
        next.sort_unstable();
        next.dedup();
        next.truncate(SHOWN_MOMENTS);
        for account in &network.settings.content.accounts {
            for stream in &manifest.streams {
                for (axis, every_secs) in axes(stream, &rules) {
                    let of = StreamAxis {
                        network: manifest.network.clone(),
                        account: account.id().to_owned(),
                        stream: stream.name.clone(),
                        axis: axis.name().to_owned(),
                    };
                    let schedule = timetable.of_stream(&stream.name).clone();
                    self.streams.insert(of, WantedStream { schedule, every_secs });
                }
            }
        }
        Ok(())
    }
}

/// What was read against what is wanted, sorted.
fn streams(wanted: &Wanted, read: Vec<Coverage>, now: DateTime<Utc>) -> Vec<StreamStatus> {
    let mut all: BTreeMap<StreamAxis, Option<Coverage>> = wanted.streams.keys().map(|of| (of.clone(), None)).collect();
    all.extend(read.into_iter().map(|coverage| (coverage.of.clone(), Some(coverage))));
    all.into_iter().map(|(of, coverage)| stream_status(wanted, of, coverage, now)).collect()
}

fn stream_status(wanted: &Wanted, of: StreamAxis, coverage: Option<Coverage>, now: DateTime<Utc>) -> StreamStatus {
    let read_at = coverage.as_ref().and_then(|coverage| coverage.read_at);
    let stream = wanted.streams.get(&of);
    let stale_at = stream
        .zip(read_at)
        .and_then(|(stream, read_at)| freshness::stale_at(&stream.schedule, stream.every_secs, read_at));
    let state = match read_at {
        None => Freshness::NeverRead,
        Some(_) if stream.is_none() => Freshness::Unscheduled,
        Some(_) if stale_at.is_some_and(|stale_at| stale_at <= now) => Freshness::Stale,
        Some(_) => Freshness::Fresh,
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
    let name = |account: &str| wanted.names.get(&(of.network.clone(), account.to_owned()));
    let network = name(&of.account).or_else(|| name("")).unwrap_or(&of.network);
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

/// One for each network that has streams.
fn summaries(wanted: &Wanted, streams: &[StreamStatus]) -> Vec<NetworkStatus> {
    let of_network = |streams: &[StreamStatus]| {
        let network = streams.first().map(|stream| stream.network.clone()).unwrap_or_default();
        let mut summary = NetworkStatus {
            next: wanted.next.get(&network).cloned().unwrap_or_default(),
            paused: wanted.paused.get(&network).cloned().unwrap_or_default(),
            // They are sorted by account.
            accounts: streams.chunk_by(|a, b| a.account == b.account).count(),
            streams: streams.len(),
            network,
            ..NetworkStatus::default()
        };
        for stream in streams {
            *match stream.state {
                Freshness::Fresh => &mut summary.fresh,
                Freshness::Stale => &mut summary.stale,
                Freshness::NeverRead => &mut summary.never_read,
                Freshness::Unscheduled => &mut summary.unscheduled,
            } += 1;
            summary.gaps += stream.gaps.len();
        }
        summary
    };
    streams.chunk_by(|a, b| a.network == b.network).map(of_network).collect()
}

fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
