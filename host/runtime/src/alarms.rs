//! Alarms: what a person should know of, each open for as long as its fault lasts.
//!
//! `evaluate` shows the stages: rules judge what they can and give [`Findings`]; [`ledger`] compares these
//! with the alarms that are open; what changes is noted in the state store, with the messages to receivers, in one
//! transaction; the lake gets each event, and [`outbox`] sends the messages. See `docs/decisions/0024-alarms.md`.

mod answers;
mod business;
pub mod checks;
mod clock;
mod columns;
pub mod decide;
pub mod fault;
pub mod ledger;
mod machine;
mod outage;
pub mod outbox;
mod queued;
mod reads;
pub mod rule;
mod scope;
mod services;
pub mod text;
mod watcher;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Alarm, AlarmState};
use sluice_query::Session;
use sluice_state::{AlarmChange, AlarmMessage, Claim, Outlet, ServiceStats};
use tokio::time::Instant;

use self::clock::ClockWatch;
use self::fault::Findings;
use self::reads::Paused;
use self::scope::{Files, Networks, Scope};
pub use self::watcher::AlarmWatcher;
use crate::app::{App, with_connector};
use crate::failure::Failure;
use crate::feed;
use crate::publish;
use crate::schedule::has_come;
use crate::settings::Settings;
use crate::settings::network::{self, Loaded, NetworkSettings};
use crate::status;
use crate::telemetry;
use crate::timetable::Timetable;

/// What is claimed by who judges what all hosts share. No network has this name.
const SHARED: &str = "/alarms";
/// What is claimed by who runs checks of the operator's own, which may take long.
const CHECKS: &str = "/checks";
/// When what all hosts share was judged last, among the times of what happens by itself.
const JUDGED: &str = "alarms";
/// How long a command waits until another process has judged.
const COMMAND_WAITS: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Why alarms are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// A service does it by time and after runs: what another process has just judged isn't judged again.
    Service,
    /// A command has run what was due, and ends.
    Command,
}

/// What an evaluation did.
struct Evaluated {
    /// The settings as they are now.
    settings: Settings,
    /// Whether it judged what all hosts share, and the networks that were run.
    is_whole: bool,
}

/// Judges this machine, and what all hosts share: that is for one process at a time. Of what is costly it judges the networks
/// that `ran` since the last time. Notes what changed.
///
/// # Errors
/// The state store's failure. Whatever else fails is a fault like others.
async fn evaluate(
    app: &Arc<App>,
    ran: &BTreeSet<String>,
    clock: Option<&ClockWatch>,
    occasion: Occasion,
) -> Result<Evaluated, Failure> {
    let now = Utc::now();
    let (settings, unusable) = current_settings(app);
    let services = app.state.services().await?;
    let (files, unusable) = files_now(app, &settings, unusable);
    let claim = claim_shared(app, &settings, ran, occasion, now).await?;
    let judge = Judge { app, settings: &settings, services: &services, files, ran, now };
    let judged = match &claim {
        Some(claim) => claim.guard(judge.shared()).await,
        // Whether it reads the lake each machine judges itself.
        None => Ok((Findings::default(), app.lake.tables().await.err().map(Failure::from).into_iter().collect())),
    };
    let done = async {
        let (mut findings, unread) = judged?;
        machine::find(&settings, &services, unusable, unread, now, &mut findings).await;
        clock.iter().for_each(|clock| clock.find(&mut findings));
        let changes = ledger::changes(&known(app).await?, &findings, &settings.alarms, now);
        note(app, &settings, changes, now).await
    };
    let done = done.await;
    let is_whole = claim.is_some();
    if let Some(claim) = claim {
        claim.release().await;
    }
    done?;
    telemetry::show_alarms(&app.state.alarms().await?);
    if let Err(failure) = decide::record(&app.state, &app.lake).await {
        tracing::warn!("alarms aren't in the lake yet: {}", failure.render(false));
    }
    Ok(Evaluated { settings, is_whole })
}

/// The networks' files, none if they can't be known; and the settings that can't be used, with those of before.
fn files_now(
    app: &App,
    settings: &Settings,
    mut unusable: Vec<(String, Failure)>,
) -> (Option<Files>, Vec<(String, Failure)>) {
    match network::load_each(&settings.networks_dir) {
        Ok(Loaded { networks, broken }) => {
            unusable.extend(networks.iter().filter_map(|network| unservable(app, network)));
            let files = Files { networks, broken: broken.iter().map(|(name, _)| name.clone()).collect() };
            unusable.extend(broken.into_iter().map(|(name, failure)| (format!("networks/{name}.json"), failure)));
            (Some(files), unusable)
        }
        Err(failure) => {
            unusable.push(("networks".to_owned(), failure));
            (None, unusable)
        }
    }
}

/// The right to judge what all hosts share; none while another process does, or if one just has and nothing was run since.
async fn claim_shared(
    app: &App,
    settings: &Settings,
    ran: &BTreeSet<String>,
    occasion: Occasion,
    now: DateTime<Utc>,
) -> Result<Option<Claim>, Failure> {
    let deadline = Instant::now() + COMMAND_WAITS;
    loop {
        let last = app.state.schedule_times("").await?.read_at(JUDGED, None);
        let every = TimeDelta::from_std(settings.alarms.every()).unwrap_or_default();
        let is_judged = last.is_some_and(|last| has_come(last, now) && now < last + every);
        if is_judged && ran.is_empty() && occasion == Occasion::Service {
            return Ok(None);
        }
        if let Some(claim) = app.state.try_claim(SHARED, &[]).await? {
            app.state.note_happened(JUDGED, last, now).await?;
            return Ok(Some(claim));
        }
        if occasion == Occasion::Service || Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Evaluates after what was due has run, and sends what is due. What fails is logged: the runs are done.
pub async fn evaluate_and_send(app: &Arc<App>, ran: &BTreeSet<String>) {
    let done = async {
        let Evaluated { settings, is_whole } = evaluate(app, ran, None, Occasion::Command).await?;
        outbox::send_due(app, &settings).await?;
        let changes = if is_whole { run_checks(app, &settings, !ran.is_empty()).await? } else { None };
        if changes.is_some_and(|changes| changes > 0) { outbox::send_due(app, &settings).await } else { Ok(()) }
    };
    if let Err(failure) = done.await {
        tracing::warn!("alarms weren't evaluated: {}", failure.render(false));
    }
}

/// Runs the operator's checks that are due, beside evaluations, which wait for none. `has_run`: those too that follow runs.
/// Returns how many alarms changed; none if another process runs checks.
///
/// # Errors
/// The state store's failure.
async fn run_checks(app: &Arc<App>, settings: &Settings, has_run: bool) -> Result<Option<usize>, Failure> {
    let Some(claim) = app.state.try_claim(CHECKS, &[]).await? else { return Ok(None) };
    let judged = async {
        let mut findings = Findings::default();
        checks::find(&app.state, settings, has_run, Utc::now(), &mut findings).await?;
        let now = Utc::now();
        let changes = ledger::changes(&known(app).await?, &findings, &settings.alarms, now);
        let number = changes.len();
        note(app, settings, changes, now).await.map(|()| Some(number))
    };
    let judged = claim.guard(judged).await;
    claim.release().await;
    if let Err(failure) = decide::record(&app.state, &app.lake).await {
        tracing::warn!("alarms aren't in the lake yet: {}", failure.render(false));
    }
    judged
}

/// Judges what all hosts share.
struct Judge<'a> {
    app: &'a Arc<App>,
    settings: &'a Settings,
    services: &'a [ServiceStats],
    /// None if they can't be known.
    files: Option<Files>,
    ran: &'a BTreeSet<String>,
    now: DateTime<Utc>,
}

impl Judge<'_> {
    /// The findings, and why the lake can't be read.
    async fn shared(&self) -> Result<(Findings, Vec<Failure>), Failure> {
        let Self { app, settings, services, files, ran, now } = self;
        let mut findings = Findings::default();
        let outlets = outlets_in_use(app).await?;
        services::find(services, &app.state.alarm_messages().await?, &outlets, *now, &mut findings);
        reads::find_expiring(&settings.alarms, *now, &mut findings);
        let unread = match files {
            Some(files) => find_in_networks(app, settings, files, ran, *now, &mut findings).await.err(),
            None => None,
        };
        Ok((findings, unread.into_iter().collect()))
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
    files: &Files,
    ran: &BTreeSet<String>,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let (alarms, networks) = (&settings.alarms, &files.networks);
    let (mut paused, pauses) = (Paused::default(), app.state.all_pauses().await?);
    for network in networks {
        paused.add(network, pauses.get(&network.name).map(Vec::as_slice).unwrap_or_default());
    }
    reads::find_unstarted(app, files, &paused, alarms, now, findings).await?;
    reads::find_late(&status::streams_now(app, now).await?, &paused, files, findings);
    answers::find_doubts(&status::open_doubts(&app.lake).await?, findings);
    let ran = Networks::named(ran, networks);
    if ran.is_empty() {
        return Ok(());
    }
    let options = app.settings.limits.queries_of_a_run();
    let session = Session::open(app.lake.clone(), app.lake.tables().await?, options)?;
    let scope = Scope { session: &session, networks: &ran, files, alarms };
    reads::find_refused(&scope, findings).await?;
    answers::find_rejects(&scope, &app.lake.open_rejects(None).await?, findings).await?;
    answers::find_unknown(&scope, findings).await?;
    answers::find_duplicates(&scope, findings).await?;
    let accounts = accounts_of(app, networks, &ran);
    business::find(&app.state, &scope, &accounts, now, findings).await?;
    columns::find_new(&scope, findings).await?;
    columns::find_vanished(&app.state, &scope, &accounts, findings).await
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
