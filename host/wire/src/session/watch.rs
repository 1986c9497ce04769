//! Ends the process of a query that takes what the query engine doesn't count, and reports the reason to its client, if that is possible.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use sluice_runtime::failure::Failure;
use sluice_runtime::query_watch::QueryWatch;
use sluice_runtime::settings::limits::LimitsSettings;

/// The watch over a connection's queries.
#[derive(Clone)]
pub(super) struct Watch {
    limits: LimitsSettings,
    socket: Arc<TcpStream>,
    /// Whether no message is being written.
    may_interrupt: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn new(limits: LimitsSettings, socket: TcpStream) -> Self {
        Self { limits, socket: Arc::new(socket), may_interrupt: Arc::new(AtomicBool::new(true)) }
    }

    /// Whether a message can be sent beside those of the query. Rows that are on their way would be cut by it.
    pub(super) fn may_interrupt(&self, may: bool) {
        self.may_interrupt.store(may, Ordering::SeqCst);
    }

    /// Watches until it is dropped.
    pub(super) fn start(&self) -> QueryWatch {
        let watch = self.clone();
        QueryWatch::start(&self.limits, move |failure| watch.end(&failure))
    }

    fn end(&self, failure: &Failure) {
        if self.may_interrupt.load(Ordering::SeqCst) {
            let mut error = ErrorInfo::new("FATAL".to_owned(), "53200".to_owned(), failure.error.to_string());
            error.hint = failure.hint.clone();
            let mut message = BytesMut::new();
            if PgWireBackendMessage::ErrorResponse(error.into()).encode(&mut message).is_ok() {
                // Where it can't be written at once, the client sees the connection end.
                let _ = self.socket.as_ref().write_all(&message);
            }
        }
        tracing::warn!("a session of a PostgreSQL client ends: {}", failure.render(false));
        #[expect(
            clippy::disallowed_methods,
            reason = "the query doesn't pause to be ended, and nothing was taken to write"
        )]
        std::process::exit(failure.exit as i32);
    }
}
