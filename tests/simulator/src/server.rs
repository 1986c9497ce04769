//! The listeners: reads a request, lets a fault happen or a network answer, and keeps the log.

use crate::control;
use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::fault::{Fault, cut, identity};
use crate::network::Network;
use crate::{SeenRequest, awin, cj, data, rakuten, shareasale, tradetracker};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const MAX_BODY: usize = 4 * 1024 * 1024;

/// What a listener serves: one network, or (control) everything.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) core: Arc<Core>,
    pub(crate) network: Option<Network>,
}

/// Serves until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, endpoint: Endpoint) {
    let router = Router::new().fallback(handle).with_state(endpoint);
    // `axum::serve` never returns an error: it retries a failed accept.
    let _ended = axum::serve(CuttableListener(listener), router.into_make_service_with_connect_info::<Cut>()).await;
}

/// A listener whose connections can be closed without an answer.
struct CuttableListener(TcpListener);

/// Set by a handler to close its connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

/// A connection that refuses to write once it's cut.
struct Wire {
    stream: TcpStream,
    cut: Cut,
}

impl Listener for CuttableListener {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.0.accept().await {
                let _best_effort = stream.set_nodelay(true);
                return (Wire { stream, cut: Cut::default() }, address);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cut.clone()
    }
}

impl Wire {
    fn whole(&self) -> io::Result<()> {
        if self.cut.0.load(Ordering::Relaxed) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn handle(
    State(endpoint): State<Endpoint>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return respond(Reply::text(413, "the body is too large"));
    };
    let query_text = parts.uri.query().unwrap_or_default().to_owned();
    let ask = Ask {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query_text.as_bytes()).into_owned().collect(),
        query_text,
        headers: parts.headers,
        body,
    };
    if endpoint.network.is_none() && ask.path.starts_with("/_sim/") {
        return respond(control::answer(&endpoint.core, &ask));
    }
    let by_data = endpoint.network.filter(|network| network.facts().is_some());
    let with_code = || Network::of_path(&ask.path).filter(|it| endpoint.network.is_none_or(|only| only == *it));
    let network = by_data.or_else(with_code);
    match network {
        Some(network) => played(&endpoint.core, network, &ask, &connection).await,
        None => respond(Reply::text(404, "no network has this path here")),
    }
}

async fn played(core: &Core, network: Network, ask: &Ask, connection: &Cut) -> Response {
    core.pass().await;
    let uri = if ask.query_text.is_empty() { ask.path.clone() } else { format!("{}?{}", ask.path, ask.query_text) };
    let identity = identity(network.slug(), &ask.method, &uri, &ask.body);
    let attempt = core.attempt(identity);
    let fault = core.options.faults.draw(core.options.seed, identity, attempt);
    let before = fault.and_then(|fault| instead(core, network, ask, fault, identity));
    let reply = before.unwrap_or_else(|| answer(core, network, ask));
    if fault == Some(Fault::Slow) {
        tokio::time::sleep(Duration::from_millis(core.options.faults.slow_millis)).await;
    }
    let status = if fault == Some(Fault::Reset) { 0 } else { reply.status };
    core.remember(SeenRequest {
        network: network.slug().to_owned(),
        method: ask.method.clone(),
        uri,
        body: ask.text(),
        status,
        fault,
    });
    match fault {
        Some(Fault::Reset) => {
            connection.0.store(true, Ordering::Relaxed);
            respond(Reply::text(500, ""))
        }
        Some(Fault::Truncated) => truncated(reply),
        Some(Fault::InvalidBody) => {
            let body = cut(&reply.body);
            respond(Reply { body: body.into(), ..reply })
        }
        _ => respond(reply),
    }
}

fn answer(core: &Core, network: Network, ask: &Ask) -> Reply {
    match network {
        Network::Awin => awin::answer(core, ask),
        Network::Cj => cj::answer(core, ask),
        Network::Rakuten => rakuten::answer(core, ask),
        Network::TradeTracker => tradetracker::answer(core, ask),
        Network::ShareAsale => shareasale::answer(core, ask),
        Network::Data(_) => match network.facts() {
            Some(facts) => data::answer(core, network, facts, ask),
            None => Reply::text(404, ""),
        },
    }
}

/// What a fault answers instead of the network, if it does.
fn instead(core: &Core, network: Network, ask: &Ask, fault: Fault, identity: u64) -> Option<Reply> {
    match fault {
        Fault::Status429 if network == Network::Rakuten && !rakuten::is_login(ask) => {
            let reply = rakuten::refusal(403, "forbidden", "the allowed number of requests per minute is exceeded");
            Some(reply.with("retry-after", "0".to_owned()))
        }
        Fault::Status429 if network.facts().is_some() => {
            // Connectors wait a minute or more without the header.
            Some(Reply::text(429, "Too Many Requests").with("retry-after", "0".to_owned()))
        }
        Fault::Status429 => {
            let reply = Reply::text(429, "Too Many Requests");
            Some(match identity % 48 {
                0..16 => reply,
                16 => reply.with("retry-after", "1".to_owned()),
                _ => reply.with("retry-after", "0".to_owned()),
            })
        }
        Fault::Status500 => Some(Reply::text(500, "Internal Server Error")),
        Fault::HtmlAt200 => {
            let page = "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head>\
                        <body><h1>We'll be back soon</h1><p>Scheduled maintenance &amp; care.</p></body></html>\n";
            Some(Reply::new(200, "text/html; charset=utf-8", page))
        }
        Fault::ErrorAt200 => Some(error_at_200(network)),
        Fault::ExpiredToken => Some(expired(core, network, ask)),
        Fault::Slow | Fault::Truncated | Fault::InvalidBody | Fault::Reset => None,
    }
}

fn error_at_200(network: Network) -> Reply {
    match network {
        Network::Awin => awin::refusal(200, "internal_error", "please try again later"),
        Network::Cj => cj::failure("Internal server error, please try again later"),
        Network::Rakuten => rakuten::refusal(200, "internal_error", "please try again later"),
        Network::TradeTracker => tradetracker::fault(200, "Internal error, please try again later"),
        Network::ShareAsale => shareasale::refusal(4030),
        Network::Data(_) => network.facts().map_or_else(|| Reply::text(404, ""), data::error_at_200),
    }
}

fn expired(core: &Core, network: Network, ask: &Ask) -> Reply {
    match network {
        Network::Awin => awin::refusal(401, "unauthorized", "the access token has expired"),
        Network::Cj => cj::unauthorized(),
        Network::Rakuten if rakuten::is_login(ask) => Reply::text(500, "Internal Server Error"),
        Network::Rakuten => {
            core.forget_grant(ask.authorization("Bearer").unwrap_or_default());
            rakuten::refusal(401, "invalid_token", "the access token has expired")
        }
        Network::TradeTracker if tradetracker::is_login(ask) => Reply::text(500, "Internal Server Error"),
        Network::TradeTracker => {
            core.close_session(tradetracker::session(ask).unwrap_or_default());
            tradetracker::session_fault()
        }
        Network::ShareAsale => error_at_200(network),
        Network::Data(_) => {
            network.facts().map_or_else(|| Reply::text(404, ""), |facts| data::expired(core, facts, ask))
        }
    }
}

fn respond(reply: Reply) -> Response {
    let length = reply.body.len();
    build(&reply, length, Body::from(reply.body.clone()))
}

/// Announces the whole body, sends half of it, and closes the connection.
fn truncated(reply: Reply) -> Response {
    let length = reply.body.len().max(2);
    let half = reply.body.slice(..reply.body.len() / 2);
    let parts: [io::Result<Bytes>; 2] = [Ok(half), Err(io::ErrorKind::ConnectionReset.into())];
    build(&reply, length, Body::from_stream(futures::stream::iter(parts)))
}

fn build(reply: &Reply, length: usize, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    response
}
