//! Work that outlives the request: a call starts a job, and `/v1/jobs/{id}` gives its outcome.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use sluice_runtime::jobs::{MOST_WAITING, Refused, ReplayWork, Work};
use sluice_runtime::selection::PartText;
use sluice_state::{Job, JobState, Selection};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Body, Of, Parameters, unprocessable};
use crate::access::Caller;
use crate::error::ApiError;
use crate::{Shared, SharedState};

/// Jobs that are listed at the most.
const MOST_JOBS: u32 = 1_000;
/// How long a call waits for a job at the most, and how often it looks.
const MAX_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
/// When it is of use to ask again for a job while as many wait as may.
const FULL_QUEUE_SECS: u32 = 30;

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(start_run))
        .routes(routes!(start_backfill))
        .routes(routes!(compare))
        .routes(routes!(apply))
        .routes(routes!(rebuild))
        .routes(routes!(jobs))
        .routes(routes!(job))
}

/// A job.
#[derive(Serialize, ToSchema)]
struct JobBody {
    id: String,
    /// `waiting`, `running`, `done`, `doubtful`, `failed`, or `lost`: the process ended that did it. The runs that it had
    /// begun are resumed.
    #[schema(value_type = String)]
    state: JobState,
    /// What is to be done.
    #[schema(value_type = Value)]
    work: serde_json::Value,
    /// The name of the token that asked for it.
    token: String,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    /// The machine whose process does it.
    host: String,
    /// What the command prints with `--output json`.
    #[schema(value_type = Value)]
    result: Option<serde_json::Value>,
    /// Why it failed, as commands print it.
    #[schema(value_type = Value)]
    error: Option<serde_json::Value>,
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            state: job.state,
            work: job.work,
            token: job.token,
            created_at: job.created_at.to_rfc3339(),
            started_at: job.started_at.map(|at| at.to_rfc3339()),
            ended_at: job.ended_at.map(|at| at.to_rfc3339()),
            host: job.host,
            result: job.result,
            error: job.error,
        }
    }
}

/// What to read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PartBody {
    /// The network: the name of its file in networks/.
    network: String,
    /// Only this account.
    account: Option<String>,
    /// Only this stream.
    stream: Option<String>,
    /// Start of the window: a day or RFC 3339, UTC. Where it may be left out, the look-back rules say what is read.
    since: Option<String>,
    /// End of the window, not part of it; now without it.
    until: Option<String>,
    /// Filter on this date: transaction, modified, validation or payment.
    axis: Option<String>,
}

impl PartBody {
    fn selection(&self) -> Result<Selection, ApiError> {
        let Self { account, stream, since, until, axis, .. } = self;
        PartText { account, stream, axis, since, until }.selection(Utc::now()).map_err(unprocessable)
    }
}

/// What to read of history.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BackfillBody {
    /// The network: the name of its file in networks/.
    network: String,
    /// Only this account.
    account: Option<String>,
    /// Only this stream.
    stream: Option<String>,
    /// Start of the window: a day or RFC 3339, UTC.
    since: Option<String>,
    /// End of the window, not part of it; now without it.
    until: Option<String>,
    /// Filter on this date: transaction, modified, validation or payment.
    axis: Option<String>,
    /// Only queue it, for the services with the role `worker` to share; the result has how many runs. Without it a service that
    /// has that role does it, and another one queues it.
    queue: Option<bool>,
}

impl BackfillBody {
    fn work(self, is_worker: bool) -> Result<Work, ApiError> {
        let Self { network, account, stream, since, until, axis, queue } = self;
        let part = PartText { account: &account, stream: &stream, axis: &axis, since: &since, until: &until };
        let selection = part.selection(Utc::now()).map_err(unprocessable)?;
        Ok(Work::Backfill { network, selection, queue: queue.unwrap_or(!is_worker) })
    }
}

/// Which history to map again, by which version.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    /// The network: the name of its file in networks/.
    network: String,
    /// A version that the lake keeps: a digest, its beginning, or a version's name; the one that serves without it.
    version: Option<String>,
    /// Only this account.
    account: Option<String>,
    /// Only this stream.
    stream: Option<String>,
    /// Only windows that end after this moment.
    since: Option<String>,
    /// Only windows that start before this moment.
    until: Option<String>,
    /// Conditions under which it fails, and writes nothing: those of `sluice replay --fail-if`.
    #[serde(default)]
    fail_if: Vec<String>,
    /// Only queue what it writes, for the services with the role `worker` to share: each month is atomic by itself. Without it a
    /// service that has that role does it, and another one queues it if there are no conditions.
    queue: Option<bool>,
}

impl ReplayBody {
    fn work(self, apply: bool, is_worker: bool) -> Result<Work, ApiError> {
        let Self { network, version, account, stream, since, until, fail_if, queue } = self;
        let queue = queue.unwrap_or(apply && !is_worker && fail_if.is_empty());
        let part = PartText { account: &account, stream: &stream, axis: &None, since: &since, until: &until };
        let selection = part.selection(Utc::now()).map_err(unprocessable)?;
        Ok(Work::Replay(ReplayWork { network, version, selection, fail_if, apply, queue }))
    }
}

/// What to rebuild.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RebuildBody {
    /// Although raw no longer holds everything; what only the old tables hold is lost.
    #[serde(default)]
    lossy: bool,
    /// Only queue it, for the services with the role `worker` to share. Without it a service that has that role does it, and
    /// another one queues it.
    queue: Option<bool>,
}

/// Collects a network, or an account of it, and builds its tables: `sluice run`.
#[utoipa::path(post, path = "/v1/runs", request_body = PartBody, security(("token" = ["operate"])),
    responses((status = 202, body = JobBody)))]
async fn start_run(State(shared): Of, Extension(caller): Extension<Caller>, Body(body): Body<PartBody>) -> Answer {
    let work = Work::Run { selection: body.selection()?, network: body.network };
    start(&shared, &caller, work).await
}

/// Reads any range of a network's history, month by month: `sluice backfill`.
#[utoipa::path(post, path = "/v1/backfills", request_body = BackfillBody, security(("token" = ["operate"])),
    responses((status = 202, body = JobBody)))]
async fn start_backfill(
    State(shared): Of,
    Extension(caller): Extension<Caller>,
    Body(body): Body<BackfillBody>,
) -> Answer {
    start(&shared, &caller, body.work(shared.is_worker)?).await
}

/// Shows what another version of a connector would change, and changes nothing: `sluice replay --diff`.
#[utoipa::path(post, path = "/v1/replays", request_body = ReplayBody, security(("token" = ["operate"])),
    responses((status = 202, body = JobBody)))]
async fn compare(State(shared): Of, Extension(caller): Extension<Caller>, Body(body): Body<ReplayBody>) -> Answer {
    start(&shared, &caller, body.work(false, shared.is_worker)?).await
}

/// Writes what another version of a connector changes: `sluice replay --apply`.
#[utoipa::path(post, path = "/v1/replays/apply", request_body = ReplayBody, security(("token" = ["admin"])),
    responses((status = 202, body = JobBody)))]
async fn apply(State(shared): Of, Extension(caller): Extension<Caller>, Body(body): Body<ReplayBody>) -> Answer {
    start(&shared, &caller, body.work(true, shared.is_worker)?).await
}

/// Rebuilds all tables from raw: `sluice build --from-raw`.
#[utoipa::path(post, path = "/v1/rebuilds", request_body = RebuildBody, security(("token" = ["admin"])),
    responses((status = 202, body = JobBody)))]
async fn rebuild(State(shared): Of, Extension(caller): Extension<Caller>, Body(body): Body<RebuildBody>) -> Answer {
    let queue = body.queue.unwrap_or(!shared.is_worker);
    start(&shared, &caller, Work::Rebuild { lossy: body.lossy, queue }).await
}

async fn start(shared: &Shared, caller: &Caller, work: Work) -> Answer {
    let id = shared.jobs.start(work, &caller.name).await.map_err(|refused| match refused {
        Refused::Failed(failure) => unprocessable(failure),
        Refused::Full => {
            let error = format!("{MOST_WAITING} jobs wait already");
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, error, "ask again once some of them have ended: /v1/jobs")
                .retry_after(FULL_QUEUE_SECS)
        }
    })?;
    let location = [(header::LOCATION, format!("/v1/jobs/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(find(shared, &id).await?)).into_response())
}

async fn find(shared: &Shared, id: &str) -> Result<JobBody, ApiError> {
    let job = shared.app.state.job(id).await?;
    job.map(JobBody::from).ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, format!("there is no job `{id}`"), "/v1/jobs lists those of 30 days")
    })
}

/// Jobs of the last 30 days, newest first.
#[utoipa::path(get, path = "/v1/jobs", security(("token" = ["read"])), responses((status = 200, body = Vec<JobBody>)))]
async fn jobs(State(shared): Of) -> Result<Json<Vec<JobBody>>, ApiError> {
    let jobs = shared.app.state.jobs(MOST_JOBS).await?;
    Ok(Json(jobs.into_iter().map(JobBody::from).collect()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct JobQuery {
    /// Wait for the job's end, for so many seconds at the most: up to 60.
    #[serde(default)]
    wait_secs: u64,
}

/// The outcome of a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", params(("id" = String, Path, description = "the job's id"), JobQuery),
    security(("token" = ["read"])), responses((status = 200, body = JobBody)))]
async fn job(
    State(shared): Of,
    Path(id): Path<String>,
    Parameters(query): Parameters<JobQuery>,
) -> Result<Json<JobBody>, ApiError> {
    let deadline = Instant::now() + Duration::from_secs(query.wait_secs).min(MAX_WAIT);
    loop {
        let job = find(&shared, &id).await?;
        let is_over = !matches!(job.state, JobState::Waiting | JobState::Running);
        if is_over || Instant::now() >= deadline {
            return Ok(Json(job));
        }
        // Another host may be doing it.
        tokio::time::sleep(POLL.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}
