//! Pauses: what the schedule leaves alone, by the operator's decision.

use chrono::Utc;
use sluice_model::ErrorKind;
use sluice_state::{Pause, PlannedSlice, Selection, State};

use crate::app;
use crate::failure::{Failure, SliceError};
use crate::network::Network;
use crate::settings::Settings;
use crate::settings::network::NetworkSettings;
use crate::slice_done::SliceDone;

/// The selection without the accounts that are paused, unless it names one; and what to say of each.
///
/// # Errors
/// The state store's failure.
pub async fn without_paused(
    state: &State,
    network: &Network,
    selection: &Selection,
) -> Result<(Selection, Vec<String>), Failure> {
    let mut selection = selection.clone();
    if selection.account.is_some() {
        return Ok((selection, Vec::new()));
    }
    let name = &network.settings.name;
    let mut warnings = Vec::new();
    for Pause { account, paused_at, reason } in state.pauses(name).await? {
        let Some(account) = account else { continue };
        let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
        let since = paused_at.format("%F %H:%M UTC");
        warnings.push(format!(
            "account `{account}` is not read: paused since {since}{reason}; sluice resume {name} --account {account}"
        ));
        selection.without_accounts.push(account);
    }
    Ok((selection, warnings))
}

/// The slices of an interrupted run that can be read, and those of accounts that were paused since.
///
/// # Errors
/// The state store's failure.
pub async fn split(
    state: &State,
    network: &str,
    slices: Vec<PlannedSlice>,
) -> Result<(Vec<PlannedSlice>, Vec<SliceDone>), Failure> {
    let paused: Vec<String> = state.pauses(network).await?.into_iter().filter_map(|pause| pause.account).collect();
    let (paused, slices): (Vec<_>, Vec<_>) = slices.into_iter().partition(|of| paused.contains(&of.slice.account));
    let failed = paused.into_iter().map(|PlannedSlice { slice, rule }| {
        let account = &slice.account;
        let message = format!("account `{account}` is paused: sluice resume {network} --account {account}");
        SliceDone::failed(slice, rule, SliceError::new(ErrorKind::Settings, message))
    });
    Ok((slices, failed.collect()))
}

/// Pauses a network, or one of its accounts by name or id. Runs in flight end as usual.
///
/// # Errors
/// A failure of the settings or the state store; a usage failure for an account that isn't there.
pub async fn pause(settings: &Settings, network: &str, account: Option<&str>, reason: &str) -> Result<Pause, Failure> {
    let of = app::network_settings(settings, network)?;
    let account = account.map(|named| known_account(&of, named)).transpose()?;
    let pause = Pause { account, paused_at: Utc::now(), reason: reason.to_owned() };
    State::open(&settings.state_url).await?.pause(network, &pause).await?;
    Ok(pause)
}

/// Resumes what was paused. False if it wasn't.
///
/// # Errors
/// As [`pause`].
pub async fn resume(settings: &Settings, network: &str, account: Option<&str>) -> Result<bool, Failure> {
    let of = app::network_settings(settings, network)?;
    // An account that the settings no longer have can be resumed by its id.
    let account = account.map(|named| of.account_id(named));
    Ok(State::open(&settings.state_url).await?.resume(network, account.as_deref()).await?)
}

/// The id of an account that the settings have, by name or id.
///
/// # Errors
/// A usage failure that lists those that there are.
pub(crate) fn known_account(network: &NetworkSettings, named: &str) -> Result<String, Failure> {
    let accounts = &network.content.accounts;
    match accounts.iter().find(|account| account.name == named || account.id() == named) {
        Some(account) => Ok(account.id().to_owned()),
        None => {
            let known: Vec<&str> = accounts.iter().map(|account| account.name.as_str()).collect();
            Err(Failure::usage(format!("network `{}` has no account `{named}`", network.name))
                .hint(format!("there are: {}", known.join(", "))))
        }
    }
}
