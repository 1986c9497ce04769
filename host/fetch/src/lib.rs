//! Sends requests to networks: allow → authenticate → pace → send → redact.
//!
//! No other crate uses an HTTP client or secrets. A connector's request is data that names secrets; here its host is
//! checked against the manifest and the operator's settings, tokens are obtained, the rate limit is waited for, templates
//! are evaluated with the values of the secrets, and the response is masked before it is returned. This crate doesn't
//! depend on the lake, the engine or WebAssembly. [`Notifier`] sends messages to the operator's own receivers,
//! [`CollectorClient`] traces to the operator's collector.
//!
//! ```no_run
//! # use std::collections::BTreeMap;
//! use sluice_fetch::{Access, Attempts, FetchOptions, Fetcher, NextAttempt};
//! # async fn example(request: sluice_model::Request) -> Result<(), sluice_fetch::Error> {
//! let options = FetchOptions::default();
//! let mut attempts = Attempts::new(&options);
//! let fetcher = Fetcher::new(options)?;
//! let account = fetcher.account(Access {
//!     network: "awin".into(),
//!     account: "uk".into(),
//!     manifest_hosts: vec!["api.awin.com".into()],
//!     operator_hosts: vec!["api.awin.com".into()],
//!     base_url: None,
//!     settings: vec![("publisher_id".into(), "123456".into())],
//!     secrets: BTreeMap::from([("token".into(), sluice_model::Secret::new("s3cret-value".into()))]),
//!     secret_reloader: None,
//!     tokens: Vec::new(),
//!     rate: sluice_model::Rate { requests: 20, per_secs: 60, concurrency: 4 },
//! })?;
//! loop {
//!     let error = match account.send(&request).await {
//!         Ok(exchange) => break println!("{} {} bytes", exchange.status, exchange.body.len()),
//!         Err(error) => error,
//!     };
//!     match attempts.next(&(&error).into(), chrono::Utc::now()) {
//!         NextAttempt::After(pause) => tokio::time::sleep(pause).await,
//!         NextAttempt::Final | NextAttempt::Deferred(_) => return Err(error),
//!     }
//! }
//! # Ok(()) }
//! ```

mod account;
mod account_client;
mod address;
mod allow;
mod body;
mod body_redactor;
mod clock;
mod collector;
mod deadline;
mod erased;
mod error;
mod error_hint;
mod error_kind;
mod exchange;
mod fetcher;
mod function;
mod grants;
mod issued;
mod issuer;
mod notify;
mod pace;
mod redact;
mod render;
mod retry;
mod retry_after;
mod seal;
mod session;
mod sign_in_response;
mod spool;
mod stored_sign_in;
mod template;
mod token;
mod token_cycles;
mod token_store;
mod token_text;
mod unpack;
mod wire;

pub use account::{Account, SecretReloader};
pub use allow::is_origin;
pub use body_redactor::BodyRedactor;
pub use collector::CollectorClient;
pub use erased::{Erased, ErasedValue, Unerasable, replaced_headers};
pub use error::{Error, Wait};
pub use exchange::{Exchange, Framing, unpack_body};
pub use fetcher::{Access, FetchOptions, Fetcher};
pub use grants::{Grant, GrantError, GrantRequest, RateGrants};
pub use issuer::{Issuer, IssuerError, Refused, TokenError};
pub use notify::{Mail, MailServer, Notifier, NotifyError, SignedMessage};
pub use pace::{Admission, ResponseMemory};
pub use retry::{Attempts, FailedAttempt, NextAttempt, Retry};
pub use seal::SealKey;
pub use spool::SpoolMemory;
pub use token_store::{StoredToken, TokenKey, TokenPersistence, TokenStore, TokenStoreError};
pub use unpack::EncodingMismatch;
