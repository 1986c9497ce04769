//! STARTTLS (RFC 3207): a connection to a mail server that begins in the clear, where nothing is sent before it is secure.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::secure_stream::SecureStream;

/// The longest line of a server (RFC 5321, 4.5.3.1.5 allows 512 bytes), and the most lines of one answer.
const MAX_LINE: usize = 2_048;
const MAX_LINES: usize = 100;
/// What the server's greeting was, for a client that waits for one: the real one came before the connection was secure.
const GREETING: &[u8] = b"220 secure\r\n";

/// Asks a server to make the connection secure, and does so. Fails if the server doesn't offer it: what comes in the clear may be
/// anybody's, also that it doesn't.
///
/// # Errors
/// A server that doesn't offer it or refuses, or that doesn't prove to be `host`.
pub(super) async fn secure(host: &str, mut stream: TcpStream) -> io::Result<Greeted<SecureStream>> {
    answer(&mut stream, "220").await?;
    stream.write_all(b"EHLO localhost\r\n").await?;
    let offered = answer(&mut stream, "250").await?;
    if !offered.iter().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(io::Error::other("it doesn't offer STARTTLS"));
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    answer(&mut stream, "220").await?;
    // Lines were read byte by byte, so nothing is left that came in the clear and would pass for what is secure.
    Ok(Greeted { stream: SecureStream::connect(host, stream).await?, left: GREETING })
}

/// Reads an answer, which must have this code, and gives the texts of its lines.
async fn answer(stream: &mut TcpStream, code: &str) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for _ in 0..MAX_LINES {
        let line = line(stream).await?;
        let (found, text) = line.split_at_checked(3).unwrap_or((&line, ""));
        if found != code {
            return Err(io::Error::other(format!("it answered with {found:?}, and not with {code}")));
        }
        texts.push(text.get(1..).unwrap_or_default().to_owned());
        if !text.starts_with('-') {
            return Ok(texts);
        }
    }
    Err(io::Error::other("its answer doesn't end"))
}

async fn line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            byte => line.push(byte),
        }
    }
    Err(io::Error::other("its line doesn't end"))
}

/// A connection that greets once more.
#[derive(Debug)]
pub(super) struct Greeted<S> {
    stream: S,
    left: &'static [u8],
}

impl<S: AsyncTokioStream> AsyncTokioStream for Greeted<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let (now, later) = this.left.split_at(this.left.len().min(buffer.remaining()));
        buffer.put_slice(now);
        this.left = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
