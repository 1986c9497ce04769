//! SQL for clients of PostgreSQL: its protocol, types and errors, over queries that only read.
//!
//! The service listens, checks a client's token, and hands its connection to a process of its own ([`Listener`]); that
//! answers queries until the client is gone ([`serve_session`]). So a query that takes too much, and one that breaks the query
//! engine, ends its own connection and nothing else, as with the HTTP API. A query needs a permit of the service: as
//! many run at once as the settings say, and the token is looked for again before each.
//!
//! Only this crate may depend on `pgwire`; it may not depend on DataFusion.

mod control;
mod decode;
mod encode;
mod error;
mod gate;
mod numeric;
mod parameters;
mod session;
mod types;

pub use gate::Listener;
pub use session::serve_session;

/// The command that a session's process runs.
pub const SESSION_COMMAND: &str = "wire-session";
/// The only database.
const DATABASE: &str = "sluice";
