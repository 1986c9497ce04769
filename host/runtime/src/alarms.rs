//! Alarms: what a person should know of, each open for as long as its fault lasts.
//!
//! [`evaluate`] shows the stages: rules judge what they can and give [`Findings`]; [`ledger`] compares these
//! with the alarms that are open; what changes is noted in the state store, with the messages to receivers, in one
//! transaction; the lake gets each event, and [`outbox`] sends the messages. See `docs/decisions/0024-alarms.md`.

mod answers;
mod business;
pub mod checks;
mod columns;
pub mod decide;
pub mod fault;
pub mod ledger;
mod machine;
mod outage;
pub mod outbox;
mod reads;
pub mod rule;
mod scope;
mod services;
pub mod text;
mod watcher;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sluice_model::{Alarm, AlarmState};
use sluice_query::{Session, SessionOptions};
use sluice_state::{AlarmChange, AlarmMessage, Outlet};

use self::fault::Findings;
use self::reads::Paused;
use self::scope::Networks;
pub use self::watcher::AlarmWatcher;
use crate::app::{App, with_connector};
use crate::failure::Failure;
use crate::feed;
use crate::publish;
use crate::settings::Settings;
use crate::settings::network::{self, NetworkSettings};
use crate::status;
use crate::timetable::Timetable;

/// Judges everything, or of what is costly the networks that `ran` since the last time, and notes what changed. Returns the
/// settings as they are now.
///
/// # Errors
/// The state store's failure. Whatever else fails is a fault like others.
pub async fn evaluate(app: &Arc<App>, ran: &BTreeSet<String>) -> Result<Settings, Failure> {
    let now = Utc::now();
    let (settings, mut unusable) = current_settings(app);
    let mut findings = Findings::default();
    let services = app.state.services().await?;
    let outlets = outlets_in_use(app).await?;
    services::find(&services, &app.state.alarm_messages().await?, &outlets, now, &mut findings);
    reads::find_expiring(&settings.alarms, now, &mut findings);
    let mut unread = Vec::new();
    match network::load_all(&settings.networks_dir) {
        Ok(networks) => {
            unusable.extend(networks.iter().filter_map(|network| unservable(app, network)));
            let found = find_in_networks(app, &settings, &networks, ran, now, &mut findings).await;
            unread.extend(found.err());
        }
        Err(failure) => unusable.push(("networks".to_owned(), failure)),
    }
    checks::find(app, &settings, !ran.is_empty(), now, &mut findings).await?;
    machine::find(&settings, &services, unusable, unread, now, &mut findings).await;
    let changes = ledger::changes(&known(app).await?, &findings, &settings.alarms, now);
    note(app, &settings, changes, now).await?;
    if let Err(failure) = decide::record(&app.state, &app.lake).await {
        tracing::warn!("alarms aren't in the lake yet: {}", failure.render(false));
    }
    Ok(settings)
}

/// Evaluates after what was due has run, and sends what is due. What fails is logged: the runs are done.
pub async fn evaluate_and_send(app: &Arc<App>, ran: &BTreeSet<String>) {
    let done = async {
        let settings = evaluate(app, ran).await?;
        outbox::send_due(app, &settings).await
    };
    if let Err(failure) = done.await {
        tracing::warn!("alarms weren't evaluated: {}", failure.render(false));
    }
}

/// The outlets that the settings have.
async fn outlets_in_use(app: &App) -> Result<Vec<Outlet>, Failure> {
    let feeds = app.settings.feed.keys().map(|name| feed::outlet(name));
    let in_use: BTreeSet<String> = feeds.chain(app.settings.publish.keys().map(|name| publish::outlet(name))).collect();
    Ok(app.state.outlets().await?.into_iter().filter(|outlet| in_use.contains(&outlet.name)).collect())
}

/// The settings of the process with `[alarms]` as the file has it now; and the file with the reason, if it can't be used.
fn current_settings(app: &App) -> (Settings, Vec<(String, Failure)>) {
    let settings = &app.settings;
    match Settings::load(&settings.path) {
        Ok(now) => (Settings { alarms: now.alarms, ..settings.clone() }, Vec::new()),
        Err(failure) => {
            let file = settings.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (settings.clone(), vec![(file, failure)])
        }
    }
}

/// Why a network can't be run: it has no connector, or no schedule.
fn unservable(app: &App, network: &NetworkSettings) -> Option<(String, Failure)> {
    let served = with_connector(&app.registry, &app.settings, network.clone());
    let failure = served.and_then(|network| Timetable::of(&network)).err()?;
    Some((format!("networks/{}.json", network.name), failure))
}

/// Judges what is known of networks.
async fn find_in_networks(
    app: &App,
    settings: &Settings,
    networks: &[NetworkSettings],
    ran: &BTreeSet<String>,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let alarms = &settings.alarms;
    let mut paused = Paused::default();
    for network in networks {
        let id = &network.content.connector;
        let pauses = app.state.pauses(&network.name).await?.into_iter();
        paused.0.extend(pauses.map(|pause| (id.clone(), pause.account.unwrap_or_default())));
    }
    reads::find_unstarted(app, networks, &paused, alarms, now, findings).await?;
    reads::find_late(&status::streams_now(app, now).await?, &paused, findings);
    answers::find_doubts(&status::open_doubts(&app.lake).await?, findings);
    let ran = Networks::named(ran, networks);
    if ran.is_empty() {
        return Ok(());
    }
    // A share of the process's memory: what doesn't fit goes to disk.
    let options =
        SessionOptions { memory_bytes: app.settings.limits.query_bytes_of_a_run(), ..SessionOptions::default() };
    let session = Session::open(app.lake.clone(), app.lake.tables().await?, options)?;
    reads::find_refused(&session, &ran, findings).await?;
    answers::find_rejects(&session, &ran, &app.lake.open_rejects(None).await?, alarms, findings).await?;
    answers::find_unknown(&session, &ran, alarms, findings).await?;
    answers::find_duplicates(&session, &ran, alarms, findings).await?;
    let accounts = accounts_of(app, networks, &ran);
    business::find(app, &ran, &accounts, alarms, now, findings).await?;
    columns::find_new(&session, &ran, alarms, findings).await?;
    columns::find_vanished(app, &session, &ran, &accounts, alarms, findings).await
}

/// Network id, account and stream of all that these networks are read by.
fn accounts_of(app: &App, networks: &[NetworkSettings], ran: &Networks) -> Vec<(String, String, String)> {
    let mut accounts = Vec::new();
    for settings in networks.iter().filter(|network| ran.has(&network.content.connector)) {
        let Ok(network) = with_connector(&app.registry, &app.settings, settings.clone()) else { continue };
        for account in &settings.content.accounts {
            let streams = network.manifest().streams.iter();
            let of = |stream: &str| (settings.content.connector.clone(), account.id().to_owned(), stream.to_owned());
            accounts.extend(streams.map(|stream| of(&stream.name)));
        }
    }
    accounts
}

/// The alarms that aren't resolved. A state store that lost them gets them back from the lake.
async fn known(app: &App) -> Result<Vec<Alarm>, Failure> {
    let known = app.state.alarms().await?;
    if !known.is_empty() {
        return Ok(known);
    }
    let unrecorded = app.state.alarm_events().await?;
    let Ok(recorded) = app.lake.alarms().await else { return Ok(known) };
    let is_lost = |alarm: &Alarm| {
        alarm.state != AlarmState::Resolved && !unrecorded.iter().any(|(_, known)| known.alarm_id == alarm.alarm_id)
    };
    for alarm in recorded.into_iter().filter(is_lost) {
        app.state.change_alarm(&AlarmChange { before: None, alarm, is_event: false }, &[]).await?;
    }
    Ok(app.state.alarms().await?)
}

/// Notes changes, with messages to those who are notified of them.
async fn note(app: &App, settings: &Settings, changes: Vec<AlarmChange>, now: DateTime<Utc>) -> Result<(), Failure> {
    for change in changes {
        let messages = messages(settings, &change, now);
        if !app.state.change_alarm(&change, &messages).await? || !change.is_event {
            continue;
        }
        let Alarm { rule, subject, summary, severity, state, .. } = &change.alarm;
        let (severity, state) = (severity.name(), state.name());
        match change.alarm.state {
            AlarmState::Open => tracing::warn!(rule, subject, severity, state, "alarm: {summary}"),
            _ => tracing::info!(rule, subject, severity, state, "alarm: {summary}"),
        }
    }
    Ok(())
}

/// The messages about a change, to those who are notified of it.
fn messages(settings: &Settings, change: &AlarmChange, now: DateTime<Utc>) -> Vec<AlarmMessage> {
    let alarm = &change.alarm;
    let event = match alarm.state {
        AlarmState::Open if change.is_event => outbox::OPENED,
        AlarmState::Resolved if change.is_event => outbox::RESOLVED,
        _ => return Vec::new(),
    };
    let receivers = settings.alarms.receivers.iter().filter(|(_, receiver)| receiver.takes(alarm));
    let message = |(name, receiver): (&String, &crate::settings::receivers::ReceiverSettings)| AlarmMessage {
        message_id: format!("msg_{}", uuid::Uuid::now_v7().simple()),
        alarm_id: alarm.alarm_id.clone(),
        receiver: name.clone(),
        event: event.to_owned(),
        alarm: alarm.clone(),
        attempts: 0,
        made_at: now,
        due_at: receiver.due_at(alarm, now),
    };
    receivers.map(message).collect()
}
