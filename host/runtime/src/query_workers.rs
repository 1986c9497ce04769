//! Hosts that share heavy queries: each finds the others in the state store, and knows them by `state.key`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::Utc;
use futures::FutureExt;
use futures::future::BoxFuture;
use sluice_lake::Lake;
use sluice_query::{QueryWorker, Session, WorkerKey, Workers};
use sluice_state::{State, installation_secret};
use url::Url;

use crate::failure::Failure;
use crate::settings::Settings;

/// How long the state store may take to name the workers; then the query runs on this host.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// The session, its heavy queries spread over the services that take parts of them, where `[query]` says so. These are looked for
/// at each heavy query.
///
/// A state store that can't be read only means that queries run on this host.
///
/// # Errors
/// A settings failure for a `state.key` that is missing or can't be read.
pub async fn spread(session: Session, settings: &Settings) -> Result<Session, Failure> {
    let Some(query) = &settings.query else { return Ok(session) };
    let key = key(settings).await?;
    let store = settings.state_url.clone();
    let find = move || -> BoxFuture<'static, Vec<Url>> { found(store.clone()).boxed() };
    Ok(session.spread_over(Workers::new(Arc::new(find), key, query.spread_from_mb.saturating_mul(1 << 20))))
}

/// The addresses of query workers; none, with a warning, if the state store doesn't give them.
async fn found(store: String) -> Vec<Url> {
    // The compiler can't tell that a future which migrates a store may change its thread (rust-lang/rust#102211).
    let runtime = tokio::runtime::Handle::current();
    #[expect(clippy::disallowed_methods, reason = "on a blocking thread, which nothing else waits for")]
    let addresses = tokio::task::spawn_blocking(move || runtime.block_on(addresses(&store)));
    match tokio::time::timeout(FOUND_WITHIN, addresses).await {
        Ok(Ok(Ok(urls))) => return urls,
        Ok(Ok(Err(failure))) => tracing::warn!("queries aren't shared with other hosts: {}", failure.render(false)),
        Ok(Err(panicked)) => tracing::warn!("queries aren't shared with other hosts: {panicked}"),
        Err(_) => {
            let secs = FOUND_WITHIN.as_secs();
            tracing::warn!("queries aren't shared with other hosts: the state store took longer than {secs} seconds");
        }
    }
    Vec::new()
}

/// The worker of this process, where `[query]` says so, its address put where the next heartbeat finds it for others.
///
/// # Errors
/// A settings failure for a `state.key` that is missing or can't be read; an address that is taken.
pub async fn bind(
    lake: &Lake,
    settings: &Settings,
    query_address: &OnceLock<String>,
) -> Result<Option<QueryWorker>, Failure> {
    let Some(query) = &settings.query else { return Ok(None) };
    let options = settings.limits.query();
    let key = key(settings).await?;
    let worker = QueryWorker::bind(lake.clone(), options, key, query.listen, query.address.clone()).await?;
    tracing::info!("parts of queries are taken at {}", worker.address());
    query_address.get_or_init(|| worker.address().to_string());
    Ok(Some(worker))
}

async fn key(settings: &Settings) -> Result<WorkerKey, Failure> {
    let key = settings.state_key().await?;
    Ok(WorkerKey::of(installation_secret(&settings.state_url, key)?.expose()))
}

/// Of services that were there in the last minute.
async fn addresses(store: &str) -> Result<Vec<Url>, Failure> {
    let services = State::open(store).await?.services().await?;
    let now = Utc::now();
    let fresh = services.into_iter().filter(|service| service.is_fresh(now));
    Ok(fresh.filter_map(|service| service.query_address?.parse().ok()).collect())
}
