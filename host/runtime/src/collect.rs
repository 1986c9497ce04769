//! Collecting a slice: plan → send → raw → follow, each request on its own.

mod clock;
mod close;
mod contents;
mod earlier_doubts;
mod erased;
mod from_raw;
mod gate;
mod guard;
mod listings;
mod outcome;
mod progress;
mod request;
mod request_chain;
mod request_queue;
mod resume;
mod run_months;
mod run_texts;
mod run_warnings;
mod suspect;
mod together;
mod unseen;
mod verdict;
mod whole;
mod windows;
mod withheld;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use sluice_engine::Connector;
use sluice_fetch::Erased;
use sluice_lake::RunWriter;
use sluice_model::Request;
use sluice_registry::{Rights, Shadow};

pub use clock::ObservationClock;
pub use close::too_many_rejects;
pub use from_raw::{CollectedSlices, JudgedBuild};
pub use gate::Gate;
pub use guard::Guard;
pub(crate) use progress::response_bytes;
pub use progress::{Progress, ResponseBounds};
pub use resume::ResumedResponses;
pub use run_months::RunMonths;
pub use run_texts::RunTexts;
pub(crate) use run_texts::hold_failure;
pub use run_warnings::RunWarnings;
pub use windows::{Collected, collect};

use crate::app::{App, Network};
use crate::failure::SliceError;
use crate::guests::in_guest;
use crate::slices::SliceJob;
use request::RequestOutcome;
use request_chain::RequestChain;
use request_queue::RequestQueue;

/// A request as the tests of this folder need one.
#[cfg(test)]
fn get(key: &str, url: &str) -> sluice_model::Request {
    sluice_model::Request { url: vec![sluice_model::Op::Text(url.into())], ..sluice_model::Request::get(key) }
}

/// Requests of one slice that wait for their turn at once.
const REQUESTS_AT_ONCE: usize = 64;

/// Collects slices of one network in one run.
#[derive(Clone)]
pub struct Collector {
    /// The parts of the service.
    pub app: Arc<App>,
    /// The network with the connector of this run, and of a slice that runs the one that it began with.
    pub network: Network,
    /// The id of the run that requests are recorded under.
    pub run_id: String,
    /// What the run kept before it was interrupted.
    pub kept: Arc<ResumedResponses>,
    /// Bounds the run's responses in memory: a permit is held from sending until the response's rows are
    /// durable, and not while a request waits for its rate budget.
    pub bounds: Arc<ResponseBounds>,
    /// By which the responses are observed.
    pub clock: Arc<ObservationClock>,
    /// The way into the tables; none if responses are only collected.
    pub tables: Option<Arc<RunWriter>>,
    /// What the run has warned of.
    pub warnings: Arc<RunWarnings>,
    /// The months of its transactions.
    pub months: Arc<RunMonths>,
    /// What there is room for of its cursors and failures.
    pub texts: Arc<RunTexts>,
    /// By which answers are judged before they reach the tables; of a run that only collects, whether they came whole.
    pub guard: Arc<Guard>,
    /// What was erased and can be nothing but an identifier: it is replaced before a response is kept.
    pub erased: Arc<Erased>,
}

impl Collector {
    /// The same for a slice that begins now: with the version that serves now, unless that may do other things than
    /// the one that the run was planned with.
    #[must_use]
    pub fn for_slice(&self, job: &SliceJob) -> Self {
        let mut collector = self.clone();
        let run = &mut collector.network;
        let Some((serving, candidate)) = self.app.registry.pair(run.connector.network()) else { return collector };
        let stream = &job.slice.stream;
        let fits = serving.manifest().stream(stream).is_some_and(|new| {
            let rights = |connector: &Connector| Rights::of(connector.manifest());
            let old = run.manifest().stream(stream);
            old.is_some_and(|old| old.complete_windows == new.complete_windows && old.timezone == new.timezone)
                && serving.manifest().settings == run.manifest().settings
                && rights(&serving).same(&rights(&run.connector))
        });
        // A candidate that appears in the middle of a run is compared from the next run on.
        let same = serving.digest() == run.connector.digest();
        let beside = |shadow: &Arc<Shadow>| {
            same && candidate.as_ref().is_some_and(|candidate| candidate.digest() == shadow.candidate().digest())
        };
        run.shadow = run.shadow.take().filter(beside);
        if fits {
            run.connector = serving;
        }
        collector
    }

    /// Collects one slice. A failing request fails nothing but itself.
    pub async fn slice(&self, job: &SliceJob, progress: &Progress) {
        if let Err(error) = self.guard.check_number() {
            return progress.fail(error);
        }
        let connector = self.network.connector.clone();
        let slice = Arc::new(job.slice.clone());
        let planned = {
            let slice = slice.clone();
            self.in_guest(move || connector.plan(&slice)).await
        };
        let mut queue = RequestQueue::new(self.app.waiting.clone());
        let most = self.app.settings.limits.requests_per_slice;
        let begun = planned.and_then(|requests| {
            queue.remember(requests.len())?;
            queue.extend(requests, Duration::ZERO)?;
            RequestChain::new(queue.iter(), most)
        });
        let mut chain = match begun {
            Ok(chain) => chain,
            Err(error) => return progress.fail(error),
        };
        let account = match job.account.open().await {
            Ok(account) => account,
            Err(failure) => return progress.fail(SliceError::from(&failure)),
        };
        progress.gate().listings().begin(queue.iter());
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < REQUESTS_AT_ONCE
                && let Some((queued, wait)) = queue.pop()
            {
                let request = queued.request.clone();
                let answer = self.answer(&account, slice.clone(), queued, wait, progress);
                running.push(async move { (request, answer.await) });
            }
            let next = tokio::select! {
                next = running.next() => next,
                // Whoever waits may be a request of this slice.
                () = self.app.memory.contended(), if progress.gate().is_holding() => {
                    if let Err(error) = self.pass(&slice, progress).await {
                        progress.fail(error);
                    }
                    continue;
                }
            };
            let Some((request, outcome)) = next else { break };
            if let Err(error) = next_requests(&request, outcome, (&mut queue, &mut chain), progress) {
                progress.fail(error);
            }
        }
        if let Some(shadow) = &self.network.shadow {
            shadow.end_slice(&slice);
        }
    }

    /// Runs guest code on a thread of its own, as many at once as there are cores.
    async fn in_guest<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, sluice_engine::Error> + Send + 'static,
    ) -> Result<T, SliceError> {
        in_guest(&self.app.guests, self.network.connector.network(), work).await.map_err(SliceError::from)
    }
}

/// Records how a request ended, and takes the requests that follow from its answer; fails if it failed, or if these may
/// not be sent.
fn next_requests(
    request: &Request,
    outcome: RequestOutcome,
    (queue, chain): (&mut RequestQueue, &mut RequestChain),
    progress: &Progress,
) -> Result<(), SliceError> {
    match outcome {
        RequestOutcome::Answered { follow_ups, wait, page } => {
            // What isn't admitted takes no memory, and of what others may use nothing.
            chain.check_number(follow_ups.len())?;
            queue.remember(follow_ups.len())?;
            chain.admit(&follow_ups, wait, page)?;
            progress.gate().listings().follow(request, &follow_ups);
            queue.extend(follow_ups, wait)?;
        }
        RequestOutcome::Split => progress.lock().split = true,
        RequestOutcome::Cut { too_wide } => {
            let mut report = progress.lock();
            report.too_wide = too_wide.or(report.too_wide.take());
        }
        RequestOutcome::TooWide(error) => progress.lock().too_wide = Some(error),
        RequestOutcome::Again { error, .. } | RequestOutcome::Failed(error) => return Err(error),
    }
    Ok(())
}
