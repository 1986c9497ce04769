//! `sluice serve`: runs networks by schedule and swaps connectors while it runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;

use crate::app::{App, GRACE, Network, with_connector};
use crate::failure::Failure;
use crate::run::{self, RunReport, Verb};
use crate::schedule;
use crate::settings::network::{self, NetworkSettings};
use crate::slices::{Selection, look_back_rules};
use crate::state::{Owner, State};
use crate::upkeep::Keeper;
use crate::vitals::Pulse;

/// How often the service looks whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Where [`say_once`] keeps what stands in the way of noting what the service holds. No network is called so.
const VITALS: &str = "(vitals)";

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
    let mut looked = HashSet::new();
    let mut heard = Heard { mark: app.state.swap_mark().await?, work: None };
    let mut keeper = Keeper::default();
    let mut pulse = Pulse::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {
                hear(&app, &mut heard, &mut said).await;
                start_due(&app, &mut running, &mut names, &mut said, &mut looked).await;
                keeper.tick(&app, running.is_empty()).await;
                match pulse.beat(&app, running.len()).await {
                    Ok(()) => _ = said.remove(VITALS),
                    Err(failure) => say_once(&mut said, VITALS, failure),
                }
            }
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
    pulse.end(&app).await
}

/// What was heard of swaps: what the operator said last, and the work that follows from it.
struct Heard {
    mark: String,
    work: Option<tokio::task::JoinHandle<()>>,
}

/// Looks whether the operator has said something about versions, or another process has switched. Trying a version
/// takes seconds, so it holds up nothing.
async fn hear(app: &Arc<App>, heard: &mut Heard, said: &mut HashMap<String, String>) {
    if heard.work.as_ref().is_some_and(|work| !work.is_finished()) {
        return;
    }
    match app.state.swap_mark().await {
        Ok(mark) if mark == heard.mark => {}
        Ok(mark) => {
            heard.mark = mark;
            let app = app.clone();
            heard.work = Some(tokio::spawn(async move {
                if let Err(failure) = app.reconsider().await {
                    tracing::error!("{}", failure.render(false));
                }
            }));
        }
        Err(failure) => say_once(said, "", failure),
    }
}

/// Starts a run of each network that is due and isn't running.
async fn start_due(
    app: &Arc<App>,
    running: &mut JoinSet<()>,
    names: &mut HashMap<tokio::task::Id, String>,
    said: &mut HashMap<String, String>,
    looked: &mut HashSet<String>,
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
        match due(app, settings, looked.insert(name.clone())).await {
            Ok(Some(due)) => {
                said.remove(&name);
                let handle = running.spawn(run_once(app.clone(), due));
                names.insert(handle.id(), name);
            }
            Ok(None) => _ = said.remove(&name),
            Err(failure) => say_once(said, &name, failure),
        }
    }
}

/// A network to run now.
struct Due {
    network: Network,
    owner: Owner,
    /// The look-back rules to follow; none of them if there is only a run to finish that was broken off.
    rules: Vec<usize>,
}

/// What to do of a network now: what its schedule says, and at the first look what was broken off.
async fn due(app: &App, settings: NetworkSettings, is_first_look: bool) -> Result<Option<Due>, Failure> {
    let network = with_connector(&app.registry, &app.settings, settings)?;
    let name = &network.settings.name;
    let now = Utc::now();
    let rules = due_rules(app, &network, now).await?;
    if rules.is_empty() && !(is_first_look && app.state.has_unfinished_runs(name).await?) {
        return Ok(None);
    }
    let Some(owner) = app.state.try_own(name).await? else {
        return match rules.is_empty() {
            // Its run isn't over because it is alive.
            true => Ok(None),
            false => Err(Failure::failed(anyhow::anyhow!("{} runs `{name}` now", app.state.holder(name)))
                .hint("it is run here as soon as that is over")),
        };
    };
    if !rules.is_empty() {
        app.state.note_looks(name, &[State::BEGAN], now).await?;
    }
    Ok(Some(Due { network, owner, rules }))
}

/// The places of the look-back rules to follow now.
async fn due_rules(app: &App, network: &Network, now: DateTime<Utc>) -> Result<Vec<usize>, Failure> {
    let schedule = network.settings.content.schedule.as_ref().unwrap_or(&network.manifest().schedule);
    let cron = schedule::parse_cron(schedule).map_err(Failure::settings)?;
    let looks = app.state.looks(&network.settings.name).await?;
    if !schedule::is_due(now, &cron, looks.get(&State::BEGAN).copied()) {
        return Ok(Vec::new());
    }
    Ok(schedule::due_rules(now, &look_back_rules(network), |at| looks.get(&(at as i64)).copied()))
}

async fn run_once(app: Arc<App>, Due { network, owner, rules }: Due) {
    let name = network.settings.name.clone();
    let began = Utc::now();
    match run::finish_earlier(&app, &network, &owner).await {
        Ok(finished) => {
            for (noted, report) in finished {
                let rules = noted.selection.rules.unwrap_or_default();
                tell(&app, &report, &rules, noted.started_at).await;
            }
        }
        Err(failure) => return tracing::error!(network = name, "{}", failure.render(false)),
    }
    if rules.is_empty() {
        return;
    }
    let selection = Selection { rules: Some(rules.clone()), ..Selection::default() };
    tracing::info!(network = name, version = network.connector.version(), "run begins");
    match run::run(&app, &network, &owner, Verb::Run, &selection).await {
        Ok(report) => tell(&app, &report, &rules, began).await,
        Err(failure) => tracing::error!(network = name, "{}", failure.render(false)),
    }
}

/// Logs what a run did, and notes which rules were followed to the end.
async fn tell(app: &App, report: &RunReport, rules: &[usize], began: DateTime<Utc>) {
    if report.status != "done" {
        return tracing::warn!(errors = report.errors.join("; "), "{}", super::report::line(report));
    }
    tracing::info!("{}", super::report::line(report));
    // Only now: a rule that failed is due again at the schedule's next moment.
    let rules: Vec<i64> = rules.iter().map(|at| *at as i64).collect();
    if let Err(failure) = app.state.note_looks(&report.network, &rules, began).await {
        tracing::error!(network = report.network, "{}", failure.render(false));
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
