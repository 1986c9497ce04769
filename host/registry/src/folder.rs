//! The connectors' folder: which file serves which network, and what happens when files come, change and go.
//!
//! A file is switched whole or not at all. Slices that run hold their [`Connector`] and finish on it; new ones get
//! what the registry serves. A file that is broken, unsigned or that its [`ServingPolicy`] doesn't let through is held
//! with its reason, while what served before continues to serve.

mod entry;
mod files;
mod scan;
mod serving_policy;
mod signature;
mod watch;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use futures::StreamExt;
use sluice_engine::{Connector, Engine, Live};
use sluice_model::Digest;
use tokio::sync::Mutex;

use crate::error::Error;
use files::Stamp;
use scan::Ruled;

pub use entry::{Entry, FileChange, FileOutcome, Serving};
pub use serving_policy::{Candidate, Reason, Recorded, Ruling, ServingPolicy, StoredVersion};
pub use signature::Keys;
pub use watch::Watcher;

/// Which connector serves which network.
pub struct Registry {
    engine: Engine,
    dir: PathBuf,
    keys: Keys,
    policy: Arc<dyn ServingPolicy>,
    /// Held while files are read, compiled and judged, so that two scans don't mix. Readers don't wait for it.
    scan: Mutex<()>,
    files: RwLock<BTreeMap<String, File>>,
}

/// What the registry knows of a file.
#[derive(Clone, Default)]
struct File {
    /// As it was when it was last read to its end; none if it is to be read again.
    stamp: Option<Stamp>,
    /// What was read: digests of the file and of the signature beside it.
    read: Option<(Digest, Option<Digest>)>,
    serving: Option<(Loaded, SystemTime)>,
    held: Option<HeldFile>,
}

/// What a file holds that doesn't serve.
#[derive(Clone)]
struct HeldFile {
    state: Serving,
    /// None if the file is no connector.
    loaded: Option<Loaded>,
    cause: Cause,
}

/// Why something is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It can't be loaded, or serves another network than its file did.
    Fault,
    /// Another file serves its network.
    Claimed,
    /// Its policy holds it.
    Judged,
    /// It served until the records named another.
    Superseded,
}

/// A connector with the signature beside its file.
#[derive(Clone)]
struct Loaded {
    connector: Connector,
    signature: Option<Arc<str>>,
}

impl Registry {
    /// A registry of the `*.wasm` files in `dir`, which is scanned. Everything that can be loaded serves.
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder can't be read. A file that can't be loaded is no error: see
    /// [`Registry::entries`].
    pub async fn open(engine: Engine, dir: &Path) -> Result<Self, Error> {
        Self::open_with_policy(engine, dir, Keys::default(), Arc::new(serving_policy::Open)).await
    }

    /// The same, for connectors that one of `keys` signed and `policy` lets through.
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder can't be read.
    pub async fn open_with_policy(
        engine: Engine,
        dir: &Path,
        keys: Keys,
        policy: Arc<dyn ServingPolicy>,
    ) -> Result<Self, Error> {
        Self::open_watched(engine, dir, keys, policy, &|_| {}).await
    }

    /// The same. Before each file is loaded, which may compile it, `loads` gets how many are left with it; at the end, 0.
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder can't be read.
    pub async fn open_watched(
        engine: Engine,
        dir: &Path,
        keys: Keys,
        policy: Arc<dyn ServingPolicy>,
        loads: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, Error> {
        files::names(dir.to_owned()).await?;
        let (dir, scan, files) = (dir.to_owned(), Mutex::new(()), RwLock::new(BTreeMap::new()));
        let registry = Self { engine, dir, keys, policy, scan, files };
        registry.rescan_watched(loads).await;
        Ok(registry)
    }

    /// Scans the folder, and returns what changed. New connectors are compiled and ruled on before this returns.
    pub async fn rescan(&self) -> Vec<FileChange> {
        self.rescan_watched(&|_| {}).await
    }

    async fn rescan_watched(&self, loads: &(dyn Fn(usize) + Sync)) -> Vec<FileChange> {
        let _scan = self.scan.lock().await;
        let names = match files::names(self.dir.clone()).await {
            Ok(names) => names,
            Err(error) => {
                // A directory that can't be read for a moment isn't an empty one.
                tracing::error!(dir = %self.dir.display(), %error, "cannot scan the connectors");
                return Vec::new();
            }
        };
        let gone: Vec<String> =
            self.read(|files| files.keys().filter(|name| !names.contains(*name)).cloned().collect());
        let mut changes: Vec<FileChange> = gone.into_iter().map(|file| self.remove(file)).collect();
        // They are loaded on all cores, and ruled on one after another by name.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let looks: Vec<_> = names.iter().map(|name| self.look_at(name)).collect();
        let mut looks = futures::stream::iter(looks).buffered(cores);
        // Those that are the first of their networks are recorded together; one that replaces another at once.
        let mut first = Vec::new();
        for (place, name) in names.iter().enumerate() {
            loads(names.len() - place);
            let Some(loaded) = looks.next().await.flatten() else { continue };
            if loaded.comes_after(&first) {
                changes.extend(self.activate(std::mem::take(&mut first)).await);
            }
            match self.consider(name, loaded, &names).await {
                Ruled::Now(change) => changes.extend(change),
                Ruled::Serves(admitted) if admitted.replaces() => changes.extend(self.activate(vec![*admitted]).await),
                Ruled::Serves(admitted) => first.push(*admitted),
            }
        }
        changes.extend(self.activate(first).await);
        loads(0);
        // A network may have become free after its second claimant was scanned.
        for file in &names {
            changes.extend(self.admit_again(file, |cause| cause == Cause::Claimed).await);
        }
        self.log(&changes);
        changes
    }

    /// Follows the records where they name another version than the one that serves, and asks the policy again about
    /// what is held: to be called after a decision of the operator, or when enough was compared.
    pub async fn reconsider(&self) -> Vec<FileChange> {
        let _scan = self.scan.lock().await;
        let names: Vec<String> = self.read(|files| files.keys().cloned().collect());
        let mut changes = Vec::new();
        for file in &names {
            changes.extend(self.follow_records(file).await);
        }
        for file in &names {
            changes.extend(self.admit_again(file, |_| true).await);
        }
        self.log(&changes);
        changes
    }

    /// The engine that its connectors run on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The connector that serves a network now.
    pub fn get(&self, network: &str) -> Option<Connector> {
        self.pair(network).map(|(serving, _)| serving)
    }

    /// The connector that serves a network now, and the one that maps beside it, seen at one moment.
    pub fn pair(&self, network: &str) -> Option<(Connector, Option<Connector>)> {
        self.read(|files| {
            files.values().find_map(|file| {
                let serving = file.connector().filter(|serving| serving.network() == network)?;
                let held = file.held.as_ref().filter(|held| matches!(held.state, Serving::Shadow(_)));
                let beside = held.and_then(|held| held.loaded.as_ref()).map(|loaded| loaded.connector.clone());
                Some((serving.clone(), beside))
            })
        })
    }

    /// What a network's file holds that doesn't serve, though it is a connector.
    pub fn candidate(&self, network: &str) -> Option<Connector> {
        self.read(|files| {
            let held = files.values().filter_map(|file| file.held.as_ref()?.loaded.as_ref());
            held.map(|loaded| &loaded.connector).find(|connector| connector.network() == network).cloned()
        })
    }

    /// How many connectors it holds: those that serve, and those that wait. What else is in memory belongs to calls
    /// and slices in flight.
    pub fn held(&self) -> usize {
        self.read(|files| {
            let held = files.values().filter_map(|file| file.held.as_ref()?.loaded.as_ref());
            let served = files.values().filter_map(|file| file.serving.as_ref()).map(|(serving, _)| serving);
            let all: HashSet<_> = held.chain(served).map(|loaded| loaded.connector.address()).collect();
            all.len()
        })
    }

    /// Every file, by name.
    pub fn entries(&self) -> Vec<Entry> {
        self.read(|files| files.iter().map(|(name, file)| file.entry(name)).collect())
    }

    fn log(&self, changes: &[FileChange]) {
        changes.iter().for_each(FileChange::log);
        if !changes.is_empty() {
            let Live { connectors, instances, memories, .. } = self.engine.live();
            tracing::info!(connectors, instances, memories, "connectors in memory");
        }
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, File>) -> T) -> T {
        read(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn store(&self, name: &str, file: File) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), file);
    }

    fn remove(&self, file: String) -> FileChange {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let gone = files.remove(&file);
        let network = gone.as_ref().and_then(File::connector).map(|gone| gone.network().to_owned());
        FileChange { file, outcome: FileOutcome::Removed { network } }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl File {
    fn connector(&self) -> Option<&Connector> {
        self.serving.as_ref().map(|(serving, _)| &serving.connector)
    }

    fn entry(&self, name: &str) -> Entry {
        let serving = self.connector();
        let held = self.held.as_ref().and_then(|held| held.loaded.as_ref()).map(|held| &held.connector);
        Entry {
            file: name.to_owned(),
            network: serving.or(held).map(|connector| connector.network().to_owned()),
            version: serving.map(|serving| serving.version().to_owned()),
            contract: serving.or(held).map(Connector::contract),
            digest: serving.map(Connector::digest),
            candidate: held.map(|held| (held.version().to_owned(), held.digest())),
            state: self.held.as_ref().map_or(Serving::Serving, |held| held.state.clone()),
            loaded_at: self.serving.as_ref().map(|(_, at)| *at),
        }
    }
}
