//! What changed, for those who watch: `GET /v1/events`.
//!
//! A number per topic grows whenever something of it changed. Who watches asks again for what depends on the topic, so a
//! number that is missed or comes twice does no harm.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::Stream;
use serde::Serialize;
use sluice_runtime::failure::Failure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::Shared;
use crate::access::Caller;
use crate::error::{ApiError, ErrorBody};

/// How often changes are detected.
const POLL: Duration = Duration::from_secs(2);
/// Streams at once.
const MAX_STREAMS: usize = 64;
/// A stream ends after so long: who goes on watching shows the token again, which may have been removed.
const STREAM_TIME: Duration = Duration::from_secs(600);
/// Calls of the log of calls in which a decision is looked for.
const LATEST_CALLS: u32 = 20;

/// How often each topic changed since the service began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Changes {
    /// A run began or ended.
    runs: u32,
    /// A doubt was found, accepted or rejected.
    doubts: u32,
    /// An alarm was raised, acknowledged or resolved.
    alarms: u32,
    /// A version of a connector became active, or was decided on.
    connectors: u32,
    /// A network or account was paused or resumed, or a job began.
    networks: u32,
}

/// Who asks, and what changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsBody {
    /// The token's name, or the issuer's name for who calls.
    token: String,
    /// Its role: `read`, `operate` or `admin`.
    #[schema(value_type = String)]
    role: sluice_state::TokenRole,
    changes: Changes,
}

/// What handlers need to watch changes.
pub(crate) struct Events {
    changes: watch::Receiver<Changes>,
    streams: Arc<Semaphore>,
}

impl Events {
    /// With what [`poll_changes`] sends to. Streams end when it is dropped.
    pub(crate) fn new() -> (watch::Sender<Changes>, Self) {
        let (sender, changes) = watch::channel(Changes::default());
        (sender, Self { changes, streams: Arc::new(Semaphore::new(MAX_STREAMS)) })
    }
}

/// Who the token is, and how often what changed. With `Accept: text/event-stream` an event `session` with this, and an
/// event `changes` whenever a number grew, for ten minutes.
#[utoipa::path(get, path = "/v1/events", security(("token" = ["read"])), responses(
    (status = 200, body = EventsBody), (status = 401, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let changes = shared.events.changes.clone();
    let session = EventsBody { token: caller.name, role: caller.role, changes: *changes.borrow() };
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accepts.contains("text/event-stream") {
        return Ok(Json(session).into_response());
    }
    let permit = shared.events.streams.clone().try_acquire_owned().map_err(|_| {
        let error = format!("{MAX_STREAMS} streams are open");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, "close one, or ask without `Accept: text/event-stream`")
    })?;
    let stream =
        stream(Watching { changes, session: Some(session), ends: Instant::now() + STREAM_TIME, _permit: permit });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

struct Watching {
    changes: watch::Receiver<Changes>,
    /// What is sent first.
    session: Option<EventsBody>,
    ends: Instant,
    _permit: OwnedSemaphorePermit,
}

fn stream(watching: Watching) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(watching, |mut watching| async move {
        let event = match watching.session.take() {
            Some(session) => Event::default().event("session").json_data(session),
            None => {
                let changed = tokio::time::timeout_at(watching.ends, watching.changes.changed()).await;
                changed.ok()?.ok()?;
                let changes = *watching.changes.borrow_and_update();
                Event::default().event("changes").json_data(changes)
            }
        };
        Some((Ok(event.ok()?), watching))
    })
}

/// Detects changes for as long as the service runs.
pub(crate) async fn poll_changes(shared: Arc<Shared>, sender: watch::Sender<Changes>) {
    let mut tick = tokio::time::interval(POLL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known: Option<[String; 5]> = None;
    loop {
        tick.tick().await;
        let found = match fingerprints(&shared).await {
            Ok(found) => found,
            // The service reports a state store that fails; here it only means that nothing is known to have changed.
            Err(error) => {
                tracing::debug!("changes aren't known: {}", error.render(false));
                continue;
            }
        };
        if let Some(known) = &known {
            let mut changes = *sender.borrow();
            let Changes { runs, doubts, alarms, connectors, networks } = &mut changes;
            for (at, count) in [runs, doubts, alarms, connectors, networks].into_iter().enumerate() {
                *count += u32::from(known[at] != found[at]);
            }
            sender.send_if_modified(|sent| std::mem::replace(sent, changes) != changes);
        }
        known = Some(found);
    }
}

/// A text per topic that differs whenever something of it changed: from the counters of this process, what services
/// noted, the alarms, and the calls of the API. What a command on another machine decides is seen with the next run.
async fn fingerprints(shared: &Shared) -> Result<[String; 5], Failure> {
    let metrics = shared.metrics.render();
    let lines = |names: &[&str]| {
        let found = metrics.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        let mut found: Vec<&str> = found.collect();
        found.sort_unstable();
        found.join("\n")
    };
    let state = &shared.app.state;
    let services = state.services().await?;
    let in_flight: Vec<String> =
        services.iter().map(|service| format!("{} {} {}", service.host, service.process, service.runs)).collect();
    let alarms = state.alarms().await?;
    let alarms: Vec<String> = alarms.iter().map(|alarm| format!("{} {}", alarm.alarm_id, alarm.state.name())).collect();
    let calls = state.api_calls(LATEST_CALLS).await?;
    let latest = |prefix: &str| {
        let call = calls.iter().find(|call| call.path.starts_with(prefix));
        call.map(|call| format!("{} {}", call.called_at, call.path)).unwrap_or_default()
    };
    Ok([
        format!("{}\n{}\n{}", lines(&["sluice_runs"]), in_flight.join("\n"), latest("/v1/runs")),
        format!("{}\n{}", lines(&["sluice_slices_total"]), latest("/v1/doubts/")),
        alarms.join("\n"),
        format!("{}\n{}", state.change_marker().await?, latest("/v1/connectors/")),
        latest("/v1/networks/"),
    ])
}
