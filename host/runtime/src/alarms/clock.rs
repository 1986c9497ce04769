//! The machine's clock, which schedules, leases and rates go by: a jump of it is an alarm for some minutes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::Alarm;
use sluice_state::host;
use tokio::time::Instant;

use super::fault::{Fault, Findings};
use super::rule::Rule;

/// A clock may be adjusted by so much between two looks at it.
const TOLERANCE: TimeDelta = TimeDelta::seconds(30);
/// For how long a jump is a fault: what follows from it is done by then.
const SHOWN: Duration = Duration::from_secs(600);

/// Compares the machine's clock with one that can't be set.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockWatch {
    last: Option<(Instant, DateTime<Utc>)>,
    jump: Option<Jump>,
}

#[derive(Clone, Debug)]
struct Jump {
    at: Instant,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl ClockWatch {
    /// Looks at both clocks.
    pub(super) fn look(&mut self, at: Instant, now: DateTime<Utc>) {
        if let Some((before, then)) = self.last.replace((at, now)) {
            let passed = TimeDelta::from_std(at.saturating_duration_since(before)).unwrap_or_default();
            let expected = then + passed;
            if (now - expected).abs() > TOLERANCE {
                tracing::error!("the clock of this machine jumped from {expected} to {now}");
                self.jump = Some(Jump { at, from: expected, to: now });
            }
        }
        self.jump = self.jump.take().filter(|jump| at < jump.at + SHOWN);
    }

    /// Whether it jumped lately.
    pub(super) fn has_jumped(&self) -> bool {
        self.jump.is_some()
    }

    /// Judges this machine's clock.
    pub(super) fn find(&self, findings: &mut Findings) {
        let here = host();
        let fault = self.jump.as_ref().map(|jump| jump.fault(&here));
        findings.add(Rule::Clock, move |alarm: &Alarm| alarm.host.as_ref() == Some(&here), fault);
    }
}

impl Jump {
    fn fault(&self, host: &str) -> Fault {
        let way = if self.to > self.from { "forward" } else { "back" };
        let secs = (self.to - self.from).num_seconds().abs();
        let [from, to] = [self.from, self.to].map(|at| at.format("%F %T UTC").to_string());
        Fault::new(Rule::Clock, host, format!("{host}: the clock jumped {way} by {secs} s"))
            .on(host)
            .evidence([format!("it went from {from} to {to}, while the machine counted on")])
            .advice(
                "see why (an administrator, a machine that was suspended, its time service) and that it is right now; what was \
                 due is read, windows that end in the future are read again by their rules",
            )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_jump_is_a_fault_for_ten_minutes_whichever_way() {
        let (begin, now) = (Instant::now(), "2026-01-05T10:00:00Z".parse::<DateTime<Utc>>().unwrap());
        for (jump_secs, way) in [(-7_205, "back by 7210 s"), (86_405, "forward by 86400 s")] {
            let mut watch = ClockWatch::default();
            let jump = TimeDelta::seconds(jump_secs);
            let mut look = |secs: u64, jump: TimeDelta| {
                watch.look(begin + Duration::from_secs(secs), now + jump + TimeDelta::seconds(secs.cast_signed()));
                let mut findings = Findings::default();
                watch.find(&mut findings);
                findings.faults().iter().map(|fault| fault.summary.clone()).collect::<Vec<_>>()
            };
            assert!(look(0, TimeDelta::zero()).is_empty() && look(100, TimeDelta::seconds(5)).is_empty());
            let found = look(101, jump);
            assert!(found.len() == 1 && found[0].contains(way), "{found:?}");
            assert_eq!(look(102, jump), found, "it lasts");
            assert!(look(702, jump).is_empty(), "and ends");
        }
    }
}
