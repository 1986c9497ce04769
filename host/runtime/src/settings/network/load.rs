//! Reading the folder of networks: a file that can't be used stops its own network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use sluice_model::Digest;

use super::{Account, NetworkFile, NetworkSettings};
use crate::failure::Failure;
use crate::settings::look_back::LookBackRule;
use crate::settings::{file, mistake};
use crate::timetable::Schedule;

/// The files that this process has parsed, by what was in them: a service asks for all of them every second. Their times
/// wouldn't do: a file may be written twice in one tick of the file system's clock, or get the time of another.
static KNOWN: Mutex<BTreeMap<PathBuf, (Digest, NetworkSettings)>> = Mutex::new(BTreeMap::new());

/// The networks in a folder.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those whose files can be used, by name.
    pub networks: Vec<NetworkSettings>,
    /// The others, by name, each with the reason.
    pub broken: Vec<(String, Failure)>,
}

/// All networks in a folder, by name.
///
/// # Errors
/// A settings failure that names the file and what is wrong in it.
pub fn load_all(dir: &Path) -> Result<Vec<NetworkSettings>, Failure> {
    let Loaded { networks, broken } = load_each(dir)?;
    if broken.is_empty() {
        Ok(networks)
    } else {
        Err(Failure::all(broken.into_iter().map(|(_, failure)| failure).collect()))
    }
}

/// All networks in a folder: one whose file can't be used stops no other.
///
/// # Errors
/// A settings failure for a folder that can't be read.
pub fn load_each(dir: &Path) -> Result<Loaded, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::settings(format!("cannot read the networks folder {}: {error}", dir.display()))
            .hint("make the folder and put one <name>.json per network there, or change networks.dir in sluice.toml")
    };
    let mut loaded = Loaded::default();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            match load_changed(&path) {
                Ok(network) => loaded.networks.push(network),
                Err(failure) => loaded.broken.push((name_of(&path), failure)),
            }
        }
    }
    loaded.networks.sort_by(|a, b| a.name.cmp(&b.name));
    for (name, failure) in shared_accounts(&loaded.networks) {
        loaded.networks.retain(|network| network.name != name);
        loaded.broken.push((name, failure));
    }
    loaded.broken.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(loaded)
}

/// What commands call the network of a file.
fn name_of(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The network of a file, which is parsed only if it isn't what it was.
fn load_changed(path: &Path) -> Result<NetworkSettings, Failure> {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = read(path).and_then(|text| {
        let digest = Digest::of(text.as_bytes());
        let same = known().get(path).filter(|(of, _)| *of == digest).map(|(_, settings)| settings.clone());
        same.map_or_else(|| parse(path, &text), Ok).map(|settings| (digest, settings))
    });
    match &loaded {
        Ok(parsed) => _ = known().insert(path.to_owned(), parsed.clone()),
        Err(_) => _ = known().remove(path),
    }
    loaded.map(|(_, settings)| settings)
}

fn read(path: &Path) -> Result<String, Failure> {
    file::read_settings(path).map_err(|error| {
        Failure::settings(format!("cannot read {}: {error}", path.display())).hint("let sluice read the file")
    })
}

fn parse(path: &Path, text: &str) -> Result<NetworkSettings, Failure> {
    let file = path.display().to_string();
    let content: NetworkFile = serde_json::from_str(text).map_err(|error| {
        Failure::settings(format!("{file} is wrong: {}", mistake::of_json(&error))).hint(
            "the keys are connector, schedule (cron, timezone, missed, jitter, streams), look_back, hosts, base_url, rate, max_reject_share, vanish \
             (confirm_after), swap (mode, slices, promote, max_diff), doubt (fill, type, currency, unit, status, window, empty, \
             cut, conflict, total, bands, columns, auto_accept, min_records, day_records, share, factor, window_days), timezone and accounts (name, id, timezone, settings, secrets)",
        )
    })?;
    let name = name_of(path);
    check_schedule(&file, &content)?;
    if content.accounts.is_empty() {
        return Err(Failure::settings(format!("{file} has no accounts")).hint("add one to `accounts`"));
    }
    if content.rate.is_some_and(|rate| rate.requests == 0 || rate.per_secs == 0 || rate.concurrency == 0) {
        return Err(Failure::settings(format!("{file}: a rate of nothing would never ask"))
            .hint("write rate like {\"requests\": 20, \"per_secs\": 60, \"concurrency\": 4}"));
    }
    if content.base_url.as_ref().is_some_and(|url| !sluice_fetch::is_origin(url)) {
        return Err(Failure::settings(format!("{file}: base_url is no http or https origin with a path at most"))
            .hint("write it like \"https://proxy.example.com/awin\", without user, password and parameters"));
    }
    if content.max_reject_share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return Err(Failure::settings(format!("{file}: max_reject_share is not a share"))
            .hint("write a number from 0 (no reject is allowed) to 1 (all may be rejected)"));
    }
    Ok(NetworkSettings { name, file, content: Arc::new(content) })
}

/// Refuses a schedule that names no moment, and look-back rules that read nothing.
fn check_schedule(file: &str, content: &NetworkFile) -> Result<(), Failure> {
    let settings = content.schedule.iter();
    let crons = settings.flat_map(|settings| settings.cron.iter().chain(settings.streams.values().map(|of| &of.cron)));
    for cron in crons {
        let schedule = Schedule::utc(cron).map_err(|reason| {
            Failure::settings(format!("{file}: schedule \"{cron}\" is not a cron expression: {reason}"))
                .hint("write minute, hour, day of month, month and day of week: \"0 * * * *\" is hourly")
        })?;
        if schedule.next_moment(Utc::now()).is_none() {
            return Err(Failure::settings(format!("{file}: schedule \"{cron}\" never comes"))
                .hint("no year has such a day; the fields are minute, hour, day of month, month and day of week"));
        }
    }
    let example = "leave it out for the connector's own rules, or write [{\"every\": \"1h\", \"days\": 3}]";
    match &content.look_back {
        Some(rules) if rules.is_empty() => {
            Err(Failure::settings(format!("{file}: look_back is empty, so the schedule would read nothing"))
                .hint(example))
        }
        Some(rules) => match rules.iter().find_map(LookBackRule::mistake) {
            Some(mistake) => Err(Failure::settings(format!("{file}: {mistake}")).hint(example)),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

/// The networks that share an account with another file. Tables distinguish accounts by connector and id, so these pairs must be
/// unique; and which file is the right one isn't known, so neither is used.
fn shared_accounts(networks: &[NetworkSettings]) -> BTreeMap<String, Failure> {
    let mut seen: BTreeMap<(&str, &str), (&NetworkSettings, &Account)> = BTreeMap::new();
    let mut shared = BTreeMap::new();
    for network in networks {
        for account in &network.content.accounts {
            let key = (network.content.connector.as_str(), account.id());
            if let Some((other, theirs)) = seen.insert(key, (network, account)) {
                for name in [&other.name, &network.name] {
                    shared.entry(name.clone()).or_insert_with(|| shared_account(network, account, other, theirs));
                }
            }
        }
    }
    shared
}

fn shared_account(network: &NetworkSettings, account: &Account, other: &NetworkSettings, theirs: &Account) -> Failure {
    let same = theirs
        .settings
        .iter()
        .filter(|(name, value)| account.settings.get(*name).is_some_and(|own| own.to_string() == value.to_string()));
    let same: Vec<String> = same.map(|(name, value)| format!("{name} {value}")).collect();
    let same = if same.is_empty() { String::new() } else { format!(", both with {}", same.join(", ")) };
    let (id, connector) = (account.id(), &network.content.connector);
    Failure::settings(format!("account `{id}` of `{connector}` is in {} and in {}{same}", other.file, network.file))
        .hint("give each account of a network its own name and id")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_file_is_parsed_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("awin.json");
        let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
        let write = |account: &str| {
            let text = format!("{{\"connector\": \"awin\", \"accounts\": [{{\"name\": \"{account}\"}}]}}");
            std::fs::write(&path, text).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
        };
        let content = || load_each(folder.path()).unwrap().networks[0].content.clone();
        let account = || content().accounts[0].name.clone();
        write("uk");
        assert_eq!(account(), "uk");
        assert!(Arc::ptr_eq(&content(), &content()), "it isn't parsed again");
        write("de");
        assert_eq!(account(), "de", "its time and its size are the same");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(load_each(folder.path()).unwrap().broken.len(), 1);
        write("de");
        assert_eq!(account(), "de");
    }
}
