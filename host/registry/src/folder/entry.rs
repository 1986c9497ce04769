//! What the registry reports of its files.

use std::time::SystemTime;

use sluice_model::Digest;

use super::serving_policy::Reason;

/// A file of the connectors' directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub file: String,
    /// The network that it serves, or would serve.
    pub network: Option<String>,
    /// The version that serves.
    pub version: Option<String>,
    /// The version of its contract, as far as that is known.
    pub contract: Option<&'static str>,
    /// The digest of what serves.
    pub digest: Option<Digest>,
    /// What the file holds, if that is a connector and doesn't serve: its version and digest.
    pub candidate: Option<(String, Digest)>,
    /// Whether the file as it is now serves.
    pub state: Serving,
    /// When what serves was loaded.
    pub loaded_at: Option<SystemTime>,
}

impl Entry {
    /// Why the file as it is now doesn't serve.
    pub fn refusal(&self) -> Option<&str> {
        self.state.reason().map(|reason| reason.reason.as_str())
    }
}

/// Whether a file serves as it is now. If it doesn't but did before it changed, the earlier content continues to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It serves its network.
    Serving,
    /// It doesn't, for a fault of its own.
    Refused(Reason),
    /// It waits for the operator's decision.
    Waiting(Reason),
    /// It maps beside what serves.
    Shadow(Reason),
}

impl Serving {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Refused(_) => "refused",
            Self::Waiting(_) => "waiting",
            Self::Shadow(_) => "shadow",
        }
    }

    /// Why it doesn't serve.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Serving => None,
            Self::Refused(reason) | Self::Waiting(reason) | Self::Shadow(reason) => Some(reason),
        }
    }
}

/// What a scan found about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Its name in the directory.
    pub file: String,
    /// What that led to.
    pub outcome: FileOutcome,
}

/// The outcome of a scan for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOutcome {
    /// A connector serves from now on.
    Serves {
        /// The network's id.
        network: String,
        /// The connector's version.
        version: String,
        /// BLAKE3 of the component.
        digest: Digest,
        /// The version that served before, from this file.
        replaces: Option<String>,
    },
    /// It doesn't serve as it is now; its earlier content continues to serve.
    Held(Serving),
    /// It is gone, and so is what it served.
    Removed {
        /// The network that is no longer served.
        network: Option<String>,
    },
}

impl FileChange {
    pub(super) fn log(&self) {
        let file = &self.file;
        match &self.outcome {
            FileOutcome::Serves { network, version, digest, replaces } => {
                tracing::info!(%file, %network, %version, digest = %digest.short(), ?replaces, "connector serves");
            }
            FileOutcome::Held(state) => {
                let Some(Reason { reason, hint }) = state.reason() else { return };
                match state {
                    Serving::Shadow(_) => tracing::info!(%file, %reason, ?hint, "connector maps beside"),
                    Serving::Waiting(_) => tracing::warn!(%file, %reason, ?hint, "connector is waiting"),
                    _ => tracing::warn!(%file, %reason, ?hint, "connector is refused"),
                }
            }
            FileOutcome::Removed { network } => tracing::info!(%file, ?network, "connector is gone"),
        }
    }
}
