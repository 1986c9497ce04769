//! `networks/<name>.json`: one network's accounts, schedule and rights. Re-read for every run.

mod load;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use serde::Deserialize;
use sluice_model::{ErrorKind, Grain, Manifest, Rate, Secret, TIMEZONE_SETTING};
use url::Url;

use super::look_back::LookBackRule;
use super::schedule::ScheduleSettings;
use super::secrets::SecretSources;
use super::vanish::VanishSettings;
use crate::doubt::DoubtSettings;
use crate::failure::Failure;
use sluice_registry::SwapSettings;

pub use load::{Loaded, load_all, load_each};

/// What a file in `networks/` says of a network.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// The file's name without `.json`: what commands call it.
    pub name: String,
    /// The file, for messages.
    pub file: String,
    /// Its content: each slice holds it.
    pub content: Arc<NetworkFile>,
}

/// The content of `networks/<name>.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// The network id that the connector's manifest has.
    pub connector: String,
    /// When it is read by itself. Without it the connector's own cron expression, in UTC.
    #[serde(default, deserialize_with = "super::schedule::schedule")]
    pub schedule: Option<ScheduleSettings>,
    /// How far back each look reads. Without it the connector's own.
    pub look_back: Option<Vec<LookBackRule>>,
    /// Hosts that requests may go to.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Another origin for the network's requests.
    pub base_url: Option<Url>,
    /// The pace. Without it the connector's own.
    pub rate: Option<Rate>,
    /// The share of a slice's records, 0 to 1, that may be rejected before the slice counts as failed.
    pub max_reject_share: Option<f64>,
    /// When a transaction that the network no longer reports has vanished.
    #[serde(default)]
    pub vanish: VanishSettings,
    /// How a new version of the connector takes over.
    #[serde(default)]
    pub swap: SwapSettings,
    /// Which answers are doubted.
    #[serde(default)]
    pub doubt: DoubtSettings,
    /// IANA zone in which the network cuts reporting days, where that is the account's own.
    pub timezone: Option<Tz>,
    /// The accounts to read.
    pub accounts: Vec<Account>,
}

/// One record in twenty: a few odd rows are no reason to distrust a window.
const MAX_REJECT_SHARE: f64 = 0.05;

/// The operator's access to a network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The operator's name for it, which may change.
    pub name: String,
    /// What tables call it, for ever; without it the name. A renamed account keeps the id that it had.
    pub id: Option<String>,
    /// Its own `timezone`, instead of the network's.
    pub timezone: Option<Tz>,
    /// What the connector must know of it.
    #[serde(default)]
    pub settings: BTreeMap<String, Scalar>,
    /// Settings that identified it before the network numbered it anew.
    #[serde(default)]
    pub was: BTreeMap<String, String>,
    /// References to its secrets: `env:NAME`, `file:PATH` or `command:PROGRAM ARGUMENTS`.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
}

impl Account {
    /// What tables call it.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.name)
    }
}

/// A setting's value.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `"…"`
    Text(String),
    /// `1`
    Integer(i64),
    /// `true`
    Flag(bool),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// `90s`, `30m`, `1h 30m`, `1d` in seconds; none if it isn't a whole number of seconds above 0.
pub(crate) fn parse_duration_secs(text: &str) -> Option<u32> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| duration.subsec_nanos() == 0)?;
    u32::try_from(duration.as_secs()).ok().filter(|secs| *secs > 0)
}

impl NetworkSettings {
    /// The share of a slice's records that may be rejected before the slice counts as failed.
    pub fn max_reject_share(&self) -> f64 {
        self.content.max_reject_share.unwrap_or(MAX_REJECT_SHARE)
    }

    /// The id of the account that a command names by its name or id.
    pub fn account_id(&self, named: &str) -> String {
        let account = self.content.accounts.iter().find(|account| account.name == named);
        account.map_or(named, Account::id).to_owned()
    }

    /// The account's settings with the manifest's defaults, sorted by name.
    ///
    /// # Errors
    /// A settings failure for a setting that is missing or unknown.
    pub fn account_settings(&self, manifest: &Manifest, account: &Account) -> Result<Vec<(String, String)>, Failure> {
        let known: Vec<&str> = manifest.settings.iter().map(|setting| setting.name.as_str()).collect();
        self.refuse_unknown("setting", account, account.settings.keys(), &known)?;
        let mut settings = BTreeMap::new();
        for setting in &manifest.settings {
            let value = account.settings.get(&setting.name).map(ToString::to_string).or(setting.default.clone());
            match value {
                Some(value) => _ = settings.insert(setting.name.clone(), value),
                None if setting.required => {
                    return Err(self.missing("settings", account, &setting.name, &setting.meaning));
                }
                None => {}
            }
        }
        if let Some(timezone) = self.timezone(manifest, account)? {
            settings.entry(TIMEZONE_SETTING.to_owned()).or_insert_with(|| timezone.name().to_owned());
        }
        Ok(settings.into_iter().collect())
    }

    /// The zone in which the network cuts the account's reporting days, where the operator says it.
    ///
    /// # Errors
    /// A settings failure for a network that knows only days in a zone of its own.
    fn timezone(&self, manifest: &Manifest, account: &Account) -> Result<Option<Tz>, Failure> {
        let Some(timezone) = account.timezone.or(self.content.timezone) else { return Ok(None) };
        let own = manifest.streams.iter().find(|stream| stream.grain == Grain::Day);
        match own.filter(|_| manifest.streams.iter().all(|stream| stream.grain == Grain::Day)) {
            None => Ok(Some(timezone)),
            Some(stream) => {
                let (file, title, zone) = (&self.file, &manifest.title, &stream.timezone);
                let message =
                    format!("{file}: `timezone` is {timezone}, and {title} cuts days in {zone} for all accounts");
                Err(Failure::settings(message).hint("remove `timezone`"))
            }
        }
    }

    /// The account's secrets, read now.
    ///
    /// # Errors
    /// A settings failure for a secret that is missing, unknown or can't be read. It never holds a value.
    pub async fn account_secrets(
        &self,
        manifest: &Manifest,
        account: &Account,
        sources: &SecretSources,
    ) -> Result<BTreeMap<String, Secret>, Failure> {
        let known: Vec<&str> = manifest.secrets.iter().map(|slot| slot.name.as_str()).collect();
        self.refuse_unknown("secret", account, account.secrets.keys(), &known)?;
        let mut secrets = BTreeMap::new();
        for slot in &manifest.secrets {
            match account.secrets.get(&slot.name) {
                Some(reference) => {
                    let secret = sources.read(reference, &slot.name).await.map_err(|unreadable| {
                        let at = format!("{}: account `{}`, secret `{}`", self.file, account.name, slot.name);
                        Failure::settings(format!("{at}: {}", unreadable.reason))
                            .hint(unreadable.hint)
                            .kind(ErrorKind::Credentials)
                    })?;
                    secrets.insert(slot.name.clone(), secret);
                }
                None if slot.required => {
                    let missing = self.missing("secrets", account, &slot.name, &slot.meaning);
                    return Err(missing.kind(ErrorKind::Credentials));
                }
                None => {}
            }
        }
        Ok(secrets)
    }

    fn missing(&self, section: &str, account: &Account, name: &str, meaning: &str) -> Failure {
        let example = if section == "secrets" { format!("env:{}", name.to_uppercase()) } else { "…".into() };
        Failure::settings(format!(
            "{}: account `{}` lacks `{name}` in `{section}` ({meaning})",
            self.file, account.name
        ))
        .hint(format!("add \"{section}\": {{\"{name}\": \"{example}\"}} to the account"))
    }

    fn refuse_unknown<'a>(
        &self,
        what: &str,
        account: &Account,
        mut names: impl Iterator<Item = &'a String>,
        known: &[&str],
    ) -> Result<(), Failure> {
        match names.find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let message = format!("{}: account `{}` has an unknown {what} `{name}`", self.file, account.name);
                Err(Failure::settings(message).hint(format!(
                    "connector `{}` knows: {}",
                    self.content.connector,
                    known.join(", ")
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration_secs("1h"), Some(3_600));
        assert_eq!(parse_duration_secs("45d"), Some(3_888_000));
        assert_eq!(parse_duration_secs("1h 30m"), Some(5_400));
        for wrong in ["", "h", "1", "0m", "-1h", "1ms", "99999999999d"] {
            assert_eq!(parse_duration_secs(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = serde_json::from_str::<NetworkFile>(r#"{"connector": "awin", "acounts": []}"#).expect_err("a typo");
        assert!(error.to_string().contains("acounts"));
    }
}
