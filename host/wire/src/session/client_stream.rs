//! The connection to a client, which is noticed to be gone also while its query runs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_util::sync::CancellationToken;

/// Bytes of messages that wait to be read. One that sends more isn't noticed to be gone before they are.
const AHEAD_BYTES: usize = 64 << 10;

/// Reads what a task has read ahead, and writes to the client.
pub(super) struct ClientStream {
    reader: DuplexStream,
    writer: OwnedWriteHalf,
}

impl ClientStream {
    /// The stream, and what is cancelled when the client is gone.
    pub(super) fn new(socket: TcpStream) -> (Self, CancellationToken) {
        let (mut socket_reader, writer) = socket.into_split();
        let (reader, mut ahead) = duplex(AHEAD_BYTES);
        let gone = CancellationToken::new();
        let noticed = gone.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 8 << 10];
            loop {
                match socket_reader.read(&mut bytes).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => {
                        if ahead.write_all(&bytes[..count]).await.is_err() {
                            break;
                        }
                    }
                }
            }
            noticed.cancel();
        });
        (Self { reader, writer }, gone)
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
