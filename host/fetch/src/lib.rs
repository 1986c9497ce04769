//! The only place that talks to networks, and the only one that uses secrets: allow → auth → pace → send → redact.
//!
//! A connector's request is data that names secrets. Here it meets their values: the host is checked against
//! the manifest and the operator, tokens are fetched, the budget is waited for, templates are evaluated, and what
//! comes back is masked before anybody else sees it. The lake, the engine and WebAssembly are unknown here.
//!
//! ```no_run
//! # use std::collections::BTreeMap;
//! use sluice_fetch::{Access, FetchOptions, Fetcher, backoff};
//! # async fn example(request: sluice_model::Request) -> Result<(), sluice_fetch::Error> {
//! let fetcher = Fetcher::new(FetchOptions::default())?;
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
//! match account.send(&request).await {
//!     Ok(exchange) => println!("{} {} bytes", exchange.status, exchange.body.len()),
//!     Err(error) if error.is_retryable() => println!("again in {:?}", backoff(1, error.retry_after())),
//!     Err(error) => println!("{error}\n{}", error.hint().unwrap_or_default()),
//! }
//! # Ok(()) }
//! ```

mod account;
mod account_client;
mod address;
mod allow;
mod body;
mod clock;
mod error;
mod error_kind;
mod exchange;
mod fetcher;
mod function;
mod keep;
mod kept;
mod pace;
mod place;
mod redact;
mod render;
mod retry;
mod session;
mod template;
mod token;
mod unpack;
mod wire;

pub use account::{Account, SecretReloader};
pub use error::{Error, Wait};
pub use exchange::{Exchange, unpack_body};
pub use fetcher::{Access, FetchOptions, Fetcher};
pub use keep::{Kept, SealKey, TokenKey, TokenPersistence, TokenStore, TokenStoreError};
pub use pace::Admission;
pub use retry::{backoff, backoff_with};
