//! Faults against the alarms that are open: pure. One alarm lasts as long as its fault, and each change is made once.

use chrono::{DateTime, Utc};
use sluice_model::{Alarm, AlarmState, Severity};
use sluice_state::AlarmChange;

use super::fault::{Fault, Findings};
use crate::schedule::has_come;
use crate::settings::alarms::AlarmSettings;

/// What findings change: alarms that begin, last or are resolved.
pub fn changes(known: &[Alarm], findings: &Findings, settings: &AlarmSettings, now: DateTime<Utc>) -> Vec<AlarmChange> {
    let mut changes = Vec::new();
    let faults: Vec<&Fault> = findings.faults().iter().filter(|fault| settings.holds(fault.rule)).collect();
    let is_of = |alarm: &Alarm, fault: &Fault| alarm.rule == fault.rule.name() && alarm.subject == fault.subject;
    for fault in &faults {
        match known.iter().find(|alarm| is_of(alarm, fault)) {
            None => changes.push(found(fault, settings, now)),
            Some(alarm) => changes.extend(lasts(alarm, fault, settings, now)),
        }
    }
    for alarm in known.iter().filter(|alarm| !faults.iter().any(|fault| is_of(alarm, fault))) {
        let is_disabled = settings.disables(&alarm.rule);
        if is_disabled || findings.covers(alarm) {
            changes.push(resolved(alarm, now));
        }
    }
    changes
}

fn severity(fault: &Fault, settings: &AlarmSettings) -> Severity {
    fault.severity.unwrap_or_else(|| settings.severity(fault.rule))
}

/// A fault that is new: pending, if its rule has it last before it is an alarm.
pub(super) fn found(fault: &Fault, settings: &AlarmSettings, now: DateTime<Utc>) -> AlarmChange {
    let is_pending = settings.delay(fault.rule) > chrono::TimeDelta::zero();
    let alarm = Alarm {
        // Not by time: alarms that begin together differ in the first digits, which people type.
        alarm_id: uuid::Uuid::new_v4().to_string(),
        rule: fault.rule.name().to_owned(),
        subject: fault.subject.clone(),
        network: fault.network.clone(),
        account: fault.account.clone(),
        stream: fault.stream.clone(),
        host: fault.host.clone(),
        severity: severity(fault, settings),
        state: if is_pending { AlarmState::Pending } else { AlarmState::Open },
        summary: fault.summary.clone(),
        evidence: fault.evidence.clone(),
        advice: fault.advice.clone(),
        opened_at: now,
        acknowledged_at: None,
        acknowledged_by: None,
        snoozed_until: None,
        resolved_at: None,
        noted_at: now,
    };
    AlarmChange { before: None, alarm, is_event: !is_pending }
}

/// What changes of an alarm whose fault lasts.
fn lasts(alarm: &Alarm, fault: &Fault, settings: &AlarmSettings, now: DateTime<Utc>) -> Option<AlarmChange> {
    let mut after = Alarm {
        severity: severity(fault, settings),
        summary: fault.summary.clone(),
        evidence: fault.evidence.clone(),
        advice: fault.advice.clone(),
        ..alarm.clone()
    };
    let is_mature = now - alarm.opened_at >= settings.delay(fault.rule) || !has_come(alarm.opened_at, now);
    let is_awake = alarm.snoozed_until.is_some_and(|until| until <= now);
    match alarm.state {
        AlarmState::Pending if is_mature => after.state = AlarmState::Open,
        AlarmState::Acknowledged if is_awake => {
            after.state = AlarmState::Open;
            (after.acknowledged_at, after.acknowledged_by, after.snoozed_until) = (None, None, None);
        }
        _ if after == *alarm => return None,
        _ => {}
    }
    after.noted_at = now;
    Some(AlarmChange { before: Some(alarm.state), is_event: after.state != alarm.state, alarm: after })
}

/// A fault that is gone.
pub(super) fn resolved(alarm: &Alarm, now: DateTime<Utc>) -> AlarmChange {
    let is_event = alarm.state != AlarmState::Pending;
    let after = Alarm { state: AlarmState::Resolved, resolved_at: Some(now), noted_at: now, ..alarm.clone() };
    AlarmChange { before: Some(alarm.state), alarm: after, is_event }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::TimeDelta;

    use super::*;
    use crate::alarms::rule::Rule;

    fn now() -> DateTime<Utc> {
        "2026-01-05T10:00:00Z".parse().unwrap()
    }

    fn fault(rule: Rule, summary: &str) -> Fault {
        Fault::of(rule, "awin", Some("uk"), None, summary)
    }

    fn findings(faults: Vec<Fault>) -> Findings {
        let mut findings = Findings::default();
        let mut faults = faults;
        for rule in Rule::ALL {
            let of_rule = faults.extract_if(.., |fault| fault.rule == rule).collect::<Vec<_>>();
            findings.add(rule, |_| true, of_rule);
        }
        findings
    }

    #[test]
    fn a_fault_that_lasts_is_one_alarm_and_ends_by_itself() {
        let settings = AlarmSettings::default();
        let opened = changes(&[], &findings(vec![fault(Rule::Stale, "stale")]), &settings, now());
        assert_eq!((opened.len(), opened[0].alarm.state, opened[0].is_event), (1, AlarmState::Open, true));
        let alarm = opened[0].alarm.clone();
        let later = now() + TimeDelta::hours(1);
        let same = findings(vec![fault(Rule::Stale, "stale")]);
        assert!(changes(std::slice::from_ref(&alarm), &same, &settings, later).is_empty());
        let worse = findings(vec![fault(Rule::Stale, "staler")]);
        let reworded = changes(std::slice::from_ref(&alarm), &worse, &settings, later);
        assert_eq!((reworded[0].is_event, reworded[0].alarm.summary.as_str()), (false, "staler"));
        assert_eq!(reworded[0].alarm.alarm_id, alarm.alarm_id);
        let gone = changes(std::slice::from_ref(&alarm), &findings(vec![]), &settings, later);
        assert_eq!((gone[0].alarm.state, gone[0].alarm.resolved_at), (AlarmState::Resolved, Some(later)));
        let unjudged = changes(&[alarm], &Findings::default(), &settings, later);
        assert!(unjudged.is_empty(), "what wasn't looked at may last: {unjudged:?}");
    }

    #[test]
    fn what_passes_within_its_time_is_no_event() {
        let settings = AlarmSettings::default();
        let gap = || findings(vec![fault(Rule::Gap, "a window is missing")]);
        let found = changes(&[], &gap(), &settings, now());
        assert_eq!((found[0].alarm.state, found[0].is_event), (AlarmState::Pending, false));
        let pending = [found[0].alarm.clone()];
        assert!(changes(&pending, &gap(), &settings, now() + TimeDelta::minutes(59)).is_empty());
        let mature = changes(&pending, &gap(), &settings, now() + TimeDelta::hours(1));
        assert_eq!((mature[0].alarm.state, mature[0].is_event), (AlarmState::Open, true));
        assert_eq!(mature[0].alarm.opened_at, now(), "since when it lasts");
        let passed = changes(&pending, &findings(vec![]), &settings, now());
        assert_eq!((passed[0].alarm.state, passed[0].is_event), (AlarmState::Resolved, false));
    }

    #[test]
    fn a_snoozed_alarm_opens_again_and_a_disabled_rule_has_none() {
        let mut settings = AlarmSettings::default();
        let stale = || findings(vec![fault(Rule::Stale, "stale")]);
        let alarm = changes(&[], &stale(), &settings, now())[0].alarm.clone();
        let snoozed = Alarm {
            state: AlarmState::Acknowledged,
            acknowledged_by: Some("ann".to_owned()),
            snoozed_until: Some(now() + TimeDelta::hours(1)),
            ..alarm
        };
        assert!(changes(std::slice::from_ref(&snoozed), &stale(), &settings, now()).is_empty());
        let awake = changes(std::slice::from_ref(&snoozed), &stale(), &settings, now() + TimeDelta::hours(2));
        assert_eq!((awake[0].alarm.state, awake[0].is_event), (AlarmState::Open, true));
        assert_eq!(awake[0].alarm.acknowledged_by, None);
        settings.rules.entry(Rule::Stale).or_default().enabled = false;
        let disabled = changes(&[snoozed], &stale(), &settings, now());
        assert_eq!(disabled[0].alarm.state, AlarmState::Resolved);
        assert!(changes(&[], &stale(), &settings, now()).is_empty());
    }
}
