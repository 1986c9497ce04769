//! A body while it is received: its first bytes in memory, one that is larger in a file without a name.
//!
//! A network may take minutes for a body, so what it has sent must not hold memory that others wait for.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

/// Bytes of a body that are in memory while it is received.
const MAX_IN_MEMORY: usize = 256 << 10;

/// The chunks of a body that is being received. A single chunk isn't copied.
pub(crate) struct Spool {
    /// In which files are made.
    folder: PathBuf,
    first: Bytes,
    rest: BytesMut,
    /// What came before `rest`.
    file: Option<File>,
    pub(crate) received: u64,
}

/// A body that was received.
#[derive(Debug)]
pub(crate) enum Spooled {
    Memory(Bytes),
    File(File, u64),
}

impl Spool {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), first: Bytes::new(), rest: BytesMut::new(), file: None, received: 0 }
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
            if !self.first.is_empty() {
                self.rest.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.rest.extend_from_slice(&chunk);
        }
        if self.first.len() + self.rest.len() > MAX_IN_MEMORY {
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
            None if self.rest.is_empty() => Spooled::Memory(self.first),
            None => Spooled::Memory(self.rest.freeze()),
        })
    }
}

impl Spooled {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, bytes) => *bytes,
        }
    }

    /// Its first bytes, at most so many.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(crate) async fn start(&self, most: u64) -> io::Result<Bytes> {
        let (file, most) = match self {
            Self::Memory(bytes) => {
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

    #[tokio::test]
    async fn a_large_body_is_in_a_file_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        for (chunks, in_file) in [(0, false), (1, false), (4, false), (5, true), (9, true)] {
            let mut spool = Spool::new(folder.path());
            let mut wanted = Vec::new();
            for n in 0..chunks {
                let chunk = vec![n; MAX_IN_MEMORY / 4];
                wanted.extend_from_slice(&chunk);
                spool.add(chunk.into()).await.unwrap();
                assert!(spool.rest.len() <= MAX_IN_MEMORY);
            }
            let body = spool.finish().await.unwrap();
            assert_eq!(matches!(body, Spooled::File(..)), in_file, "{chunks}");
            assert_eq!(body.len(), wanted.len() as u64);
            assert_eq!(body.whole().await.unwrap(), wanted);
            assert_eq!(body.start(3).await.unwrap(), wanted[..wanted.len().min(3)], "and again from its start");
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "no file has a name");
    }
}
