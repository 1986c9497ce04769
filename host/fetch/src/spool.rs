//! A body while it is received: its first bytes in memory, and all of one that is larger if there is room for it in what
//! all bodies share ([`SpoolMemory`]); else it is in a file without a name.
//!
//! A network may take minutes for a body, so what it has sent must not hold memory that others wait for: who finds no room
//! takes a file, and waits for nobody.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

/// Bytes of any body that are in memory while it is received.
const MAX_IN_MEMORY: usize = 256 << 10;

/// Memory that all bodies share while they are received, beside the first bytes of each.
#[derive(Clone, Debug)]
pub struct SpoolMemory(Arc<AtomicUsize>);

impl SpoolMemory {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// A share of so many bytes; nothing if there aren't as many left.
    fn take(&self, bytes: usize) -> Option<SpoolShare> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        left.ok().map(|_| SpoolShare { memory: self.clone(), bytes })
    }
}

/// What a body has of it, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct SpoolShare {
    memory: SpoolMemory,
    bytes: usize,
}

impl Drop for SpoolShare {
    fn drop(&mut self) {
        self.memory.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// The chunks of a body that is being received. A single chunk isn't copied.
pub(crate) struct Spool {
    /// In which files are made.
    folder: PathBuf,
    memory: SpoolMemory,
    /// What it has of `memory`, piece by piece.
    shares: Vec<SpoolShare>,
    /// The `Content-Length`.
    expected: usize,
    first: Bytes,
    rest: BytesMut,
    /// What came before `rest`.
    file: Option<File>,
    pub(crate) received: u64,
}

/// A body that was received.
#[derive(Debug)]
pub(crate) enum Spooled {
    /// With its share of what bodies have, which lasts as long.
    Memory {
        bytes: Bytes,
        _shares: Vec<SpoolShare>,
    },
    File(File, u64),
}

impl Spool {
    /// `expected`: the body's `Content-Length`.
    pub(crate) fn new(folder: &Path, memory: &SpoolMemory, expected: Option<u64>) -> Self {
        Self {
            folder: folder.to_owned(),
            memory: memory.clone(),
            shares: Vec::new(),
            expected: expected.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default(),
            first: Bytes::new(),
            rest: BytesMut::new(),
            file: None,
            received: 0,
        }
    }

    /// How many bytes of the body may be in memory.
    fn room(&self) -> usize {
        MAX_IN_MEMORY + self.shares.iter().map(|share| share.bytes).sum::<usize>()
    }

    /// Whether so many bytes may be in memory, if need be by a larger share: what the body is expected to have, or as much
    /// again as it has.
    fn has_room(&mut self, bytes: usize) -> bool {
        let room = self.room();
        if bytes <= room {
            return true;
        }
        let wanted = if bytes <= self.expected { self.expected - room } else { bytes };
        self.shares.extend(self.memory.take(wanted));
        bytes <= self.room()
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// A file that can't be made or written.
    pub(crate) async fn add(&mut self, chunk: Bytes) -> io::Result<()> {
        self.received += chunk.len() as u64;
        if self.first.is_empty() && self.rest.is_empty() && self.file.is_none() {
            self.first = chunk;
        } else {
            let bytes = self.first.len() + self.rest.len() + chunk.len();
            if self.file.is_none() && self.has_room(bytes) {
                // At once for all of it, so that it isn't copied as it grows.
                self.rest.reserve(bytes.max(self.expected.min(self.room())) - self.rest.len());
            }
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
            self.rest.extend_from_slice(&chunk);
        }
        if self.first.len() + self.rest.len() > self.room() {
            self.write().await?;
        }
        Ok(())
    }

    /// Moves what is in memory to the file.
    async fn write(&mut self) -> io::Result<()> {
        let (first, mut rest) = (std::mem::take(&mut self.first), std::mem::take(&mut self.rest));
        let (file, folder) = (self.file.take(), self.folder.clone());
        let write = move || {
            let mut file = file.map_or_else(|| tempfile::tempfile_in(folder), Ok)?;
            file.write_all(&first)?;
            file.write_all(&rest)?;
            rest.clear();
            Ok::<_, io::Error>((file, rest))
        };
        let (file, rest) = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        (self.file, self.rest) = (Some(file), rest);
        // Once it is in a file it stays there.
        self.shares.clear();
        Ok(())
    }

    /// The body.
    ///
    /// # Errors
    /// A file that can't be written.
    pub(crate) async fn finish(mut self) -> io::Result<Spooled> {
        if self.file.is_some() && !self.rest.is_empty() {
            self.write().await?;
        }
        Ok(match self.file {
            Some(file) => Spooled::File(file, self.received),
            None if self.rest.is_empty() => Spooled::Memory { bytes: self.first, _shares: self.shares },
            None => Spooled::Memory { bytes: self.rest.freeze(), _shares: self.shares },
        })
    }
}

impl Spooled {
    /// A few bytes.
    pub(crate) fn small(bytes: Bytes) -> Self {
        Self::Memory { bytes, _shares: Vec::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory { bytes, .. } => bytes.len() as u64,
            Self::File(_, bytes) => *bytes,
        }
    }

    /// Its first bytes, at most so many.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(crate) async fn start(&self, most: u64) -> io::Result<Bytes> {
        let (file, most) = match self {
            Self::Memory { bytes, .. } => {
                return Ok(bytes.slice(..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))));
            }
            Self::File(file, bytes) => (file.try_clone()?, most.min(*bytes)),
        };
        let read = move || {
            let (mut file, mut bytes) = (file, Vec::with_capacity(usize::try_from(most).unwrap_or_default()));
            file.rewind()?;
            file.take(most).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(Bytes::from(bytes))
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(crate) async fn whole(&self) -> io::Result<Bytes> {
        self.start(u64::MAX).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn spooled(folder: &Path, memory: &SpoolMemory, expected: Option<u64>, chunks: u8) -> (Spooled, Vec<u8>) {
        let mut spool = Spool::new(folder, memory, expected);
        let mut wanted = Vec::new();
        for n in 0..chunks {
            let chunk = vec![n; MAX_IN_MEMORY / 4];
            wanted.extend_from_slice(&chunk);
            spool.add(chunk.into()).await.unwrap();
            assert!(spool.rest.len() <= spool.room());
        }
        (spool.finish().await.unwrap(), wanted)
    }

    #[tokio::test]
    async fn a_large_body_is_in_a_file_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SpoolMemory::new(0);
        for (chunks, in_file) in [(0, false), (1, false), (4, false), (5, true), (9, true)] {
            let (body, wanted) = spooled(folder.path(), &memory, None, chunks).await;
            assert_eq!(matches!(body, Spooled::File(..)), in_file, "{chunks}");
            assert_eq!(body.len(), wanted.len() as u64);
            assert_eq!(body.whole().await.unwrap(), wanted);
            assert_eq!(body.start(3).await.unwrap(), wanted[..wanted.len().min(3)], "and again from its start");
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "no file has a name");
    }

    #[tokio::test]
    async fn bodies_share_memory_and_who_finds_none_takes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SpoolMemory::new(4 * MAX_IN_MEMORY);
        let left = || memory.0.load(Ordering::Relaxed);
        for expected in [Some(3 * MAX_IN_MEMORY as u64), None, Some(1)] {
            let (first, wanted) = spooled(folder.path(), &memory, expected, 12).await;
            assert!(matches!(first, Spooled::Memory { .. }), "{expected:?}");
            assert_eq!(first.whole().await.unwrap(), wanted);
            let before = left();
            assert!(before <= 2 * MAX_IN_MEMORY, "{before} of {expected:?}");
            let (second, wanted) = spooled(folder.path(), &memory, expected, 21).await;
            assert!(matches!(second, Spooled::File(..)), "{expected:?}");
            assert_eq!(second.whole().await.unwrap(), wanted);
            assert_eq!(left(), before, "a file takes no memory");
            drop(first);
            assert_eq!(left(), 4 * MAX_IN_MEMORY);
        }
    }
}
