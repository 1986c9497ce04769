//! How wide a window may be. A window that had to be halved until it was answered is asked for in pieces of that width by the
//! next runs of its account, and in wider ones again once a day, as long as all goes well.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Axis, Slice, Stream};
use sluice_state::{State, Width};

use crate::failure::Failure;
use crate::slice_done::SliceDone;

/// How long a width holds before a wider one is tried.
const WIDER_AFTER: TimeDelta = TimeDelta::days(1);
/// Wider windows than this aren't asked for: a width beyond it is none.
const WIDEST_SECS: u32 = 366 * 86_400;

/// The key of a width: account, stream and date.
type Key<'a> = (&'a str, &'a str, Axis);

/// The widths of a network.
#[derive(Debug, Default)]
pub struct Widths(Vec<Width>);

impl Widths {
    /// Of what the state store holds.
    pub fn new(widths: Vec<Width>) -> Self {
        Self(widths)
    }

    fn of(&self, (account, stream, axis): Key<'_>) -> Option<&Width> {
        self.0.iter().find(|width| width.account == account && width.stream == stream && width.axis == axis)
    }

    /// The stream with the widest window that an account may ask for.
    pub fn narrowed(&self, account: &str, stream: &Stream, axis: Axis) -> Stream {
        let known = self.of((account, &stream.name, axis)).map(|width| width.secs);
        let max_window_secs = stream.max_window_secs.into_iter().chain(known).min();
        Stream { max_window_secs, ..stream.clone() }
    }

    /// What a run learned, at `now`. A width of 0 seconds no longer holds.
    pub fn learned(&self, done: &[SliceDone], now: DateTime<Utc>) -> Vec<Width> {
        let mut slices: BTreeMap<(&str, &str, &str), Vec<&SliceDone>> = BTreeMap::new();
        for done in done.iter().filter(|done| done.slice.axis != Axis::None) {
            let slice = &done.slice;
            slices.entry((&slice.account, &slice.stream, slice.axis.name())).or_default().push(done);
        }
        slices.into_values().filter_map(|done| self.learned_of(&done, now)).collect()
    }

    /// The same of slices of one account, stream and date.
    fn learned_of(&self, done: &[&SliceDone], now: DateTime<Utc>) -> Option<Width> {
        let slice = &done.first()?.slice;
        let known = self.of((&slice.account, &slice.stream, slice.axis));
        let is_answered = |done: &&&SliceDone| done.report.errors.is_empty();
        let halved = done.iter().filter(|done| done.report.splits > 0).filter(is_answered);
        let width = |secs: u32| Width {
            account: slice.account.clone(),
            stream: slice.stream.clone(),
            axis: slice.axis,
            secs,
            set_at: now,
        };
        if let Some(narrowest) = halved.map(|done| secs(&done.slice)).min() {
            return known.is_none_or(|known| narrowest < known.secs).then(|| width(narrowest));
        }
        let known = known?;
        let widest = done.iter().map(|done| secs(&done.slice)).max()?;
        // Of windows that are much narrower nothing is known of this width.
        let is_tried = widest >= known.secs / 2 && done.iter().all(|done| done.report.errors.is_empty());
        let wider = known.secs.saturating_mul(2);
        (is_tried && known.set_at + WIDER_AFTER <= now).then(|| width(if wider > WIDEST_SECS { 0 } else { wider }))
    }
}

/// Keeps what a run shows of a network's widths, by the connector's network id.
///
/// # Errors
/// The state store's failure.
pub async fn keep(state: &State, network: &str, done: &[SliceDone]) -> Result<(), Failure> {
    let known = Widths::new(state.widths(network).await?);
    for width in known.learned(done, Utc::now()) {
        let Width { account, stream, secs, .. } = &width;
        tracing::debug!(network, account, stream, secs, "windows are asked for in another width from now on");
        state.keep_width(network, &width).await?;
    }
    Ok(())
}

fn secs(slice: &Slice) -> u32 {
    u32::try_from((slice.window.until - slice.window.since).num_seconds()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::failure::SliceError;
    use crate::selection::tests::at;
    use crate::slice_done::SliceReport;
    use sluice_model::ErrorKind;

    const DAY: u32 = 86_400;

    fn done(days: &str, splits: u32, fails: bool) -> SliceDone {
        let (since, until) = days.split_once('-').unwrap();
        let slice = Slice {
            network: "awin".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            settings: Vec::new(),
            window: format!("2026-01-{since}T00:00:00Z/2026-01-{until}T00:00:00Z").parse().unwrap(),
            timezone: chrono_tz::UTC,
            axis: Axis::Transaction,
            cursor: None,
        };
        let errors = if fails { vec![SliceError::new(ErrorKind::Network, "504")] } else { Vec::new() };
        SliceDone {
            slice,
            rule: None,
            read_at: Utc::now(),
            report: SliceReport { splits, errors, ..SliceReport::default() },
        }
    }

    fn learned(widths: &Widths, done: &[SliceDone], now: &str) -> Option<u32> {
        let mut learned = widths.learned(done, at(now));
        assert!(learned.len() <= 1);
        learned.pop().map(|width| width.secs)
    }

    fn known(secs: u32) -> Widths {
        Widths::new(vec![Width {
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            axis: Axis::Transaction,
            secs,
            set_at: at("2026-02-01T00:00:00Z"),
        }])
    }

    #[test]
    fn the_narrowest_half_that_was_answered_is_the_width() {
        let now = "2026-02-01T10:00:00Z";
        let halves = [done("01-09", 2, false), done("09-13", 3, false), done("13-31", 1, true)];
        assert_eq!(learned(&Widths::default(), &halves, now), Some(4 * DAY));
        assert_eq!(learned(&known(8 * DAY), &halves, now), Some(4 * DAY));
        assert_eq!(learned(&known(2 * DAY), &halves, now), None, "narrower ones are known");
        assert_eq!(learned(&Widths::default(), &[done("01-31", 0, false)], now), None);
        assert_eq!(learned(&Widths::default(), &[done("01-31", 3, true)], now), None, "an outage tells nothing");
    }

    #[test]
    fn a_width_grows_once_a_day_until_it_is_none() {
        let pieces = [done("01-09", 0, false), done("09-10", 0, false)];
        assert_eq!(learned(&known(8 * DAY), &pieces, "2026-02-01T23:00:00Z"), None, "not yet");
        assert_eq!(learned(&known(8 * DAY), &pieces, "2026-02-02T00:00:00Z"), Some(16 * DAY));
        assert_eq!(learned(&known(8 * DAY), &[done("01-02", 0, false)], "2026-02-02T00:00:00Z"), None, "not tried");
        let failing = [done("01-09", 0, false), done("09-10", 0, true)];
        assert_eq!(learned(&known(8 * DAY), &failing, "2026-02-02T00:00:00Z"), None);
        let whole = [done("01-31", 0, false)];
        assert_eq!(learned(&known(30 * DAY), &whole, "2026-03-02T00:00:00Z"), Some(60 * DAY));
        assert_eq!(learned(&known(184 * DAY), &whole, "2026-03-02T00:00:00Z"), None);
    }
}
