//! SQL over the lake: the only crate that knows DataFusion.
//!
//! It reads a lake's Delta tables as data and changes nothing: a statement that isn't a query is refused. It may not
//! depend on the engine or HTTP. Hosts that share a heavy query call each other ([`Workers`], [`QueryWorker`]).
//!
//! - A name is `<schema>.<table>` without quotes; a bare `<table>` is one of `unified`.
//! - A table is opened when a query names it: a lake may have hundreds. `SHOW TABLES` opens none.
//! - `unified.transactions` is the latest version of each transaction, `raw.objects` are the requests that left a body.
//!   `unified.payments`, `programmes`, `aggregates` and `transaction_items` are the latest version of each of theirs that
//!   is there.
//!   These, the tables of their versions and `meta.*` exist, empty, before the first run.
//! - `unified.live_transactions` are those that are there: without tombstones, versions whose `content_hash` is of zeros,
//!   for transactions that the network no longer reports or that a replay removed. `is_live(content_hash)` is false for
//!   them in `unified.transactions` and `unified.transaction_versions`. All views and `as_of` count live ones only.
//! - `unified.earnings_daily`, `unified.unpaid`, `unified.validation_latency` and `unified.suspected_duplicates` are views
//!   over them; their SQL is in `src/views/`. `meta.gaps` lists windows that the tables may lack rows of, `meta.unified_columns` what each column
//!   means. [`documentation`] has that of all tables and views; `docs/data-model.md` is made from it.
//! - `unified.as_of(moment)` and `unified.restatements(from, to)` stand where a table could, and go by when content was
//!   observed. `t AT (TIMESTAMP => moment)` and `t AT (VERSION => n)` go by when it was committed.
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
mod columns;
mod computed;
mod delta_table;
mod depth;
mod dialect;
mod distributed;
pub mod documentation;
mod empty_scans;
mod error;
mod fixed;
mod function;
mod gaps;
mod growth;
mod live;
mod memory;
mod moment;
mod names;
mod output;
mod postgres;
mod reads;
mod relations;
mod result;
mod session;
mod statement;
mod travel;
mod unified_columns;
mod views;

pub use distributed::{FindWorkers, QueryWorker, WorkerKey, Workers};
pub use error::Error;
pub use output::{Format, json_texts, write};
pub use postgres::{ParameterValue, PostgresStatement, Prepared, Query, SERVER_VERSION};
pub use reads::Scope;
pub use result::QueryResult;
pub use session::{Session, SessionOptions, TableColumns};
pub use sluice_lake::{Coverage, Gap, GapKind, StreamAxis};

/// The catalogue that all tables are in.
const CATALOG: &str = "sluice";
/// The schema of names without one.
const DEFAULT_SCHEMA: &str = "unified";
