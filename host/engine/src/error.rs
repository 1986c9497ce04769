//! What can go wrong, by who has to act.

use std::path::PathBuf;

use sluice_decode::DecodeError;
use sluice_model::{ErrorKind, Refusal};

use crate::call::shown;

/// A failure of the engine. The three faults are never mixed: the guest refused, the guest failed (it trapped, or
/// its answer breaks the contract), or the host failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The guest refused: it works, and returned a refusal.
    #[error("connector `{connector}` {version} refuses: {refusal}")]
    Refused {
        /// The network's slug.
        connector: String,
        /// The connector's version.
        version: String,
        /// Its words.
        refusal: Refusal,
    },
    /// The guest was stopped or stopped itself.
    #[error("connector {} failed in `{call}`: {reason}", who(connector, version))]
    Trapped {
        /// The network's slug; the file's name while it is being loaded.
        connector: String,
        /// The connector's version; empty while it is being loaded.
        version: String,
        /// The function of the contract.
        call: &'static str,
        /// What stopped it.
        reason: TrapReason,
    },
    /// The guest's answer breaks the contract.
    #[error("connector {} breaks the contract in `{call}`: {what}", who(connector, version))]
    Malformed {
        /// The network's slug; the file's name while it is being loaded.
        connector: String,
        /// The connector's version; empty while it is being loaded.
        version: String,
        /// The function of the contract.
        call: &'static str,
        /// Which rule it breaks.
        what: String,
    },
    /// The guest returned another answer for the same bytes, so its rows can't be reproduced.
    #[error("connector `{connector}` {version} gives another answer for the same bytes: {what}")]
    Unsteady {
        /// The network's slug.
        connector: String,
        /// The connector's version.
        version: String,
        /// Where the answers differ.
        what: String,
    },
    /// A file is no connector that can be run.
    #[error("cannot load connector `{origin}`: {fault}")]
    Load {
        /// The file.
        origin: String,
        /// What is wrong with it.
        #[source]
        fault: LoadFault,
    },
    /// The host called a connector with something that it doesn't have.
    #[error("connector `{connector}` {version} has no stream `{stream}`")]
    UnknownStream {
        /// The network's slug.
        connector: String,
        /// The connector's version.
        version: String,
        /// The stream, by its name in the manifest.
        stream: String,
    },
    /// A response's body doesn't fit its stream's layout.
    #[error(transparent)]
    Decode(DecodeError),
    /// A response without records that the connector doesn't take for an answer.
    #[error("connector `{connector}` {version} takes no response with status {status} for an answer")]
    Unanswered {
        /// The network's slug.
        connector: String,
        /// The connector's version.
        version: String,
        /// HTTP status.
        status: u16,
    },
    /// A directory or file can't be read, written or watched.
    #[error("cannot {action} {path}")]
    Path {
        /// What was tried: `read`, `write`, `watch`.
        action: &'static str,
        /// The file or folder that it was tried with.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The host itself failed.
    #[error("the engine cannot {action}")]
    Host {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What stopped a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrapReason {
    /// It ran out of time.
    #[error("it took longer than {millis} ms")]
    Deadline {
        /// The time it had, in milliseconds.
        millis: u128,
    },
    /// It wanted more memory.
    #[error("it wanted more than {bytes} bytes of memory")]
    Memory {
        /// The memory it had.
        bytes: usize,
    },
    /// Its answer is too large.
    #[error("its answer is larger than {bytes} bytes")]
    OutputTooLarge {
        /// What was allowed.
        bytes: usize,
    },
    /// A trap of its own: a panic, a division by zero, a bad pointer.
    #[error("{0}")]
    Trap(String),
}

/// Why a file is no connector that can be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadFault {
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// More bytes than a connector may have.
    #[error("the file has {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// The file's size.
        bytes: u64,
        /// Bytes that a component may have.
        limit: u64,
    },
    /// Something else.
    #[error("the file is not WebAssembly")]
    NotWasm,
    /// WebAssembly that isn't wrapped as a component.
    #[error("the file is a core module, not a component")]
    CoreModule,
    /// Cut short or otherwise invalid.
    #[error("the component is cut short or invalid")]
    Invalid {
        /// Where and why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A component for something else.
    #[error("the component doesn't export `sluice:connector/connector`; it exports {}", list(.exports))]
    WrongWorld {
        /// Names of its exports, to tell what it is for.
        exports: Vec<String>,
    },
    /// A component for another version of the contract.
    #[error("the component speaks contract version {}, this host speaks {}", shown(.found), list(.known))]
    WrongVersion {
        /// Its version.
        found: String,
        /// Ours.
        known: Vec<String>,
    },
    /// More of something than a compiler should be given.
    #[error("the component has {found} {what}, {limit} are allowed")]
    TooMuch {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How much there is, as far as it was counted.
        found: u64,
        /// How much is allowed, inclusive.
        limit: u64,
    },
    /// A component that keeps the compiler busy.
    #[error("compiling the component takes longer than {secs} s")]
    TooSlow {
        /// The time it had.
        secs: u64,
    },
    /// The compiler has been busy with an earlier component all the while; it may be free at the next look.
    #[error("the compiler is still busy with an earlier component")]
    Busy,
    /// A component that imports more than a connector gets.
    #[error("the component imports `{}`, which connectors are not given", shown(.name))]
    UnknownImport {
        /// The import.
        name: String,
    },
    /// A component whose functions have other types than the contract.
    #[error("the component's imports or exports don't have the contract's types")]
    WrongTypes {
        /// wasmtime's error, which tells what doesn't fit.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A manifest that makes no sense.
    #[error("its manifest is wrong: {}", shown(.what))]
    Manifest {
        /// Where and why.
        what: String,
    },
    /// No signature, though keys are set.
    #[error("the file is not signed")]
    Unsigned,
    /// A signature that isn't one of ours.
    #[error("its signature is not good: {what}")]
    Signature {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file that served one network holds a connector of another.
    #[error("it says that it serves `{network}`, but this file serves `{serves}`")]
    OtherNetwork {
        /// What it says.
        network: String,
        /// What the file serves.
        serves: String,
    },
    /// Another file serves the network already.
    #[error("network `{network}` is already served by `{other}`")]
    Claimed {
        /// The network's slug, which both files' manifests have.
        network: String,
        /// The file that serves it.
        other: String,
    },
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Load { fault, .. } => fault.hint(),
            Self::Trapped { reason: TrapReason::Deadline { .. } | TrapReason::Memory { .. }, .. } => {
                Some("ask for a shorter window or smaller pages, or raise `[limits]` in the settings".to_owned())
            }
            Self::Trapped { .. } | Self::Malformed { .. } | Self::Unsteady { .. } => {
                Some("that is a bug of the connector: put an earlier version back, and tell its author".to_owned())
            }
            Self::UnknownStream { .. } => Some("`sluice connectors inspect` lists its streams".to_owned()),
            Self::Path { path, .. } => Some(format!("check that {} exists and may be used", path.display())),
            Self::Refused { .. } | Self::Decode(_) | Self::Unanswered { .. } | Self::Host { .. } => None,
        }
    }

    /// What it needs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { refusal, .. } => refusal.kind.error_kind(),
            Self::Trapped { .. } | Self::Malformed { .. } | Self::Unsteady { .. } => ErrorKind::Guest,
            Self::Load { fault: LoadFault::Busy, .. } => ErrorKind::Host,
            Self::Load {
                fault: LoadFault::Unsigned | LoadFault::Signature { .. } | LoadFault::Claimed { .. }, ..
            } => ErrorKind::Settings,
            Self::Load { .. } => ErrorKind::Guest,
            Self::Decode(_) | Self::Unanswered { .. } => ErrorKind::Format,
            Self::UnknownStream { .. } | Self::Path { .. } | Self::Host { .. } => ErrorKind::Host,
        }
    }

    /// Whether the guest is at fault: it trapped, or its answer breaks the contract or isn't the same twice.
    pub fn is_guest_fault(&self) -> bool {
        matches!(self, Self::Trapped { .. } | Self::Malformed { .. } | Self::Unsteady { .. })
    }

    /// Whether the same bytes would fail in the same way again. What the host itself couldn't do it may do later.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Host { .. } | Self::Path { .. } | Self::Load { fault: LoadFault::Busy, .. })
    }

    pub(crate) fn host(action: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Host { action, source }
    }
}

impl LoadFault {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Empty | Self::Invalid { .. } => "copy the file again: write it beside, then rename it",
            Self::TooLarge { .. } => "build it for release and strip it",
            Self::TooMuch { .. } => "build it for release, with fewer and smaller functions",
            Self::TooSlow { .. } => "build it for release, or raise `compile_timeout_secs` in the settings' `[limits]`",
            Self::NotWasm => "only components belong into the connectors' directory",
            Self::CoreModule => "build it with `just connectors`, or wrap it with `wasm-tools component new`",
            Self::WrongWorld { .. } => "build it for the world `network` of `sluice:connector`",
            Self::WrongVersion { .. } => "rebuild the connector with this host's SDK, or update the host",
            Self::Busy => {
                "it is tried again; `sluice connectors` says which file was refused for being slow to compile"
            }
            Self::UnknownImport { .. } => "connectors do no I/O: build it without that dependency or toolchain feature",
            Self::WrongTypes { .. } => "rebuild the connector with this host's SDK",
            Self::Manifest { .. } => "correct the connector's `describe`",
            Self::Unsigned => {
                "sign it with `minisign -S -m FILE` and put the FILE.minisig beside it, or remove `keys` from \
                 [connectors] in sluice.toml"
            }
            Self::Signature { .. } => {
                "sign this very file with `minisign -S -m FILE` (0.10 or newer), or add the signer's public key to \
                 `keys` in [connectors] in sluice.toml"
            }
            Self::OtherNetwork { .. } => "put it into a file of its own, or remove this file first",
            Self::Claimed { other, .. } => return Some(format!("remove this file or `{other}`")),
        };
        Some(hint.to_owned())
    }
}

/// A connector by name and version; a file that is being loaded has none yet.
fn who(connector: &str, version: &str) -> String {
    if version.is_empty() { format!("`{connector}`") } else { format!("`{connector}` {version}") }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = names.iter().take(8).map(|name| format!("`{}`", shown(name))).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    shown.join(", ") + more
}

#[cfg(test)]
mod tests {
    use sluice_model::RefusalKind;

    use super::*;

    #[test]
    fn the_three_faults_have_kinds_of_their_own() {
        let (connector, version) = ("awin".to_owned(), "1.0.0".to_owned());
        let refused = |kind| {
            let refusal = Refusal { kind, text: "no".to_owned() };
            Error::Refused { connector: connector.clone(), version: version.clone(), refusal }.kind()
        };
        assert_eq!(refused(RefusalKind::Credentials), ErrorKind::Credentials);
        assert_eq!(refused(RefusalKind::Settings), ErrorKind::Settings);
        assert_eq!(refused(RefusalKind::Request), ErrorKind::Format);
        assert_eq!(refused(RefusalKind::Response), ErrorKind::Format);
        let reason = TrapReason::Deadline { millis: 300 };
        let trapped = Error::Trapped { connector: connector.clone(), version: version.clone(), call: "map", reason };
        assert_eq!(trapped.kind(), ErrorKind::Guest);
        let load = |fault| Error::Load { origin: "awin.wasm".to_owned(), fault }.kind();
        assert_eq!(load(LoadFault::Empty), ErrorKind::Guest);
        assert_eq!(load(LoadFault::Busy), ErrorKind::Host);
        assert_eq!(load(LoadFault::Unsigned), ErrorKind::Settings);
        assert_eq!(Error::host("run")("no memory".into()).kind(), ErrorKind::Host);
    }
}
