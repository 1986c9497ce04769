//! Hosts that share heavy queries: each finds the others in the state store, and knows them by `state.key`.

use std::sync::OnceLock;

use chrono::Utc;
use sluice_lake::Lake;
use sluice_query::{QueryWorker, Session, WorkerKey, Workers};
use sluice_state::{State, installation_secret};
use url::Url;

use crate::failure::Failure;
use crate::settings::Settings;

/// The session, its heavy queries spread over the services that take parts of them, where `[query]` says so.
///
/// A state store that can't be read only means that queries run on this host.
///
/// # Errors
/// A settings failure for a `state.key` that is missing or can't be read.
pub async fn spread(session: Session, settings: &Settings) -> Result<Session, Failure> {
    let Some(query) = &settings.query else { return Ok(session) };
    let key = key(settings).await?;
    match addresses(settings).await {
        Ok(urls) => {
            let spread_from_bytes = query.spread_from_mb.saturating_mul(1 << 20);
            Ok(session.spread_over(Workers::reached(urls, key, spread_from_bytes).await))
        }
        Err(failure) => {
            tracing::warn!("queries aren't shared with other hosts: {}", failure.render(false));
            Ok(session)
        }
    }
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
async fn addresses(settings: &Settings) -> Result<Vec<Url>, Failure> {
    let services = State::open(&settings.state_url).await?.services().await?;
    let now = Utc::now();
    let fresh = services.into_iter().filter(|service| service.is_fresh(now));
    Ok(fresh.filter_map(|service| service.query_address?.parse().ok()).collect())
}
