//! What can be known to be wrong before a run: settings, connectors, rights, secrets, schedules and the lake.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_lake::Lake;
use sluice_registry::Registry;
use sluice_state::{Erasures, State};

use crate::alarms::{checks, outbox};
use crate::app::{self, with_connector};
use crate::failure::Failure;
use crate::freshness;
use crate::identity;
use crate::network::look_back_rules;
use crate::settings::Settings;
use crate::settings::network::{self, NetworkSettings};
use crate::timetable::Timetable;

/// Moments of a schedule that are shown.
pub const SHOWN_MOMENTS: usize = 3;

/// What was found.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// What each network's settings lead to.
    pub networks: Vec<NetworkCheck>,
    /// Files in the connectors folder that are refused, each with the reason.
    pub refused: Vec<RefusedFile>,
    /// What is wrong beside networks: checks of the operator's own that can't be run, receivers and databases whose
    /// secrets can't be read, an erasure that was interrupted.
    pub problems: Vec<String>,
}

/// A file that may not serve.
#[derive(Debug, Serialize)]
pub struct RefusedFile {
    /// Its name in the connectors folder.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// What was found of a network.
#[derive(Debug, Serialize)]
pub struct NetworkCheck {
    /// Its name in the settings.
    pub network: String,
    /// The connector that it names.
    pub connector: String,
    /// How many accounts it has.
    pub accounts: usize,
    /// Its cron expressions; none without a connector.
    pub schedule: Option<String>,
    /// The next moments of its schedule.
    pub next: Vec<DateTime<Utc>>,
    /// What an operator may not have meant.
    pub notes: Vec<String>,
    /// What is wrong, each with a hint.
    pub problems: Vec<String>,
}

/// Whether a check writes to the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An object, to see whether it can be written.
    Write,
    /// Nothing: it is only read.
    Read,
}

/// Checks settings, connectors, rights, secrets and schedules, and the lake. No request is sent.
///
/// # Errors
/// A failure of the settings, the state store or the lake. What is wrong with a network is in the report.
pub async fn check(settings: &Settings, probe: Probe) -> Result<CheckReport, Failure> {
    let all = network::load_all(&settings.networks_dir)?;
    let registry = app::open_registry_read_only(settings).await?;
    let lake = match probe {
        Probe::Write => app::open_writable_lake(settings).await?,
        Probe::Read => app::open_lake(settings).await?,
    };
    let mut networks = Vec::new();
    for network in &all {
        let mut found = check_network(settings, &registry, network.clone()).await;
        if let Ok(served) = with_connector(&registry, settings, network.clone()) {
            let identity = identity::check(&all, &served, &settings.secrets, &lake).await;
            found.problems.extend(identity.err().map(|failure| failure.render(false)));
        }
        networks.push(found);
    }
    let refused = registry
        .entries()
        .into_iter()
        .filter_map(|entry| Some(RefusedFile { file: entry.file.clone(), reason: entry.refusal()?.to_owned() }));
    let mut problems = wrong_checks(settings, lake.clone()).await?;
    problems.extend(outbox::unreadable_secrets(settings).await);
    problems.extend(unknown_networks(settings, &all, &lake).await?);
    problems.extend(unfinished_erasure(settings).await?);
    Ok(CheckReport { networks, refused: refused.collect(), problems })
}

/// The checks whose query can't be planned, or whose comments are wrong.
async fn wrong_checks(settings: &Settings, lake: Lake) -> Result<Vec<String>, Failure> {
    let session = app::open_limited_session(lake, settings).await?;
    let mut wrong = Vec::new();
    for (name, check) in checks::load_all(settings)? {
        let planned = match check {
            Ok(check) => session.query(&check.sql).await.map(drop).map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = planned {
            wrong.push(format!("checks/{name}.sql: {}", failure.render(false).trim_start_matches("error: ")));
        }
    }
    Ok(wrong)
}

/// That an erasure was interrupted, and nobody went on with it.
async fn unfinished_erasure(settings: &Settings) -> Result<Option<String>, Failure> {
    let Erasures { unfinished, .. } = State::open(&settings.state_url).await?.erasures().await?;
    let problem = "an erasure was interrupted: old responses and earlier versions of tables may hold what it was to remove\n\
                   hint: sluice erase --again --yes";
    Ok((!unfinished.is_empty()).then(|| problem.to_owned()))
}

/// Networks that the settings of alarms, databases and feeds name and that nobody has: these would get nothing of them.
///
/// # Errors
/// The lake's failure.
pub(crate) async fn unknown_networks(
    settings: &Settings,
    all: &[NetworkSettings],
    lake: &Lake,
) -> Result<Vec<String>, Failure> {
    let mut ids: Vec<String> = all.iter().map(|network| network.content.connector.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut unknown = Vec::new();
    let known = if ids.is_empty() { "there are none".to_owned() } else { format!("there are {}", ids.join(", ")) };
    let receivers = settings.alarms.receivers.iter();
    let receivers = receivers.map(|(name, receiver)| (format!("alarms.{name}"), &receiver.networks));
    let databases = settings.publish.iter().map(|(name, database)| (format!("publish.{name}"), &database.networks));
    let feeds = settings.feed.iter().map(|(name, receiver)| (format!("feed.{name}"), &receiver.networks));
    for (section, networks) in receivers.chain(databases).chain(feeds) {
        for named in networks.iter().filter(|named| !ids.contains(named)) {
            // One that is read no longer has its history.
            if !lake.knows_network(named).await? {
                unknown.push(format!("{section}: no file in networks/ has the network `{named}`: {known}"));
            }
        }
    }
    Ok(unknown)
}

async fn check_network(settings: &Settings, registry: &Registry, network: NetworkSettings) -> NetworkCheck {
    let mut found = NetworkCheck {
        network: network.name.clone(),
        connector: network.content.connector.clone(),
        accounts: network.content.accounts.len(),
        schedule: None,
        next: Vec::new(),
        notes: Vec::new(),
        problems: Vec::new(),
    };
    let served = match with_connector(registry, settings, network) {
        Ok(served) => served,
        Err(failure) => {
            found.problems.push(failure.render(false));
            return found;
        }
    };
    let now = Utc::now();
    match Timetable::of(&served) {
        Ok(timetable) => {
            found.next = timetable.next_moments(now, SHOWN_MOMENTS);
            found.notes = freshness::schedule_notes(&timetable.network, &look_back_rules(&served), now);
            found.schedule = Some(timetable.describe());
        }
        Err(failure) => found.problems.push(failure.render(false)),
    }
    for account in &served.settings.content.accounts {
        let problem = served.access(account).await.err().map(|failure| failure.render(false));
        // Accounts often lack the same right.
        found.problems.extend(problem.filter(|problem| !found.problems.contains(problem)));
    }
    found
}
