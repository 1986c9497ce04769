//! Connections of clients: so many at once, and none for long that sends no request or takes nothing of an answer.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

/// How long a client may take nothing of what is sent to it.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a client may take to send a request's header, from the connection's begin or the answer before on.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
/// Connections at once; further ones wait until one ends.
const MOST_CONNECTIONS: usize = 1024;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Answers until `stop` ends; then what is being answered may finish.
pub(crate) async fn serve(mut listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let (end, ends) = watch::channel(());
    let accepting = async {
        while let Ok(place) = places.clone().acquire_owned().await {
            let (connection, address) = Listener::accept(&mut listener).await;
            let router = router.clone().layer(Extension(ConnectInfo(Peer(address.ip()))));
            tokio::spawn(answer(connection, router, ends.clone(), place));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop((listener, ends));
    // None is there if there is no connection.
    let _ = end.send(());
    end.closed().await;
}

/// Answers the requests of a connection, which has a place until it ends.
async fn answer(connection: TcpStream, router: Router, mut ends: watch::Receiver<()>, _place: OwnedSemaphorePermit) {
    let mut connection = TimeoutStream::new(connection);
    connection.set_write_timeout(Some(WRITE_PATIENCE));
    // Which version of HTTP it is would be waited for without end.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    let service = TowerToHyperService::new(router);
    let mut answered = pin!(builder.serve_connection(TokioIo::new(Box::pin(connection)), service));
    let ended = tokio::select! {
        ended = answered.as_mut() => ended,
        _ = ends.changed() => {
            answered.as_mut().graceful_shutdown();
            answered.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
