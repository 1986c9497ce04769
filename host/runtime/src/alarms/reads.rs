//! What is read late or not at all: schedules, stale accounts, gaps, refused and expiring secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sluice_model::Alarm;
use sluice_state::Pause;

use super::fault::{Fault, Findings, first_of};
use super::queued;
use super::rule::Rule;
use super::scope::{Files, Scope};
use crate::app::{App, with_connector};
use crate::due;
use crate::duplicates::texts;
use crate::failure::Failure;
use crate::settings::alarms::AlarmSettings;
use crate::settings::network::{Account, NetworkSettings};
use crate::status::{Freshness, StreamStatus};
use crate::text::count;

/// Lines of evidence.
const MAX_LINES: usize = 10;

/// Judges all streams but those of paused accounts. What a network whose file can't be used would have isn't judged.
pub(super) fn find_late(streams: &[StreamStatus], paused: &Paused, files: &Files, findings: &mut Findings) {
    let known: BTreeSet<String> = files.networks.iter().map(|network| network.content.connector.clone()).collect();
    let are_all_known = files.broken.is_empty();
    let covers = move |alarm: &Alarm| are_all_known || alarm.network.as_ref().is_some_and(|id| known.contains(id));
    findings.add(Rule::Stale, covers.clone(), stale_accounts(streams, paused, files));
    findings.add(Rule::Gap, covers, streams.iter().filter_map(gap));
}

/// What the schedule leaves alone. Several files may name one connector: a pause is of one of them.
#[derive(Debug, Default)]
pub(super) struct Paused {
    /// Names of files that are paused as a whole.
    files: BTreeSet<String>,
    /// By network id, the ids of accounts that are paused alone or with their file.
    accounts: BTreeMap<String, BTreeSet<String>>,
}

impl Paused {
    /// Adds what is paused of a file.
    pub(super) fn add(&mut self, network: &NetworkSettings, pauses: &[Pause]) {
        let is_whole = pauses.iter().any(|pause| pause.account.is_none());
        self.files.extend(is_whole.then(|| network.name.clone()));
        let accounts = network.content.accounts.iter().map(Account::id);
        let paused = accounts.filter(|id| is_whole || pauses.iter().any(|of| of.account.as_deref() == Some(*id)));
        self.accounts.entry(network.content.connector.clone()).or_default().extend(paused.map(str::to_owned));
    }

    /// Whether the file of this name is paused as a whole.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    fn has_account(&self, network: &str, account: &str) -> bool {
        self.accounts.get(network).is_some_and(|paused| paused.contains(account))
    }
}

fn stale_accounts(streams: &[StreamStatus], paused: &Paused, files: &Files) -> Vec<Fault> {
    let mut stale: BTreeMap<(&str, &str), Vec<&StreamStatus>> = BTreeMap::new();
    for stream in streams.iter().filter(|stream| stream.state == Freshness::Stale) {
        if !paused.has_account(&stream.network, &stream.account) {
            stale.entry((&stream.network, &stream.account)).or_default().push(stream);
        }
    }
    let fault = |((network, account), streams): ((&str, &str), Vec<&StreamStatus>)| {
        let summary =
            format!("{network} {account} is stale: {} not read in time", count(streams.len() as u64, "stream"));
        let line = |of: &&StreamStatus| {
            let [read, due] = [&of.last_read_at, &of.stale_at].map(|at| at.as_deref().unwrap_or("never"));
            format!("{} by {}: last read {read}, due again by {due}", of.stream, of.axis)
        };
        Fault::of(Rule::Stale, network, Some(account), None, summary)
            .evidence(first_of(streams.iter().map(line).collect(), MAX_LINES))
            .advice(format!(
                "`sluice runs --network {}` shows why its runs fail; `sluice status` what is missing",
                files.name_of(network, account)
            ))
    };
    stale.into_iter().map(fault).collect()
}

fn gap(of: &StreamStatus) -> Option<Fault> {
    let first = of.gaps.first()?;
    let number = count(of.gaps.len() as u64, "window");
    let summary = format!("{} {}: {number} of {} missing", of.network, of.account, of.stream);
    let line = |gap: &crate::status::GapStatus| {
        let error = gap.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        format!("{} to {} by {}: {}{error}", gap.since, gap.until, of.axis, gap.kind)
    };
    let fault = Fault::of(Rule::Gap, &of.network, Some(&of.account), Some(&of.stream), summary);
    // One stream may be read by several dates.
    let fault = Fault { subject: format!("{}/{}", fault.subject, of.axis), ..fault };
    Some(
        fault
            .evidence(first_of(of.gaps.iter().map(line).collect(), MAX_LINES))
            .advice(format!("a later run reads it if it can; now: {}", first.command)),
    )
}

/// Judges the schedules of networks, and what is queued.
///
/// # Errors
/// The state store's failure.
pub(super) async fn find_unstarted(
    app: &App,
    files: &Files,
    paused: &Paused,
    alarms: &AlarmSettings,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let grace = TimeDelta::minutes(alarms.threshold(Rule::Schedule, |of| of.minutes, 15).into());
    let mut faults = queued::standing_still(app, paused, now).await?;
    faults.extend(queued::late_maintenance(app, now).await?);
    let times = app.state.all_schedule_times().await?;
    for settings in &files.networks {
        let id = settings.content.connector.clone();
        let Ok(network) = with_connector(&app.registry, &app.settings, settings.clone()) else { continue };
        let name = &network.settings.name;
        let started_at = times.get(name).and_then(|times| times.started_at(None));
        let is_new = started_at.is_none() && is_younger(&app.settings.networks_dir, name, now - grace);
        if is_new || paused.has_file(name) {
            continue;
        }
        // A schedule that can't be known is a fault of the settings. While runs of the last moment go on, the next one waits.
        let is_due = !app.state.has_scheduled_runs(name).await?
            && app.state.holder(name).await?.is_none()
            && due::is_due_by(app, &network, now - grace).await.unwrap_or_default();
        // What is due is queued, and then waits to be begun, whatever other accounts of the network are about.
        if is_due || app.state.waiting_since(name).await?.is_some_and(|since| since <= now - grace) {
            faults.push(unstarted(&id, name, started_at, grace));
        }
    }
    // A network whose file can't be used isn't judged.
    let broken = files.broken.clone();
    findings.add(Rule::Schedule, move |alarm| !broken.contains(&alarm.subject), faults);
    Ok(())
}

/// Whether a network's file was written after a moment.
fn is_younger(folder: &std::path::Path, name: &str, moment: DateTime<Utc>) -> bool {
    let written = std::fs::metadata(folder.join(format!("{name}.json"))).and_then(|file| file.modified());
    written.is_ok_and(|at: SystemTime| DateTime::<Utc>::from(at) > moment)
}

fn unstarted(id: &str, name: &str, started_at: Option<DateTime<Utc>>, grace: TimeDelta) -> Fault {
    let last = started_at.map_or_else(|| "never".to_owned(), |at| at.format("%F %T UTC").to_string());
    let summary = format!("the schedule of {name} didn't fire: a run is due for more than {} min", grace.num_minutes());
    let fault = Fault::of(Rule::Schedule, id, None, None, summary).evidence([format!("last start: {last}")]);
    Fault { subject: name.to_owned(), ..fault }.advice(format!(
        "see in the service's log why it doesn't start; without a service, let cron call `sluice run --due`. Now: sluice run \
         {name}"
    ))
}

/// Judges the secrets of networks that were read.
///
/// # Errors
/// The lake's failure.
pub(super) async fn find_refused(scope: &Scope<'_>, findings: &mut Findings) -> Result<(), Failure> {
    let query = format!(
        "SELECT network, account, stream, error, CAST(read_at AS VARCHAR) FROM (
             SELECT *, row_number() OVER (PARTITION BY network, account, stream ORDER BY read_at DESC) AS place
             FROM meta.coverage WHERE network IN ({}) AND read_at > now() - INTERVAL '30 days')
         WHERE place = 1 AND error_kind = 'credentials' ORDER BY network, account, stream",
        scope.networks.list()
    );
    let rows: Vec<[String; 5]> = texts(scope.session, &query).await?;
    scope.add(Rule::Credentials, &rows, |rows| refused(rows, scope.files), findings);
    Ok(())
}

fn refused(rows: &[[String; 5]], files: &Files) -> Fault {
    let [network, account, ..] = &rows[0];
    let line = |[_, _, stream, error, at]: &[String; 5]| format!("{stream} at {at}: {error}");
    Fault::of(Rule::Credentials, network, Some(account), None, format!("{network} refuses the secrets of {account}"))
        .evidence(first_of(rows.iter().map(line).collect(), MAX_LINES))
        .advice(format!(
            "renew them where networks/{}.json says they are; the next run reads them again",
            files.name_of(network, account)
        ))
}

/// Judges the last days of secrets.
pub(super) fn find_expiring(alarms: &AlarmSettings, now: DateTime<Utc>, findings: &mut Findings) {
    let days = alarms.threshold(Rule::Expiry, |of| of.days, 14);
    findings.add(Rule::Expiry, |_| true, expiring(&alarms.expires, days, now.date_naive()));
}

fn expiring(expires: &BTreeMap<String, NaiveDate>, days: u32, today: NaiveDate) -> Vec<Fault> {
    let fault = |(name, last): (&String, &NaiveDate)| {
        let left = (*last - today).num_days();
        if left > i64::from(days) {
            return None;
        }
        let summary = match left {
            ..0 => format!("the secrets of {name} expired on {last}"),
            0 => format!("the secrets of {name} expire today"),
            _ => format!("the secrets of {name} expire in {} on {last}", count(left.unsigned_abs(), "day")),
        };
        let mut parts = name.split('/').map(str::to_owned);
        let (network, account) = (parts.next(), parts.next());
        let fault = Fault { network, account, ..Fault::new(Rule::Expiry, name.clone(), summary) };
        Some(fault.advice(format!("renew them, and set the new day in [alarms.expires]: \"{name}\" = \"…\"")))
    };
    expires.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::status::GapStatus;

    fn stream(account: &str, stream: &str, state: Freshness) -> StreamStatus {
        StreamStatus {
            network: "awin".to_owned(),
            account: account.to_owned(),
            stream: stream.to_owned(),
            axis: "modified".to_owned(),
            state,
            last_read_at: Some("2026-01-05T10:00:00Z".to_owned()),
            stale_at: Some("2026-01-05T12:00:00Z".to_owned()),
            read_since: None,
            read_until: None,
            last_failed_at: None,
            gaps: Vec::new(),
        }
    }

    fn file(name: &str, accounts: &[&str]) -> NetworkSettings {
        let accounts: Vec<_> = accounts.iter().map(|name| serde_json::json!({"name": name})).collect();
        let content = serde_json::json!({"connector": "awin", "accounts": accounts});
        let content = Arc::new(serde_json::from_value(content).unwrap());
        NetworkSettings { name: name.to_owned(), file: format!("networks/{name}.json"), content }
    }

    fn files(networks: Vec<NetworkSettings>) -> Files {
        Files { networks, broken: BTreeSet::new() }
    }

    fn pause(account: Option<&str>) -> Pause {
        Pause { account: account.map(str::to_owned), paused_at: Utc::now(), reason: String::new() }
    }

    #[test]
    fn an_account_is_stale_once_whatever_its_streams() {
        let streams = [
            stream("uk", "transactions", Freshness::Stale),
            stream("uk", "payments", Freshness::Stale),
            stream("de", "transactions", Freshness::Fresh),
            stream("fr", "transactions", Freshness::Stale),
        ];
        let mut paused = Paused::default();
        paused.add(&file("awin", &["uk", "fr"]), &[pause(Some("fr"))]);
        let files = files(vec![file("awin-uk", &["uk"]), file("awin-fr", &["fr"])]);
        let faults = stale_accounts(&streams, &paused, &files);
        assert!(faults[0].advice.contains("--network awin-uk"), "{faults:?}");
        assert_eq!(faults.iter().map(|fault| fault.subject.as_str()).collect::<Vec<_>>(), ["awin/uk"]);
        assert!(faults[0].summary.contains("2 streams not read in time"), "{faults:?}");
        paused.add(&file("awin", &["uk", "fr"]), &[pause(None)]);
        assert!(stale_accounts(&streams, &paused, &files).is_empty());
    }

    #[test]
    fn a_paused_file_leaves_others_of_its_connector_alone() {
        let mut paused = Paused::default();
        paused.add(&file("awin-uk", &["uk"]), &[pause(None)]);
        paused.add(&file("awin-fr", &["fr"]), &[]);
        let streams = ["uk", "fr"].map(|account| stream(account, "transactions", Freshness::Stale));
        let faults = stale_accounts(&streams, &paused, &files(Vec::new()));
        let subjects: Vec<String> = faults.into_iter().map(|fault| fault.subject).collect();
        assert_eq!(subjects, ["awin/fr"]);
        assert!(paused.has_file("awin-uk") && !paused.has_file("awin-fr"));
    }

    #[test]
    fn a_gap_names_the_command_that_closes_it() {
        assert_eq!(gap(&stream("uk", "transactions", Freshness::Fresh)), None);
        let missing = GapStatus {
            since: "2026-01-01T00:00:00Z".to_owned(),
            until: "2026-01-02T00:00:00Z".to_owned(),
            kind: "failed",
            failed_at: None,
            error: Some("HTTP 500".to_owned()),
            command: "sluice run awin --account uk".to_owned(),
        };
        let of = StreamStatus { gaps: vec![missing], ..stream("uk", "transactions", Freshness::Fresh) };
        let fault = gap(&of).unwrap();
        assert_eq!(fault.subject, "awin/uk/transactions/modified");
        assert!(fault.evidence.ends_with("failed: HTTP 500") && fault.advice.ends_with("sluice run awin --account uk"));
    }

    #[test]
    fn secrets_expire_in_so_many_days() {
        let expires = |day: &str| BTreeMap::from([("awin/uk".to_owned(), day.parse().unwrap())]);
        let today = "2026-01-05".parse().unwrap();
        let summary = |day: &str| expiring(&expires(day), 14, today).pop().map(|fault| fault.summary);
        assert_eq!(summary("2026-01-20"), None);
        assert_eq!(summary("2026-01-19").unwrap(), "the secrets of awin/uk expire in 14 days on 2026-01-19");
        assert_eq!(summary("2026-01-05").unwrap(), "the secrets of awin/uk expire today");
        assert_eq!(summary("2026-01-04").unwrap(), "the secrets of awin/uk expired on 2026-01-04");
    }
}
