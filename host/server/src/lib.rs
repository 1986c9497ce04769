//! The HTTP API of a running service: health, metrics, and what the commands do, for programs.
//!
//! What reads or changes the lake runs as a command of its own, `sluice --output json …`: a program gets what the command
//! prints, under the same limits, and a query that takes too much ends its own process, never the service. Each request needs
//! a token, except for health and metrics, which services of all roles answer.

mod access;
mod answer;
mod api;
mod commands;
mod console;
mod error;
mod events;
mod health;
mod patience;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sluice_runtime::app::App;
use sluice_runtime::failure::Failure;
use sluice_runtime::identities::Identities;
use sluice_runtime::jobs::Jobs;
use sluice_runtime::listen;
use sluice_runtime::roles::{Role, Roles};
use sluice_runtime::telemetry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use access::Rates;
use events::Events;
use health::KeptReadiness;

/// The largest body of a request.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Commands at once. Each is a process with the memory that `[limits]` give a query; others wait.
const COMMANDS_AT_ONCE: usize = 2;
/// Answers that are kept for clients at once; further requests wait. Each takes a quarter of a MiB of memory at the most.
const ANSWERS_AT_ONCE: usize = 32;
/// How often samples of histograms are folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// What handlers share.
struct Shared {
    app: Arc<App>,
    metrics: PrometheusHandle,
    commands: Semaphore,
    answers: Arc<Semaphore>,
    jobs: Arc<Jobs>,
    rates: Rates,
    events: Events,
    readiness: KeptReadiness,
    /// Whether the service takes runs from the queue.
    is_worker: bool,
    /// Whose signed tokens are taken, too.
    identities: Option<Identities>,
}

type SharedState = Arc<Shared>;

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    changes: watch::Sender<events::Changes>,
    has_api: bool,
}

impl Server {
    /// Listens where the settings say; nothing without `[server]`. Health and metrics are answered by services of all roles:
    /// each counts what it does itself. The rest is answered with the role `api`.
    ///
    /// # Errors
    /// A settings failure for an address that is taken, for one that other machines reach while there is neither a token nor an
    /// issuer of identities, and for an issuer that can't be asked in confidence.
    pub async fn bind(app: &Arc<App>, roles: &Roles) -> Result<Option<Self>, Failure> {
        let Some(settings) = &app.settings.server else { return Ok(None) };
        let (has_api, is_worker) = (roles.has(Role::Api), roles.has(Role::Worker));
        let identities = Identities::of(&app.settings)?;
        if has_api && identities.is_none() {
            listen::check_token(&app.state, "server.listen", settings.listen).await?;
        }
        let listener = listen::bind("server.listen", settings.listen).await?;
        let metrics = PrometheusBuilder::new().install_recorder().map_err(Failure::failed)?;
        telemetry::describe();
        let commands = Semaphore::new(COMMANDS_AT_ONCE);
        let (answers, jobs) = (Arc::new(Semaphore::new(ANSWERS_AT_ONCE)), Arc::new(Jobs::new(app.clone())));
        let ((changes, events), rates) = (Events::new(), Rates::default());
        let (app, readiness) = (app.clone(), KeptReadiness::default());
        let shared = Shared { app, metrics, commands, answers, jobs, rates, events, readiness, is_worker, identities };
        Ok(Some(Self { listener, shared: Arc::new(shared), changes, has_api }))
    }

    /// The jobs that calls started.
    pub fn jobs(&self) -> Arc<Jobs> {
        self.shared.jobs.clone()
    }

    /// Answers until `stop` ends; then what is being answered may finish.
    ///
    /// # Errors
    /// That of the operating system.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
        let what = if self.has_api { "the HTTP API listens" } else { "health and metrics are" };
        tracing::info!("{what} on http://{}", self.listener.local_addr()?);
        let shared = self.shared.clone();
        let upkeep = tokio::spawn(async move {
            let mut tick = tokio::time::interval(UPKEEP);
            loop {
                tick.tick().await;
                shared.metrics.run_upkeep();
            }
        });
        let shared = self.shared.clone();
        let heartbeat = tokio::spawn(async move { shared.jobs.keep_alive().await });
        let events = tokio::spawn(events::poll_changes(self.shared.clone(), self.changes));
        let end_events = events.abort_handle();
        let stop = async move {
            stop.await;
            // What streams ends with it, so that nothing is waited for.
            end_events.abort();
        };
        let router = if self.has_api {
            console::mount(api::router(self.shared.clone()))
        } else {
            api::health_router(self.shared.clone())
        };
        let router = router.layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        patience::serve(self.listener, router, stop).await;
        upkeep.abort();
        heartbeat.abort();
        events.abort();
        Ok(())
    }
}
