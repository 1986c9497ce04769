//! What is due of a network: what its timetable names, and its interrupted runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::describe;
use sluice_state::{NetworkLease, ScheduleTimes, Selection, Verb};
use tokio::task::JoinSet;

use crate::app::{App, Network, with_connector};
use crate::failure::Failure;
use crate::run::{self, RunReport};
use crate::schedule::{self, FailedStarts};
use crate::settings::network::{self, NetworkSettings};
use crate::settings::schedule::Missed;
use crate::slices::look_back_rules;
use crate::timetable::Timetable;

/// A network to run now, under its lease.
pub struct Due {
    network: Network,
    lease: NetworkLease,
    /// Nothing if there is only an interrupted run to resume.
    reads: Vec<DueRead>,
}

/// Streams that are read at the same moments, and what is due of them.
struct DueRead {
    /// The stream, if it has a schedule of its own.
    stream: Option<String>,
    /// The keys of the look-back rules to read.
    rules: Vec<String>,
    /// How far back each rule's windows reach, where that is further than the rule says.
    catch_up: BTreeMap<String, DateTime<Utc>>,
    /// When they were last started.
    started_before: Option<DateTime<Utc>>,
}

/// The outcome of a network that was due.
pub struct DueOutcome {
    /// Its name in the settings.
    pub network: String,
    /// The runs that came to an end.
    pub reports: Vec<RunReport>,
    /// Why there are no more of them.
    pub failure: Option<Failure>,
}

/// What to do of a network now: what its timetable says, and the run that was interrupted if there is one `to_resume`. A
/// network that is paused isn't due.
///
/// # Errors
/// A failure of the settings or the state store; one that names the holder, if another process runs the network.
pub async fn due(
    app: &App,
    settings: NetworkSettings,
    to_resume: bool,
    failed: Option<&FailedStarts>,
) -> Result<Option<Due>, Failure> {
    let network = with_connector(&app.registry, &app.settings, settings)?;
    let name = &network.settings.name;
    let now = Utc::now();
    let timetable = Timetable::of(&network)?;
    if failed.is_some_and(|failed| !failed.is_due(now, app.settings.retry_pauses, &timetable)) {
        return Ok(None);
    }
    let reads = due_reads(&network, &timetable, &app.state.schedule_times(name).await?, now);
    if reads.is_empty() && !to_resume {
        return Ok(None);
    }
    if app.state.pauses(name).await?.iter().any(|pause| pause.account.is_none()) {
        return Ok(None);
    }
    let Some(lease) = app.state.try_acquire(name).await? else {
        let Some(holder) = app.state.holder(name).await?.filter(|_| !reads.is_empty()) else { return Ok(None) };
        return Err(Failure::failed(anyhow::anyhow!("network `{name}` is in use by {holder}"))
            .hint("it runs here once the other run has ended"));
    };
    // Another process may have run it since this one checked.
    let reads = due_reads(&network, &timetable, &app.state.schedule_times(name).await?, now);
    if reads.is_empty() && !to_resume {
        lease.release().await;
        return Ok(None);
    }
    for read in &reads {
        app.state.note_start_time(name, read.stream.as_deref(), Some(now)).await?;
    }
    Ok(Some(Due { network, lease, reads }))
}

/// Whether the network's timetable has something due now.
///
/// # Errors
/// A failure of the settings or the state store.
pub async fn is_due(app: &App, network: &Network) -> Result<bool, Failure> {
    is_due_by(app, network, Utc::now()).await
}

/// Whether it had by a moment something due that wasn't started since.
///
/// # Errors
/// As [`is_due`].
pub async fn is_due_by(app: &App, network: &Network, moment: DateTime<Utc>) -> Result<bool, Failure> {
    let times = app.state.schedule_times(&network.settings.name).await?;
    Ok(!due_reads(network, &Timetable::of(network)?, &times, moment).is_empty())
}

/// What the timetable has due, each schedule by itself.
fn due_reads(network: &Network, timetable: &Timetable, times: &ScheduleTimes, now: DateTime<Utc>) -> Vec<DueRead> {
    let rules = look_back_rules(network);
    let due_read = |(stream, schedule): (Option<&str>, &crate::timetable::Schedule)| {
        let started_before = times.started_at(stream);
        if !schedule.is_due(now, started_before) {
            return None;
        }
        let due = schedule::due_rules(now, &rules, |rule| times.read_at(rule, stream));
        let mut catch_up = BTreeMap::new();
        for rule in rules.iter().filter(|_| schedule.missed == Missed::All) {
            let missed = |read_at: &DateTime<Utc>| *read_at < now - TimeDelta::days(rule.days.into());
            if let Some(read_at) = times.read_at(&rule.key(), stream).filter(missed) {
                catch_up.insert(rule.key(), read_at);
            }
        }
        let stream = stream.map(str::to_owned);
        (!due.is_empty()).then_some(DueRead { stream, rules: due, catch_up, started_before })
    };
    timetable.schedules().filter_map(due_read).collect()
}

impl Due {
    /// Finishes the network's interrupted runs, then reads what is due, and releases the lease.
    pub async fn carry_out(self, app: &Arc<App>) -> DueOutcome {
        let name = self.network.settings.name.clone();
        let mut reports = Vec::new();
        let outcome = self.lease.guard(self.read_all(app, &mut reports)).await;
        if outcome.is_err() {
            for DueRead { stream, started_before, .. } in &self.reads {
                let taken_back = app.state.note_start_time(&name, stream.as_deref(), *started_before).await;
                if let Err(error) = taken_back {
                    tracing::error!(network = name, "{}", describe(&error));
                }
            }
        }
        self.lease.release().await;
        DueOutcome { network: name, reports, failure: outcome.err() }
    }

    async fn read_all(&self, app: &Arc<App>, reports: &mut Vec<RunReport>) -> Result<(), Failure> {
        let Self { network, lease, reads } = self;
        let name = &network.settings.name;
        let now = Utc::now();
        // On the heap, here and below: a run's future is larger than a worker's stack likes in a debug build.
        for (noted, report) in Box::pin(run::finish_earlier(app, network, lease)).await? {
            let rules = noted.selection.rules.unwrap_or_default();
            note_rules(app, &report, noted.selection.stream.as_deref(), &rules, noted.started_at).await;
            reports.push(report);
        }
        let timetable = Timetable::of(network)?;
        for DueRead { stream, rules, catch_up, .. } in reads {
            // Not what an interrupted run has read just now.
            let times = app.state.schedule_times(name).await?;
            let read_at = |rule: &str| times.read_at(rule, stream.as_deref());
            let still_due = schedule::due_rules(now, &look_back_rules(network), read_at);
            let rules: Vec<String> = rules.iter().filter(|rule| still_due.contains(rule)).cloned().collect();
            if rules.is_empty() {
                continue;
            }
            let others = timetable.streams.keys().filter(|_| stream.is_none()).cloned().collect();
            let selection = Selection {
                stream: stream.clone(),
                rules: Some(rules.clone()),
                without_streams: others,
                catch_up: catch_up.clone(),
                ..Selection::default()
            };
            tracing::info!(network = name, version = network.connector.version(), "run begins");
            let report = Box::pin(run::run(app, network, lease, Verb::Run, &selection)).await?;
            note_rules(app, &report, stream.as_deref(), &rules, now).await;
            reports.push(report);
        }
        Ok(())
    }
}

/// Notes which rules a run read completely. One that failed is due again at the schedule's next moment.
async fn note_rules(app: &App, report: &RunReport, stream: Option<&str>, rules: &[String], began: DateTime<Utc>) {
    if report.status == "done"
        && let Err(error) = app.state.note_rules_read(&report.network, stream, rules, began).await
    {
        tracing::error!(network = report.network, "{}", describe(&error));
    }
}

/// Does what is due now of all networks, as a service would, and ends: for cron and for schedulers that start a process by
/// event. What another process is running is left to it.
///
/// # Errors
/// A failure of the settings or the state store. That of one network is in its outcome.
pub async fn run_due(app: &Arc<App>) -> Result<Vec<DueOutcome>, Failure> {
    let to_resume = app.state.networks_to_resume().await?;
    let mut running = JoinSet::new();
    let mut outcomes = Vec::new();
    for settings in network::load_all(&app.settings.networks_dir)? {
        let name = settings.name.clone();
        match due(app, settings, to_resume.contains(&name), None).await {
            Ok(None) => {}
            Ok(Some(due)) => {
                let app = app.clone();
                running.spawn(async move { due.carry_out(&app).await });
            }
            Err(failure) if app.state.holder(&name).await?.is_some() => {
                tracing::warn!(network = name, "{}", failure.render(false));
            }
            Err(failure) => {
                outcomes.push(DueOutcome { network: name, reports: Vec::new(), failure: Some(failure) });
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        outcomes.push(ended.map_err(Failure::failed)?);
    }
    outcomes.sort_by(|a, b| a.network.cmp(&b.network));
    Ok(outcomes)
}
