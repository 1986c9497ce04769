//! `sluice plan`: the requests that a run would send.

use std::io::Write;
use std::sync::Arc;

use chrono::Utc;

use crate::app::{self, with_connector};
use crate::cli::ReadArgs;
use crate::failure::Failure;
use crate::settings::{Settings, network};
use crate::slices;

/// Prints the first requests of every slice, secrets masked.
///
/// # Errors
/// A failure of the settings, or the connector's refusal.
pub(super) async fn plan(settings: Settings, args: &ReadArgs, json: bool) -> Result<(), Failure> {
    let now = Utc::now();
    let selection = args.selection(now)?;
    let registry = app::open_registry(&settings)?;
    let Some(found) = network::load_all(&settings.networks_dir)?.into_iter().find(|n| n.name == args.network) else {
        return Err(Failure::usage(format!("there is no network `{}`", args.network))
            .hint(format!("add {}", settings.networks_dir.join(format!("{}.json", args.network)).display())));
    };
    let network = with_connector(&registry, &settings, found)?;
    let fetcher = sluice_fetch::Fetcher::new(sluice_fetch::FetchOptions::default())?;
    let jobs = slices::jobs(&network, &fetcher, &selection, now)?;
    let mut out = std::io::stdout().lock();
    let mut planned = Vec::new();
    for job in jobs {
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
    Ok(())
}
