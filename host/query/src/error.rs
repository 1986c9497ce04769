//! What can go wrong with a query.

mod hint;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

use crate::names::nearest;

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
    /// A statement whose tree is too deep to be planned.
    #[error("the query is too deep: more than {max} operators, joins or unions follow one another")]
    TooDeep {
        /// How many may.
        max: usize,
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
    /// A statement or a part of one that PostgreSQL knows and Sluice doesn't.
    #[error("`{what}` isn't supported")]
    Unsupported {
        /// As it was written.
        what: String,
    },
    /// A transaction in which all queries would have to read the same commit.
    #[error("transactions are READ COMMITTED here, not {level}")]
    Isolation {
        /// As it was written.
        level: String,
    },
    /// A parameter's value that isn't of its type.
    #[error("parameter ${number}: {reason}")]
    Parameter {
        /// The parameter's number in the statement, from 1.
        number: usize,
        /// Why.
        reason: String,
    },
    /// Too few values for a query's parameters, or too many.
    #[error("the query has {wanted} parameters, and there are {given} values")]
    Parameters {
        /// How many there are.
        given: usize,
        /// How many there have to be.
        wanted: usize,
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
    /// A lake whose tables can't be listed.
    #[error("cannot list the tables")]
    Tables {
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
        /// Its name, as the query calls it.
        function: String,
        /// What it takes.
        wanted: String,
        /// An example.
        usage: String,
    },
    /// Moments in the wrong order.
    #[error("`{function}` goes from a moment to a later one")]
    Backwards {
        /// Its name, as the query calls it.
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
    /// A query that puts more on disk than it may.
    #[error("the query needs more disk than it may use")]
    Disk {
        /// How much it may use.
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
    /// Another host that worked on a query and failed when rows had been given already.
    #[error("a host that worked on the query failed, and some of its rows were given already")]
    Worker {
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
        /// As `--format` names it.
        format: &'static str,
        /// Why.
        source: arrow::error::ArrowError,
    },
    /// Output that can't be written; a closed pipe among others.
    #[error("cannot write the result")]
    Output(#[source] std::io::Error),
}

impl Error {
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
        // It has no kind of its own.
        if error.to_string().contains("used disk space during the spilling") {
            return Self::Disk { source: Box::new(error) };
        }
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

    /// A failure of a query on several hosts, after its first rows.
    pub(crate) fn of_worker(error: DataFusionError) -> DataFusionError {
        match first(&error) {
            DataFusionError::External(inner) if !inner.is::<Self>() => {
                DataFusionError::External(Box::new(Self::Worker { source: Box::new(error) }))
            }
            _ => error,
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
