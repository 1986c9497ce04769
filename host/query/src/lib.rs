//! SQL over the lake: the only crate that knows DataFusion.
//!
//! It reads Delta tables as data and changes nothing: a statement that isn't a query is refused. It knows no lake, only
//! names and URLs of tables, so it may not depend on `sluice-lake`, nor on the engine or HTTP.
//!
//! - A name is `<schema>.<table>` without quotes; a bare `<table>` is one of `unified`.
//! - A table is opened when a query names it: a lake may have hundreds. `SHOW TABLES` opens none.
//! - `unified.transactions` is the view of the latest version of each transaction, `raw.objects` that of the requests
//!   that left a body. These, `unified.transaction_versions` and `meta.*` exist, empty, before the first run.
//! - Decimals stay decimals, in literals too: `0.1` is no float.
//!
//! ```no_run
//! use std::collections::HashMap;
//! use sluice_query::{Format, Session, SessionOptions, TableLocation, write};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let versions = TableLocation {
//!     schema: "unified".to_owned(),
//!     name: "transaction_versions".to_owned(),
//!     url: "file:///srv/lake/tables/unified/transaction_versions/".parse()?,
//! };
//! let session = Session::open(vec![versions], HashMap::new(), SessionOptions::default()).await?;
//! let result = session.query("SELECT network, sum(commission_effective) FROM unified.transactions GROUP BY 1").await?;
//! let rows = write(result, Format::Csv, &mut std::io::stdout()).await?;
//! eprintln!("{rows} rows");
//! # Ok(())
//! # }
//! ```

mod catalogue;
mod error;
mod fixed;
mod names;
mod output;
mod session;
mod statement;
mod views;

pub use error::Error;
pub use output::{Format, write};
pub use session::{QueryResult, Session, SessionOptions, TableColumns, TableLocation};

/// The catalogue that all tables are in.
const CATALOG: &str = "sluice";
/// The schema of names without one.
const DEFAULT_SCHEMA: &str = "unified";
