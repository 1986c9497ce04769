//! What is due: moments of the timetables become runs in the queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_state::{Round, ScheduleTimes, Selection};
use tokio::task::JoinSet;

use crate::app::{App, Network, with_connector};
use crate::failure::Failure;
use crate::roles::Role;
use crate::schedule;
use crate::settings::network::{self, Account, NetworkSettings};
use crate::settings::schedule::Missed;
use crate::slices::look_back_rules;
use crate::take::{self, RunOutcome, Taken};
use crate::timetable::{Schedule, Timetable};

/// Parts of a network's accounts for each worker: the next one is for who is ready first.
const PARTS_PER_WORKER: usize = 2;
/// Accounts that are worth a run of their own.
const ACCOUNTS_PER_PART: usize = 4;

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

/// Queues the runs of a network that its timetable names now, and returns whether there are any. A network that is paused
/// isn't due.
///
/// # Errors
/// A failure of the settings or the state store.
pub async fn queue_due(app: &App, settings: NetworkSettings) -> Result<bool, Failure> {
    let network = with_connector(&app.registry, &app.settings, settings)?;
    let name = &network.settings.name;
    let now = Utc::now();
    let timetable = Timetable::of(&network)?;
    let reads = due_reads(&network, &timetable, &app.state.schedule_times(name).await?, now);
    if reads.is_empty() || take::is_paused(app, name).await? {
        return Ok(false);
    }
    let accounts = parts(&network, workers(app).await?);
    let mut is_queued = false;
    for read in &reads {
        let others: Vec<String> = timetable.streams.keys().filter(|_| read.stream.is_none()).cloned().collect();
        let part = |accounts: &Vec<String>| Selection {
            accounts: accounts.clone(),
            stream: read.stream.clone(),
            rules: Some(read.rules.clone()),
            without_streams: others.clone(),
            catch_up: read.catch_up.clone(),
            ..Selection::default()
        };
        let round = Round {
            network: name,
            stream: read.stream.as_deref(),
            rules: &read.rules,
            at: now,
            before: read.started_before,
            parts: accounts.iter().map(part).collect(),
        };
        is_queued |= app.state.queue_round(&round).await?;
    }
    Ok(is_queued)
}

/// Whether the network's timetable has something due now, or has queued it.
///
/// # Errors
/// A failure of the settings or the state store.
pub async fn is_due(app: &App, network: &Network) -> Result<bool, Failure> {
    Ok(is_due_by(app, network, Utc::now()).await? || app.state.has_scheduled_runs(&network.settings.name).await?)
}

/// Whether it had by a moment something due that wasn't queued since.
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
    let due_read = |(stream, schedule): (Option<&str>, &Schedule)| {
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

/// How many services take runs from the queue.
pub(crate) async fn workers(app: &App) -> Result<usize, Failure> {
    let (services, now) = (app.state.services().await?, Utc::now());
    let is_worker = |roles: &[String]| roles.iter().any(|role| role == Role::Worker.name());
    Ok(services.iter().filter(|service| service.is_fresh(now) && is_worker(&service.roles)).count())
}

/// The accounts of a network, by their ids, in parts that workers share; one part that names none where that isn't worth it.
pub(crate) fn parts(network: &Network, workers: usize) -> Vec<Vec<String>> {
    let ids: Vec<&str> = network.settings.content.accounts.iter().map(Account::id).collect();
    split(&ids, workers)
}

fn split(accounts: &[&str], workers: usize) -> Vec<Vec<String>> {
    let most = if workers > 1 { workers * PARTS_PER_WORKER } else { 1 };
    let count = accounts.len().div_ceil(ACCOUNTS_PER_PART).min(most);
    if count <= 1 {
        return vec![Vec::new()];
    }
    let mut parts = vec![Vec::new(); count];
    for (place, account) in accounts.iter().enumerate() {
        parts[place % count].push((*account).to_owned());
    }
    parts
}

/// Does what is due now of all networks, as a service would, and ends: for cron and for schedulers that start a process by
/// event. What another process works on is left to it.
///
/// # Errors
/// A failure of the settings or the state store. That of one network is in its outcome.
pub async fn run_due(app: &Arc<App>) -> Result<Vec<RunOutcome>, Failure> {
    let mut outcomes = Vec::new();
    for settings in network::load_all(&app.settings.networks_dir)? {
        let name = settings.name.clone();
        if let Err(failure) = queue_due(app, settings).await {
            outcomes.push(RunOutcome { network: name, report: None, failure: Some(failure) });
        }
    }
    let mut failed: Vec<String> = outcomes.iter().map(|outcome| outcome.network.clone()).collect();
    let mut running = JoinSet::new();
    loop {
        for taken in take_free(app, &failed, &mut outcomes).await? {
            let app = app.clone();
            running.spawn(async move { taken.carry_out(&app).await });
        }
        let Some(ended) = running.join_next().await else { break };
        let outcome = ended.map_err(Failure::failed)?;
        // It stays in the queue: the next call tries it again.
        failed.extend(outcome.failure.as_ref().map(|_| outcome.network.clone()));
        outcomes.push(outcome);
    }
    outcomes.sort_by(|a, b| a.network.cmp(&b.network));
    Ok(outcomes)
}

/// Takes the runs that nobody works on, but those of networks of which one has failed.
async fn take_free(app: &Arc<App>, failed: &[String], outcomes: &mut Vec<RunOutcome>) -> Result<Vec<Taken>, Failure> {
    let mut all = Vec::new();
    for free in app.state.free_runs().await? {
        if failed.contains(&free.network) || outcomes.iter().any(|outcome| outcome.has_failed(&free.network)) {
            continue;
        }
        match take::take(app, &free).await {
            Ok(taken) => all.extend(taken),
            Err(failure) => {
                outcomes.push(RunOutcome { network: free.network, report: None, failure: Some(failure) });
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_cut_into_as_many_parts_as_workers_can_share() {
        let names: Vec<String> = (0..50).map(|number| format!("a{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let parts = |accounts: usize, workers| split(&names[..accounts], workers);
        for (accounts, workers) in [(50, 0), (50, 1), (4, 3), (1, 3), (0, 3)] {
            assert_eq!(parts(accounts, workers), [Vec::<String>::new()], "{accounts} accounts, {workers} workers");
        }
        assert_eq!(parts(5, 3), [vec!["a0", "a2", "a4"], vec!["a1", "a3"]]);
        let sizes: Vec<usize> = parts(50, 3).iter().map(Vec::len).collect();
        assert_eq!(sizes, [9, 9, 8, 8, 8, 8]);
    }
}
