//! What a command printed, kept until the client has taken it: in memory if it is small, else in a file without a name.
//! So a client that is slow, or takes nothing, holds no more memory than any other.

use std::io::SeekFrom;

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::ReaderStream;

/// The largest answer that is kept in memory.
const MAX_MEMORY_BYTES: u64 = 256 << 10;

/// The bytes of an answer.
pub(crate) enum CommandOutput {
    Memory(Vec<u8>),
    /// Read from its beginning.
    File(File, u64),
}

impl CommandOutput {
    /// Reads to the end, and no more than one byte beyond `most_bytes`: an answer of that length is too long.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) async fn read(from: impl AsyncRead + Unpin, most_bytes: u64) -> std::io::Result<Self> {
        let mut from = from.take(MAX_MEMORY_BYTES);
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).await?;
        if (bytes.len() as u64) < MAX_MEMORY_BYTES {
            return Ok(Self::Memory(bytes));
        }
        let mut from = from.into_inner().take(most_bytes + 1 - MAX_MEMORY_BYTES);
        let mut file = File::from_std(tempfile::tempfile()?);
        file.write_all(&bytes).await?;
        drop(bytes);
        let more = tokio::io::copy(&mut from, &mut file).await?;
        file.flush().await?;
        file.seek(SeekFrom::Start(0)).await?;
        Ok(Self::File(file, MAX_MEMORY_BYTES + more))
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, bytes) => *bytes,
        }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) async fn into_bytes(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::File(mut file, _) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).await?;
                Ok(bytes)
            }
        }
    }

    /// It as a body, which gives the permit back when it was sent or its connection has ended.
    pub(crate) fn into_body(self, permit: OwnedSemaphorePermit) -> Body {
        let chunks = match self {
            Self::Memory(bytes) => stream::iter([Ok(Bytes::from(bytes))]).left_stream(),
            Self::File(file, _) => ReaderStream::new(file).right_stream(),
        };
        Body::from_stream(chunks.inspect(move |_| _ = &permit))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_large_answer_is_whole_and_not_in_memory() {
        let long: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
        for (bytes, in_memory) in [(&long[..1_000], true), (&long[..], false)] {
            let answer = CommandOutput::read(bytes, 4 << 20).await.unwrap();
            assert_eq!((answer.len(), matches!(answer, CommandOutput::Memory(_))), (bytes.len() as u64, in_memory));
            let permits = Arc::new(Semaphore::new(1));
            let body = answer.into_body(permits.clone().acquire_owned().await.unwrap());
            assert_eq!(permits.available_permits(), 0, "it is to be sent");
            assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap(), bytes);
            assert_eq!(permits.available_permits(), 1, "it was sent");
        }
        assert_eq!(
            CommandOutput::read(&long[..], 500_000).await.unwrap().len(),
            500_001,
            "no more is read than is needed"
        );
    }
}
