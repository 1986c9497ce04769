//! SQL over the lake: the only crate that knows DataFusion.
//!
//! It reads a lake's Delta tables as data and changes nothing: a statement that isn't a query is refused. It may not
//! depend on the engine or HTTP.
//!
//! - A name is `<schema>.<table>` without quotes; a bare `<table>` is one of `unified`.
//! - A table is opened when a query names it: a lake may have hundreds. `SHOW TABLES` opens none.
//! - `unified.transactions` is the view of the latest version of each transaction, `raw.objects` that of the requests
//!   that left a body. These, `unified.transaction_versions` and `meta.*` exist, empty, before the first run.
//! - Decimals stay decimals, in literals too: `0.1` is no float.
//!
//! ```no_run
//! use sluice_lake::Lake;
//! use sluice_query::{Format, Session, SessionOptions, write};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let lake = Lake::open("file:///srv/lake").await?;
//! let tables = lake.tables().await?;
//! let session = Session::open(lake, tables, SessionOptions::default())?;
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
pub use session::{QueryResult, Session, SessionOptions, TableColumns};

/// The catalogue that all tables are in.
const CATALOG: &str = "sluice";
/// The schema of names without one.
const DEFAULT_SCHEMA: &str = "unified";
