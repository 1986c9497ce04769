//! The last complete day of each account, by the profiles that doubts are judged with.

use chrono::{DateTime, TimeDelta, Utc};
use sluice_state::State;

use super::fault::{Fault, Findings};
use super::rule::Rule;
use super::scope::Scope;
use crate::doubt::{DayLimits, Profile, day_outside_band, quiet_day};
use crate::failure::Failure;
use crate::settings::alarms::AlarmSettings;

/// Judges the accounts and streams of networks that were read: network id, account, stream.
///
/// # Errors
/// The state store's failure.
pub(super) async fn find(
    state: &State,
    scope: &Scope<'_>,
    accounts: &[(String, String, String)],
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Scope { networks, files, alarms, .. } = *scope;
    let [quiet, bands] = [limits(alarms, Rule::ZeroRows, 5), limits(alarms, Rule::Bands, 50)];
    let (mut silent, mut unusual) = (Vec::new(), Vec::new());
    for (network, account, stream) in accounts {
        let Some(profile) = state.profile(network, account, stream).await? else { continue };
        let profile = Profile::from_json(&profile);
        let fault = |rule, what: String| {
            Fault::of(rule, network, Some(account), Some(stream), format!("{network} {account}, {stream}: {what}"))
        };
        let advice = || {
            let name = files.name_of(network, account);
            format!(
                "compare with the network's own report. If it has more, read the days again: sluice run {name} --account \
                 {account} --since … --until …"
            )
        };
        silent.extend(quiet_day(&profile, &quiet, now).map(|what| fault(Rule::ZeroRows, what).advice(advice())));
        unusual.extend(day_outside_band(&profile, &bands, now).map(|what| fault(Rule::Bands, what).advice(advice())));
    }
    findings.add(Rule::ZeroRows, networks.covers(), silent);
    findings.add(Rule::Bands, networks.covers(), unusual);
    Ok(())
}

fn limits(alarms: &AlarmSettings, rule: Rule, rows: u64) -> DayLimits {
    DayLimits {
        settled: TimeDelta::hours(alarms.threshold(rule, |of| of.settle_hours, 48).into()),
        rows: alarms.threshold(rule, |of| of.rows, rows),
        factor: alarms.threshold(rule, |of| of.factor, 5),
    }
}
