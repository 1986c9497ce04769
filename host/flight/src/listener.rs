//! The service's side: it listens, and bounds connections, streams and messages.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use sluice_runtime::app::App;
use sluice_runtime::failure::Failure;
use sluice_runtime::identities::Identities;
use sluice_runtime::listen;
use sluice_state::State;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::connection::accept;
use crate::frame::MAX_FRAME_BYTES;
use crate::service::Service;

/// How long calls may take to end with the service.
const GRACE: Duration = Duration::from_secs(5);
/// Calls at once on a connection; others wait.
const STREAMS: u32 = 16;
/// The longest headers of a call.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// How often a silent client is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// A listener for clients of Flight SQL.
pub struct Listener {
    listener: TcpListener,
    service: Service,
}

/// What calls share.
pub(crate) struct Shared {
    pub(crate) state: Arc<State>,
    /// Whose tokens are taken beside those of the API.
    pub(crate) identities: Option<Identities>,
    pub(crate) settings: PathBuf,
    /// The right to run a query.
    pub(crate) queries: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// How long a query's process may take.
    pub(crate) time: Duration,
    pub(crate) stop: CancellationToken,
}

impl Listener {
    /// Listens where the settings say; nothing without `[flight]`.
    ///
    /// # Errors
    /// A settings failure for an address that is taken, for one that other machines reach while there is neither a token nor an issuer
    /// of identities, and for an issuer that can't be asked in confidence.
    pub async fn bind(app: &App) -> Result<Option<Self>, Failure> {
        let Some(settings) = &app.settings.flight else { return Ok(None) };
        let identities = Identities::of(&app.settings)?;
        if identities.is_none() {
            listen::check_token(&app.state, "flight.listen", settings.listen).await?;
        }
        let listener = listen::bind("flight.listen", settings.listen).await?;
        let shared = Shared {
            state: app.state.clone(),
            identities,
            settings: app.settings.path.clone(),
            queries: Arc::new(Semaphore::new(settings.queries)),
            connections: Arc::new(Semaphore::new(settings.connections)),
            time: app.settings.limits.process_time(),
            stop: CancellationToken::new(),
        };
        let service = Service::new(Arc::new(shared)).map_err(Failure::failed)?;
        Ok(Some(Self { listener, service }))
    }

    /// Answers until `stop` ends; then calls are ended.
    ///
    /// # Errors
    /// That of the operating system.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), Failure> {
        let Self { listener, service } = self;
        tracing::info!("Flight SQL is answered on {}", listener.local_addr()?);
        let shared = service.shared.clone();
        let incoming = accept(listener, shared.connections.clone());
        let service = FlightServiceServer::new(service)
            .max_decoding_message_size(crate::MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_FRAME_BYTES);
        let answering = Server::builder()
            .max_concurrent_streams(STREAMS)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_keepalive_interval(Some(PING))
            .http2_keepalive_timeout(Some(PONG))
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, shared.stop.clone().cancelled_owned());
        let mut answering = std::pin::pin!(answering);
        tokio::select! {
            answered = &mut answering => return answered.map_err(Failure::failed),
            () = stop => shared.stop.cancel(),
        }
        match tokio::time::timeout(GRACE, answering).await {
            Ok(answered) => answered.map_err(Failure::failed),
            Err(_) => {
                tracing::warn!("calls of Flight SQL clients were cut off");
                Ok(())
            }
        }
    }
}
