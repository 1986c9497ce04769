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
    findings.add(Rule::Host, |_| true, gone_hosts(services, now));
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

/// Hosts of which no service reports, and one did that hasn't ended.
fn gone_hosts(services: &[ServiceStats], now: DateTime<Utc>) -> Vec<Fault> {
    let mut last: BTreeMap<&str, &ServiceStats> = BTreeMap::new();
    for stats in services {
        let latest = last.entry(&stats.host).or_insert(stats);
        if stats.noted_at > latest.noted_at {
            *latest = stats;
        }
    }
    let gone = last.into_iter().filter(|(_, stats)| !stats.is_fresh(now));
    let fault = |(host, stats): (&str, &ServiceStats)| {
        let reported = stats.noted_at.format("%F %T UTC");
        Fault::new(Rule::Host, host, format!("the service on {host} stopped reporting at {reported}"))
            .evidence([format!("process {}, {} runs in flight", stats.process, stats.runs)])
            .advice(
                "start the service there again; its runs are resumed. If the host was removed for good, this ends a day \
                 after its last report",
            )
    };
    gone.map(fault).collect()
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
    fn a_host_is_gone_until_another_service_reports_there() {
        let now: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().unwrap();
        let stats = |host: &str, process, secs| ServiceStats {
            host: host.to_owned(),
            process,
            noted_at: now - TimeDelta::seconds(secs),
            ..ServiceStats::default()
        };
        let killed = [stats("blue", 1, 90), stats("red", 2, 5)];
        let gone = gone_hosts(&killed, now);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].summary, "the service on blue stopped reporting at 2026-01-05 09:58:30 UTC");
        assert!(gone_hosts(&[stats("blue", 1, 90), stats("blue", 3, 5)], now).is_empty());
        assert!(gone_hosts(&killed, now - TimeDelta::seconds(60)).is_empty());
    }
}
