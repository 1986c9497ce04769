//! How the registry fails.

use std::path::PathBuf;

use sluice_model::ErrorKind;

/// Why the registry can't say what serves. What is wrong with one connector is no error: see [`crate::Entry`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connectors' folder can't be read or watched.
    #[error("cannot {action} {path}")]
    Folder {
        /// `read` or `watch`.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] sluice_lake::Error),
    /// The state store failed.
    #[error(transparent)]
    State(#[from] sluice_state::Error),
    /// A kept body can't be unpacked.
    #[error(transparent)]
    Body(#[from] sluice_fetch::Error),
    /// What was noted of a version can't be written as JSON.
    #[error("cannot note what was found out about a version")]
    Json(#[from] serde_json::Error),
    /// The settings of a network can't be read.
    #[error("{reason}")]
    Settings {
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A task of this process ended without a result.
    #[error("a task of the registry ended without a result")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether it is mended in the settings, or where they lead.
    pub fn is_settings(&self) -> bool {
        match self {
            Self::Folder { .. } | Self::Settings { .. } => true,
            Self::State(error) => error.is_settings(),
            Self::Lake(error) => error.kind() == ErrorKind::Settings,
            Self::Body(error) => error.is_local(),
            Self::Json(_) | Self::Task(_) => false,
        }
    }

    /// What it needs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Folder { .. } | Self::Settings { .. } => ErrorKind::Settings,
            Self::Lake(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Body(error) => error.kind(),
            Self::Json(_) | Self::Task(_) => ErrorKind::Host,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Folder { .. } => Some(
                "make the folder and put connectors (.wasm) there, or change connectors.dir in sluice.toml".to_owned(),
            ),
            Self::Lake(error) => error.hint(),
            Self::State(error) => error.hint(),
            Self::Body(error) => error.hint(),
            Self::Settings { hint, .. } => hint.clone(),
            Self::Json(_) | Self::Task(_) => None,
        }
    }
}
