//! Errors with the codes that PostgreSQL's drivers understand.

use std::error::Error as _;

use pgwire::error::{ErrorInfo, PgWireError};
use sluice_query::Error;
use sluice_runtime::failure::Failure;

/// An error that a client sees and after which it can go on.
pub(crate) fn error(code: &str, message: impl Into<String>) -> PgWireError {
    with_hint(code, message, None)
}

/// The same with a hint.
pub(crate) fn with_hint(code: &str, message: impl Into<String>, hint: Option<String>) -> PgWireError {
    let mut info = ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.into());
    info.hint = hint;
    PgWireError::UserError(Box::new(info))
}

/// An error that ends the connection.
pub(crate) fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into())))
}

pub(crate) fn of_query(error: Error) -> PgWireError {
    let hint = match &error {
        // Its hint is about the command line.
        Error::NotReadOnly { .. } => {
            Some("nothing can be changed here: SELECT, WITH, VALUES, EXPLAIN and SHOW are answered".to_owned())
        }
        error => error.hint(),
    };
    let message = match &error {
        Error::NotReadOnly { statement } => format!("cannot execute {statement}: the lake is read-only"),
        error => described(error),
    };
    with_hint(code(&error), message, hint)
}

/// A failure beside a query, such as a lake that can't be read.
pub(crate) fn of_failure(failure: &Failure) -> PgWireError {
    with_hint("58000", failure.error.to_string(), failure.hint.clone())
}

/// A value that can't be sent.
pub(crate) fn of_value(error: &arrow::error::ArrowError) -> PgWireError {
    self::error("22000", error.to_string())
}

/// <https://www.postgresql.org/docs/16/errcodes-appendix.html>
fn code(error: &Error) -> &'static str {
    match error {
        Error::TooDeep { .. } => "54001",
        Error::Syntax { .. } | Error::Empty | Error::Several { .. } => "42601",
        Error::NotReadOnly { .. } => "25006",
        Error::Unsupported { .. }
        | Error::Isolation { .. }
        | Error::NoVersions { .. }
        | Error::UnknownVersionClause { .. } => "0A000",
        Error::UnknownTable { .. } => "42P01",
        Error::UnknownColumn { .. } => "42703",
        Error::UnknownFunction { .. } | Error::Arguments { .. } => "42883",
        Error::Plan { reason, .. } if reason.starts_with("Invalid function") => "42883",
        Error::Plan { .. } => "42000",
        Error::Parameter { .. } | Error::NoMoment { .. } | Error::NoVersionNumber { .. } => "22P02",
        Error::Parameters { .. } => "08P01",
        Error::Backwards { .. } | Error::NoVersion { .. } => "22023",
        Error::Memory { .. } | Error::TooLarge { .. } => "53200",
        Error::TooSlow { .. } => "57014",
        Error::TooManyRows { .. } => "54000",
        Error::Run { .. } => "22000",
        Error::Open { .. } | Error::Unhonoured(_) | Error::Coverage { .. } | Error::Tables { .. } => "58000",
        _ => "XX000",
    }
}

/// An error with its causes.
fn described(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
