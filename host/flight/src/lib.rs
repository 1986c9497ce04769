//! SQL for clients of Arrow Flight SQL, over queries that only read.
//!
//! The service listens and checks a client's token at each call ([`Listener`]). Each query runs in a process of its own
//! ([`answer_query`]), which sends its rows to the service in Arrow's form: so a query that takes too much, and one that
//! breaks the query engine, ends its own call and nothing else, as with the HTTP API. A handle of a statement holds the
//! statement, so the service keeps nothing between calls.
//!
//! Only this crate may depend on `arrow-flight`, `tonic` and `prost`; it may not depend on DataFusion.

mod bind;
mod calls;
mod connection;
mod error;
mod frame;
mod handle;
mod listener;
mod login;
mod metadata;
mod parameters;
mod plain;
mod process;
mod query;
mod request;
mod service;

pub use error::last_message;
pub use listener::Listener;
pub use query::answer_query;

/// The command that a query's process runs.
pub const QUERY_COMMAND: &str = "flight-query";
/// The only catalogue.
const CATALOG: &str = "sluice";
/// The largest message of a client, and so the longest statement.
const MAX_REQUEST_BYTES: usize = 1 << 20;
