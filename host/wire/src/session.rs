//! The process of one connection: it answers queries until its client is gone or the service ends.

mod client_stream;
mod handler;
mod parser;
mod rows;
mod watch;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use pgwire::api::query::send_ready_for_query;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::{BackendKeyData, ParameterStatus, SecretKey};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use sluice_runtime::app::{open_lake, open_limited_session};
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::codec::Framed;

use crate::control::{Control, Greeting, shut_down};
use crate::error::of_failure;
use crate::parameters::Parameters;
use client_stream::ClientStream;
use handler::{Handler, Stored};
use watch::Watch;

type Client = Framed<ClientStream, PgWireMessageServerCodec<Arc<Stored>>>;

/// Answers the client at standard input, as the service at standard output lets it.
///
/// # Errors
/// Standard input or output that isn't what the service gives a session; a client that is gone.
pub async fn serve_session(settings: &Settings) -> Result<(), Failure> {
    let socket = std::net::TcpStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let control = StdUnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    control.set_nonblocking(true)?;
    let (control, greeting) = Control::open(UnixStream::from_std(control)?).await?;
    let control = Arc::new(control);
    let watch = Watch::new(settings.limits.clone(), socket.try_clone()?);
    socket.set_nonblocking(true)?;
    let socket = TcpStream::from_std(socket)?;
    let address = socket.peer_addr()?;
    let (stream, gone) = ClientStream::new(socket);
    let mut client: Client = Framed::new(stream, PgWireMessageServerCodec::new(DefaultClient::new(address, false)));
    let answered = async {
        match begin(&mut client, settings, &greeting, control.clone(), watch).await {
            Ok(handler) => answer(&mut client, Arc::new(handler)).await,
            Err(error) => end(&mut client, error).await,
        }
    };
    tokio::select! {
        answered = answered => return Ok(answered?),
        () = gone.cancelled() => return Ok(()),
        () = control.ended.cancelled() => {}
    }
    Ok(end(&mut client, shut_down()).await?)
}

/// Opens the lake and tells the client what it has to know first.
async fn begin(
    client: &mut Client,
    settings: &Settings,
    greeting: &Greeting,
    control: Arc<Control>,
    watch: Watch,
) -> Result<Handler, PgWireError> {
    let failed = |failure: Failure| of_failure(&failure);
    let mut parameters = Parameters::new(&greeting.user);
    parameters.begin(&greeting.parameters)?;
    let lake = open_lake(settings).await.map_err(failed)?;
    let session = open_limited_session(lake.clone(), settings).await.map_err(failed)?;
    let session = session.for_postgres(&greeting.user).map_err(crate::error::of_query)?;
    for (name, value) in parameters.reported() {
        client.feed(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))).await?;
    }
    let key = BackendKeyData::new(greeting.process, SecretKey::I32(greeting.secret));
    client.feed(PgWireBackendMessage::BackendKeyData(key)).await?;
    client.set_state(PgWireConnectionState::ReadyForQuery);
    send_ready_for_query(client, TransactionStatus::Idle).await?;
    Ok(Handler::new(lake, session, control, parameters, watch))
}

/// Answers messages until the client ends the connection.
async fn answer(client: &mut Client, handler: Arc<Handler>) -> std::io::Result<()> {
    let (others, watch) = (Arc::new(NoopHandler), handler.session_watch());
    while let Some(message) = client.next().await {
        let message = match message {
            Ok(PgWireFrontendMessage::Terminate(_)) => return Ok(()),
            Ok(message) => message,
            Err(error) => return end(client, error).await,
        };
        let is_extended = message.is_extended_query();
        let (queries, others) = (handler.clone(), others.clone());
        let processed =
            process_message(message, client, others.clone(), queries.clone(), queries, others.clone(), others).await;
        watch.may_interrupt(true);
        if let Err(error) = processed {
            let error = ErrorInfo::from(error);
            if error.is_fatal() {
                return end(client, PgWireError::UserError(Box::new(error))).await;
            }
            process_error(client, PgWireError::UserError(Box::new(error)), is_extended).await?;
        }
    }
    Ok(())
}

/// Sends an error that ends the connection.
async fn end(client: &mut Client, error: PgWireError) -> std::io::Result<()> {
    let mut error = ErrorInfo::from(error);
    error.severity = "FATAL".to_owned();
    client.send(PgWireBackendMessage::ErrorResponse(error.into())).await?;
    client.close().await
}
