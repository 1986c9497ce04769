//! Which slices a run reads.

mod account;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sluice_fetch::Fetcher;
use sluice_model::{Axis, ErrorKind, Format, Grain, Layout, Slice, Stream, Window};
use sluice_state::{PlannedSlice, Selection};

use crate::adaptive::{self, AdaptiveRead};
use crate::failure::{Failure, SliceError};
use crate::network::{Network, look_back_rules};
use crate::schedule;
use crate::selection::selects;
use crate::settings::look_back::LookBackRule;
use crate::settings::network::Account;
use crate::slice_done::SliceDone;
use crate::widths::Widths;

pub use account::RunAccount;

/// A slice and the account that may ask for it.
#[derive(Clone)]
pub struct SliceJob {
    /// What to read.
    pub slice: Slice,
    /// The key of the look-back rule that asks for it, if it asks for all of its days.
    pub rule: Option<String>,
    /// The account that it is read of.
    pub account: Arc<RunAccount>,
}

/// The slices of a run.
#[derive(Default)]
pub struct Jobs {
    /// What can be read.
    pub jobs: Vec<SliceJob>,
    /// What can't, with the reason: slices of accounts whose settings or secrets are wrong or that are gone.
    pub failed: Vec<SliceDone>,
    /// The failures of those accounts, one each.
    pub failures: Vec<Failure>,
    /// What is not read of what was asked for: a sentence for each account that is paused, and for each stream of which
    /// the network keeps no more.
    pub left_out: Vec<String>,
}

impl Jobs {
    /// All slices, for the note of the run.
    pub fn planned(&self) -> Vec<PlannedSlice> {
        let jobs = self.jobs.iter().map(|job| (&job.slice, &job.rule));
        let all = jobs.chain(self.failed.iter().map(|done| (&done.slice, &done.rule)));
        all.map(|(slice, rule)| PlannedSlice { slice: slice.clone(), rule: rule.clone() }).collect()
    }
}

/// The slices of a selection, oldest windows first, there accounts in the order of the settings: so the accounts'
/// limits are used side by side, and what is written together belongs to the same months.
///
/// Windows are no wider than `widths` allows, and begin no earlier than the network's history. `adaptive`: windows that are
/// read beside those of the selection.
///
/// # Errors
/// A failure if the selection names what isn't there, if it has more than `most` slices, which are counted before they are
/// made, or if no account at all of a network can be read.
pub async fn jobs(
    network: &Network,
    fetcher: &Fetcher,
    selection: &Selection,
    adaptive: &[AdaptiveRead],
    limits: (&Widths, u64),
    now: DateTime<Utc>,
) -> Result<Jobs, Failure> {
    let (widths, most) = limits;
    let (_, streams) = selected(network, selection)?;
    let clipped = streams.iter().filter_map(|stream| clipped(stream, selection, now)).collect();
    let mut slices = Vec::new();
    let mut all = counted(network, selection, widths, most, now)?;
    for read in adaptive {
        let Some(read) = adaptive_read(network, widths, read)? else { continue };
        all.add(network, read)?;
    }
    for read in all.reads {
        let made = read.slices().map(|slice| PlannedSlice { slice, rule: read.rule.clone() });
        slices.extend(made);
    }
    slices.sort_by_key(|planned| planned.slice.window.since);
    let mut jobs = Jobs { left_out: clipped, ..jobs_of(network, fetcher, slices).await? };
    // A part of a network whose accounts all fail is a run that failed: it mustn't keep the others waiting.
    if jobs.jobs.is_empty() && !jobs.failures.is_empty() && selection.accounts.is_empty() {
        return Err(Failure::all(std::mem::take(&mut jobs.failures)));
    }
    Ok(jobs)
}

/// A window of a stream of an account that a run reads in slices.
pub struct StreamWindow {
    /// A slice of the whole window.
    whole: Slice,
    /// Without its layout, which may have a megabyte.
    stream: Stream,
    /// The key of the look-back rule that asks for it.
    rule: Option<String>,
}

impl StreamWindow {
    /// How many slices it has, by arithmetic.
    fn count(&self) -> u64 {
        schedule::window_count(&self.stream, self.whole.axis, self.whole.window)
    }

    /// Its slices, oldest first.
    pub fn slices(&self) -> impl DoubleEndedIterator<Item = Slice> {
        let Slice { axis, timezone, window, .. } = self.whole;
        let windows = schedule::slice_windows(&self.stream, axis, timezone, window).into_iter();
        windows.map(|window| Slice { window, ..self.whole.clone() })
    }
}

/// The most bytes of settings in all slices of a run: each slice has its account's.
const MAX_SETTINGS_BYTES: u64 = 32 << 20;

/// Reads whose slices are counted, and bounded.
struct CountedReads {
    reads: Vec<StreamWindow>,
    most: u64,
    count: u64,
    settings_bytes: u64,
}

impl CountedReads {
    /// Adds a read; fails if its slices are too many, or too large.
    fn add(&mut self, network: &Network, read: StreamWindow) -> Result<(), Failure> {
        let count = read.count();
        self.count = self.count.saturating_add(count);
        if self.count > self.most {
            return Err(too_many_slices(network, &read.stream, self.most));
        }
        let of_one: usize = read.whole.settings.iter().map(|(name, value)| name.len() + value.len()).sum();
        // The read itself has them, even if none of its window is left.
        self.settings_bytes = self.settings_bytes.saturating_add(count.max(1).saturating_mul(of_one as u64));
        if self.settings_bytes > MAX_SETTINGS_BYTES {
            return Err(too_many_settings(network, &read.whole.account, of_one));
        }
        self.reads.push(read);
        Ok(())
    }
}

/// What a run of all accounts and streams would read, counted by arithmetic: no slice is made yet.
///
/// # Errors
/// A failure if it has more than `most` slices, with the most that an adaptive rule may choose of a stream.
pub fn reads(network: &Network, widths: &Widths, most: u64, now: DateTime<Utc>) -> Result<Vec<StreamWindow>, Failure> {
    let all = counted(network, &Selection::default(), widths, most, now)?;
    for widest in adaptive::widest(network, now) {
        let Some(read) = adaptive_read(network, widths, &widest)? else { continue };
        if all.count.saturating_add(read.count()) > most {
            return Err(too_many_slices(network, &read.stream, most));
        }
    }
    Ok(all.reads)
}

fn counted(
    network: &Network,
    selection: &Selection,
    widths: &Widths,
    most: u64,
    now: DateTime<Utc>,
) -> Result<CountedReads, Failure> {
    let (accounts, streams) = selected(network, selection)?;
    let mut counted = CountedReads { reads: Vec::new(), most, count: 0, settings_bytes: 0 };
    for account in accounts {
        for stream in &streams {
            for (axis, window, rule) in windows(network, stream, selection, now)? {
                let stream = widths.narrowed(account.id(), stream, axis);
                counted.add(network, read(network, account, stream, axis, window, rule)?)?;
            }
        }
    }
    Ok(counted)
}

/// A window of a stream, no wider than the stream allows.
fn read(
    network: &Network,
    account: &Account,
    stream: Stream,
    axis: Axis,
    window: Window,
    rule: Option<String>,
) -> Result<StreamWindow, Failure> {
    let manifest = network.manifest();
    // Of an account whose settings are wrong the slices are named, and none is read.
    let settings = network.settings.account_settings(manifest, account).unwrap_or_default();
    let timezone: Tz = stream.timezone.parse().map_err(|_| {
        let (id, zone) = (&manifest.network, &stream.timezone);
        Failure::failed(anyhow::anyhow!("connector `{id}` names no zone: `{zone}`"))
    })?;
    // Days that are asked for are the network's; those of exact times are the account's.
    let timezone = match stream.grain {
        Grain::Day => timezone,
        Grain::Second => account.timezone.or(network.settings.content.timezone).unwrap_or(timezone),
    };
    let whole = Slice {
        network: manifest.network.clone(),
        account: account.id().to_owned(),
        stream: stream.name.clone(),
        settings,
        window,
        timezone,
        axis,
        cursor: None,
    };
    let layout = Layout { format: Format::Opaque, pins: Vec::new(), inputs: Vec::new(), key: Vec::new() };
    Ok(StreamWindow { whole, stream: Stream { layout, ..stream }, rule })
}

/// What an adaptive rule reads; nothing of an account or a stream that is no longer there. Its windows are scattered, so
/// that they have no cursor, and no rule.
fn adaptive_read(network: &Network, widths: &Widths, of: &AdaptiveRead) -> Result<Option<StreamWindow>, Failure> {
    let account = network.settings.content.accounts.iter().find(|account| account.id() == of.account);
    let (Some(account), Some(stream)) = (account, network.manifest().stream(&of.stream)) else { return Ok(None) };
    let stream = widths.narrowed(account.id(), stream, adaptive::AXIS);
    read(network, account, stream, adaptive::AXIS, of.window, None).map(Some)
}

fn too_many_slices(network: &Network, stream: &Stream, most: u64) -> Failure {
    let (name, manifest) = (&network.settings.name, network.manifest());
    let windows = stream.max_window_secs.map_or_else(String::new, |secs| format!(" in windows of {secs} s"));
    Failure::settings(format!(
        "the run of {name} would have more than {most} slices: connector `{}` {} reads stream `{}`{windows}",
        manifest.network, manifest.version, stream.name
    ))
    .hint(format!(
        "shorten look_back in networks/{name}.json or the window, or raise slices_per_run of [limits] in sluice.toml"
    ))
}

fn too_many_settings(network: &Network, account: &str, bytes: usize) -> Failure {
    let (name, manifest) = (&network.settings.name, network.manifest());
    Failure::settings(format!(
        "the slices of a run of {name} would have more than {MAX_SETTINGS_BYTES} bytes of settings: account `{account}` \
         has {bytes}, the defaults of connector `{}` {} included",
        manifest.network, manifest.version
    ))
    .hint(format!("shorten look_back in networks/{name}.json or the window, or the account's settings"))
}

fn selected<'a>(network: &'a Network, selection: &Selection) -> Result<(Vec<&'a Account>, Vec<&'a Stream>), Failure> {
    let known = |found: bool, what: &str, name: &Option<String>, all: Vec<&str>| match name {
        Some(name) if !found => {
            Err(Failure::usage(format!("network `{}` has no {what} `{name}`", network.settings.name))
                .hint(format!("there are: {}", all.join(", "))))
        }
        _ => Ok(()),
    };
    let (all_accounts, all_streams) = (&network.settings.content.accounts, &network.manifest().streams);
    let accounts: Vec<_> = all_accounts.iter().filter(|account| selects(selection, account)).collect();
    let streams = all_streams.iter().filter(|s| selection.stream.as_ref().is_none_or(|name| *name == s.name));
    let streams: Vec<_> = streams.filter(|s| !selection.without_streams.contains(&s.name)).collect();
    let names = all_accounts.iter().map(|a| a.name.as_str()).collect();
    known(!accounts.is_empty(), "account", &selection.account, names)?;
    known(!streams.is_empty(), "stream", &selection.stream, all_streams.iter().map(|s| s.name.as_str()).collect())?;
    Ok((accounts, streams))
}

/// The slices of a run as they were planned, each with its account. An account that is gone, or whose settings or secrets
/// are wrong, fails its own slices and no others.
///
/// # Errors
/// A failure of the machinery.
pub async fn jobs_of(network: &Network, fetcher: &Fetcher, slices: Vec<PlannedSlice>) -> Result<Jobs, Failure> {
    let shared = Arc::new(network.clone());
    let mut accounts: HashMap<String, Result<Arc<RunAccount>, SliceError>> = HashMap::new();
    let mut jobs = Jobs::default();
    for PlannedSlice { slice, rule } in slices {
        if !accounts.contains_key(slice.account.as_str()) {
            let account = Arc::new(RunAccount::new(shared.clone(), fetcher.clone(), &slice.account));
            // What is wrong of an account is known before anything is sent; it is opened again for its first slice.
            let opened = account.open().await.map(|_| account).map_err(|failure| {
                let error = SliceError::from(&failure);
                tracing::debug!(network = network.settings.name, account = slice.account, "not read: {error}");
                jobs.failures.push(failure);
                error
            });
            accounts.insert(slice.account.clone(), opened);
        }
        let gone = || SliceError::new(ErrorKind::Settings, format!("stream `{}` is no longer there", slice.stream));
        let account = accounts.get(slice.account.as_str()).cloned().unwrap_or_else(|| Err(gone()));
        match account.and_then(|account| network.manifest().stream(&slice.stream).map(|_| account).ok_or_else(gone)) {
            Ok(account) => jobs.jobs.push(SliceJob { slice, rule, account }),
            Err(error) => jobs.failed.push(SliceDone::failed(slice, rule, error)),
        }
    }
    Ok(jobs)
}

/// The cursors to keep of a run whose slices are durable: of each look-back rule's read of a stream, the one that the
/// slice of the latest window gave, if all slices of that read are complete.
pub fn cursors(done: &[SliceDone]) -> Vec<(&Slice, &str, &str)> {
    let mut reads: BTreeMap<(&str, &str, &str, &str), Vec<&SliceDone>> = BTreeMap::new();
    for done in done {
        let slice = &done.slice;
        if let Some(rule) = &done.rule {
            reads.entry((&slice.account, &slice.stream, slice.axis.name(), rule)).or_default().push(done);
        }
    }
    let mut cursors = Vec::new();
    for ((.., rule), slices) in reads {
        if slices.iter().any(|done| !done.report.errors.is_empty()) {
            continue;
        }
        let given = slices.iter().filter_map(|done| Some((*done, done.report.cursor.as_deref()?)));
        if let Some((done, cursor)) = given.max_by_key(|(done, _)| done.slice.window.until) {
            cursors.push((&done.slice, rule, cursor));
        }
    }
    cursors
}

/// That a selection begins before what the network keeps of a stream.
fn clipped(stream: &Stream, selection: &Selection, now: DateTime<Utc>) -> Option<String> {
    let (window, first) = (selection.window(now)?, schedule::first_remembered(stream, now)?);
    let days = stream.history_days.unwrap_or_default();
    let is_gone = window.until <= first;
    let what = if is_gone { "what is asked for counts as unread" } else { "the window is read from there on" };
    let (name, shown) = (&stream.name, first.format("%F %H:%M UTC"));
    (window.since < first).then(|| format!("{name}: the network keeps {days} days, so nothing before {shown}: {what}"))
}

/// The windows to read of a stream, the dates that they filter on, and the keys of the rules that ask for them.
fn windows(
    network: &Network,
    stream: &Stream,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<Vec<(Axis, Window, Option<String>)>, Failure> {
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
        return Ok(vec![(axis, schedule::remembered(stream, window, now), None)]);
    }
    let rules = look_back_rules(network);
    let chosen = rules.iter().filter(|rule| rule.budget().is_none()).filter(|rule| {
        selection.rules.as_ref().is_none_or(|keys| keys.contains(&rule.key()))
            && selection.axis.is_none_or(|axis| rule.axis.unwrap_or(default) == axis)
    });
    // A rule on a date that this stream doesn't have is for another stream.
    let window = |rule: &LookBackRule| {
        let mut window = schedule::look_back_window(now, rule.days);
        if let Some(read_at) = selection.catch_up.get(&rule.key()) {
            window.since = window.since.min(*read_at);
        }
        Some((usable(rule.axis)?, schedule::remembered(stream, window, now), Some(rule.key())))
    };
    Ok(chosen.filter_map(window).collect())
}

/// For how many days back a network is read again at most.
pub fn look_back_days(network: &Network) -> Option<u32> {
    look_back_rules(network).iter().map(|rule| rule.days).max()
}

#[cfg(test)]
mod tests;
