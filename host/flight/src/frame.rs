//! What a query's process sends to the service: frames of a kind, a length of four bytes, and so many bytes.
//!
//! First the warnings, then rows or descriptions of columns, last the end or a failure. Without either of these the process
//! was ended.

use std::io::{Error, ErrorKind, Result, Write};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest frame. Rows are cut at 2 MiB: only a single row can be longer.
pub(crate) const MAX_FRAME_BYTES: usize = 64 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the rows may lack: an array of JSON.
    Warnings,
    /// Columns, as Arrow's IPC has them.
    Columns,
    /// A message of Flight: the columns, then rows.
    Rows,
    /// Why there is no more: [`crate::error::Refusal`] as JSON.
    Failed,
    /// That all was sent.
    End,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Warnings, Self::Columns, Self::Rows, Self::Failed, Self::End];

    fn byte(self) -> u8 {
        match self {
            Self::Warnings => b'W',
            Self::Columns => b'C',
            Self::Rows => b'R',
            Self::Failed => b'F',
            Self::End => b'E',
        }
    }
}

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
}

/// Writes a frame.
///
/// # Errors
/// A frame that is too long; a service that is gone.
pub(crate) fn write(out: &mut impl Write, kind: Kind, bytes: &[u8]) -> Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_FRAME_BYTES);
    let length = length.ok_or_else(|| Error::other(format!("a row has more than {} MiB", MAX_FRAME_BYTES >> 20)))?;
    out.write_all(&[kind.byte()])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(bytes)
}

/// The next frame; none if the process has ended.
///
/// # Errors
/// A process that ended within a frame, or sent something else.
pub(crate) async fn read(input: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>> {
    let first = match input.read_u8().await {
        Ok(first) => first,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == first);
    let length = input.read_u32().await? as usize;
    let Some(kind) = kind.filter(|_| length <= MAX_FRAME_BYTES) else {
        return Err(Error::new(ErrorKind::InvalidData, "a frame is malformed"));
    };
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes).await?;
    Ok(Some(Frame { kind, bytes: bytes.into() }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn frames_are_read_as_they_were_written_and_what_is_cut_is_an_error() {
        let mut bytes = Vec::new();
        for kind in Kind::ALL {
            write(&mut bytes, kind, b"abc").unwrap();
        }
        let mut rest = bytes.as_slice();
        for kind in Kind::ALL {
            let frame = read(&mut rest).await.unwrap().unwrap();
            assert_eq!(frame, Frame { kind, bytes: Bytes::from_static(b"abc") });
        }
        assert_eq!(read(&mut rest).await.unwrap(), None);
        assert!(read(&mut &bytes[..6]).await.is_err());
        assert!(read(&mut b"X\0\0\0\0".as_slice()).await.is_err());
        assert!(read(&mut b"R\xff\xff\xff\xff".as_slice()).await.is_err());
        assert!(write(&mut Vec::new(), Kind::Rows, &vec![0; MAX_FRAME_BYTES + 1]).is_err());
    }
}
