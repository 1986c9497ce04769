//! Files of the connectors' directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sluice_engine::LoadFault;

use super::signature;
use crate::error::Error;

/// A file that changed this recently may change again without its time or size telling.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What distinguishes a changed file from an unchanged one without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    component: Mark,
    /// Of the signature beside it, which may come before it or after.
    signature: Option<Mark>,
    /// Whether the file had been left alone for a while when it was looked at. Not part of what is compared: a later
    /// look at the same file is still a look at the same file.
    settled: Settled,
}

/// A file's time and size, and which file it is: behind a link, another one may have both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    modified: SystemTime,
    bytes: u64,
    identity: [u64; 4],
}

impl Mark {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { modified: metadata.modified()?, bytes: metadata.len(), identity: identity(&metadata) })
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> [u64; 4] {
    use std::os::unix::fs::MetadataExt;
    // The last change of the inode can't be set back, as a copy that keeps times sets the modification back.
    [metadata.dev(), metadata.ino(), metadata.ctime().cast_unsigned(), metadata.ctime_nsec().cast_unsigned()]
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> [u64; 4] {
    [0; 4]
}

#[derive(Clone, Debug)]
struct Settled(bool);

impl PartialEq for Settled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Settled {}

impl Stamp {
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let component = Mark::of(path)?;
        let signature = Mark::of(&signature::path_of(path)).ok();
        let newest = signature.as_ref().map_or(component.modified, |mark| mark.modified.max(component.modified));
        let age = SystemTime::now().duration_since(newest).unwrap_or_default();
        Ok(Self { component, signature, settled: Settled(age > SETTLED_AFTER) })
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.0
    }
}

/// Names of the components in `dir`. Hidden files are left out: they are how others write a file aside.
pub(super) async fn names(dir: PathBuf) -> Result<BTreeSet<String>, Error> {
    tokio::task::spawn_blocking(move || read_names(&dir)).await?
}

fn read_names(dir: &Path) -> Result<BTreeSet<String>, Error> {
    let cannot = |source| Error::Folder { action: "read", path: dir.to_owned(), source };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A link counts as what it leads to.
        if name.ends_with(".wasm") && !name.starts_with('.') && path.is_file() {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

/// A file as it was read.
pub(super) struct FileRead {
    pub(super) stamp: Stamp,
    pub(super) bytes: Result<Vec<u8>, ReadFault>,
    /// The text of the signature beside it.
    pub(super) signature: Option<String>,
}

/// Reads a file unless its stamp is `unchanged`; none while somebody writes it: what is read may be half of it, and
/// the next scan finds the rest.
pub(super) fn read_changed(path: &Path, unchanged: Option<&Stamp>, limit: u64) -> Option<FileRead> {
    let stamp = Stamp::of(path).ok()?;
    if unchanged == Some(&stamp) {
        return None;
    }
    let (bytes, signature) = (read_whole(path, limit), signature::beside(path));
    (Stamp::of(path).ok().as_ref() == Some(&stamp)).then_some(FileRead { stamp, bytes, signature })
}

/// Why a file can't be read.
pub(super) enum ReadFault {
    TooLarge { bytes: u64, limit: u64 },
    Io(std::io::Error),
}

impl ReadFault {
    pub(super) fn at(self, name: &str, path: PathBuf) -> sluice_engine::Error {
        match self {
            Self::TooLarge { bytes, limit } => {
                sluice_engine::Error::Load { origin: name.to_owned(), fault: LoadFault::TooLarge { bytes, limit } }
            }
            Self::Io(source) => sluice_engine::Error::Path { action: "read", path, source: source.into() },
        }
    }
}

/// A file's bytes, if there aren't too many.
fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>, ReadFault> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(ReadFault::Io)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(ReadFault::Io)?;
    let read = bytes.len() as u64;
    if read > limit { Err(ReadFault::TooLarge { bytes: read, limit }) } else { Ok(bytes) }
}
