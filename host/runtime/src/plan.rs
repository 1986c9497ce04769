//! What a run would ask for first.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_fetch::Fetcher;
use sluice_model::SentRequest;
use sluice_state::{Selection, State};

use crate::adaptive::{self, AdaptiveRead};
use crate::app;
use crate::failure::Failure;
use crate::network::look_back_rules;
use crate::settings::Settings;
use crate::settings::look_back::LookBackRule;
use crate::slices::{self, SliceJob};
use crate::text::span;
use crate::widths::Widths;

/// The most bytes of requests that a plan shows: they are in memory until it is printed.
const MAX_PLAN_BYTES: usize = 64 << 20;

/// The first request of each page chain of each slice.
#[derive(Debug)]
pub struct Plan {
    /// By slice, in the order in which a run would begin them.
    pub requests: Vec<PlannedRequest>,
    /// Which windows are narrower than was asked for, one sentence each.
    pub clipped: Vec<String>,
    /// Why accounts can't be planned, one failure each.
    pub failures: Vec<Failure>,
}

/// A request that a run would send.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedRequest {
    /// The id of its slice.
    pub slice: String,
    /// Why its slice is read.
    pub why: String,
    /// Its key in the slice.
    pub key: String,
    /// The request, secrets masked.
    pub request: SentRequest,
}

impl PlannedRequest {
    /// What it takes in memory.
    fn bytes(&self) -> usize {
        let SentRequest { method, url, headers, body } = &self.request;
        let headers: usize =
            headers.iter().map(|(name, value)| name.len() + value.len() + size_of::<(String, String)>()).sum();
        let texts = [&self.slice, &self.why, &self.key, method, url].map(String::len).iter().sum::<usize>();
        size_of::<Self>() + texts + headers + body.as_ref().map_or(0, String::len)
    }
}

/// The requests of a plan, as long as they aren't too many to hold.
#[derive(Default)]
struct PlannedRequests {
    requests: Vec<PlannedRequest>,
    bytes: usize,
}

impl PlannedRequests {
    fn add(&mut self, request: PlannedRequest) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(request.bytes());
        if self.bytes > MAX_PLAN_BYTES {
            let most = MAX_PLAN_BYTES >> 20;
            return Err(Failure::settings(format!("the requests of this plan take more than {most} MiB"))
                .hint("plan less at once: --account, --stream, or --since and --until"));
        }
        self.requests.push(request);
        Ok(())
    }
}

/// Plans the slices of a selection without sending anything.
///
/// # Errors
/// A failure of the settings, or the connector's refusal.
pub async fn plan(
    settings: &Settings,
    network: &str,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<Plan, Failure> {
    let registry = app::open_registry_read_only(settings).await?;
    let network = app::find_network(&registry, settings, network)?;
    let fetcher = Fetcher::new(settings.fetch.clone())?;
    let state = State::open(&settings.state_url).await?;
    let widths = Widths::new(state.widths(&network.manifest().network).await?);
    let rules = look_back_rules(&network);
    let (again, unread) = if rules.iter().any(|rule| rule.budget().is_some()) {
        adaptive::reads(&app::open_lake(settings).await?, &settings.limits, &network, selection, now).await?
    } else {
        Default::default()
    };
    let limits = (&widths, settings.limits.slices_per_run);
    let jobs = slices::jobs(&network, &fetcher, selection, &again, limits, now).await?;
    let mut planned = PlannedRequests::default();
    for job in jobs.jobs {
        let (connector, slice) = (network.connector.clone(), Arc::new(job.slice.clone()));
        let requests = tokio::task::spawn_blocking(move || connector.plan(&slice)).await.map_err(Failure::failed)??;
        let account = job.account.open().await?;
        for request in &requests {
            let sent = account.preview(request)?;
            let why = why(&job, &rules, &again);
            planned.add(PlannedRequest { slice: job.slice.id(), why, key: request.key.clone(), request: sent })?;
        }
    }
    let clipped = jobs.left_out.into_iter().chain(unread).collect();
    Ok(Plan { requests: planned.requests, clipped, failures: jobs.failures })
}

/// Why a slice is read: the rule, or what an adaptive rule expects of its window.
fn why(job: &SliceJob, rules: &[LookBackRule], again: &[AdaptiveRead]) -> String {
    let slice = &job.slice;
    if let Some(rule) = rules.iter().find(|rule| job.rule.as_ref().is_some_and(|key| *key == rule.key())) {
        return format!("look_back: {} d, every {}", rule.days, span(rule.every.into()));
    }
    let holds = |read: &&AdaptiveRead| {
        read.account == slice.account
            && read.stream == slice.stream
            && read.window.since < slice.window.until
            && slice.window.since < read.window.until
    };
    again.iter().find(holds).map_or_else(|| "asked for".to_owned(), |read| read.why.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_holds_no_more_than_it_may() {
        let request = |body: usize| PlannedRequest {
            slice: "0".repeat(32),
            why: "asked for".into(),
            key: "page-1".into(),
            request: SentRequest {
                method: "POST".into(),
                url: "https://api.example.com/".into(),
                headers: vec![],
                body: Some("x".repeat(body)),
            },
        };
        let mut planned = PlannedRequests::default();
        let added = (0..100).take_while(|_| planned.add(request(8 << 20)).is_ok()).count();
        assert_eq!((added, planned.requests.len()), (7, 7), "of 8 MiB each");
        assert!((0..100_000).all(|_| PlannedRequests::default().add(request(0)).is_ok()));
    }
}
