//! Services that are gone, and receivers that accept no messages.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sluice_state::{AlarmMessage, Outlet, ServiceStats};

use super::fault::{Fault, Findings};
use super::rule::Rule;

/// Attempts after which a receiver counts as out of reach.
const MANY_ATTEMPTS: u32 = 5;

pub(super) fn find(
    services: &[ServiceStats],
    messages: &[AlarmMessage],
    outlets: &[Outlet],
    now: DateTime<Utc>,
    findings: &mut Findings,
) {
    findings.add(Rule::Host, |_| true, gone_services(services, now));
    let receivers = silent_receivers(messages).into_iter().chain(failing_outlets(outlets));
    findings.add(Rule::Receiver, |_| true, receivers);
}

/// Receivers of the change feed that accept nothing, and databases that can't be published to.
fn failing_outlets(outlets: &[Outlet]) -> Vec<Fault> {
    let failing = outlets.iter().filter(|outlet| outlet.attempts >= MANY_ATTEMPTS);
    let fault = |outlet: &Outlet| {
        let section = outlet.name.replace('/', ".");
        Fault::new(Rule::Receiver, &outlet.name, format!("[{section}] accepts no changes"))
            .evidence([format!("{} attempts since the last that succeeded; the log has the reasons", outlet.attempts)])
            .advice(format!("correct [{section}] in sluice.toml, or what it names; it goes on where it was"))
    };
    failing.map(fault).collect()
}

/// Services that stopped reporting without having ended, and in whose place no younger one runs on their host. Each younger one
/// takes the place of one: of one with its roles, if there is any.
fn gone_services(services: &[ServiceStats], now: DateTime<Utc>) -> Vec<Fault> {
    let mut gone: Vec<&ServiceStats> = services.iter().filter(|stats| !stats.is_fresh(now)).collect();
    gone.sort_by_key(|stats| stats.noted_at);
    let mut heirs: Vec<&ServiceStats> = services.iter().collect();
    heirs.sort_by_key(|stats| stats.started_at);
    let mut take_heir = |of: &ServiceStats, with_its_roles: bool| {
        // What a clock noted that was ahead is older than whatever runs.
        let is_younger =
            |heir: &&ServiceStats| heir.started_at > of.noted_at || heir.is_fresh(now) && of.noted_at > now;
        let place = heirs.iter().position(|heir| {
            heir.host == of.host && heir.id != of.id && is_younger(heir) && (!with_its_roles || heir.roles == of.roles)
        });
        place.map(|place| heirs.remove(place)).is_some()
    };
    for with_its_roles in [true, false] {
        gone.retain(|stats| !take_heir(stats, with_its_roles));
    }
    gone.into_iter().map(gone_service).collect()
}

fn gone_service(stats: &ServiceStats) -> Fault {
    let ServiceStats { host, process, roles, id, .. } = stats;
    let (reported, began) = (stats.noted_at.format("%F %T UTC"), stats.started_at.format("%F %T UTC"));
    Fault::new(Rule::Host, format!("{host}/{id}"), format!("a service on {host} stopped reporting at {reported}"))
        .evidence([format!("process {process} since {began}, {}, {} runs in flight", roles.join(","), stats.runs)])
        .advice(
            "start the service there again; its runs are resumed. If it was removed for good, this ends a day after its last \
             report",
        )
}

fn silent_receivers(messages: &[AlarmMessage]) -> Vec<Fault> {
    let mut waiting: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
    for message in messages.iter().filter(|message| message.attempts >= MANY_ATTEMPTS) {
        let (messages, attempts) = waiting.entry(&message.receiver).or_default();
        *messages += 1;
        *attempts = (*attempts).max(message.attempts);
    }
    let fault = |(name, (messages, attempts)): (&str, (usize, u32))| {
        let of = crate::text::count(messages as u64, "message");
        Fault::new(Rule::Receiver, name, format!("the receiver `{name}` of alarms accepts no messages: {of} wait"))
            .evidence([format!("{attempts} attempts at the oldest; the log has the reasons")])
            .advice(format!("correct [alarms.{name}] in sluice.toml, or the receiver"))
    };
    waiting.into_iter().map(fault).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn an_outlet_fails_once_it_was_tried_often() {
        let outlet = |attempts| Outlet { name: "feed/shop".to_owned(), cursor: None, attempts };
        assert!(failing_outlets(&[outlet(MANY_ATTEMPTS - 1)]).is_empty());
        let failing = failing_outlets(&[outlet(MANY_ATTEMPTS)]);
        assert_eq!(
            (failing[0].subject.as_str(), failing[0].summary.as_str()),
            ("feed/shop", "[feed.shop] accepts no changes")
        );
    }

    #[test]
    fn a_service_is_gone_until_a_younger_one_has_its_place() {
        let now: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().unwrap();
        let ago = |secs| now - TimeDelta::seconds(secs);
        let stats = |host: &str, id: &str, role: &str, began, noted| ServiceStats {
            id: id.to_owned(),
            host: host.to_owned(),
            roles: vec![role.to_owned()],
            started_at: ago(began),
            noted_at: ago(noted),
            ..ServiceStats::default()
        };
        let subjects = |services: &[ServiceStats]| {
            gone_services(services, now).iter().map(|fault| fault.subject.clone()).collect::<Vec<_>>()
        };
        let mut all = vec![
            stats("blue", "a", "worker", 900, 90),
            stats("blue", "b", "worker", 900, 5),
            stats("blue", "c", "api", 900, 5),
            stats("red", "d", "worker", 20, 5),
        ];
        let gone = gone_services(&all, now);
        assert_eq!(gone.len(), 1, "two others run there, and were there before: {gone:?}");
        assert_eq!(gone[0].subject, "blue/a");
        assert_eq!(gone[0].summary, "a service on blue stopped reporting at 2026-01-05 09:58:30 UTC");
        assert!(gone_services(&all, ago(60)).is_empty());
        all.push(stats("blue", "e", "worker", 60, 5));
        assert!(subjects(&all).is_empty(), "it was started again");
        all[2].noted_at = ago(80);
        assert_eq!(subjects(&all), ["blue/c"], "one service takes the place of one");
        let ahead = [stats("blue", "a", "worker", -900, -800), stats("blue", "e", "worker", 60, 5)];
        assert!(subjects(&ahead).is_empty(), "the clock was ahead when it reported");
    }
}
