//! What goes wrong in the kit.

use std::path::{Path, PathBuf};

use crate::component::{COMPONENTIZE_PY, GO};

/// A failure of the kit. That a connector doesn't do what its fixtures say is none, but a [`crate::Finding`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path that was tried.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file or folder can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The path that was tried.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file of a fixture isn't what it should be.
    #[error("{}: {what}", path.display())]
    Fixture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A folder holds nothing that can be built.
    #[error("{} is no connector's folder: it has no Cargo.toml, package.json, connector.py or go.mod", path.display())]
    NoSource {
        /// The folder.
        path: PathBuf,
    },
    /// A name that no network may have.
    #[error("`{name}` can't be a network's id: lower-case letters and digits, words joined by `-`")]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// A folder that is to be made is there.
    #[error("{} is there already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Answers that the connector reads itself: nobody else knows where ids are in them.
    #[error("the answers of `{stream}` can't be scrubbed: the connector reads them itself")]
    Opaque {
        /// The stream, by its name in the manifest.
        stream: String,
    },
    /// No answer was recorded.
    #[error("the network gave no answer that could be recorded")]
    NothingRecorded,
    /// What had to be replaced is still in a file. Nothing is kept of the recording.
    #[error("{} would hold `{text}`, which had to be replaced", path.display())]
    Leak {
        /// What had to be replaced.
        text: String,
        /// The file.
        path: PathBuf,
    },
    /// A connector fails on what its fixtures have.
    #[error("its fixtures can't be mapped")]
    Map(#[from] sluice_engine::Error),
    /// A build failed. Its own output has the reason.
    #[error("cannot build {}: {what}", path.display())]
    Build {
        /// The folder.
        path: PathBuf,
        /// The step and how it ended.
        what: String,
    },
}

impl Error {
    /// What to do about it, if anything is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSource { .. } => {
                Some("name a connector's folder or a .wasm file; `sluice new` makes a folder".into())
            }
            Self::Fixture { .. } => Some("docs/connectors.md, \"Fixtures\", has the files of a fixture".into()),
            Self::Build { what, .. } if what.contains("wasm32") => {
                Some("rustup target add wasm32-unknown-unknown".into())
            }
            Self::Build { path, what } if [COMPONENTIZE_PY, GO].iter().any(|tool| is_missing(tool, what)) => {
                let folder = path.display();
                let pip = format!("{folder}/.venv/bin/pip install -r {folder}/requirements.txt");
                Some(format!("python3 -m venv {folder}/.venv && {pip}"))
            }
            _ => None,
        }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    pub(crate) fn fixture(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::Fixture { path: path.to_owned(), what: what.to_string() }
    }
}

/// Whether a build failed because its tool, which a folder's `.venv` can have, isn't there.
fn is_missing(tool: &str, what: &str) -> bool {
    what.strip_prefix(tool).is_some_and(|rest| rest.starts_with(" can't be run"))
}
