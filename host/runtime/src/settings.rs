//! `sluice.toml` and `networks/*.json`: the operator's settings.

pub mod alarms;
pub mod feed;
mod fetch;
pub mod file;
pub mod flight;
pub mod limits;
pub mod look_back;
pub mod maintenance;
mod mistake;
pub mod network;
pub mod publish;
pub mod query;
pub mod receivers;
pub mod schedule;
pub mod secrets;
pub mod server;
mod state;
pub mod usage;
pub mod vanish;
pub mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sluice_fetch::FetchOptions;
use sluice_model::Secret;
use sluice_registry::Keys;
use sluice_state::{has_credentials, without_credentials};

use crate::failure::Failure;
use crate::schedule::RetryPauses;
use crate::settings::alarms::AlarmSettings;
use crate::settings::feed::FeedSettings;
use crate::settings::fetch::FetchSection;
use crate::settings::flight::FlightSettings;
use crate::settings::limits::LimitsSettings;
use crate::settings::maintenance::{MaintainSection, MaintenanceSettings, RawSection};
use crate::settings::publish::PublishSettings;
use crate::settings::query::QuerySettings;
use crate::settings::secrets::SecretSources;
use crate::settings::server::ServerSettings;
use crate::settings::state::{ScheduleSection, StateSection};
use crate::settings::usage::UsageRates;
use crate::settings::vanish::VanishSettings;
use crate::settings::wire::WireSettings;
use sluice_state::LeaseTimes;

/// `sluice.toml`, paths resolved against its folder.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the file is.
    pub path: PathBuf,
    /// `file:` or `s3:` URL of the lake.
    pub lake_url: String,
    /// `sqlite:` or `postgres:` URL of the state store.
    pub state_url: String,
    /// Reference to the key that seals refresh tokens in it.
    pub state_key: Option<String>,
    /// How long leases in the state store last.
    pub lease_times: LeaseTimes,
    /// When the service tries a run again that couldn't start.
    pub retry_pauses: RetryPauses,
    /// How much a response may take, in time and in bytes.
    pub fetch: FetchOptions,
    /// Folder of `.wasm` files.
    pub connectors_dir: PathBuf,
    /// Whose signature connectors need; without any, none.
    pub connector_keys: Keys,
    /// Folder of `networks/*.json`.
    pub networks_dir: PathBuf,
    /// What references to secrets may name.
    pub secrets: SecretSources,
    /// What a connector may use up.
    pub limits: LimitsSettings,
    /// How the lake is looked after.
    pub maintenance: MaintenanceSettings,
    /// When a transaction has vanished, unless its network says otherwise.
    pub vanish: VanishSettings,
    /// Where the service answers HTTP; it doesn't without.
    pub server: Option<ServerSettings>,
    /// Where the service answers clients of PostgreSQL; it doesn't without.
    pub wire: Option<WireSettings>,
    /// Where the service answers clients of Flight SQL; it doesn't without.
    pub flight: Option<FlightSettings>,
    /// How hosts share heavy queries; they don't without.
    pub query: Option<QuerySettings>,
    /// What use costs; unknown without.
    pub usage: Option<UsageRates>,
    /// Which faults are alarms, and who is notified.
    pub alarms: AlarmSettings,
    /// Databases that get the unified tables, by name.
    pub publish: BTreeMap<String, PublishSettings>,
    /// Who gets the change feed, by name.
    pub feed: BTreeMap<String, FeedSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    lake: UrlSection,
    #[serde(default)]
    state: StateSection,
    connectors: Option<ConnectorsSection>,
    networks: Option<DirSection>,
    #[serde(default)]
    secrets: SecretsSection,
    #[serde(default)]
    fetch: FetchSection,
    #[serde(default)]
    limits: LimitsSettings,
    #[serde(default)]
    maintain: MaintainSection,
    #[serde(default)]
    raw: RawSection,
    #[serde(default)]
    schedule: ScheduleSection,
    #[serde(default)]
    vanish: VanishSettings,
    server: Option<ServerSettings>,
    wire: Option<WireSettings>,
    flight: Option<FlightSettings>,
    query: Option<QuerySettings>,
    usage: Option<UsageRates>,
    #[serde(default)]
    alarms: AlarmSettings,
    #[serde(default)]
    publish: BTreeMap<String, PublishSettings>,
    #[serde(default)]
    feed: BTreeMap<String, FeedSettings>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsSection {
    /// Programs that `command:` references may run.
    #[serde(default)]
    commands: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UrlSection {
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectorsSection {
    dir: Option<String>,
    /// Public keys of `minisign`.
    #[serde(default)]
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirSection {
    dir: String,
}

impl File {
    /// Refuses what its sections can't mean.
    fn check(&self) -> Result<(), Failure> {
        self.limits.check()?;
        self.alarms.check()?;
        self.wire.iter().try_for_each(WireSettings::check)?;
        self.flight.iter().try_for_each(FlightSettings::check)?;
        self.query.iter().try_for_each(QuerySettings::check)?;
        self.publish.iter().try_for_each(|(name, database)| database.check(name))?;
        self.feed.iter().try_for_each(|(name, receiver)| receiver.check(name))
    }
}

const EXAMPLE: &str = "[lake]\nurl = \"file:./lake\"";

impl Settings {
    /// Reads `path`.
    ///
    /// # Errors
    /// A settings failure that names the key that is wrong.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = file::read_settings(path).map_err(|error| {
            let message = format!("cannot read the settings {}: {error}", path.display());
            Failure::settings(message)
                .hint(format!("make it, or name another with --config; it begins with\n{EXAMPLE}"))
        })?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let message = format!("{} is wrong: {}", path.display(), mistake::of_toml(&text, &error));
            Failure::settings(message)
                .hint("the sections are [lake] url, [state] url, key and lease_secs, [connectors] dir and keys, [networks] dir, [secrets] commands, [fetch] limits, [limits], [maintain], [raw] keep_days, [schedule] retry_secs, [vanish] confirm_after, [server] listen, [wire] listen, [flight] listen, [query] listen, [usage] rates, [alarms], [publish] databases and [feed] receivers")
        })?;
        file.check()?;
        let base = path.parent().filter(|base| !base.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let base = std::path::absolute(base)?;
        let dir =
            |section: Option<DirSection>, default: &str| lexical(&base.join(section.map_or(default.into(), |s| s.dir)));
        let (connectors_dir, keys) = file.connectors.map(|section| (section.dir, section.keys)).unwrap_or_default();
        let connector_keys = Keys::parse(&keys).map_err(|place| {
            // Not by its text, which may be a secret key.
            Failure::settings(format!("connectors.keys: entry {place} is not a public key"))
                .hint("write what `minisign -G` prints: keys = [\"RW…\"]")
        })?;
        file.networks.iter().try_for_each(refuse_remote)?;
        refuse_credentials(&file.lake.url)?;
        Ok(Self {
            path: path.to_owned(),
            lake_url: absolute_url(&file.lake.url, &base, "lake.url", &["file:", "s3:"])?,
            state_url: absolute_url(
                file.state.url.as_deref().unwrap_or("sqlite:./state.db"),
                &base,
                "state.url",
                &["sqlite:", "postgres:", "postgresql:"],
            )?,
            lease_times: file.state.lease_times()?,
            retry_pauses: file.schedule.retry_pauses()?,
            state_key: file.state.key,
            fetch: file.fetch.options(path)?,
            connectors_dir: dir(connectors_dir.map(|dir| DirSection { dir }), "./connectors.d"),
            connector_keys,
            networks_dir: dir(file.networks, "./networks"),
            limits: file.limits,
            maintenance: MaintenanceSettings::of(&file.maintain, &file.raw)?,
            vanish: file.vanish,
            server: file.server,
            wire: file.wire,
            flight: file.flight,
            query: file.query,
            usage: file.usage,
            alarms: file.alarms,
            publish: file.publish,
            feed: file.feed,
            secrets: SecretSources {
                base: lexical(&base),
                commands: file.secrets.commands,
                ..SecretSources::default()
            },
        })
    }
}

impl Settings {
    /// What the reference of `state.key` names, read now.
    ///
    /// # Errors
    /// A settings failure for a key that can't be read.
    pub async fn state_key(&self) -> Result<Option<Secret>, Failure> {
        let Some(reference) = &self.state_key else { return Ok(None) };
        let key = self.secrets.read(reference, "key").await.map_err(|unreadable| {
            Failure::settings(format!("state.key in {}: {}", self.path.display(), unreadable.reason))
                .hint(unreadable.hint)
        })?;
        Ok(Some(key))
    }

    /// Folder of `*.sql` checks: beside that of the networks.
    pub fn checks_dir(&self) -> PathBuf {
        self.networks_dir.with_file_name("checks")
    }
}

/// Networks are read from a folder.
fn refuse_remote(networks: &DirSection) -> Result<(), Failure> {
    if !networks.dir.contains("://") {
        return Ok(());
    }
    let url = without_credentials(&networks.dir);
    Err(Failure::settings(format!("networks.dir = \"{url}\" is not a folder on this machine"))
        .hint("name a local folder; networks kept in the lake aren't supported yet"))
}

/// The lake's URL is printed and logged, and the store's client would take credentials in it for another address.
fn refuse_credentials(url: &str) -> Result<(), Failure> {
    if !has_credentials(url) {
        return Ok(());
    }
    let url = without_credentials(url);
    Err(Failure::settings(format!("lake.url = \"{url}\" holds credentials"))
        .hint("write s3://bucket/path, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for sluice"))
}

/// A URL whose relative path, if it has one, begins at the settings' folder.
fn absolute_url(url: &str, base: &Path, key: &str, schemes: &[&str]) -> Result<String, Failure> {
    let Some(scheme) = schemes.iter().find(|scheme| url.starts_with(*scheme)) else {
        let url = without_credentials(url);
        return Err(Failure::settings(format!("{key} = \"{url}\" is none of {}", schemes.join(" … "))).hint(format!(
            "write {key} like \"{}\"",
            if key == "lake.url" { "file:./lake" } else { "sqlite:./state.db" }
        )));
    };
    let path = &url[scheme.len()..];
    if !matches!(*scheme, "file:" | "sqlite:") || path.starts_with("//") || path == ":memory:" {
        return Ok(url.to_owned());
    }
    Ok(format!("{scheme}{}", lexical(&base.join(path)).display()))
}

/// The path without `.` steps.
fn lexical(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde::de::DeserializeOwned;

    use super::*;

    /// A section of `sluice.toml` once it is checked, or why it is refused.
    pub(super) fn section<T: DeserializeOwned>(
        text: &str,
        check: impl Fn(&T) -> Result<(), Failure>,
    ) -> Result<T, String> {
        let section: T = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        check(&section).map_err(|failure| failure.render(false))?;
        Ok(section)
    }

    #[test]
    fn relative_urls_begin_at_the_settings_folder() {
        let url = |text| absolute_url(text, Path::new("/srv/sluice"), "lake.url", &["file:", "s3:"]);
        assert_eq!(url("file:./lake").unwrap(), "file:/srv/sluice/lake");
        assert_eq!(url("file:///data/lake").unwrap(), "file:///data/lake");
        assert_eq!(url("s3://bucket/prefix").unwrap(), "s3://bucket/prefix");
        assert_eq!(url("gs://bucket").unwrap_err().exit, crate::failure::Exit::Settings);
    }
}
