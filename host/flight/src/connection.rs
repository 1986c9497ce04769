//! Connections: so many at once, and closed if no token is shown on them in time.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
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
use tonic::transport::server::Connected as ConnectedTo;

/// How long a client may take to show its token.
const LOGIN_TIME: Duration = Duration::from_secs(20);
/// What a client may send before a token of it is known: one call, and what belongs to it.
const LOGIN_BYTES: usize = 2 * crate::MAX_REQUEST_BYTES;
/// After an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// A client's connection.
pub(crate) struct Connection {
    socket: TcpStream,
    info: Connected,
    login_ends: Pin<Box<Sleep>>,
    login_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

/// What calls know of their connection: whether a token was shown on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connected(Arc<AtomicBool>);

impl Connected {
    /// Lets the connection last.
    pub(crate) fn let_in(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_let_in(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connections as they come. What is beyond the limit is closed at once.
pub(crate) fn accept(listener: TcpListener, limit: Arc<Semaphore>) -> impl Stream<Item = Result<Connection>> + Send {
    stream::unfold((listener, limit), |(listener, limit)| async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    let Ok(permit) = limit.clone().try_acquire_owned() else {
                        tracing::debug!("a Flight SQL client isn't let in: there are as many connections as may be");
                        continue;
                    };
                    // Without it small answers are late.
                    let _ = socket.set_nodelay(true);
                    return Some((Ok(Connection::new(socket, permit)), (listener, limit)));
                }
                // Of a client that has gone, or of too many open files: later ones may come through.
                Err(error) => {
                    tracing::warn!("a connection of a Flight SQL client failed: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    })
}

impl Connection {
    fn new(socket: TcpStream, permit: OwnedSemaphorePermit) -> Self {
        Self {
            socket,
            info: Connected::default(),
            login_ends: Box::pin(sleep(LOGIN_TIME)),
            login_bytes: 0,
            _permit: permit,
        }
    }
}

impl ConnectedTo for Connection {
    type ConnectInfo = Connected;

    fn connect_info(&self) -> Connected {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.info.is_let_in() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        if self.login_bytes > LOGIN_BYTES || self.login_ends.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "no token was shown in time")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.login_bytes += buffer.filled().len() - before;
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
