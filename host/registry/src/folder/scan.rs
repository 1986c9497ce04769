//! One file's way from its bytes to serving, or to what holds it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use sluice_engine::{Connector, Error, LoadFault};
use sluice_model::Digest;

use super::files::{self, FileRead, Stamp};
use super::{
    Candidate, Cause, File, FileChange, FileOutcome, HeldFile, Loaded, Reason, Recorded, Registry, Ruling, Serving,
    StoredVersion,
};

impl Registry {
    /// Loads a file if it's new or has changed. Nothing is decided by it, so several may be loaded at once.
    pub(super) async fn look_at(&self, name: &str) -> Option<LoadedFile> {
        let known = self.read(|files| files.get(name).cloned());
        let unchanged = known.as_ref().and_then(|known| known.stamp.clone()).filter(Stamp::is_settled);
        let (path, limit) = (self.dir.join(name), self.engine.limits().component_bytes);
        let FileRead { stamp, bytes, signature } =
            tokio::task::spawn_blocking(move || files::read_changed(&path, unchanged.as_ref(), limit)).await.ok()??;
        let bytes = bytes.map_err(|fault| fault.at(name, self.dir.join(name)));
        let signed = signature.as_deref().map(|text| Digest::of(text.as_bytes()));
        let read = bytes.as_ref().ok().map(|bytes| (Digest::of(bytes), signed));
        if let Some(known) = known.as_ref().filter(|known| read.is_some() && known.read == read) {
            self.store(name, File { stamp: Some(stamp), ..known.clone() });
            return None;
        }
        let loaded = match bytes {
            Ok(bytes) => self.load(name, bytes, signature).await,
            Err(error) => Err(error),
        };
        Some(LoadedFile { file: File { stamp: Some(stamp), read, ..known.unwrap_or_default() }, loaded })
    }

    /// Checks the signature and compiles, off the threads of asynchronous tasks.
    async fn load(&self, origin: &str, component: Vec<u8>, signature: Option<String>) -> Result<Loaded, Error> {
        let (engine, keys, origin) = (self.engine.clone(), self.keys.clone(), origin.to_owned());
        let load = move || {
            // Before anything of it is read or run.
            keys.check_as(&origin, &component, signature.as_deref())?;
            let connector = engine.load(&component, &origin)?;
            Ok(Loaded { connector, signature: signature.map(Arc::from) })
        };
        let task = tokio::task::spawn_blocking(load);
        task.await.unwrap_or_else(|error| Err(Error::Host { action: "load a connector", source: error.into() }))
    }

    /// A version that served once.
    async fn load_stored(&self, digest: Digest) -> Result<Loaded, Reason> {
        let StoredVersion { component, signature } = self.policy.stored(digest).await?;
        let loaded = self.load(&format!("version {}", digest.short()), component, signature).await;
        loaded.map_err(|error| Reason::of(&error))
    }

    /// Asks whether a file that is new or has changed may serve.
    pub(super) async fn consider(
        &self,
        name: &str,
        LoadedFile { mut file, loaded }: LoadedFile,
        names: &BTreeSet<String>,
    ) -> Ruled {
        if file.serving.is_none() {
            match self.recall(name, loaded.as_ref().ok(), names).await {
                Ok(recalled) => file.serving = recalled.map(|recalled| (recalled, SystemTime::now())),
                Err(Recall::Claimed(fault)) => {
                    let error = Error::Load { origin: name.to_owned(), fault };
                    let state = Serving::Refused(Reason::of(&error));
                    return Ruled::Now(self.hold(name, file, state, loaded.ok(), Cause::Claimed));
                }
                // What the records name can't be had now: the file is looked at again, and meanwhile judged by itself.
                Err(Recall::Failed(reason)) => {
                    tracing::error!(file = name, reason = reason.reason, "cannot go on with what served before");
                    file = again(file);
                }
            }
        }
        match loaded {
            Ok(loaded) if file.connector().is_some_and(|serving| serving.digest() == loaded.connector.digest()) => {
                let is_first = self.read(|files| files.get(name).is_none_or(|known| known.serving.is_none()));
                let change = serves(name, &loaded.connector, None);
                self.store(name, File { held: None, ..file });
                Ruled::Now(is_first.then_some(change))
            }
            Ok(loaded) => self.admit(name, file, loaded, false).await,
            Err(error) => {
                // What the host itself couldn't do it may do at the next look, though the file stays the same.
                let is_final = error.is_final();
                let file = if is_final { file } else { again(file) };
                Ruled::Now(self.hold(name, file, Serving::Refused(Reason::of(&error)), None, Cause::Fault))
            }
        }
    }

    /// What the records say of a file that is seen for the first time.
    async fn recall(
        &self,
        name: &str,
        loaded: Option<&Loaded>,
        names: &BTreeSet<String>,
    ) -> Result<Option<Loaded>, Recall> {
        let network = loaded.map(|loaded| loaded.connector.network());
        let recorded = self.policy.recorded(name, network).await.map_err(Recall::Failed)?;
        let Some(Recorded { file, digest }) = recorded else { return Ok(None) };
        let other = (file != name && names.contains(&file)).then_some(file);
        let other = other.filter(|_| network.is_some_and(|network| self.server_of(network).is_none()));
        if let (Some(other), Some(network)) = (other, network) {
            return Err(Recall::Claimed(LoadFault::Claimed { network: network.to_owned(), other }));
        }
        let recalled = match loaded.filter(|loaded| loaded.connector.digest() == digest) {
            Some(loaded) => loaded.clone(),
            None => self.load_stored(digest).await.map_err(Recall::Failed)?,
        };
        let free = self.server_of(recalled.connector.network()).is_none_or(|other| other == name);
        Ok(Some(recalled).filter(|_| free))
    }

    /// Lets a candidate serve or holds it, as the policy decides.
    async fn admit(&self, name: &str, file: File, loaded: Loaded, superseded: bool) -> Ruled {
        let network = loaded.connector.network().to_owned();
        let refuse = |fault| Serving::Refused(Reason::of(&Error::Load { origin: name.to_owned(), fault }));
        if let Some(serving) = file.connector().filter(|serving| serving.network() != network) {
            let serves = serving.network().to_owned();
            let state = refuse(LoadFault::OtherNetwork { network, serves });
            return Ruled::Now(self.hold(name, file, state, None, Cause::Fault));
        }
        if let Some(other) = self.server_of(&network).filter(|other| other != name) {
            let state = refuse(LoadFault::Claimed { network, other });
            return Ruled::Now(self.hold(name, file, state, Some(loaded), Cause::Claimed));
        }
        let admitted = Admitted { name: name.to_owned(), file, loaded, superseded };
        let state = match self.policy.admit(&admitted.candidate()).await {
            Ok(Ruling::Serve) => return Ruled::Serves(Box::new(admitted)),
            Ok(Ruling::Refuse(reason)) => Serving::Refused(reason),
            Ok(Ruling::Wait(reason)) => Serving::Waiting(reason),
            Ok(Ruling::Shadow(reason)) => Serving::Shadow(reason),
            Err(reason) => return Ruled::Now(self.postpone(admitted, reason)),
        };
        let cause = admitted.cause();
        Ruled::Now(self.hold(name, admitted.file, state, Some(admitted.loaded), cause))
    }

    /// Records that candidates serve, all at once: a record is a commit of the lake's. Each serves from then on.
    pub(super) async fn activate(&self, admitted: Vec<Admitted>) -> Vec<FileChange> {
        if admitted.is_empty() {
            return Vec::new();
        }
        let candidates: Vec<Candidate> = admitted.iter().map(Admitted::candidate).collect();
        let recorded = self.policy.activate(&candidates).await;
        let activated = admitted.into_iter().zip(recorded).filter_map(|(admitted, recorded)| match recorded {
            Ok(()) => {
                let Admitted { name, file, loaded, .. } = admitted;
                let change = serves(&name, &loaded.connector, file.connector());
                self.store(&name, File { serving: Some((loaded, SystemTime::now())), held: None, ..file });
                Some(change)
            }
            Err(reason) => self.postpone(admitted, reason),
        });
        activated.collect()
    }

    /// Holds a candidate that couldn't be ruled on or recorded. The next scan tries it again.
    fn postpone(&self, admitted: Admitted, reason: Reason) -> Option<FileChange> {
        let cause = admitted.cause();
        let Admitted { name, file, loaded, .. } = admitted;
        self.hold(&name, again(file), Serving::Waiting(reason), Some(loaded), cause)
    }

    /// Records why a file as it is now doesn't serve; a change, if it's another reason than before.
    fn hold(&self, name: &str, file: File, state: Serving, loaded: Option<Loaded>, cause: Cause) -> Option<FileChange> {
        let is_new = file.held.as_ref().is_none_or(|held| held.state != state);
        let change = FileChange { file: name.to_owned(), outcome: FileOutcome::Held(state.clone()) };
        self.store(name, File { held: Some(HeldFile { state, loaded, cause }), ..file });
        is_new.then_some(change)
    }

    /// Asks the policy again about a held candidate, if it is held for such a cause.
    pub(super) async fn admit_again(&self, name: &str, asks: impl Fn(Cause) -> bool) -> Option<FileChange> {
        let file = self.read(|files| files.get(name).cloned())?;
        let held = file.held.clone().filter(|held| asks(held.cause))?;
        match self.admit(name, file, held.loaded?, held.cause == Cause::Superseded).await {
            Ruled::Now(change) => change,
            Ruled::Serves(admitted) => self.activate(vec![*admitted]).await.pop(),
        }
    }

    /// Switches to what the records name, if that is another version than the one that serves.
    pub(super) async fn follow_records(&self, name: &str) -> Option<FileChange> {
        let file = self.read(|files| files.get(name).cloned())?;
        let (before, _) = file.serving.clone()?;
        let failed =
            |reason: &Reason| tracing::error!(file = name, reason = reason.reason, "cannot follow the records");
        let recorded =
            self.policy.recorded(name, Some(before.connector.network())).await.inspect_err(failed).ok()??;
        if recorded.digest == before.connector.digest() {
            return None;
        }
        let held = file.held.as_ref().and_then(|held| held.loaded.clone());
        let next = match held.filter(|held| held.connector.digest() == recorded.digest) {
            Some(held) => held,
            None => self.load_stored(recorded.digest).await.inspect_err(failed).ok()?,
        };
        if next.connector.network() != before.connector.network() {
            return None;
        }
        let change = serves(name, &next.connector, Some(&before.connector));
        let in_file = file.read.map(|(digest, _)| digest);
        let held = if in_file == Some(next.connector.digest()) {
            None
        } else if in_file == Some(before.connector.digest()) {
            let reason = format!("version {} serves by the records", next.connector.version());
            let state = Serving::Waiting(Reason { reason, hint: None });
            Some(HeldFile { state, loaded: Some(before), cause: Cause::Superseded })
        } else {
            file.held.clone()
        };
        self.store(name, File { serving: Some((next, SystemTime::now())), held, ..file });
        Some(change)
    }

    /// The file that serves a network.
    fn server_of(&self, network: &str) -> Option<String> {
        let serves = |file: &File| file.connector().is_some_and(|serving| serving.network() == network);
        self.read(|files| files.iter().find(|(_, file)| serves(file)).map(|(name, _)| name.clone()))
    }
}

/// A file that is new or has changed.
pub(super) struct LoadedFile {
    file: File,
    loaded: Result<Loaded, Error>,
}

impl LoadedFile {
    /// Whether others must be recorded before it is ruled on: its network is, or by the records may be, one of theirs, or it
    /// replaces a version, and its trial may take long.
    pub(super) fn comes_after(&self, admitted: &[Admitted]) -> bool {
        let network = self.loaded.as_ref().ok().map(|loaded| loaded.connector.network());
        let meets = |admitted: &Admitted| network.is_none_or(|network| network == admitted.loaded.connector.network());
        self.file.serving.is_some() || admitted.iter().any(meets)
    }
}

/// What was found of a file.
pub(super) enum Ruled {
    /// Its state, and the change if it is one.
    Now(Option<FileChange>),
    /// It serves once that is recorded.
    Serves(Box<Admitted>),
}

/// A file that may serve.
pub(super) struct Admitted {
    name: String,
    file: File,
    loaded: Loaded,
    superseded: bool,
}

impl Admitted {
    /// Whether it takes over from another version.
    pub(super) fn replaces(&self) -> bool {
        self.file.serving.is_some()
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            file: &self.name,
            connector: &self.loaded.connector,
            signature: self.loaded.signature.as_deref(),
            serving: self.file.connector(),
            superseded: self.superseded,
        }
    }

    fn cause(&self) -> Cause {
        if self.superseded { Cause::Superseded } else { Cause::Judged }
    }
}

enum Recall {
    Claimed(LoadFault),
    Failed(Reason),
}

/// A file that the next look reads again, though it may stay the same.
fn again(file: File) -> File {
    File { stamp: None, read: None, ..file }
}

fn serves(name: &str, connector: &Connector, replaces: Option<&Connector>) -> FileChange {
    let outcome = FileOutcome::Serves {
        network: connector.network().to_owned(),
        version: connector.version().to_owned(),
        digest: connector.digest(),
        replaces: replaces.map(|before| before.version().to_owned()),
    };
    FileChange { file: name.to_owned(), outcome }
}
