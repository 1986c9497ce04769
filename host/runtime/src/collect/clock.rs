//! When a response was observed: which of two readings of one transaction is the later one.
//!
//! A row that is read again replaces what is known if it was observed later. If that were decided by the host's clock
//! alone, a clock that was ahead once would freeze everything it read: whatever comes later looks older. So the clock of
//! the network, its `Date` header, bounds the host's. Either of the two clocks may be wrong, so neither is believed
//! where it would do harm:
//!
//! 1. While the host is at most [`TOLERANCE`] ahead of the network, or behind it, the host's clock counts. It is the same
//!    for all responses, so their order is right, and an error of that size is undone by the next read.
//! 2. If the host is further ahead, the network's clock counts: an observation is never later than both clocks say, so
//!    a host that is a year ahead freezes nothing.
//! 3. Unless the network's clock is behind what was already observed of this network (the newest `received_at` in the
//!    lake up to the host's now, and of the responses that this run kept before). Time doesn't run backwards, so then it
//!    is the network's clock that is wrong: it is at 1970, a cache gave an old response without `Age`, or one of its
//!    servers has another clock. The host's clock counts. By this rule no response is ever observed before one that the
//!    lake holds already because of its `Date`, so none is dropped as older because of it.
//! 4. A network whose clock is always behind is observed by its clock every time: all of its rows shift alike, and only
//!    their order matters.
//! 5. A `Date` before the first release of Sluice is not believed, even if nothing was observed yet.
//!
//! What remains: if the lake holds observations by a clock that was ahead, and that clock is still ahead, rule 3
//! believes the host again, as before there were these rules. Once the clock is right, those observations lie in the
//! future, are no bound any more, and the ledger doesn't let them freeze what they read. A network that sends no `Date`
//! is observed by the host's clock. The clock of the lake's store would be a third witness; it isn't asked, because
//! where two clocks disagree and nothing was observed before, neither choice can drop a row.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use sluice_fetch::Exchange;
use tokio::sync::OnceCell;

use super::{Collector, Progress};
use crate::failure::{Failure, SliceError};

/// How far the host's clock may be ahead of a network's.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// 2026-01-01T00:00:00Z: no release of Sluice is older.
const FIRST_RELEASE: DateTime<Utc> = match DateTime::from_timestamp(1_767_225_600, 0) {
    Some(moment) => moment,
    None => DateTime::UNIX_EPOCH,
};

/// The clock by which a run's responses are observed.
#[derive(Debug, Default)]
pub struct ObservationClock {
    /// The newest observation of the network before this run; looked up when the clocks disagree for the first time.
    observed: OnceCell<Option<DateTime<Utc>>>,
    /// How far the host was ahead of the last observation, in microseconds.
    ahead: AtomicI64,
    has_warned: AtomicBool,
}

/// When an exchange took place, as the lake keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moments {
    pub(super) sent_at: DateTime<Utc>,
    pub(super) received_at: DateTime<Utc>,
}

/// Whose clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Host,
    Network,
}

impl Collector {
    /// Records that a response came, and gives when it was observed. What its slice covers ends where the first request was sent,
    /// by the same clock.
    ///
    /// # Errors
    /// The lake's failure to say what was observed before.
    pub(super) async fn note_received(&self, exchange: &Exchange, progress: &Progress) -> Result<Moments, SliceError> {
        self.app.meter.read(exchange.wire.len());
        let moments = self.moments(exchange).await;
        let sent_at = moments.as_ref().map_or(exchange.sent_at, |moments| moments.sent_at);
        progress.lock().note_received(exchange.wire.len() as u64, sent_at);
        moments
    }

    /// When a response was observed.
    ///
    /// # Errors
    /// The lake's failure to say what was observed before.
    async fn moments(&self, exchange: &Exchange) -> Result<Moments, SliceError> {
        let host = exchange.received_at;
        let difference = exchange.network_time.map_or(TimeDelta::zero(), |network| host - network);
        let mut ahead = TimeDelta::zero();
        if let Some(network) = exchange.network_time.filter(|_| difference.abs() > TOLERANCE) {
            let clock = if difference > TOLERANCE {
                trusted(host, network, *self.clock.observed.get_or_try_init(|| self.last_observed(host)).await?)
            } else {
                Clock::Host
            };
            if clock == Clock::Network {
                ahead = difference;
            }
            self.warn(host, network, clock);
        }
        self.clock.ahead.store(ahead.num_microseconds().unwrap_or_default(), Ordering::Relaxed);
        Ok(Moments { sent_at: exchange.sent_at - ahead, received_at: host - ahead })
    }

    /// Logs once per run that two clocks differ.
    fn warn(&self, host: DateTime<Utc>, network: DateTime<Utc>, clock: Clock) {
        if self.clock.has_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let (host_time, network_time) = (host.to_rfc3339(), network.to_rfc3339());
        let name = &self.network.settings.name;
        let consequence = match clock {
            Clock::Network => "responses are observed by the network's clock; check the clock of this host",
            Clock::Host => "responses are observed by the host's clock; check which of the two is right",
        };
        tracing::warn!(network = name, host_time, network_time, "the clocks of host and network differ: {consequence}");
    }

    /// The present by the clock that counted for the last response.
    pub(super) fn now(&self) -> DateTime<Utc> {
        Utc::now() - TimeDelta::microseconds(self.clock.ahead.load(Ordering::Relaxed))
    }

    /// The newest observation of the network up to a moment, before this run or in what it kept.
    async fn last_observed(&self, until: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, SliceError> {
        let network = &self.network.manifest().network;
        let before = self.app.lake.last_received(network, until).await.map_err(Failure::from)?;
        Ok(before.max(self.kept.last_received(until)))
    }
}

/// Whose clock counts for a response of which the host's is further ahead than it may be.
fn trusted(host: DateTime<Utc>, network: DateTime<Utc>, observed: Option<DateTime<Utc>>) -> Clock {
    // An observation in the host's future was made by a clock that was ahead, and bounds nothing.
    let bound = observed.filter(|observed| *observed <= host).unwrap_or(FIRST_RELEASE);
    if network >= bound.max(FIRST_RELEASE) { Clock::Network } else { Clock::Host }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::selection::tests::at;

    const NOW: &str = "2026-11-28T12:00:00Z";

    #[test]
    fn a_host_that_is_ahead_is_corrected() {
        let ahead = at(NOW) + TimeDelta::days(400);
        assert_eq!(trusted(ahead, at(NOW), None), Clock::Network);
        assert_eq!(trusted(ahead, at(NOW), Some(at(NOW) - TimeDelta::hours(1))), Clock::Network);
        assert_eq!(trusted(ahead, at(NOW), Some(at(NOW))), Clock::Network);
    }

    #[test]
    fn a_network_behind_what_was_observed_is_not_believed() {
        let hour_ago = Some(at(NOW) - TimeDelta::hours(1));
        for behind in [TimeDelta::hours(2), TimeDelta::days(2), TimeDelta::days(20_000)] {
            assert_eq!(trusted(at(NOW), at(NOW) - behind, hour_ago), Clock::Host, "{behind}");
        }
        assert_eq!(trusted(at(NOW), at("1970-01-01T00:00:00Z"), None), Clock::Host, "nobody could have asked then");
    }

    #[test]
    fn a_network_that_is_always_behind_is_observed_by_its_own_clock() {
        let mut observed = None;
        for hours in 0..5 {
            let host = at(NOW) + TimeDelta::hours(hours);
            let network = host - TimeDelta::minutes(40);
            assert_eq!(trusted(host, network, observed), Clock::Network);
            observed = Some(network);
        }
    }

    #[test]
    fn an_observation_in_the_future_bounds_nothing() {
        let frozen = Some(at(NOW) + TimeDelta::days(400));
        assert_eq!(trusted(at(NOW), at(NOW) - TimeDelta::hours(1), frozen), Clock::Network);
        // The same clock is still ahead: its time is believed, and its rows go on.
        let still_ahead = at(NOW) + TimeDelta::days(401);
        assert_eq!(trusted(still_ahead, at(NOW), frozen), Clock::Host);
    }

    proptest! {
        /// Whatever the two clocks show: what is observed is never later than the host's clock, never later than both
        /// allow, and never before what was observed up to then.
        #[test]
        fn order_is_kept_whatever_the_clocks_show(
            steps in proptest::collection::vec((0_i64..100_000, -900_000_i64..900_000), 1..40),
        ) {
            let (mut host, mut newest) = (at(NOW), None::<DateTime<Utc>>);
            for (later, off) in steps {
                host += TimeDelta::seconds(later);
                let network = host - TimeDelta::seconds(off);
                let clock = if host - network > TOLERANCE { trusted(host, network, newest) } else { Clock::Host };
                let observed = if clock == Clock::Host { host } else { network };
                prop_assert!(observed <= host);
                prop_assert!(newest.is_none_or(|newest| newest <= observed), "{newest:?} then {observed}");
                newest = newest.max(Some(observed));
            }
        }
    }
}
