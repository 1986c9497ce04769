//! What can go wrong with a query.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

use crate::names::{did_you_mean, nearest};
use crate::views::MomentsView;

/// A failure of a query or of writing its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Text that isn't SQL.
    #[error("cannot parse the query: {reason}")]
    Syntax {
        /// The parser's message, with line and column where it knows them.
        reason: String,
        /// The text from where parsing stopped.
        near: Option<String>,
    },
    /// A text without a statement.
    #[error("the query is empty")]
    Empty,
    /// Several statements at once.
    #[error("sluice sql runs one statement, and these are {count}")]
    Several {
        /// How many.
        count: usize,
    },
    /// A statement that would change something.
    #[error("sluice sql only reads, and `{statement}` doesn't")]
    NotReadOnly {
        /// Its first word.
        statement: String,
    },
    /// A table that isn't in the lake.
    #[error("no table `{name}` in the lake")]
    UnknownTable {
        /// As it was resolved: `schema.table`.
        name: String,
        /// Tables with similar names, the most similar first.
        nearest: Vec<String>,
    },
    /// A column that no table of the query has.
    #[error("no column `{name}`")]
    UnknownColumn {
        /// As it was written.
        name: String,
        /// Columns with similar names, the most similar first.
        nearest: Vec<String>,
        /// All columns there are.
        columns: Vec<String>,
    },
    /// A query that makes no sense: types that don't fit, functions that don't exist.
    #[error("cannot plan the query: {reason}")]
    Plan {
        /// The planner's message.
        reason: String,
        /// What it offers instead, as a question.
        offer: Option<String>,
    },
    /// A table that can't be read.
    #[error("cannot open table `{table}`")]
    Open {
        /// `schema.table`.
        table: String,
        /// Why.
        source: Arc<DeltaTableError>,
    },
    /// A table with a feature that Sluice doesn't honour.
    #[error(transparent)]
    Unhonoured(Arc<sluice_lake::Error>),
    /// What was read and what is missing that can't be read.
    #[error("cannot read the coverage")]
    Coverage {
        /// Why.
        source: sluice_lake::Error,
    },
    /// A state of a table that never was, or whose files are gone.
    #[error("{} `{table}` {wanted}", if *removed { "the files are gone of" } else { "there is no" })]
    NoVersion {
        /// `schema.table`.
        table: String,
        /// Which state: `at version 3`, `as of 2026-01-31T00:00:00Z`.
        wanted: String,
        /// Whether it was there once.
        removed: bool,
        /// What can be read, in words.
        range: Option<String>,
    },
    /// A version of what has none of its own.
    #[error("`{table}` has no versions of its own")]
    NoVersions {
        /// `schema.table`.
        table: String,
    },
    /// A clause for a table as it was that isn't known.
    #[error("cannot read a table `{clause}`")]
    UnknownVersionClause {
        /// As it was written.
        clause: String,
    },
    /// An expression that is no moment.
    #[error("{text} is no moment")]
    NoMoment {
        /// As it was written.
        text: String,
    },
    /// An expression that is no version.
    #[error("{text} is no version of a table")]
    NoVersionNumber {
        /// As it was written.
        text: String,
    },
    /// A function in the place of a table that the lake hasn't.
    #[error("no function `{name}` gives a table")]
    UnknownFunction {
        /// As it was written.
        name: String,
    },
    /// Too few arguments, too many, or named ones.
    #[error("`{function}` takes {wanted}")]
    Arguments {
        /// The function.
        function: String,
        /// What it takes.
        wanted: String,
        /// An example.
        usage: String,
    },
    /// Moments in the wrong order.
    #[error("`{function}` goes from a moment to a later one")]
    Backwards {
        /// The function.
        function: String,
    },
    /// A query that needs more memory than it may use.
    #[error("the query needs more than its {} MiB of memory", limit_bytes >> 20)]
    Memory {
        /// What it may use.
        limit_bytes: usize,
        /// Which operator needed more.
        source: Box<DataFusionError>,
    },
    /// A query whose texts and rows take memory that the query engine doesn't count.
    #[error("the query's texts and rows take more than {} MiB of memory", limit_bytes >> 20)]
    TooLarge {
        /// What they may take.
        limit_bytes: usize,
    },
    /// A query that takes longer than it may.
    #[error("the query took longer than {} s", limit.as_secs())]
    TooSlow {
        /// What it may take.
        limit: Duration,
    },
    /// A result of more rows than it may have.
    #[error("the result has more than {limit} rows")]
    TooManyRows {
        /// What it may have.
        limit: u64,
    },
    /// A fault of the query engine itself.
    #[error("the query engine failed: {message}")]
    Panicked {
        /// Its output.
        message: String,
    },
    /// A query that failed while it ran.
    #[error("cannot run the query")]
    Run {
        /// Why.
        source: Box<DataFusionError>,
    },
    /// A session that can't be set up.
    #[error("cannot set up the query engine")]
    Setup {
        /// Why.
        source: Box<DataFusionError>,
    },
    /// A word that names no format.
    #[error("no format `{0}`")]
    UnknownFormat(String),
    /// Rows that the format can't hold.
    #[error("cannot write the result as {format}")]
    Encode {
        /// The format.
        format: &'static str,
        /// Why.
        source: arrow::error::ArrowError,
    },
    /// Output that can't be written; a closed pipe among others.
    #[error("cannot write the result")]
    Output(#[source] std::io::Error),
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { near, .. } => near.as_ref().map(|near| format!("parsing stopped at `{near}`")),
            Self::Empty => Some("try `SELECT count(*) FROM unified.transactions`, or `SHOW TABLES`".to_owned()),
            Self::Several { .. } => Some("run them one by one".to_owned()),
            Self::NotReadOnly { .. } => Some(
                "use SELECT, WITH, EXPLAIN, DESCRIBE or SHOW; \
                 `--format parquet` or `--format csv` keeps a result in a file"
                    .to_owned(),
            ),
            Self::UnknownTable { nearest, .. } if nearest.is_empty() => {
                Some("`SHOW TABLES` lists what there is".to_owned())
            }
            Self::UnknownTable { nearest, .. } => Some(did_you_mean(nearest)),
            Self::UnknownColumn { nearest, columns, .. } if nearest.is_empty() => {
                (!columns.is_empty()).then(|| format!("there are {}", columns.join(", ")))
            }
            Self::UnknownColumn { nearest, .. } => Some(did_you_mean(nearest)),
            Self::Memory { .. } | Self::TooLarge { .. } => {
                Some("read fewer columns or a shorter period, aggregate earlier, or raise query_memory_mb of [limits] in sluice.toml".to_owned())
            }
            Self::TooSlow { .. } => {
                Some("read a shorter period, or raise query_secs of [limits] in sluice.toml".to_owned())
            }
            Self::TooManyRows { .. } => {
                Some("add a LIMIT or a condition, or raise query_rows of [limits] in sluice.toml".to_owned())
            }
            Self::Panicked { .. } => Some("write the query in another way, and report this one".to_owned()),
            Self::NoVersion { range, .. } => Some(match range {
                Some(range) => format!("there are {range}"),
                None => "the table has no versions yet".to_owned(),
            }),
            Self::Coverage { source } => source.hint(),
            Self::Unhonoured(source) => source.hint(),
            Self::NoVersions { .. } => Some("it is worked out: write `AT (TIMESTAMP => '2026-01-31')`".to_owned()),
            Self::UnknownVersionClause { .. } => {
                Some("write `AT (TIMESTAMP => '2026-01-31T12:00:00Z')` or `AT (VERSION => 3)`".to_owned())
            }
            Self::NoMoment { .. } => {
                Some("write '2026-01-31', '2026-01-31T12:00:00Z' or now() - INTERVAL '7 days'; it is UTC".to_owned())
            }
            Self::NoVersionNumber { .. } => Some("write a whole number: `AT (VERSION => 3)`".to_owned()),
            Self::UnknownFunction { .. } => {
                let known: Vec<String> = MomentsView::ALL.iter().map(|view| format!("`{}`", view.usage())).collect();
                Some(format!("there are {}", known.join(" and ")))
            }
            Self::Arguments { usage, .. } => Some(format!("write `{usage}`")),
            Self::Backwards { .. } => Some("swap the two".to_owned()),
            Self::UnknownFormat(_) => Some("use table, csv, json, parquet or arrow".to_owned()),
            Self::Plan { offer, .. } => offer.clone(),
            Self::Open { .. } | Self::Run { .. } | Self::Setup { .. } | Self::Encode { .. } | Self::Output(_) => None,
        }
    }

    /// The error for a panic of the query engine.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Self::Panicked { message: text.unwrap_or("it gave no reason").to_owned() }
    }

    /// A failure of planning, with the names that there are.
    pub(crate) fn planning(error: DataFusionError, tables: &[String], limit_bytes: usize) -> Self {
        match first(&error) {
            DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let mut columns: Vec<String> = valid_fields.iter().map(|column| column.name.clone()).collect();
                    columns.sort_unstable();
                    columns.dedup();
                    let nearest = nearest(&field.name, &columns);
                    Self::UnknownColumn { name: field.flat_name(), nearest, columns }
                }
                other => Self::plan(&other.to_string()),
            },
            DataFusionError::Plan(reason) => match missing_table(reason) {
                Some(name) => Self::UnknownTable { name: name.to_owned(), nearest: nearest(name, tables) },
                None => Self::plan(reason),
            },
            DataFusionError::NotImplemented(reason) => Self::plan(reason),
            _ => Self::running(error, limit_bytes),
        }
    }

    /// The planner's message, in which `Did you mean 'sum'?` on a line of its own is an offer.
    fn plan(message: &str) -> Self {
        let (reason, offer) = match message.split_once("\nDid you mean ") {
            Some((reason, offer)) => {
                (reason.trim_end_matches('.'), Some(format!("did you mean {}", offer.replace('\'', "`"))))
            }
            None => (message, None),
        };
        Self::Plan { reason: reason.to_owned(), offer }
    }

    /// A failure while a query runs.
    pub(crate) fn running(error: DataFusionError, limit_bytes: usize) -> Self {
        let error = match own(error) {
            Ok(own) => return own,
            Err(error) => error,
        };
        match first(&error) {
            DataFusionError::ResourcesExhausted(_) => Self::Memory { limit_bytes, source: Box::new(error) },
            // One that several parts of a query share.
            DataFusionError::External(inner) => match inner.downcast_ref::<Self>() {
                Some(Self::Open { table, source }) => Self::Open { table: table.clone(), source: source.clone() },
                Some(Self::Unhonoured(source)) => Self::Unhonoured(source.clone()),
                _ => Self::Run { source: Box::new(error) },
            },
            _ => Self::Run { source: Box::new(error) },
        }
    }

    pub(crate) fn setup(source: DataFusionError) -> Self {
        Self::Setup { source: Box::new(source) }
    }
}

/// An error of this crate that went through DataFusion.
fn own(error: DataFusionError) -> Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => Ok(*own),
            Err(other) => Err(DataFusionError::External(other)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) if own_ref(&inner) => own(*inner),
        other => Err(other),
    }
}

fn own_ref(error: &DataFusionError) -> bool {
    matches!(first(error), DataFusionError::External(inner) if inner.is::<Error>())
}

/// The error at the bottom of contexts; of several the first.
fn first(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => first(inner),
        DataFusionError::Shared(inner) => first(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, first),
        other => other,
    }
}

/// DataFusion has no error of its own for a missing table, only this sentence; a test holds it to that.
fn missing_table(reason: &str) -> Option<&str> {
    let name = reason.strip_prefix("table '")?.split_once("' not found")?.0;
    Some(name.strip_prefix(crate::CATALOG).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name))
}
