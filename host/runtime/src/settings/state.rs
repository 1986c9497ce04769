//! `[state]` and `[schedule]` of `sluice.toml`: the state store, how long leases in it last, and when a run that couldn't
//! start is tried again.

use std::time::Duration;

use serde::Deserialize;

use crate::failure::Failure;
use crate::schedule::RetryPauses;
use sluice_state::LeaseTimes;

/// `[state]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateSection {
    pub(super) url: Option<String>,
    /// Reference to the key that seals refresh tokens.
    pub(super) key: Option<String>,
    lease_secs: Option<u32>,
    heartbeat_secs: Option<u32>,
    lease_wait_secs: Option<u32>,
}

/// `[schedule]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleSection {
    retry_secs: Option<u32>,
    retry_max_secs: Option<u32>,
}

impl StateSection {
    /// How long leases last.
    ///
    /// # Errors
    /// A settings failure for a lease that would expire between two heartbeats.
    pub(super) fn lease_times(&self) -> Result<LeaseTimes, Failure> {
        let default = LeaseTimes::default();
        let secs = |secs: Option<u32>, default: Duration| secs.map_or(default, |secs| Duration::from_secs(secs.into()));
        let ttl = secs(self.lease_secs, default.ttl);
        let heartbeat = secs(self.heartbeat_secs, ttl / 3);
        if heartbeat.is_zero() || heartbeat * 2 > ttl {
            return Err(Failure::settings(format!(
                "state.heartbeat_secs = {} is no more than half of state.lease_secs = {}: a late heartbeat would lose the \
                 lease",
                heartbeat.as_secs(),
                ttl.as_secs()
            ))
            .hint("leave both out for 10 and 30, or set only lease_secs: the heartbeat is a third of it"));
        }
        Ok(LeaseTimes { ttl, heartbeat, max_wait: secs(self.lease_wait_secs, default.max_wait) })
    }
}

impl ScheduleSection {
    /// The pauses before a run that couldn't start is tried again.
    ///
    /// # Errors
    /// A settings failure for no pause at all.
    pub(super) fn retry_pauses(&self) -> Result<RetryPauses, Failure> {
        let default = RetryPauses::default();
        let pauses = RetryPauses {
            first_secs: self.retry_secs.unwrap_or(default.first_secs),
            max_secs: self.retry_max_secs.unwrap_or(default.max_secs),
        };
        if pauses.first_secs == 0 || pauses.max_secs < pauses.first_secs {
            return Err(Failure::settings(format!(
                "schedule.retry_secs = {} must be at least 1 and at most schedule.retry_max_secs = {}",
                pauses.first_secs, pauses.max_secs
            ))
            .hint("leave both out for 60 and 3600"));
        }
        Ok(pauses)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn times(text: &str) -> Result<LeaseTimes, Failure> {
        toml::from_str::<StateSection>(text).unwrap().lease_times()
    }

    #[test]
    fn the_heartbeat_is_a_third_of_the_lease() {
        assert_eq!(times("").unwrap(), LeaseTimes::default());
        assert_eq!(times("lease_secs = 6").unwrap().heartbeat, Duration::from_secs(2));
        assert_eq!(times("lease_wait_secs = 0").unwrap().max_wait, Duration::ZERO);
    }

    #[test]
    fn a_lease_outlasts_a_late_heartbeat() {
        for wrong in
            ["lease_secs = 0", "lease_secs = 10\nheartbeat_secs = 6", "heartbeat_secs = 0", "heartbeat_secs = 40"]
        {
            let failure = times(wrong).unwrap_err();
            assert_eq!(failure.exit, crate::failure::Exit::Settings, "{wrong}");
            assert!(failure.hint.is_some(), "{wrong}");
        }
    }

    #[test]
    fn pauses_grow_from_something() {
        let pauses = |text: &str| toml::from_str::<ScheduleSection>(text).unwrap().retry_pauses();
        assert_eq!(pauses("").unwrap(), RetryPauses::default());
        assert_eq!(pauses("retry_secs = 1").unwrap().first_secs, 1);
        assert!(pauses("retry_secs = 0").is_err());
        assert!(pauses("retry_secs = 7200").is_err());
    }
}
