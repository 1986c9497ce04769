//! `sluice serve`: queues what the schedule names, takes runs from the queue, and swaps connectors while it runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::task::{JoinError, JoinSet};

use crate::alarms::AlarmWatcher;
use crate::app::{App, GRACE};
use crate::check;
use crate::due::{self, NotedSchedules};
use crate::failure::Failure;
use crate::maintenance::MaintenanceScheduler;
use crate::outlets::OutletWatcher;
use crate::roles::{Role, Roles};
use crate::run::RunReport;
use crate::schedule::FailedStarts;
use crate::service_stats::Heartbeat;
use crate::settings::network::{self, Loaded};
use crate::take::{self, Attempt, RunOutcome, Taken, Tried};
use crate::timetable::Timetable;

/// How often the service checks whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Where [`log_on_change`] keeps what stands in the way of noting what the service holds. No network is called so.
const VITALS: &str = "(vitals)";

/// Warns of networks that outlets and alarms are for and that nobody has, unless a file can't be read that may have them.
async fn warn_of_unknown_networks(app: &App) {
    let Ok(Loaded { networks, broken }) = network::load_each(&app.settings.networks_dir) else { return };
    if !broken.is_empty() {
        return;
    }
    match check::unknown_networks(&app.settings, &networks, &app.lake).await {
        Ok(unknown) => unknown.into_iter().for_each(|unknown| tracing::warn!("{unknown}")),
        Err(failure) => tracing::warn!("{}", failure.render(false)),
    }
}

/// Serves until a signal stops it.
///
/// # Errors
/// A failure to watch the connectors folder. A run's failure is logged and stops nothing.
pub async fn serve(app: Arc<App>, roles: &Roles) -> Result<(), Failure> {
    let _watcher = app.registry.watch()?;
    for entry in app.registry.entries() {
        match entry.refusal() {
            Some(reason) => tracing::warn!(file = entry.file, reason, "connector refused"),
            None => {
                tracing::info!(file = entry.file, network = entry.network, version = entry.version, "connector serves")
            }
        }
    }
    warn_of_unknown_networks(&app).await;
    let mut stop = std::pin::pin!(stop_signal());
    tracing::info!(lake = app.settings.lake_url, roles = roles.names().join(","), "serving");
    let mut runs = Runs::default();
    let mut tick = tokio::time::interval(TICK);
    let mut logged = HashMap::new();
    let mut poller = DecisionPoller { mark: app.state.change_marker().await?, work: None };
    let mut keeper = MaintenanceScheduler::default();
    let mut heartbeat = Heartbeat::new(roles);
    let (mut alarms, mut outlets) = (AlarmWatcher::default(), OutletWatcher::default());
    loop {
        tokio::select! {
            _ = tick.tick() => {
                poll_decisions(&app, &mut poller, &mut logged).await;
                // Before anything is queued: it is cut into parts by the workers that there are.
                match heartbeat.record(&app, runs.running.len(), runs.ended).await {
                    Ok(()) => _ = logged.remove(VITALS),
                    Err(failure) => log_on_change(&mut logged, VITALS, failure),
                }
                if roles.has(Role::Scheduler) {
                    queue_due(&app, &mut logged).await;
                    keeper.tick(&app, runs.running.is_empty()).await;
                }
                if roles.has(Role::Worker) {
                    runs.take_free(&app).await;
                    outlets.tick(&app).await;
                }
                alarms.tick(&app).await;
            }
            Some(ended) = runs.running.join_next_with_id(), if !runs.running.is_empty() => {
                alarms.ran(runs.note_ended(ended, &app));
                outlets.ran();
                // The next one needn't wait.
                tick.reset_immediately();
            }
            () = &mut stop => break,
        }
    }
    tracing::info!(runs = runs.running.len(), "stopping; runs in flight may finish");
    let all = async { while runs.running.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("runs were cut off; what was answered is kept");
        // Their accounts are given back.
        runs.running.shutdown().await;
    }
    heartbeat.end(&app).await
}

/// Follows the operator's decisions on versions: the marker that was read last, and the work that follows from it.
struct DecisionPoller {
    mark: String,
    work: Option<tokio::task::JoinHandle<()>>,
}

/// Checks whether there is a new decision on versions, or another process has switched. A trial takes seconds, so it runs
/// beside the loop.
async fn poll_decisions(app: &Arc<App>, poller: &mut DecisionPoller, logged: &mut HashMap<String, String>) {
    if poller.work.as_ref().is_some_and(|work| !work.is_finished()) {
        return;
    }
    match app.state.change_marker().await {
        Ok(mark) if mark == poller.mark => {}
        Ok(mark) => {
            poller.mark = mark;
            let app = app.clone();
            poller.work = Some(tokio::spawn(async move {
                app.registry.reconsider().await;
            }));
        }
        Err(failure) => log_on_change(logged, "", failure),
    }
}

/// Queues what is due of each network.
async fn queue_due(app: &App, logged: &mut HashMap<String, String>) {
    let Loaded { networks, broken } = match network::load_each(&app.settings.networks_dir) {
        Ok(loaded) => loaded,
        Err(failure) => return log_on_change(logged, "", failure),
    };
    let noted = match NotedSchedules::read(app).await {
        Ok(noted) => noted,
        Err(failure) => return log_on_change(logged, "", failure),
    };
    logged.remove("");
    for (name, failure) in broken {
        log_on_change(logged, &name, failure);
    }
    for settings in networks {
        let name = settings.name.clone();
        match due::queue_due(app, settings, &noted).await {
            Ok(_) => _ = logged.remove(&name),
            Err(failure) => log_on_change(logged, &name, failure),
        }
    }
}

#[derive(Default)]
struct Runs {
    running: JoinSet<Ended>,
    /// How many have ended.
    ended: u64,
    names: HashMap<tokio::task::Id, String>,
    /// Networks whose last run failed without coming to an end.
    failed: HashMap<String, FailedStarts>,
    /// Why runs couldn't be taken, by network.
    logged: HashMap<String, String>,
}

/// How a run ended.
struct Ended {
    network: String,
    has_failed: bool,
}

impl Runs {
    /// Takes runs that nobody works on from the queue: of each network one at a time, so that hosts share a network.
    async fn take_free(&mut self, app: &Arc<App>) {
        let free = match app.state.free_runs().await {
            Ok(free) => free,
            Err(failure) => return log_on_change(&mut self.logged, "", failure),
        };
        self.logged.remove("");
        let mut tried = Tried::default();
        for free in free {
            if tried.skips(&free) {
                continue;
            }
            let name = free.network.clone();
            if self.names.values().any(|running| *running == name) || !self.may_begin(app, &name) {
                tried.close(&name);
                continue;
            }
            let attempt = take::take(app, &free).await;
            tried.note(&free, &attempt);
            match attempt {
                Ok(Attempt::Taken(taken)) => {
                    let handle = self.running.spawn(run_once(app.clone(), *taken));
                    self.logged.remove(&name);
                    self.names.insert(handle.id(), name);
                }
                Ok(_) => {}
                Err(failure) => log_on_change(&mut self.logged, &name, failure),
            }
        }
    }

    /// Whether a network's run may be begun, after one that failed to come to an end.
    fn may_begin(&self, app: &App, network: &str) -> bool {
        let Some(failed) = self.failed.get(network) else { return true };
        // Settings that are wrong by now are reported when the run is taken.
        let timetable = app.network(network).and_then(|network| Timetable::of(&network));
        timetable.map_or(true, |timetable| failed.is_due(Utc::now(), app.settings.retry_pauses, &timetable))
    }

    /// Notes the end of a run, and gives its network.
    fn note_ended(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>, app: &App) -> String {
        self.ended += 1;
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id);
        let (network, has_failed) = match ended {
            Ok((_, ended)) => (ended.network, ended.has_failed),
            Err(error) => {
                tracing::error!(%error, "a run panicked or was cancelled");
                (name.unwrap_or_default(), true)
            }
        };
        if !has_failed {
            self.failed.remove(&network);
            return network;
        }
        let failed = FailedStarts::another(self.failed.remove(&network), Utc::now());
        let pause_secs = failed.pause(app.settings.retry_pauses).num_seconds();
        tracing::warn!(network, "tried again in {pause_secs} s, or at the schedule's next moment if that comes first");
        self.failed.insert(network.clone(), failed);
        network
    }
}

/// Carries a run out, and logs what it did.
async fn run_once(app: Arc<App>, taken: Taken) -> Ended {
    let RunOutcome { network, report, failure } = taken.carry_out(&app).await;
    report.iter().for_each(log_report);
    if let Some(failure) = &failure {
        tracing::error!(network, "{}", failure.render(false));
    }
    Ended { network, has_failed: failure.is_some() }
}

fn log_report(report: &RunReport) {
    for warning in &report.warnings {
        tracing::warn!(network = report.network, "{warning}");
    }
    match report.status {
        "done" => tracing::info!("{}", report.line()),
        _ => tracing::warn!(errors = report.errors.join("; "), "{}", report.line()),
    }
}

/// Logs a failure that comes back at every tick only when it changes.
fn log_on_change(logged: &mut HashMap<String, String>, name: &str, failure: impl Into<Failure>) {
    let text = failure.into().render(false);
    if logged.insert(name.to_owned(), text.clone()).as_ref() != Some(&text) {
        tracing::error!(network = name, "{text}");
    }
}

/// Ends when the process gets a signal to stop, from the call on: not only once it is waited for.
fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    async move {
        let interrupt = tokio::signal::ctrl_c();
        #[cfg(unix)]
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        // Without a handler only the operating system can stop it.
        let _ = interrupt.await;
    }
}
