//! What connector authors run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which connector to test, and how.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// A connector's folder, which is built first, or a `.wasm` file
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The folder of the fixtures [default: fixtures/ in the folder, or beside the file]
    #[arg(long)]
    pub(crate) fixtures: Option<PathBuf>,
    /// Write what the connector does now as what it shall do: plan.json and each expected.json
    #[arg(long)]
    pub(crate) bless: bool,
    /// Write the component to this file if nothing is wrong with it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Which connector to try, and for how long.
#[derive(Args)]
pub(crate) struct FuzzArgs {
    /// A connector's folder, which is built first, or a `.wasm` file
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The folder of the fixtures [default: fixtures/ in the folder, or beside the file]
    #[arg(long)]
    pub(crate) fixtures: Option<PathBuf>,
    /// Try bodies for so long
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Try the bodies that follow from this number, in the same order each time [default: others each time]
    #[arg(long, value_name = "N", conflicts_with = "replay")]
    pub(crate) seed: Option<u64>,
    /// Only try this body, which an earlier search found
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
}

/// What to make.
#[derive(Args)]
pub(crate) struct NewArgs {
    /// The network's id: lower-case letters and digits, words joined by `-`
    pub(crate) name: String,
    /// declared: a file network.toml, without code; rust: a crate; javascript, python, go: modules for their own tools
    #[arg(long, value_enum, default_value_t = LanguageArg::Declared)]
    pub(crate) language: LanguageArg,
    /// Make this folder [default: one of the network's name, in connectors/ if that is here]
    #[arg(long)]
    pub(crate) into: Option<PathBuf>,
    /// The SDK: its folder, or the URL of a Git repository [default: that of the repository which the folder is in]
    #[arg(long, value_name = "PATH")]
    pub(crate) sdk: Option<String>,
}

/// In what a connector is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageArg {
    /// A file network.toml
    Declared,
    /// Rust
    Rust,
    /// JavaScript
    Javascript,
    /// Python
    Python,
    /// Go
    Go,
}

#[derive(Args)]
pub(crate) struct RecordArgs {
    /// The network: the name of its file in networks/
    pub(crate) network: String,
    /// Of this account
    #[arg(long)]
    pub(crate) account: String,
    /// Only this stream
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// The first moment of the window: a day or RFC 3339, UTC
    #[arg(long)]
    pub(crate) since: String,
    /// The first moment after it
    #[arg(long)]
    pub(crate) until: String,
    /// Filter by this date instead of the stream's first axis
    #[arg(long)]
    pub(crate) axis: Option<String>,
    /// The folder of fixtures that gets a case for each slice
    #[arg(long)]
    pub(crate) into: PathBuf,
}

/// What to work on.
#[derive(Args)]
pub(crate) struct DevArgs {
    /// The connector's folder, or a `.wasm` file
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The folder of the fixtures [default: fixtures/ in the folder, or beside the file]
    #[arg(long)]
    pub(crate) fixtures: Option<PathBuf>,
}
