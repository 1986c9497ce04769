//! Work that outlives the request that asked for it: runs, backfills, replays and rebuilds over the HTTP API.
//!
//! It is done in this process, unless it is only queued for those that have the role `worker`; here runs of one network share its
//! rate and its memory budget with those of the schedule. The state store knows each job and its outcome; one whose process ends
//! is lost, and the run that it began is resumed by whoever runs the network next.

mod work;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sluice_model::describe;
use sluice_state::{JobEnd, JobState};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

pub use work::{ReplayWork, Work};

use crate::app::App;
use crate::failure::Failure;

/// Jobs that are done at once; others wait.
const AT_ONCE: usize = 4;
/// Jobs that may wait.
pub const MOST_WAITING: usize = 100;
/// How often the heartbeat of jobs is renewed.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long after a failure of the state store the end of a job is noted again.
const RETRY: Duration = Duration::from_secs(5);

/// Jobs among which one that waits is looked for.
const MOST_JOBS: u32 = 1_000;

/// Why work isn't begun.
#[derive(Debug)]
pub enum Refused {
    /// As many jobs wait as may.
    Full,
    /// It can't be done as it is asked for, or the state store fails.
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<sluice_state::Error> for Refused {
    fn from(error: sluice_state::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The jobs of this process.
pub struct Jobs {
    /// Held while it is found out whether a rebuild waits.
    rebuilds: tokio::sync::Mutex<()>,
    app: Arc<App>,
    job_permits: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
}

impl Jobs {
    /// None yet.
    pub fn new(app: Arc<App>) -> Self {
        let rebuilds = tokio::sync::Mutex::default();
        Self { rebuilds, app, job_permits: Arc::new(Semaphore::new(AT_ONCE)), tasks: Mutex::default() }
    }

    /// Starts work in the name of a token, and gives the job's id. A rebuild that waits does what another one would, so its id
    /// is given instead.
    ///
    /// # Errors
    /// A usage failure for work that can't be done as it is asked for; the state store's; that too many jobs wait.
    pub async fn start(&self, work: Work, token: &str) -> Result<String, Refused> {
        work.check(&self.app)?;
        let as_json = serde_json::to_value(&work).map_err(Failure::failed)?;
        let _rebuilds = match work {
            Work::Rebuild { .. } => {
                let alone = self.rebuilds.lock().await;
                if let Some(waiting) = self.waiting(&as_json).await? {
                    return Ok(waiting);
                }
                Some(alone)
            }
            _ => None,
        };
        if self.unfinished() >= AT_ONCE + MOST_WAITING {
            return Err(Refused::Full);
        }
        let id = uuid::Uuid::now_v7().to_string();
        self.app.state.add_job(&id, &as_json, token).await?;
        tracing::info!(job = id, token, kind = work.kind(), "job is asked for");
        let task = carry_out(self.app.clone(), self.job_permits.clone(), id.clone(), work);
        self.lock().spawn(task);
        Ok(id)
    }

    /// A job of any host that waits to do the same.
    async fn waiting(&self, work: &Value) -> Result<Option<String>, Failure> {
        let jobs = self.app.state.jobs(MOST_JOBS).await?;
        let same = jobs.into_iter().find(|job| job.state == JobState::Waiting && job.work == *work);
        Ok(same.map(|job| job.id))
    }

    /// Renews the heartbeat of jobs for as long as it is polled.
    pub async fn keep_alive(&self) {
        let mut tick = tokio::time::interval(HEARTBEAT);
        loop {
            tick.tick().await;
            if self.unfinished() > 0
                && let Err(error) = self.app.state.note_job_heartbeat().await
            {
                tracing::warn!("the heartbeat of jobs isn't noted: {}", describe(&error));
            }
        }
    }

    /// Waits until all jobs have ended, for so long at the most. What is left then is cut off, and lost.
    pub async fn finish(&self, patience: Duration) {
        let mut tasks = std::mem::take(&mut *self.lock());
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(jobs = tasks.len(), "jobs were cut off; what their runs were answered is kept");
            tasks.shutdown().await;
            if let Err(error) = self.app.state.note_jobs_lost().await {
                tracing::warn!("it isn't noted that jobs are lost: {}", describe(&error));
            }
        }
    }

    fn unfinished(&self) -> usize {
        let mut tasks = self.lock();
        while tasks.try_join_next().is_some() {}
        tasks.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the work once it has a permit, and notes how it ended.
#[tracing::instrument(name = "job", skip_all, fields(job = id, kind = work.kind()))]
async fn carry_out(app: Arc<App>, job_permits: Arc<Semaphore>, id: String, work: Work) {
    let Ok(_permit) = job_permits.acquire().await else { return };
    if let Err(error) = app.state.note_job_start(&id).await {
        tracing::warn!("the start of the job isn't noted: {}", describe(&error));
    }
    tracing::info!("job begins");
    // A task of its own, so that a panic is an outcome like others.
    let mut done = JoinSet::new();
    let of_work = app.clone();
    done.spawn(async move { Box::pin(work.carry_out(&of_work)).await }.in_current_span());
    let outcome = match done.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(Failure::failed(error)),
        None => return,
    };
    let end = match outcome {
        Ok((state, result)) => JobEnd { state, result: Some(result), error: None },
        Err(failure) => {
            let error = serde_json::from_str(&failure.render(true)).unwrap_or(Value::Null);
            JobEnd { state: JobState::Failed, result: None, error: Some(error) }
        }
    };
    tracing::info!(state = ?end.state, "job has ended");
    while let Err(error) = app.state.note_job_end(&id, &end).await {
        tracing::error!("the end of the job isn't noted: {}", describe(&error));
        tokio::time::sleep(RETRY).await;
    }
}
