//! The connectors' directory: which file serves which network, and what happens when files come, change and go.
//!
//! A file is switched whole or not at all. Slices that run hold their [`Connector`] and finish on it; new ones get
//! what the registry serves. A broken file is refused with its reason, while what served before goes on serving.

mod files;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use sluice_model::Digest;

use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::{Error, LoadFault};
use files::{Stamp, read_whole};

pub use watch::Watcher;

/// Which connector serves which network.
pub struct Registry {
    engine: Engine,
    dir: PathBuf,
    /// Held while files are read and compiled, so that two scans don't mix. Readers don't wait for it.
    scan: Mutex<()>,
    files: RwLock<BTreeMap<String, File>>,
}

/// What the registry knows of a file.
#[derive(Clone, Default)]
struct File {
    /// As it was when it was last read to its end.
    stamp: Option<Stamp>,
    digest: Option<Digest>,
    serving: Option<(Connector, SystemTime)>,
    refused: Option<Refused>,
}

#[derive(Clone)]
struct Refused {
    reason: String,
    hint: Option<String>,
    /// A connector that is good, but whose network another file serves.
    waits: Option<Connector>,
}

/// A file of the connectors' directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub file: String,
    /// The network that it serves, or would serve.
    pub network: Option<String>,
    /// The version that serves.
    pub version: Option<String>,
    /// The digest of what serves.
    pub digest: Option<Digest>,
    /// Whether the file as it stands serves.
    pub state: Serving,
    /// When what serves was loaded.
    pub loaded_at: Option<SystemTime>,
}

impl Entry {
    /// Why the file as it stands doesn't serve.
    pub fn refusal(&self) -> Option<&str> {
        match &self.state {
            Serving::Serving => None,
            Serving::Refused { reason, .. } => Some(reason),
        }
    }
}

/// Whether a file serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It serves its network.
    Serving,
    /// It doesn't; if it did before it changed, then what it was goes on serving.
    Refused {
        /// Why.
        reason: String,
        /// What a person can do about it.
        hint: Option<String>,
    },
}

/// What a scan found about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name in the directory.
    pub file: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It serves from now on.
    Serves {
        /// The network.
        network: String,
        /// The connector's version.
        version: String,
        /// Its digest.
        digest: Digest,
        /// The version that served before, from this file.
        replaces: Option<String>,
    },
    /// It is refused; what it was before goes on serving.
    Refused {
        /// Why.
        reason: String,
        /// What a person can do about it.
        hint: Option<String>,
    },
    /// It is gone, and so is what it served.
    Removed {
        /// The network that is no longer served.
        network: Option<String>,
    },
}

impl Registry {
    /// A registry of the `*.wasm` files in `dir`, which is scanned.
    ///
    /// # Errors
    /// [`Error::Path`] if the directory can't be read. A file that can't be loaded is no error: see
    /// [`Registry::entries`].
    pub fn open(engine: Engine, dir: &Path) -> Result<Self, Error> {
        files::names(dir)?;
        let registry = Self { engine, dir: dir.to_owned(), scan: Mutex::new(()), files: RwLock::new(BTreeMap::new()) };
        registry.rescan();
        Ok(registry)
    }

    /// Looks at the directory again and says what changed. New connectors are compiled on this thread.
    pub fn rescan(&self) -> Vec<Change> {
        let _scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
        let names = match files::names(&self.dir) {
            Ok(names) => names,
            Err(error) => {
                // A directory that can't be read for a moment isn't an empty one.
                tracing::error!(dir = %self.dir.display(), %error, "cannot scan the connectors");
                return Vec::new();
            }
        };
        let gone: Vec<String> =
            self.read(|files| files.keys().filter(|name| !names.contains(*name)).cloned().collect());
        let mut changes: Vec<Change> = gone.into_iter().map(|file| self.remove(file)).collect();
        changes.extend(names.iter().filter_map(|file| self.look_at(file)));
        // A network may have become free after its second claimant was looked at.
        changes.extend(names.iter().filter_map(|file| self.promote(file)));
        changes.iter().for_each(log);
        changes
    }

    /// The engine that its connectors run on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The connector that serves a network now.
    pub fn get(&self, network: &str) -> Option<Connector> {
        self.read(|files| {
            let mut serving = files.values().filter_map(|file| file.serving.as_ref());
            serving.find(|(connector, _)| connector.network() == network).map(|(connector, _)| connector.clone())
        })
    }

    /// Every file, by name.
    pub fn entries(&self) -> Vec<Entry> {
        self.read(|files| files.iter().map(|(name, file)| file.entry(name)).collect())
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, File>) -> T) -> T {
        read(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn remove(&self, file: String) -> Change {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let network = files.remove(&file).and_then(|gone| gone.serving).map(|(gone, _)| gone.network().to_owned());
        Change { file, outcome: Outcome::Removed { network } }
    }

    /// Loads a file if it's new or has changed.
    fn look_at(&self, name: &str) -> Option<Change> {
        let known = self.read(|files| files.get(name).cloned()).unwrap_or_default();
        let path = self.dir.join(name);
        let stamp = Stamp::of(&path).ok()?;
        if known.stamp.as_ref().is_some_and(|known| *known == stamp && known.is_settled()) {
            return None;
        }
        let (digest, loaded) = match read_whole(&path, self.engine.limits().component_bytes) {
            Ok(bytes) if known.digest == Some(Digest::of(&bytes)) => {
                self.store(name, File { stamp: Some(stamp), ..known });
                return None;
            }
            Ok(bytes) => (Some(Digest::of(&bytes)), self.engine.load(&bytes, name)),
            Err(fault) => (None, Err(fault.at(name, path.clone()))),
        };
        // Somebody is still writing: what was read may be half of it, and the next look finds the rest.
        if loaded.is_err() && Stamp::of(&path).ok().as_ref() != Some(&stamp) {
            return None;
        }
        // What the host itself couldn't do it may do at the next look, though the file stays the same.
        let is_final = loaded.as_ref().err().is_none_or(Error::is_final);
        let (stamp, digest) = (Some(stamp).filter(|_| is_final), digest.filter(|_| is_final));
        let file = File { stamp, digest, serving: known.serving, refused: None };
        match loaded {
            Ok(connector) => self.serve(name, file, connector),
            Err(error) => {
                let is_new = known.refused.as_ref().is_none_or(|refused| refused.reason != reason(&error));
                let change = self.refuse(name, file, &error, None);
                is_new.then_some(change)
            }
        }
    }

    /// Switches to a connector, unless another file serves its network.
    fn serve(&self, name: &str, file: File, connector: Connector) -> Option<Change> {
        let network = connector.network().to_owned();
        if let Some(other) = self.server_of(&network).filter(|other| other != name) {
            let error = Error::Load { origin: name.to_owned(), fault: LoadFault::Claimed { network, other } };
            return Some(self.refuse(name, file, &error, Some(connector)));
        }
        let outcome = Outcome::Serves {
            network,
            version: connector.version().to_owned(),
            digest: connector.digest(),
            replaces: file.serving.as_ref().map(|(before, _)| before.version().to_owned()),
        };
        self.store(name, File { serving: Some((connector, SystemTime::now())), refused: None, ..file });
        Some(Change { file: name.to_owned(), outcome })
    }

    fn refuse(&self, name: &str, file: File, error: &Error, waits: Option<Connector>) -> Change {
        let (reason, hint) = (reason(error), error.hint());
        self.store(name, File { refused: Some(Refused { reason: reason.clone(), hint: hint.clone(), waits }), ..file });
        Change { file: name.to_owned(), outcome: Outcome::Refused { reason, hint } }
    }

    /// Lets a connector serve that waited for its network to become free.
    fn promote(&self, name: &str) -> Option<Change> {
        let file = self.read(|files| files.get(name).cloned())?;
        let waiting = file.refused.as_ref()?.waits.clone()?;
        match self.server_of(waiting.network()) {
            Some(other) if other != name => None,
            _ => self.serve(name, file, waiting),
        }
    }

    /// The file that serves a network.
    fn server_of(&self, network: &str) -> Option<String> {
        let serves = |file: &File| file.serving.as_ref().is_some_and(|(serving, _)| serving.network() == network);
        self.read(|files| files.iter().find(|(_, file)| serves(file)).map(|(name, _)| name.clone()))
    }

    fn store(&self, name: &str, file: File) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), file);
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl File {
    fn entry(&self, name: &str) -> Entry {
        let serving = self.serving.as_ref();
        let waits = self.refused.as_ref().and_then(|refused| refused.waits.as_ref());
        Entry {
            file: name.to_owned(),
            network: serving.map(|(serving, _)| serving).or(waits).map(|connector| connector.network().to_owned()),
            version: serving.map(|(serving, _)| serving.version().to_owned()),
            digest: serving.map(|(serving, _)| serving.digest()),
            state: match &self.refused {
                Some(refused) => Serving::Refused { reason: refused.reason.clone(), hint: refused.hint.clone() },
                None => Serving::Serving,
            },
            loaded_at: serving.map(|(_, at)| *at),
        }
    }
}

/// An error with its sources, in one line.
fn reason(error: &Error) -> String {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let text = error.to_string();
        // A `LoadFault` stands in its error's message already.
        if !reason.ends_with(&text) {
            reason = format!("{reason}: {text}");
        }
        source = error.source();
    }
    reason
}

fn log(change: &Change) {
    let file = &change.file;
    match &change.outcome {
        Outcome::Serves { network, version, digest, replaces } => {
            tracing::info!(%file, %network, %version, digest = %digest.short(), ?replaces, "connector serves");
        }
        Outcome::Refused { reason, hint } => tracing::warn!(%file, %reason, ?hint, "connector is refused"),
        Outcome::Removed { network } => tracing::info!(%file, ?network, "connector is gone"),
    }
}
