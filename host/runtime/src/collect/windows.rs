//! Collecting all slices of a run: side by side, each within its time, windows that are too wide in halves.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use sluice_model::{Axis, ErrorKind, Grain, Slice, Window};

use super::gate::SliceOutcome;
use super::{Collector, Progress};
use crate::failure::SliceError;
use crate::guests::{self, ProcessorTime};
use crate::meter::Unit;
use crate::slice_done::{SliceDone, SliceReport};
use crate::slices::SliceJob;

/// Slices of one run that are read at once.
const SLICES_AT_ONCE: usize = 16;
/// How often a window is halved because its requests fail, unless a narrower one of the same run was answered: an outage isn't
/// mended by more requests.
const MAX_PROBES: u32 = 3;
/// How often a window may be halved before the run gives up on it.
const MAX_SPLITS: u32 = 16;

/// What collecting gave.
#[derive(Default)]
pub struct Collected {
    /// Slices that were read to their end, or failed.
    pub done: Vec<SliceDone>,
    /// What was sent and received for windows that were then read in halves, by account.
    pub halved: BTreeMap<String, SliceReport>,
}

/// A slice to read: how often its window was halved already.
struct WaitingSlice {
    job: SliceJob,
    splits: u32,
}

/// What a run knows of windows that it halves.
struct Splitting {
    /// How many more windows it may halve.
    left: AtomicUsize,
    /// How long the shortest window is that was answered, of each account and stream.
    answered: Mutex<HashMap<(String, String), TimeDelta>>,
}

impl Splitting {
    fn answered(&self) -> MutexGuard<'_, HashMap<(String, String), TimeDelta>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a slice was answered.
    fn note_answered(&self, slice: &Slice) {
        let (of, length) = ((slice.account.clone(), slice.stream.clone()), slice.window.until - slice.window.since);
        let mut answered = self.answered();
        let shortest = answered.entry(of).or_insert(length);
        *shortest = length.min(*shortest);
    }

    /// Whether it is worth halving a window whose requests fail, after so many times.
    fn may_help(&self, slice: &Slice, splits: u32) -> bool {
        let of = (slice.account.clone(), slice.stream.clone());
        let is_narrower = |length: &TimeDelta| *length < slice.window.until - slice.window.since;
        splits < MAX_PROBES || self.answered().get(&of).is_some_and(is_narrower)
    }
}

/// A slice that was read, and is judged with others of its stream.
struct Few {
    collector: Collector,
    job: SliceJob,
    progress: Progress,
}

/// A slice that was read, or that has to be read in halves.
enum ReadOutcome {
    Done(SliceDone),
    /// It has too few records to be judged alone.
    Few(Box<Few>),
    Halved {
        halves: [Window; 2],
        waiting: WaitingSlice,
        report: SliceReport,
    },
}

impl ReadOutcome {
    fn add_time(&mut self, took: ProcessorTime) {
        match self {
            Self::Done(done) => done.report.processor.add(took),
            Self::Few(few) => few.progress.lock().processor.add(took),
            Self::Halved { report, .. } => report.processor.add(took),
        }
    }
}

/// Collects slices. A window that the network finds too wide is halved and read again. Each slice that is done is given
/// to `cover`.
pub async fn collect(collector: &Collector, jobs: Vec<SliceJob>, cover: impl Fn(&SliceDone) + Sync) -> Collected {
    let splits_left = AtomicUsize::new(collector.app.settings.limits.splits_per_run);
    let mut waiting: Vec<WaitingSlice> = jobs.into_iter().map(|job| WaitingSlice { job, splits: 0 }).collect();
    let mut collected = Collected::default();
    let splitting = &Splitting { left: splits_left, answered: Mutex::default() };
    let cover = &cover;
    let mut few: Vec<Few> = Vec::new();
    while !waiting.is_empty() {
        let reads = stream::iter(waiting.drain(..)).map(|waiting| async move {
            let (mut read, took) = guests::timed(read(collector, waiting, splitting)).await;
            read.add_time(took);
            match &read {
                ReadOutcome::Done(done) => cover(done),
                ReadOutcome::Halved { .. } => collector.app.meter.expect(Unit::Slices, 2),
                ReadOutcome::Few(_) => {}
            }
            collector.app.meter.done(Unit::Slices);
            read
        });
        let reads: Vec<ReadOutcome> = reads.buffer_unordered(SLICES_AT_ONCE).collect().await;
        for read in reads {
            match read {
                ReadOutcome::Done(done) => collected.done.push(done),
                ReadOutcome::Few(read) => few.push(*read),
                ReadOutcome::Halved { halves, waiting: whole, report } => {
                    collected.halved.entry(whole.job.slice.account.clone()).or_default().add_traffic(&report);
                    waiting.extend(halves.map(|window| {
                        let mut job = whole.job.clone();
                        job.slice.window = window;
                        WaitingSlice { job, splits: whole.splits + 1 }
                    }));
                }
            }
        }
    }
    for done in settle_few(few).await {
        cover(&done);
        collected.done.push(done);
    }
    collected
}

/// Judges slices of few records together, those of a stream at a time, and closes them.
async fn settle_few(few: Vec<Few>) -> Vec<SliceDone> {
    let mut streams: BTreeMap<String, Vec<Few>> = BTreeMap::new();
    for read in few {
        streams.entry(read.job.slice.stream.clone()).or_default().push(read);
    }
    let mut done = Vec::new();
    for few in streams.into_values() {
        let Some(first) = few.first() else { continue };
        let together = few.iter().map(|few| (&few.job.slice, &few.progress));
        let judged = first.collector.judge_together(together).await;
        for Few { collector, job, progress } in few {
            match &judged {
                Ok(found) => collector.settle_few(&job.slice, &progress, found.clone()).await,
                Err(error) => progress.fail(error.clone()),
            }
            let report = progress.take();
            done.push(close(&collector, &job, &progress, report).await);
        }
    }
    done
}

/// Closes a slice, and logs why it failed, if it did.
async fn close(collector: &Collector, job: &SliceJob, progress: &Progress, mut report: SliceReport) -> SliceDone {
    let slice = &job.slice;
    let read_at = collector.close(slice, &mut report, progress).await;
    for error in &report.errors {
        // It is in the run's report, which is printed or logged.
        tracing::debug!(slice = slice.id(), kind = error.kind.name(), error = error.message, "a slice failed");
    }
    report.further_errors += collector.texts.shorten(&mut report.errors);
    SliceDone { slice: slice.clone(), rule: job.rule.clone(), read_at, report }
}

/// Reads one slice within its time, and closes it unless it has to be read in halves.
#[tracing::instrument(
    name = "slice",
    skip_all,
    fields(account = waiting.job.slice.account, stream = waiting.job.slice.stream, slice = waiting.job.slice.id())
)]
async fn read(collector: &Collector, waiting: WaitingSlice, splitting: &Splitting) -> ReadOutcome {
    let slice = &waiting.job.slice;
    let collector = collector.for_slice(&waiting.job);
    let limits = &collector.app.settings.limits;
    let progress = Progress::default();
    progress.lock().splits = waiting.splits;
    let in_time = tokio::time::timeout(limits.slice_timeout(), collector.slice(&waiting.job, &progress)).await.is_ok();
    if !in_time {
        (progress.lock().split, progress.lock().too_wide) = (false, None);
        let reason = format!("it took longer than {} s", limits.slice_timeout_secs);
        progress.fail(SliceError::new(ErrorKind::Network, reason));
    }
    let is_whole = {
        let report = progress.lock();
        report.errors.is_empty() && !report.split && report.too_wide.is_none() && !progress.gate().is_cut()
    };
    if is_whole {
        splitting.note_answered(slice);
    }
    let halves = halved(&collector, &waiting, &progress, splitting);
    if let Some(Ok(_)) = halves {
        progress.gate().forget_cut();
    }
    if let SliceOutcome::Few = collector.settle(slice, &progress, is_whole).await {
        return ReadOutcome::Few(Box::new(Few { collector, job: waiting.job, progress }));
    }
    let mut report = progress.take();
    let too_wide = report.too_wide.take();
    match halves {
        Some(Ok(halves)) => return ReadOutcome::Halved { halves, waiting, report },
        // That it is cut is a doubt by now.
        Some(Err(_)) if too_wide.as_ref().is_some_and(|error| error.kind == ErrorKind::Doubt) => {}
        Some(Err(reason)) => report.errors.push(too_wide.unwrap_or_else(|| {
            let reason = format!("the window {} is too wide for the network, and {reason}", slice.window);
            SliceError::new(ErrorKind::Network, reason)
        })),
        None => {}
    }
    ReadOutcome::Done(close(&collector, &waiting.job, &progress, report).await)
}

/// The halves of a slice's window if it has to be read in halves, or why it isn't. None if it hasn't to.
fn halved(
    collector: &Collector,
    waiting: &WaitingSlice,
    progress: &Progress,
    splitting: &Splitting,
) -> Option<Result<[Window; 2], &'static str>> {
    let (split, is_too_wide) = {
        let report = progress.lock();
        (report.split, report.too_wide.is_some())
    };
    if !split && !is_too_wide {
        return None;
    }
    if !split && !splitting.may_help(&waiting.job.slice, waiting.splits) {
        return Some(Err("narrower ones fail too"));
    }
    Some(split_window(collector, waiting, &splitting.left))
}

impl Collector {
    /// Whether a slice's window can be read in halves.
    pub(super) fn can_be_halved(&self, slice: &Slice) -> bool {
        slice.axis != Axis::None && slice.window.split_in_half(self.grain(slice), slice.timezone).is_some()
    }

    fn grain(&self, slice: &Slice) -> Grain {
        self.network.manifest().stream(&slice.stream).map_or(Grain::Second, |stream| stream.grain)
    }
}

/// The halves of a window, or why it isn't halved.
fn split_window(
    collector: &Collector,
    waiting: &WaitingSlice,
    splits_left: &AtomicUsize,
) -> Result<[Window; 2], &'static str> {
    let slice = &waiting.job.slice;
    let grain = collector.grain(slice);
    let Some((first, second)) = slice.window.split_in_half(grain, slice.timezone) else {
        return Err(match grain {
            Grain::Second => "it can't be halved",
            Grain::Day => "it can't be halved: the network knows no window shorter than a day",
        });
    };
    if waiting.splits >= MAX_SPLITS {
        return Err("it can't be halved");
    }
    let one_less = |left: usize| left.checked_sub(1);
    match splits_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
        Ok(_) => Ok([first, second]),
        Err(_) => Err("the run has halved enough windows"),
    }
}
