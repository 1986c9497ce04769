//! Which account is which: what makes two accounts of the settings one account of the network.
//!
//! Tables tell accounts apart by their id, and a transaction's key has it in it. So one account under two ids counts every
//! transaction twice. That happens when it is configured twice, and when it is renamed without keeping its id; both are
//! refused before anything is requested.

use std::collections::BTreeMap;

use chrono::Utc;
use sluice_lake::{AccountRow, Lake};
use sluice_model::Manifest;

use crate::app::Network;
use crate::failure::Failure;
use crate::settings::network::{Account, NetworkSettings};

/// The settings that identify an account, by name. An account without any is known by its secrets' references.
type Identity = BTreeMap<String, String>;

/// Refuses a network of which an account is configured twice, or was renamed without keeping its id.
///
/// # Errors
/// A settings failure that names the accounts; the lake's failure.
pub async fn check(all: &[NetworkSettings], network: &Network, lake: &Lake) -> Result<(), Failure> {
    refuse_same(all, network)?;
    refuse_renamed(all, network, lake).await
}

/// Refuses a network of which an account is the same as another one of the settings, in this file or another.
///
/// # Errors
/// A settings failure that names both accounts and what is equal.
pub fn refuse_same(all: &[NetworkSettings], network: &Network) -> Result<(), Failure> {
    let manifest = network.manifest();
    let mut seen: BTreeMap<Identity, (&Account, &str)> = BTreeMap::new();
    for file in all.iter().filter(|file| file.content.connector == network.settings.content.connector) {
        for account in &file.content.accounts {
            let Some(identity) = identity(file, manifest, account) else { continue };
            let shown = shown(&identity);
            if let Some((other, other_file)) = seen.insert(identity, (account, &file.file)) {
                let message = format!(
                    "accounts `{}` ({other_file}) and `{}` ({}) are one account of `{}`: both have {shown}",
                    other.name, account.name, file.file, manifest.network
                );
                return Err(Failure::settings(message)
                    .hint("remove one of them: under two names every transaction would count twice"));
            }
        }
    }
    Ok(())
}

/// Refuses an account that was read under another id which the settings no longer have: it was renamed.
///
/// # Errors
/// A settings failure that says how the account keeps its transactions; the lake's failure.
pub async fn refuse_renamed(all: &[NetworkSettings], network: &Network, lake: &Lake) -> Result<(), Failure> {
    let known = lake.accounts(&network.manifest().network).await?;
    match renamed(all, network, &known) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn renamed(all: &[NetworkSettings], network: &Network, known: &BTreeMap<String, AccountRow>) -> Option<Failure> {
    let files = all.iter().filter(|file| file.content.connector == network.settings.content.connector);
    let ids: Vec<&str> = files.flat_map(|file| file.content.accounts.iter().map(Account::id)).collect();
    for account in &network.settings.content.accounts {
        // An id of its own says that it is meant: a new account, or one that keeps its history.
        if known.contains_key(account.id()) || account.id.is_some() {
            continue;
        }
        let Some(identity) = identity(&network.settings, network.manifest(), account) else { continue };
        let text = text(&identity);
        let gone = known.values().filter(|row| !ids.contains(&row.account.as_str()));
        let Some(before) = gone.into_iter().find(|row| row.identity == text) else { continue };
        let (name, id, file) = (&account.name, &before.account, &network.settings.file);
        let message = format!(
            "account `{id}` of `{}` left the settings, and `{name}` has the same {}: was it renamed?",
            network.manifest().network,
            shown(&identity)
        );
        return Some(Failure::settings(message).hint(format!(
            "to keep its transactions, add \"id\": \"{id}\" to account `{name}` in {file}; if it shall begin anew, \
             \"id\": \"{name}\", and every transaction of `{id}` that it reads counts twice"
        )));
    }
    None
}

/// Records accounts of a network in `meta.accounts`, as far as they aren't there as they are now: those of these ids, or all
/// without any.
///
/// # Errors
/// The lake's failure.
pub async fn record(network: &Network, accounts: &[String], lake: &Lake) -> Result<(), Failure> {
    let id = &network.manifest().network;
    let known = lake.accounts(id).await?;
    let mut rows = Vec::new();
    let is_meant = |account: &&Account| accounts.is_empty() || accounts.iter().any(|id| id == account.id());
    for account in network.settings.content.accounts.iter().filter(is_meant) {
        let Some(identity) = identity(&network.settings, network.manifest(), account) else { continue };
        let row = AccountRow {
            network: id.clone(),
            account: account.id().to_owned(),
            name: account.name.clone(),
            identity: text(&identity),
            since: Utc::now(),
        };
        let same = |before: &AccountRow| before.name == row.name && before.identity == row.identity;
        if !known.get(&row.account).is_some_and(same) {
            rows.push(row);
        }
    }
    Ok(lake.append_accounts(&rows).await?)
}

/// What identifies an account; none if that can't be known, since its settings are wrong.
fn identity(file: &NetworkSettings, manifest: &Manifest, account: &Account) -> Option<Identity> {
    let settings = file.account_settings(manifest, account).ok()?;
    let identifies = |name: &str| manifest.settings.iter().any(|setting| setting.name == name && setting.identifies);
    let mut identity: Identity = settings.into_iter().filter(|(name, _)| identifies(name)).collect();
    if identity.is_empty() {
        identity.extend(account.secrets.iter().map(|(slot, reference)| (slot.clone(), reference.clone())));
    }
    // Another origin is another network: a sandbox, a simulator.
    if let Some(url) = file.content.base_url.as_ref().filter(|_| !identity.is_empty()) {
        identity.insert("base_url".to_owned(), url.origin().ascii_serialization());
    }
    (!identity.is_empty()).then_some(identity)
}

fn text(identity: &Identity) -> String {
    // The origin isn't part of who it is: a proxy may be put before a network at any time.
    let settings: Identity = identity
        .iter()
        .filter(|(name, _)| *name != "base_url")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    serde_json::to_string(&settings).unwrap_or_default()
}

/// `publisher_id 123456`.
fn shown(identity: &Identity) -> String {
    let settings = identity.iter().filter(|(name, _)| *name != "base_url");
    settings.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}
