//! `sluice plan`: the requests that a run would send.

use std::io::Write;
use std::sync::Arc;

use chrono::Utc;

use sluice_runtime::app;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use sluice_runtime::slices;
use sluice_runtime::widths::Widths;

use crate::arguments::ReadArgs;

/// Prints the first requests of every slice, secrets masked.
///
/// # Errors
/// A failure of the settings, or the connector's refusal.
pub(super) async fn plan(settings: Settings, args: &ReadArgs, json: bool) -> Result<(), Failure> {
    let now = Utc::now();
    let selection = args.selection(now)?;
    let registry = app::open_registry_read_only(&settings).await?;
    let network = app::find_network(&registry, &settings, &args.network)?;
    let fetcher = sluice_fetch::Fetcher::new(settings.fetch.clone())?;
    let state = sluice_state::State::open(&settings.state_url).await?;
    let widths = Widths::new(state.widths(&network.manifest().network).await?);
    let jobs = slices::jobs(&network, &fetcher, &selection, &widths, settings.limits.slices_per_run, now).await?;
    jobs.clipped.iter().for_each(|sentence| eprintln!("warning: {}: {sentence}", args.network));
    let mut out = std::io::stdout().lock();
    let mut planned = Vec::new();
    for job in jobs.jobs {
        let (connector, slice) = (network.connector.clone(), Arc::new(job.slice.clone()));
        let requests = tokio::task::spawn_blocking(move || connector.plan(&slice)).await.map_err(Failure::failed)??;
        for request in &requests {
            let sent = job.account.preview(request)?;
            if json {
                planned.push(serde_json::json!({"slice": job.slice.id(), "key": request.key, "request": sent}));
                continue;
            }
            writeln!(out, "{}\n  {} {}", job.slice.id(), sent.method, sent.url)?;
            for (name, value) in &sent.headers {
                writeln!(out, "  {name}: {value}")?;
            }
            if let Some(body) = &sent.body {
                writeln!(out, "  {body}")?;
            }
        }
    }
    if json {
        writeln!(out, "{}", serde_json::Value::Array(planned))?;
    }
    // What can be planned of the other accounts is printed.
    jobs.failures.into_iter().next().map_or(Ok(()), Err)
}
