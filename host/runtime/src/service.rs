//! `sluice serve`: runs networks by schedule and swaps connectors while it runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::task::{JoinError, JoinSet};

use crate::alarms::AlarmWatcher;
use crate::app::{App, GRACE};
use crate::due::{self, Due, DueOutcome};
use crate::failure::Failure;
use crate::maintenance::MaintenanceScheduler;
use crate::run::RunReport;
use crate::schedule::FailedStarts;
use crate::service_stats::Heartbeat;
use crate::settings::network;

/// How often the service checks whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Where [`log_on_change`] keeps what stands in the way of noting what the service holds. No network is called so.
const VITALS: &str = "(vitals)";

/// Serves until a signal stops it.
///
/// # Errors
/// A failure to watch the connectors folder. A run's failure is logged and stops nothing.
pub async fn serve(app: Arc<App>) -> Result<(), Failure> {
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
    let mut runs = Runs::default();
    let mut tick = tokio::time::interval(TICK);
    let mut stop = std::pin::pin!(stop_signal());
    let mut logged = HashMap::new();
    let mut poller = DecisionPoller { mark: app.state.change_marker().await?, work: None };
    let mut keeper = MaintenanceScheduler::default();
    let mut heartbeat = Heartbeat::default();
    let mut alarms = AlarmWatcher::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {
                poll_decisions(&app, &mut poller, &mut logged).await;
                runs.start_due(&app, &mut logged).await;
                keeper.tick(&app, runs.running.is_empty()).await;
                alarms.tick(&app).await;
                match heartbeat.record(&app, runs.running.len()).await {
                    Ok(()) => _ = logged.remove(VITALS),
                    Err(failure) => log_on_change(&mut logged, VITALS, failure),
                }
            }
            Some(ended) = runs.running.join_next_with_id(), if !runs.running.is_empty() => {
                alarms.ran(runs.ended(ended, &app));
            }
            () = &mut stop => break,
        }
    }
    tracing::info!(runs = runs.running.len(), "stopping; runs in flight may finish");
    let all = async { while runs.running.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("runs were cut off; what was answered is kept");
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

/// The runs of a service.
#[derive(Default)]
struct Runs {
    running: JoinSet<Ended>,
    names: HashMap<tokio::task::Id, String>,
    /// Networks whose last run failed without coming to an end.
    failed: HashMap<String, FailedStarts>,
}

/// How a run ended.
struct Ended {
    network: String,
    has_failed: bool,
}

impl Runs {
    /// Starts a run of each network that is due and isn't running.
    async fn start_due(&mut self, app: &Arc<App>, logged: &mut HashMap<String, String>) {
        let networks = match network::load_all(&app.settings.networks_dir) {
            Ok(networks) => networks,
            Err(failure) => return log_on_change(logged, "", failure),
        };
        let to_resume = match app.state.networks_to_resume().await {
            Ok(networks) => networks,
            Err(failure) => return log_on_change(logged, "", failure),
        };
        logged.remove("");
        for settings in networks {
            let name = settings.name.clone();
            if self.names.values().any(|running| *running == name) {
                continue;
            }
            match due::due(app, settings, to_resume.contains(&name), self.failed.get(&name)).await {
                Ok(Some(due)) => {
                    logged.remove(&name);
                    let handle = self.running.spawn(run_once(app.clone(), due));
                    self.names.insert(handle.id(), name);
                }
                Ok(None) => _ = logged.remove(&name),
                Err(failure) => log_on_change(logged, &name, failure),
            }
        }
    }

    /// Notes the end of a run, and gives its network.
    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>, app: &App) -> String {
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

/// Runs what is due of a network, and logs what it did.
async fn run_once(app: Arc<App>, due: Due) -> Ended {
    let DueOutcome { network, reports, failure } = due.carry_out(&app).await;
    for report in &reports {
        log_report(report);
    }
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

/// Ends when the process gets a signal to stop.
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
