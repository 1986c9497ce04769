//! What is due: moments of the timetables become runs in the queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_state::{Pause, Round, ScheduleTimes, Selection};
use tokio::task::JoinSet;

use crate::app::{App, Network, with_connector};
use crate::failure::Failure;
use crate::network::look_back_rules;
use crate::roles::Role;
use crate::schedule::{self, has_come};
use crate::settings::look_back::LookBackRule;
use crate::settings::network::{self, Account, Loaded, NetworkSettings};
use crate::settings::schedule::Missed;
use crate::take::{self, Attempt, RunOutcome, Taken};
use crate::timetable::{Schedule, Timetable};

/// Parts of a network's accounts for each worker: the next one is for who is ready first.
const PARTS_PER_WORKER: usize = 2;
/// Accounts that are worth a run of their own.
const ACCOUNTS_PER_PART: usize = 4;

/// Streams that are read at the same moments, and what is due of them.
struct DueRead {
    /// The stream, if it has a schedule of its own.
    stream: Option<String>,
    /// Accounts that have the same rules due: one group of all of them, unless some weren't read when others were.
    groups: Vec<DueAccounts>,
    /// When they were last started.
    started_before: Option<DateTime<Utc>>,
}

/// Accounts of which the same is due.
struct DueAccounts {
    /// Their ids.
    accounts: Vec<String>,
    /// The keys of the look-back rules to read.
    rules: Vec<String>,
    /// How far back each rule's windows reach, where that is further than the rule says.
    catch_up: BTreeMap<String, DateTime<Utc>>,
}

impl DueRead {
    /// The rules that are due of all accounts.
    fn of_all(&self, network: &Network) -> Vec<String> {
        let [first, others @ ..] = &self.groups[..] else { return Vec::new() };
        let count: usize = self.groups.iter().map(|group| group.accounts.len()).sum();
        let is_of_all = |rule: &&String| others.iter().all(|group| group.rules.contains(rule));
        let of_all = first.rules.iter().filter(|_| count == network.settings.content.accounts.len());
        of_all.filter(is_of_all).cloned().collect()
    }

    /// The accounts of each run, with what it reads of them. `workers` share them.
    fn parts(&self, network: &Network, workers: usize) -> Vec<(Vec<String>, &DueAccounts)> {
        let all = network.settings.content.accounts.len();
        let parts_of = |group: &DueAccounts| {
            let ids: Vec<&str> = group.accounts.iter().map(String::as_str).collect();
            match split(&ids, workers) {
                // One that names none is of the whole network.
                parts if parts.len() == 1 && ids.len() < all => vec![group.accounts.clone()],
                parts => parts,
            }
        };
        self.groups.iter().flat_map(|group| parts_of(group).into_iter().map(move |part| (part, group))).collect()
    }
}

/// What the state store has of the schedules of all networks: it is asked once for all.
pub struct NotedSchedules {
    times: HashMap<String, ScheduleTimes>,
    pauses: HashMap<String, Vec<Pause>>,
}

impl NotedSchedules {
    /// As it is now.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn read(app: &App) -> Result<Self, Failure> {
        Ok(Self { times: app.state.all_schedule_times().await?, pauses: app.state.all_pauses().await? })
    }

    fn of(&self, network: &str) -> (ScheduleTimes, &[Pause]) {
        let pauses = self.pauses.get(network).map(Vec::as_slice).unwrap_or_default();
        (self.times.get(network).cloned().unwrap_or_default(), pauses)
    }
}

/// Queues the runs of a network that its timetable names now, and returns whether there are any. A network that is paused
/// isn't due. What another process has queued since `noted` was read isn't queued again.
///
/// # Errors
/// A failure of the settings or the state store.
pub async fn queue_due(app: &App, settings: NetworkSettings, noted: &NotedSchedules) -> Result<bool, Failure> {
    let network = with_connector(&app.registry, &app.settings, settings)?;
    let name = &network.settings.name;
    let now = Utc::now();
    let timetable = Timetable::of(&network)?;
    let (times, pauses) = noted.of(name);
    let reads = due_reads(&network, &timetable, &times, pauses, (now, now));
    if reads.is_empty() || pauses.iter().any(|pause| pause.account.is_none()) {
        return Ok(false);
    }
    let workers = workers(app).await?;
    let mut is_queued = false;
    for read in &reads {
        let others: Vec<String> = timetable.streams.keys().filter(|_| read.stream.is_none()).cloned().collect();
        let part = |(accounts, of): (Vec<String>, &DueAccounts)| Selection {
            accounts,
            stream: read.stream.clone(),
            rules: Some(of.rules.clone()),
            without_streams: others.clone(),
            catch_up: of.catch_up.clone(),
            ..Selection::default()
        };
        let round = Round {
            network: name,
            stream: read.stream.as_deref(),
            rules: &read.of_all(&network),
            at: now,
            before: read.started_before,
            parts: read.parts(&network, workers).into_iter().map(part).collect(),
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
    let name = &network.settings.name;
    let (times, pauses) = (app.state.schedule_times(name).await?, app.state.pauses(name).await?);
    Ok(!due_reads(network, &Timetable::of(network)?, &times, &pauses, (moment, Utc::now())).is_empty())
}

/// What the timetable has due at a moment, each schedule by itself. What was noted for after now was noted by a clock that went
/// back since: it counts for nothing.
fn due_reads(
    network: &Network,
    timetable: &Timetable,
    times: &ScheduleTimes,
    pauses: &[Pause],
    (moment, now): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<DueRead> {
    let rules = look_back_rules(network);
    let ids: Vec<&str> = network.settings.content.accounts.iter().map(Account::id).collect();
    let is_paused = |account: &str| pauses.iter().any(|pause| pause.account.as_deref() == Some(account));
    let due_read = |(stream, schedule): (Option<&str>, &Schedule)| {
        let started_before = times.started_at(stream);
        if !schedule.is_due(moment, started_before.filter(|at| has_come(*at, now))) {
            return None;
        }
        let read_at = |rule: &str, account: &str| {
            let read_at = if is_paused(account) {
                // It isn't read, whatever failed of it before.
                times.read_at(rule, stream)
            } else {
                times.read_at_of(rule, stream, account)
            };
            read_at.filter(|at| has_come(*at, now))
        };
        let groups = due_accounts(&rules, &ids, read_at, schedule.missed == Missed::All, moment);
        (!groups.is_empty()).then_some(DueRead { stream: stream.map(str::to_owned), groups, started_before })
    };
    timetable.schedules().filter_map(due_read).collect()
}

/// The accounts of which something is due, those together of which the same is. `makes_up`: windows reach back to what was
/// read last.
fn due_accounts(
    rules: &[LookBackRule],
    accounts: &[&str],
    read_at: impl Fn(&str, &str) -> Option<DateTime<Utc>>,
    makes_up: bool,
    now: DateTime<Utc>,
) -> Vec<DueAccounts> {
    let mut groups: Vec<DueAccounts> = Vec::new();
    for account in accounts {
        let due = schedule::due_rules(now, rules, |rule| read_at(rule, account));
        if due.is_empty() {
            continue;
        }
        let place = groups.iter().position(|group| group.rules == due).unwrap_or_else(|| {
            groups.push(DueAccounts { accounts: Vec::new(), rules: due, catch_up: BTreeMap::new() });
            groups.len() - 1
        });
        let group = &mut groups[place];
        group.accounts.push((*account).to_owned());
        for rule in rules.iter().filter(|_| makes_up) {
            let missed = |read_at: &DateTime<Utc>| *read_at < now - TimeDelta::days(rule.days.into());
            if let Some(read_at) = read_at(&rule.key(), account).filter(missed) {
                let reach = group.catch_up.entry(rule.key()).or_insert(read_at);
                *reach = read_at.min(*reach);
            }
        }
    }
    groups
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
    let Loaded { networks, broken } = network::load_each(&app.settings.networks_dir)?;
    let failed = |(network, failure): (String, Failure)| RunOutcome { network, report: None, failure: Some(failure) };
    let mut outcomes: Vec<RunOutcome> = broken.into_iter().map(failed).collect();
    let noted = NotedSchedules::read(app).await?;
    for settings in networks {
        let name = settings.name.clone();
        if let Err(failure) = queue_due(app, settings, &noted).await {
            outcomes.push(failed((name, failure)));
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

/// Takes the runs of schedules that nobody works on, but those of networks of which one has failed. Queued history isn't what
/// is due: services read it.
async fn take_free(app: &Arc<App>, failed: &[String], outcomes: &mut Vec<RunOutcome>) -> Result<Vec<Taken>, Failure> {
    let mut all = Vec::new();
    // Networks of which no run can be taken now.
    let mut closed = BTreeSet::new();
    for free in app.state.free_runs_of_schedules().await? {
        let is_closed = closed.contains(&free.network) || failed.contains(&free.network);
        if is_closed || outcomes.iter().any(|outcome| outcome.has_failed(&free.network)) {
            continue;
        }
        match take::take(app, &free).await {
            Ok(Attempt::Taken(taken)) => all.push(*taken),
            Ok(_) => _ = closed.insert(free.network),
            Err(failure) => {
                outcomes.push(RunOutcome { network: free.network, report: None, failure: Some(failure) });
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_account_that_failed_is_due_by_itself() {
        let rule = |every, days| LookBackRule { every, days, axis: None, requests: None, at_least_every: None };
        let (hourly, daily) = (rule(3_600, 3), rule(86_400, 45));
        let now: DateTime<Utc> = "2026-01-05T11:00:00Z".parse().unwrap();
        let (hour_ago, days_ago) = (now - TimeDelta::hours(1), now - TimeDelta::days(50));
        let read_at = |rule: &str, account: &str| {
            let is_unread = rule == daily.key() && account == "b";
            Some(if is_unread { days_ago } else { hour_ago })
        };
        let rules = [hourly.clone(), daily.clone()];
        let due = due_accounts(&rules, &["a", "b", "c"], read_at, true, now);
        let shown: Vec<_> = due.iter().map(|group| (group.accounts.join(" "), group.rules.len())).collect();
        assert_eq!(shown, [("a c".to_owned(), 1), ("b".to_owned(), 2)]);
        assert!(due[0].catch_up.is_empty());
        assert_eq!(due[1].catch_up, BTreeMap::from([(daily.key(), days_ago)]));
        let fresh = |_: &str, account: &str| Some(if account == "c" { hour_ago } else { now });
        let due = due_accounts(&rules, &["a", "b", "c"], fresh, false, now);
        assert_eq!(due.iter().map(|group| group.accounts.join(" ")).collect::<Vec<_>>(), ["c"]);
    }

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
