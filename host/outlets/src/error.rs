//! What can go wrong with other systems.

use arrow::error::ArrowError;
use sluice_model::ErrorKind;

/// A failure of an outlet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An engine that can't read where the lake is.
    #[error("{dialect} can't read {url}: it reads object storage only")]
    Unreachable {
        /// The engine.
        dialect: &'static str,
        /// The lake.
        url: String,
    },
    /// A name with characters that names don't have.
    #[error("`{name}` can't be a name here")]
    Name {
        /// As it was given.
        name: String,
    },
    /// The lake can't be read.
    #[error(transparent)]
    Lake(#[from] sluice_lake::Error),
    /// The published database can't be reached.
    #[error("cannot connect to the published database")]
    Connect(#[source] sqlx::Error),
    /// The published database refuses something.
    #[error("cannot {action} the published database")]
    Database {
        /// `read`, `make tables in`, `copy rows to` …
        action: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// Rows that can't be written out.
    #[error("cannot write out rows of {table}")]
    Rows {
        /// Its name in the schema `unified`.
        table: &'static str,
        /// Why.
        source: ArrowError,
    },
}

impl Error {
    /// What it needs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lake(error) => error.kind(),
            Self::Unreachable { .. } | Self::Name { .. } | Self::Connect(_) => ErrorKind::Settings,
            Self::Database { .. } | Self::Rows { .. } => ErrorKind::Host,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some("keep the lake on s3://, or take another engine".to_owned()),
            Self::Name { .. } => Some("use letters, digits, `_`, `-`, `.` and what a role's name has".to_owned()),
            Self::Lake(error) => error.hint(),
            Self::Connect(_) => Some(
                "check the url of [publish] in sluice.toml: postgres://user@host/database, reached without TLS"
                    .to_owned(),
            ),
            Self::Database { .. } => Some(
                "nothing of it was kept; its user needs CREATE on the database, or on the schema if that is there"
                    .to_owned(),
            ),
            Self::Rows { .. } => None,
        }
    }

    pub(crate) fn database(action: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| Self::Database { action, source }
    }
}
