//! A connection that can be cut: when a worker ends before its parts of queries do, nothing that it writes may look like their end.
//! One on which no call comes with a proof is closed: others need its place.
//!
//! Tasks of a runtime that ends are dropped in any order. Where the task that makes rows goes before the one that sends them, the
//! latter would see the end of the rows, and say so.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

/// The pause after a connection that couldn't be accepted, as when files run out.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Connections at once: a host has one for each of its queries. What is beyond is closed, and that query runs on one host.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may be without a call that has a proof.
pub(super) const PROVEN_WITHIN: Duration = Duration::from_secs(10);

/// Whether a call with a proof came on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Proven(Arc<AtomicBool>);

impl Proven {
    /// Lets the connection last.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection, and whether it is cut.
pub(super) struct Connection {
    socket: TcpStream,
    cut: Arc<AtomicBool>,
    proven: Proven,
    proof_due: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

/// Connections as they come, all of which `cut` cuts. One without a proof `within` that time ends.
pub(super) fn connections(
    listener: TcpListener,
    cut: Arc<AtomicBool>,
    within: Duration,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    stream::unfold(listener, move |listener| {
        let (cut, limit) = (cut.clone(), limit.clone());
        async move {
            loop {
                let socket = match listener.accept().await {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        sleep(AFTER_A_FAILURE).await;
                        return Some((Err(error), listener));
                    }
                };
                let Ok(permit) = limit.clone().try_acquire_owned() else { continue };
                // Parts of rows wait for no others.
                let _ = socket.set_nodelay(true);
                let (proven, proof_due) = (Proven::default(), Box::pin(sleep(within)));
                return Some((Ok(Connection { socket, cut, proven, proof_due, _permit: permit }), listener));
            }
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = Proven;

    fn connect_info(&self) -> Proven {
        self.proven.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.proven.is_noted() && this.proof_due.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no proof of this installation came in time",
            )));
        }
        Pin::new(&mut this.socket).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn only_a_connection_with_a_proof_lasts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(connections(listener, Arc::default(), Duration::from_millis(1)));
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        let read = timeout(PROVEN_WITHIN, connection.read_u8()).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut host = TcpStream::connect(address).await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        connection.proof_due.as_mut().await;
        connection.connect_info().note();
        host.write_all(b"x").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'x');
    }
}
