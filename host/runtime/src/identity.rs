//! Which account is which: what makes two accounts of the settings one account of the network.
//!
//! Tables tell accounts apart by their id, and a transaction's key has it in it. So one account under two ids counts every
//! transaction twice. That happens when it is configured twice, and when it is renamed without keeping its id; both are
//! refused before anything is requested.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::Utc;
use sluice_lake::{AccountRow, Lake};
use sluice_model::{Digest, Manifest};

use crate::failure::Failure;
use crate::network::Network;
use crate::settings::network::{Account, NetworkSettings};
use crate::settings::secrets::SecretSources;

/// What identifies an account.
struct AccountIdentity {
    /// The settings that do, by name; of an account without any the references of its secrets.
    parts: BTreeMap<String, String>,
    /// It has no such settings.
    by_secrets: bool,
    /// Where its requests go, if that isn't the network itself: a sandbox, a simulator, a proxy.
    origin: Option<String>,
}

/// Refuses a network of which an account is configured twice, was renamed without keeping its id, or became another one.
///
/// # Errors
/// A settings failure that names the accounts; the lake's failure.
pub async fn check(
    all: &[NetworkSettings],
    network: &Network,
    secrets: &SecretSources,
    lake: &Lake,
) -> Result<(), Failure> {
    refuse_same(all, network, secrets).await?;
    refuse_changed(all, network, lake).await
}

/// An account of the settings, as it is compared with others.
#[derive(Clone)]
struct ComparedAccount<'a> {
    account: &'a Account,
    file: &'a str,
    origin: Option<String>,
    /// The settings that identify it, numbers without leading zeros; none where only its secrets do.
    settings: BTreeMap<String, String>,
}

impl ComparedAccount<'_> {
    /// Whether a setting says that two accounts are different ones.
    fn contradicts(&self, other: &Self) -> bool {
        self.settings.iter().any(|(name, value)| other.settings.get(name).is_some_and(|other| other != value))
    }

    /// Why two accounts are one; none if they may be two. Behind another origin it may be another one; then it needs an id of
    /// its own.
    fn same_as(&self, other: &Self, network: &str, shown: &str) -> Option<Failure> {
        let is_there = self.origin == other.origin;
        if !is_there && (self.account.id.is_some() || other.account.id.is_some()) {
            return None;
        }
        let (name, first) = (&self.account.name, &other.account.name);
        let message = format!(
            "accounts `{first}` ({}) and `{name}` ({}) are one account of `{network}`: both have {shown}",
            other.file, self.file
        );
        let hint = "remove one of them: under two names every transaction would count twice";
        let or = format!("; if `base_url` makes it another one, add \"id\": \"{name}\" to it");
        let or = if is_there { "" } else { &or };
        Some(Failure::settings(message).hint(format!("{hint}{or}")))
    }
}

/// Refuses a network of which an account is the same as another one of the settings, in this file or another: by the settings
/// that identify it, or by its secrets where some of these are missing.
async fn refuse_same(all: &[NetworkSettings], network: &Network, secrets: &SecretSources) -> Result<(), Failure> {
    let manifest = network.manifest();
    let id = &manifest.network;
    let may_lack = manifest.settings.iter().any(|setting| setting.identifies && !setting.required);
    let mut by_identity: HashMap<BTreeMap<String, String>, Vec<ComparedAccount<'_>>> = HashMap::new();
    let mut by_secrets: HashMap<BTreeMap<String, String>, Vec<ComparedAccount<'_>>> = HashMap::new();
    for file in all.iter().filter(|file| file.content.connector == network.settings.content.connector) {
        for account in &file.content.accounts {
            let Some(identity) = identity(file, manifest, account) else { continue };
            let (shown, known) = (shown(&identity), known_by(&identity, secrets).await);
            let settings = if identity.by_secrets { BTreeMap::new() } else { known.clone() };
            let compared = ComparedAccount { account, file: &file.file, origin: identity.origin, settings };
            let others = by_identity.entry(known).or_default();
            if let Some(failure) = others.iter().find_map(|other| compared.same_as(other, id, &shown)) {
                return Err(failure);
            }
            others.push(compared.clone());
            let slots: Vec<&str> = account.secrets.keys().map(String::as_str).collect();
            if !may_lack || slots.is_empty() {
                continue;
            }
            let shown = format!("the same {}", slots.join(", "));
            let others = by_secrets.entry(read_secrets(account, secrets).await).or_default();
            let mut unlike = others.iter().filter(|other| !compared.contradicts(other));
            if let Some(failure) = unlike.find_map(|other| compared.same_as(other, id, &shown)) {
                return Err(failure);
            }
            others.push(compared);
        }
    }
    Ok(())
}

/// By what an account is compared with others: two references may name one secret, and a number may be written with zeros
/// before it.
async fn known_by(identity: &AccountIdentity, secrets: &SecretSources) -> BTreeMap<String, String> {
    if !identity.by_secrets {
        return compared(&identity.parts);
    }
    let mut known = identity.parts.clone();
    digest(&mut known, secrets).await;
    known
}

/// What identifies an account as it is compared: numbers without the zeros before them, other text without the space around it.
fn compared(parts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    parts.iter().map(|(name, value)| (name.clone(), without_zeros(value.trim()).to_owned())).collect()
}

/// A number without the zeros before it; any other text as it is.
fn without_zeros(value: &str) -> &str {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { value.trim_start_matches('0') } else { value }
}

/// An account's secrets, as they are compared.
async fn read_secrets(account: &Account, secrets: &SecretSources) -> BTreeMap<String, String> {
    let references = account.secrets.iter().map(|(slot, reference)| (slot.clone(), reference.clone()));
    let mut read: BTreeMap<String, String> = references.collect();
    digest(&mut read, secrets).await;
    read
}

/// Replaces references by digests of what they name. Programs aren't run for that.
async fn digest(references: &mut BTreeMap<String, String>, secrets: &SecretSources) {
    for (slot, value) in references {
        let is_read = value.starts_with("env:") || value.starts_with("file:");
        if is_read && let Ok(secret) = secrets.read(value, slot).await {
            *value = Digest::of(secret.expose().as_bytes()).to_hex();
        }
    }
}

/// Refuses an account that was read under another id which the settings no longer have, since it was renamed; and one whose
/// id another account had when it was read, since the rows of both would be one account's.
async fn refuse_changed(all: &[NetworkSettings], network: &Network, lake: &Lake) -> Result<(), Failure> {
    let known = lake.accounts(&network.manifest().network).await?;
    if let Some(failure) = renamed(all, network, &known) {
        return Err(failure);
    }
    let changed = changed(network, &known);
    if changed.is_empty() {
        return Ok(());
    }
    // What was never read has no rows: it may have been a typing error.
    let coverage = lake.coverage().await?;
    let id = &network.manifest().network;
    let was_read = |account: &str| {
        coverage.iter().any(|read| read.of.network == *id && read.of.account == account && read.read.is_some())
    };
    changed.into_iter().find(|(account, _)| was_read(account)).map_or(Ok(()), |(_, failure)| Err(failure))
}

/// The accounts whose settings identify another account than when they were read, by id.
fn changed(network: &Network, known: &BTreeMap<String, AccountRow>) -> Vec<(String, Failure)> {
    let mut found = Vec::new();
    for account in &network.settings.content.accounts {
        let Some(before) = known.get(account.id()) else { continue };
        let Some(identity) = identity(&network.settings, network.manifest(), account) else { continue };
        let old: BTreeMap<String, String> = serde_json::from_str(&before.identity).unwrap_or_default();
        // A connector may come to know more of what identifies an account.
        let differs = |(name, value): &(&String, &String)| {
            let is_other = |old: &str| without_zeros(old.trim()) != without_zeros(value);
            old.get(*name).is_some_and(|old| is_other(old) && account.was.get(*name) != Some(old))
        };
        let Some((name, value)) = identity.parts.iter().filter(|_| !identity.by_secrets).find(differs) else {
            continue;
        };
        let (id, file, old) = (account.id(), &network.settings.file, &old[name]);
        let message = format!(
            "account `{id}` of `{}` was read with {name} {old}, and has {name} {value} now: its rows would be those of two \
             accounts",
            network.manifest().network
        );
        let hint = format!(
            "if it is another account, add it beside this one, or give it an id of its own in {file}: \"id\": \"{id}-{value}\"; \
             if the network numbered it anew, \"was\": {{\"{name}\": \"{old}\"}}"
        );
        found.push((id.to_owned(), Failure::settings(message).hint(hint)));
    }
    found
}

fn renamed(all: &[NetworkSettings], network: &Network, known: &BTreeMap<String, AccountRow>) -> Option<Failure> {
    let files = all.iter().filter(|file| file.content.connector == network.settings.content.connector);
    let ids: HashSet<&str> = files.flat_map(|file| file.content.accounts.iter().map(Account::id)).collect();
    // Of several with one identity the first is named.
    let gone = known.values().rev().filter(|row| !ids.contains(row.account.as_str()));
    let read = |row: &AccountRow| serde_json::from_str::<BTreeMap<String, String>>(&row.identity).unwrap_or_default();
    let gone: HashMap<BTreeMap<String, String>, &AccountRow> = gone.map(|row| (compared(&read(row)), row)).collect();
    for account in &network.settings.content.accounts {
        // An id of its own says that it is meant: a new account, or one that keeps its history.
        if known.contains_key(account.id()) || account.id.is_some() {
            continue;
        }
        let Some(identity) = identity(&network.settings, network.manifest(), account) else { continue };
        let Some(before) = gone.get(&compared(&identity.parts)) else { continue };
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
fn identity(file: &NetworkSettings, manifest: &Manifest, account: &Account) -> Option<AccountIdentity> {
    let settings = file.account_settings(manifest, account).ok()?;
    let identifies = |name: &str| manifest.settings.iter().any(|setting| setting.name == name && setting.identifies);
    // Connectors leave out the space around a value.
    let trimmed = |(name, value): (String, String)| (name, value.trim().to_owned());
    let mut parts: BTreeMap<String, String> =
        settings.into_iter().filter(|(name, _)| identifies(name)).map(trimmed).collect();
    let by_secrets = parts.is_empty();
    if by_secrets {
        parts.extend(account.secrets.iter().map(|(slot, reference)| (slot.clone(), reference.clone())));
    }
    let origin = file.content.base_url.as_ref().map(|url| url.origin().ascii_serialization());
    (!parts.is_empty()).then_some(AccountIdentity { parts, by_secrets, origin })
}

/// The origin isn't part of who it is: a proxy may be put before a network at any time.
fn text(identity: &AccountIdentity) -> String {
    serde_json::to_string(&identity.parts).unwrap_or_default()
}

/// `publisher_id 123456`.
fn shown(identity: &AccountIdentity) -> String {
    identity.parts.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}
