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
use sluice_runtime::jobs::Jobs;
use sluice_runtime::telemetry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use access::Rates;
use events::Events;
use patience::{Patient, Peer};

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
    /// each counts what it does itself. `has_api`: whether the rest is.
    ///
    /// # Errors
    /// A settings failure for an address that is taken, and for one that other machines reach while no token is there.
    pub async fn bind(app: &Arc<App>, has_api: bool) -> Result<Option<Self>, Failure> {
        let Some(settings) = &app.settings.server else { return Ok(None) };
        let listen = settings.listen;
        if has_api && !listen.ip().is_loopback() && app.state.api_tokens().await?.is_empty() {
            return Err(Failure::settings(format!(
                "server.listen = \"{listen}\" is reached by other machines, and there is no token"
            ))
            .hint("make one first: sluice tokens create NAME --role read; or listen on 127.0.0.1"));
        }
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Failure::settings(format!("cannot listen on {listen}: {error}"))
                .hint("end the program that uses the port, or set another server.listen in sluice.toml")
        })?;
        let metrics = PrometheusBuilder::new().install_recorder().map_err(Failure::failed)?;
        telemetry::describe();
        let commands = Semaphore::new(COMMANDS_AT_ONCE);
        let (answers, jobs) = (Arc::new(Semaphore::new(ANSWERS_AT_ONCE)), Arc::new(Jobs::new(app.clone())));
        let ((changes, events), rates) = (Events::new(), Rates::default());
        let shared = Shared { app: app.clone(), metrics, commands, answers, jobs, rates, events };
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
        let router = match self.has_api {
            true => console::mount(api::router(self.shared.clone())),
            false => api::health_router(self.shared.clone()),
        };
        let router = router.layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        let service = router.into_make_service_with_connect_info::<Peer>();
        let served = axum::serve(Patient(self.listener), service).with_graceful_shutdown(stop).await;
        upkeep.abort();
        heartbeat.abort();
        events.abort();
        Ok(served?)
    }
}
