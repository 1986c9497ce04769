//! How a version does on the network's latest responses, before anything depends on it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use sluice_engine::{Connector, Error as EngineError, TwiceCheck};
use sluice_fetch::FetchOptions;
use sluice_lake::{Lake, RawFilter};
use sluice_model::{Mapped, RawObject, Slice, describe};

use crate::compare::{Comparison, Pair};
use crate::error::Error;
use crate::policy::TakeGuestSlot;
use crate::shadow::as_written;

/// Responses that are tried.
const RESPONSES: usize = 24;
/// Responses of one account and stream that are tried.
const RESPONSES_EACH: usize = 4;
/// Envelopes that are looked at to find them.
const LOOKED_AT: usize = 400;
/// Bytes of bodies that are tried.
const BYTES: usize = 64 << 20;
/// Where the latest responses are looked for first.
const RECENT: TimeDelta = TimeDelta::days(7);
/// How what is wrong with a version's requests begins.
pub(crate) const PLANS: &str = "when it plans";
/// How long slices are planned.
const PLANNING: Duration = Duration::from_secs(60);
/// The share of records that a version may reject, if the one before it rejected fewer.
const MAX_REJECTS: f64 = 0.02;

/// What a version did on the latest responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Digest of the version that it was compared with; empty: none served.
    pub against: String,
    /// How it differs.
    pub comparison: Comparison,
    /// What no decision of the operator overrides: it trapped, broke the contract or answered differently each time.
    pub fault: Option<String>,
    /// What may be wrong or intended: the operator decides.
    pub doubt: Option<String>,
}

/// Tries a version on slices that it would read, of which each may have so many requests, and on the network's latest
/// responses, beside the one that serves.
///
/// # Errors
/// The lake's failure.
pub(crate) async fn run(
    lake: &Lake,
    (fetch, guest_slots): (&FetchOptions, &TakeGuestSlot),
    candidate: &Connector,
    serving: Option<&Connector>,
    (slices, requests_per_slice): (&[Slice], usize),
) -> Result<TrialReport, Error> {
    let against = serving.map(|serving| serving.digest().to_hex()).unwrap_or_default();
    let mut trial = TrialReport { against, ..TrialReport::default() };
    if let Some(fault) = plan(guest_slots, candidate, serving, slices, requests_per_slice).await? {
        let TrialFault { text, is_grave } = fault;
        *if is_grave { &mut trial.fault } else { &mut trial.doubt } = Some(text);
    }
    if trial.fault.is_some() {
        return Ok(trial);
    }
    for (raw, body) in latest(lake, fetch, candidate.network()).await? {
        let (candidate, serving) = (candidate.clone(), serving.cloned());
        // Guests take processor time: not on the threads of asynchronous tasks.
        let slot = guest_slots(candidate.network()).await;
        let task = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let running = serving.map(|serving| map(&serving, &raw, body.clone(), TwiceCheck::Sampled));
            (map(&candidate, &raw, body, TwiceCheck::Always), running, raw)
        });
        let (mapped, running, raw) = task.await?;
        match (mapped, running) {
            (Ok(mapped), Some(Ok(running))) => trial.comparison.add(&running, &mapped),
            (Ok(mapped), _) => trial.comparison.add(&mapped, &mapped),
            // A response that neither can map is no argument against the candidate.
            (Err(_), Some(Err(_))) => {}
            (Err(TrialFault { text, is_grave }), _) => {
                let text = format!("on the response {} of {}: {text}", raw.body.short(), raw.slice.stream);
                trial.comparison.add_fault(text.clone());
                let first = if is_grave { &mut trial.fault } else { &mut trial.doubt };
                first.get_or_insert(text);
                if is_grave {
                    break;
                }
            }
        }
    }
    if trial.doubt.is_none() {
        trial.doubt = doubt(&trial.comparison);
    }
    Ok(trial)
}

/// The first slice that a version can't plan, though the one that serves can, or of which it would send too many requests.
async fn plan(
    guest_slots: &TakeGuestSlot,
    candidate: &Connector,
    serving: Option<&Connector>,
    slices: &[Slice],
    requests_per_slice: usize,
) -> Result<Option<TrialFault>, Error> {
    let (candidate, serving, slices) = (candidate.clone(), serving.cloned(), slices.to_vec());
    let slot = guest_slots(candidate.network()).await;
    let begun = Instant::now();
    let first_fault = move || {
        let _slot = slot;
        slices.iter().take_while(|_| begun.elapsed() < PLANNING).find_map(|slice| {
            let fault =
                |what: String, is_grave| TrialFault { text: format!("{PLANS} {}: {what}", slice.id()), is_grave };
            match candidate.plan(slice) {
                Ok(requests) if requests.len() > requests_per_slice => {
                    let count = requests.len();
                    Some(fault(format!("{count} requests, and a slice may have {requests_per_slice}"), true))
                }
                Ok(_) => None,
                Err(error) if error.is_guest_fault() => Some(fault(describe(&error), true)),
                Err(error) => {
                    let was_planned = serving.as_ref().is_some_and(|serving| serving.plan(slice).is_ok());
                    was_planned.then(|| fault(describe(&error), false))
                }
            }
        })
    };
    Ok(tokio::task::spawn_blocking(first_fault).await?)
}

/// What in a comparison may be wrong.
fn doubt(comparison: &Comparison) -> Option<String> {
    let fewer = |what: &str, pair: Pair| {
        let text = || format!("it finds {} {what} where {} were", pair.candidate, pair.running);
        (pair.candidate < pair.running).then(text)
    };
    let rejects = comparison.rejects;
    let share = rejects.candidate as f64 / comparison.records.candidate.max(1) as f64;
    let rejected = (rejects.candidate > rejects.running && share > MAX_REJECTS)
        .then(|| format!("it rejects {} records where {} were rejected", rejects.candidate, rejects.running));
    let fewer_facts = || comparison.facts.iter().find_map(|(kind, pair)| fewer(kind, *pair));
    let fewer_rows = || fewer("transactions", comparison.transactions).or_else(fewer_facts);
    fewer("records", comparison.records).or(rejected).or_else(fewer_rows)
}

/// The newest responses with records, a few of each account and stream.
async fn latest(lake: &Lake, fetch: &FetchOptions, network: &str) -> Result<Vec<(RawObject, Bytes)>, Error> {
    let recent = Some(Utc::now() - RECENT);
    for since in [recent, None] {
        let filter = RawFilter { network: Some(network.to_owned()), since, ..RawFilter::default() };
        let mut objects = lake.raw_objects_newest_first(&filter).await?.take(LOOKED_AT);
        let mut taken = BTreeMap::<(String, String), usize>::new();
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(raw) = objects.next().await.transpose()? {
            let count = taken.entry((raw.slice.account.clone(), raw.slice.stream.clone())).or_default();
            if *count == RESPONSES_EACH {
                continue;
            }
            *count += 1;
            let wire = lake.raw_body(raw.body).await?;
            let body = sluice_fetch::unpack_body(&raw.headers, &wire, fetch).await?;
            bytes += body.len();
            found.push((raw, body));
            if found.len() == RESPONSES || bytes > BYTES {
                break;
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

struct TrialFault {
    text: String,
    is_grave: bool,
}

/// A kept response as the tables would take it.
fn map(connector: &Connector, raw: &RawObject, body: Bytes, check: TwiceCheck) -> Result<Mapped, TrialFault> {
    let fault = |error: EngineError| TrialFault { text: describe(&error), is_grave: error.is_guest_fault() };
    let mut mapped = connector.map_raw(raw, body, check).map_err(fault)?;
    as_written(connector, raw, &mut mapped).map_err(|text| TrialFault { text, is_grave: true })?;
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use super::Pair;
    use super::*;

    fn of(records: (i64, i64), transactions: (i64, i64), rejects: (i64, i64)) -> Option<String> {
        let pair = |(running, candidate)| Pair { running, candidate };
        doubt(&Comparison {
            records: pair(records),
            transactions: pair(transactions),
            rejects: pair(rejects),
            ..Comparison::default()
        })
    }

    #[test]
    fn fewer_records_and_more_rejects_are_doubtful() {
        assert_eq!(of((100, 100), (90, 90), (10, 10)), None);
        assert_eq!(of((100, 120), (90, 110), (0, 2)), None);
        assert_eq!(of((100, 99), (90, 90), (0, 0)).as_deref(), Some("it finds 99 records where 100 were"));
        assert_eq!(of((100, 100), (90, 89), (0, 0)).as_deref(), Some("it finds 89 transactions where 90 were"));
        assert_eq!(of((100, 100), (0, 0), (1, 3)).as_deref(), Some("it rejects 3 records where 1 were rejected"));
        let payments = BTreeMap::from([("payments".to_owned(), Pair { running: 9, candidate: 0 })]);
        let dropped = doubt(&Comparison { facts: payments, ..Comparison::default() });
        assert_eq!(dropped.as_deref(), Some("it finds 0 payments where 9 were"));
    }
}
