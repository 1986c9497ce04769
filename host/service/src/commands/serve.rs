//! `sluice serve`: runs networks by schedule and swaps connectors while it runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::task::JoinSet;

use crate::app::{App, GRACE, Network, with_connector};
use crate::failure::Failure;
use crate::run::{self, Verb};
use crate::schedule;
use crate::settings::network::{self, NetworkSettings};
use crate::slices::{Selection, look_back_rules};
use crate::state::State;

/// How often the service looks whether something is due.
const TICK: Duration = Duration::from_secs(1);

/// Serves until it is told to stop.
///
/// # Errors
/// A failure to watch the connectors folder. A run's failure is logged and stops nothing.
pub(super) async fn serve(app: Arc<App>) -> Result<(), Failure> {
    let _watcher = app.registry.watch()?;
    for entry in app.registry.entries() {
        match entry.refusal() {
            Some(reason) => tracing::warn!(file = entry.file, reason, "connector refused"),
            None => {
                tracing::info!(file = entry.file, network = entry.network, version = entry.version, "connector serves")
            }
        }
    }
    tracing::info!(lake = app.settings.lake_url, "serving");
    let mut running = JoinSet::new();
    let mut names = HashMap::new();
    let mut tick = tokio::time::interval(TICK);
    let mut stop = std::pin::pin!(stop_signal());
    let mut said = HashMap::new();
    loop {
        tokio::select! {
            _ = tick.tick() => start_due(&app, &mut running, &mut names, &mut said).await,
            Some(ended) = running.join_next_with_id(), if !running.is_empty() => {
                let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                names.remove(&id);
                if let Err(error) = ended {
                    tracing::error!(%error, "a run broke off");
                }
            }
            () = &mut stop => break,
        }
    }
    tracing::info!(runs = running.len(), "stopping; runs in flight may finish");
    let all = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("runs were cut off; what was answered is kept");
    }
    Ok(())
}

/// Starts a run of each network that is due and isn't running.
async fn start_due(
    app: &Arc<App>,
    running: &mut JoinSet<()>,
    names: &mut HashMap<tokio::task::Id, String>,
    said: &mut HashMap<String, String>,
) {
    let networks = match network::load_all(&app.settings.networks_dir) {
        Ok(networks) => networks,
        Err(failure) => return say_once(said, "", failure),
    };
    said.remove("");
    for settings in networks {
        let name = settings.name.clone();
        if names.values().any(|running| *running == name) {
            continue;
        }
        match due(app, settings).await {
            Ok(Some((network, rules))) => {
                said.remove(&name);
                let handle = running.spawn(run_once(app.clone(), network, rules));
                names.insert(handle.id(), name);
            }
            Ok(None) => _ = said.remove(&name),
            Err(failure) => say_once(said, &name, failure),
        }
    }
}

/// The network and the rules to follow now, if its schedule says so.
async fn due(app: &App, settings: NetworkSettings) -> Result<Option<(Network, Vec<usize>)>, Failure> {
    let network = with_connector(&app.registry, &app.settings, settings)?;
    let schedule = network.settings.content.schedule.as_ref().unwrap_or(&network.manifest().schedule);
    let cron = schedule::parse_cron(schedule).map_err(Failure::settings)?;
    let looks = app.state.looks(&network.settings.name).await?;
    let now = Utc::now();
    if !schedule::is_due(now, &cron, looks.get(&State::BEGAN).copied()) {
        return Ok(None);
    }
    let due = schedule::due_rules(now, &look_back_rules(&network), |at| looks.get(&(at as i64)).copied());
    if due.is_empty() {
        return Ok(None);
    }
    app.state.note_looks(&network.settings.name, &[State::BEGAN], now).await?;
    Ok(Some((network, due)))
}

async fn run_once(app: Arc<App>, network: Network, rules: Vec<usize>) {
    let name = network.settings.name.clone();
    let began = Utc::now();
    let selection = Selection { rules: Some(rules.clone()), ..Selection::default() };
    tracing::info!(network = name, version = network.connector.version(), "run begins");
    match run::run(&app, &network, Verb::Run, &selection).await {
        Ok(report) if report.status == "done" => {
            tracing::info!("{}", super::report::line(&report));
            // Only now: a rule that failed is due again at the schedule's next moment.
            let rules: Vec<i64> = rules.into_iter().map(|at| at as i64).collect();
            if let Err(failure) = app.state.note_looks(&name, &rules, began).await {
                tracing::error!(network = name, "{}", failure.render(false));
            }
        }
        Ok(report) => tracing::warn!(errors = report.errors.join("; "), "{}", super::report::line(&report)),
        Err(failure) => tracing::error!(network = name, "{}", failure.render(false)),
    }
}

/// Logs a failure that comes back at every tick only when it changes.
fn say_once(said: &mut HashMap<String, String>, name: &str, failure: Failure) {
    let text = failure.render(false);
    if said.insert(name.to_owned(), text.clone()).as_ref() != Some(&text) {
        tracing::error!(network = name, "{text}");
    }
}

/// Ends when the process is asked to stop.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler only the operating system can stop it.
    let _ = interrupt.await;
}
