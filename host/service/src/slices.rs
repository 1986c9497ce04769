//! Which slices a run reads.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sluice_fetch::Fetcher;
use sluice_model::{Axis, Slice, Stream, Window};

use crate::app::Network;
use crate::failure::Failure;
use crate::run::SliceDone;
use crate::schedule;
use crate::settings::network::LookBackRule;

/// What a command asks to read, as it was given: the same question is the same selection at any time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Only this account.
    pub account: Option<String>,
    /// Only this stream.
    pub stream: Option<String>,
    /// Only this date.
    pub axis: Option<Axis>,
    /// From this moment on, instead of the look-back rules.
    pub since: Option<DateTime<Utc>>,
    /// To this moment; now without it.
    pub until: Option<DateTime<Utc>>,
    /// These look-back rules, by place; all without it.
    pub rules: Option<Vec<usize>>,
}

impl Selection {
    /// The window that is asked for at `now`, if not the look-back rules'.
    pub fn window(&self, now: DateTime<Utc>) -> Option<Window> {
        self.since.map(|since| Window { since, until: self.until.unwrap_or(now) })
    }
}

/// A slice and the account that may ask for it.
#[derive(Clone)]
pub struct SliceJob {
    /// What to read.
    pub slice: Slice,
    /// The way to the network, with the account's secrets.
    pub account: Arc<sluice_fetch::Account>,
}

/// The slices of a selection, oldest windows first, there accounts in the order of the settings: so the accounts'
/// limits are used side by side, and what is written together belongs to the same months.
///
/// # Errors
/// A failure if the selection names what isn't there, or an account's settings are wrong.
pub async fn jobs(
    network: &Network,
    fetcher: &Fetcher,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<Vec<SliceJob>, Failure> {
    let manifest = network.manifest();
    let content = &network.settings.content;
    let known = |found: bool, what: &str, name: &Option<String>, all: Vec<&str>| match name {
        Some(name) if !found => {
            Err(Failure::usage(format!("network `{}` has no {what} `{name}`", network.settings.name))
                .hint(format!("there are: {}", all.join(", "))))
        }
        _ => Ok(()),
    };
    let accounts: Vec<_> =
        content.accounts.iter().filter(|a| selection.account.as_ref().is_none_or(|name| *name == a.name)).collect();
    let streams: Vec<_> =
        manifest.streams.iter().filter(|s| selection.stream.as_ref().is_none_or(|name| *name == s.name)).collect();
    known(
        !accounts.is_empty(),
        "account",
        &selection.account,
        content.accounts.iter().map(|a| a.name.as_str()).collect(),
    )?;
    known(
        !streams.is_empty(),
        "stream",
        &selection.stream,
        manifest.streams.iter().map(|s| s.name.as_str()).collect(),
    )?;
    streams.iter().for_each(|stream| warn_of_forgotten(network, stream, selection, now));
    let mut jobs = Vec::new();
    for account in accounts {
        let access = network.access(account).await?;
        let settings = access.settings.clone();
        let fetching = Arc::new(fetcher.account(access)?);
        for stream in &streams {
            let timezone: Tz = stream.timezone.parse().map_err(|_| {
                Failure::failed(anyhow::anyhow!(
                    "connector `{}` names no zone: `{}`",
                    manifest.network,
                    stream.timezone
                ))
            })?;
            for (axis, window) in windows(network, stream, selection, now)? {
                for window in schedule::slice_windows(stream, axis, timezone, window) {
                    let slice = Slice {
                        network: manifest.network.clone(),
                        account: account.name.clone(),
                        stream: stream.name.clone(),
                        settings: settings.clone(),
                        window,
                        timezone,
                        axis,
                        cursor: None,
                    };
                    jobs.push(SliceJob { slice, account: fetching.clone() });
                }
            }
        }
    }
    jobs.sort_by_key(|job: &SliceJob| job.slice.window.since);
    Ok(jobs)
}

/// The slices of a run that was broken off, as they were planned; and those whose account or stream is gone.
///
/// # Errors
/// A failure if an account's settings are wrong.
pub async fn jobs_of(
    network: &Network,
    fetcher: &Fetcher,
    slices: &[Slice],
) -> Result<(Vec<SliceJob>, Vec<SliceDone>), Failure> {
    let mut accounts: HashMap<&str, Option<Arc<sluice_fetch::Account>>> = HashMap::new();
    let (mut jobs, mut lost) = (Vec::new(), Vec::new());
    for slice in slices {
        let account = match accounts.get(slice.account.as_str()) {
            Some(known) => known.clone(),
            None => {
                let named = network.settings.content.accounts.iter().find(|account| account.name == slice.account);
                let open = match named {
                    Some(account) => Some(Arc::new(fetcher.account(network.access(account).await?)?)),
                    None => None,
                };
                accounts.entry(&slice.account).or_insert(open).clone()
            }
        };
        let stream = network.manifest().stream(&slice.stream);
        match (account, stream) {
            (Some(account), Some(_)) => jobs.push(SliceJob { slice: slice.clone(), account }),
            (None, _) => lost.push(SliceDone::lost(slice, format!("account `{}` is no longer there", slice.account))),
            (_, None) => lost.push(SliceDone::lost(slice, format!("stream `{}` is no longer there", slice.stream))),
        }
    }
    Ok((jobs, lost))
}

/// Says so if a selection begins before what the network remembers.
fn warn_of_forgotten(network: &Network, stream: &Stream, selection: &Selection, now: DateTime<Utc>) {
    let (Some(since), Some(first)) = (selection.since, schedule::first_remembered(stream, now)) else { return };
    if since < first {
        tracing::warn!(
            network = network.settings.name,
            stream = stream.name,
            "what lies before {} is asked in vain: the network remembers {} days",
            first.format("%F"),
            stream.history_days.unwrap_or_default()
        );
    }
}

/// The windows to read of a stream, and the dates that they filter on.
fn windows(
    network: &Network,
    stream: &Stream,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<Vec<(Axis, Window)>, Failure> {
    let default = stream.axes.first().copied().unwrap_or(Axis::None);
    let usable = |axis: Option<Axis>| {
        let axis = axis.unwrap_or(default);
        stream.axes.contains(&axis).then_some(axis)
    };
    if let Some(window) = selection.window(now) {
        let axis = usable(selection.axis).ok_or_else(|| {
            let axes: Vec<_> = stream.axes.iter().map(|axis| axis.name()).collect();
            Failure::usage(format!("stream `{}` can't filter on that axis", stream.name))
                .hint(format!("it can on: {}", axes.join(", ")))
        })?;
        return Ok(vec![(axis, window)]);
    }
    let rules = look_back_rules(network);
    let chosen = rules.iter().enumerate().filter(|(at, rule)| {
        selection.rules.as_ref().is_none_or(|places| places.contains(at))
            && selection.axis.is_none_or(|axis| rule.axis.unwrap_or(default) == axis)
    });
    // A rule on a date that this stream doesn't have is for another stream.
    Ok(chosen.filter_map(|(_, rule)| Some((usable(rule.axis)?, schedule::look_back_window(now, rule.days)))).collect())
}

/// The network's look-back rules: the operator's, else the connector's.
pub fn look_back_rules(network: &Network) -> Vec<LookBackRule> {
    let own = || {
        network.manifest().look_back.iter().map(|rule| LookBackRule {
            every: rule.every_secs,
            days: rule.days,
            axis: Some(rule.axis),
        })
    };
    network.settings.content.look_back.clone().unwrap_or_else(|| own().collect())
}
