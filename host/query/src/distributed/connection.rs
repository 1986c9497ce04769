//! A connection that can be cut: when a worker ends before its parts of queries do, nothing that it writes may look like their end.
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
use tonic::transport::server::Connected;

/// The pause after a connection that couldn't be accepted, as when files run out.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Connections at once: a host has one for each of its queries. What is beyond is closed, and that query runs on one host.
const MAX_CONNECTIONS: usize = 256;

/// A connection, and whether it is cut.
pub(super) struct Connection {
    socket: TcpStream,
    cut: Arc<AtomicBool>,
    _permit: OwnedSemaphorePermit,
}

/// Connections as they come, all of which `cut` cuts.
pub(super) fn connections(
    listener: TcpListener,
    cut: Arc<AtomicBool>,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    stream::unfold(listener, move |listener| {
        let (cut, limit) = (cut.clone(), limit.clone());
        async move {
            loop {
                let socket = match listener.accept().await {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        tokio::time::sleep(AFTER_A_FAILURE).await;
                        return Some((Err(error), listener));
                    }
                };
                let Ok(permit) = limit.clone().try_acquire_owned() else { continue };
                // Parts of rows wait for no others.
                let _ = socket.set_nodelay(true);
                return Some((Ok(Connection { socket, cut, _permit: permit }), listener));
            }
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, into)
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
