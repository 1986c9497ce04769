//! What is held back: doubtful answers, and records that could not be mapped.

use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct DoubtsArgs {
    /// The action [default: list]
    #[command(subcommand)]
    pub(crate) command: Option<DoubtsCommand>,
    /// List only doubts of this network: the name of its file in networks/
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// List decided doubts too
    #[arg(long)]
    pub(crate) all: bool,
}

/// What to do with doubts.
#[derive(Subcommand)]
pub(crate) enum DoubtsCommand {
    /// List doubts, oldest first
    List {
        /// Only doubts of this network: the name of its file in networks/
        #[arg(long)]
        network: Option<String>,
        /// Decided doubts too
        #[arg(long)]
        all: bool,
    },
    /// Show a doubt: the reason, the responses that are held back, and the money
    Show {
        /// The doubt's id, or its beginning
        id: String,
    },
    /// Commit what a doubt holds back, mapped by the connector that serves, and treat it as usual from now on
    Accept(DecideArgs),
    /// Reject what a doubt holds back: it is never committed
    Reject(DecideArgs),
}

/// Which doubt, and why it is decided so.
#[derive(Args)]
pub(crate) struct DecideArgs {
    /// The doubt's id, or its beginning
    pub(crate) id: String,
    /// The reason, which is kept in meta.doubts
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Args)]
pub(crate) struct RejectsArgs {
    /// The action [default: list]
    #[command(subcommand)]
    pub(crate) command: Option<RejectsCommand>,
}

/// What to do with rejects.
#[derive(Subcommand)]
pub(crate) enum RejectsCommand {
    /// List open rejects by reason, with the records and responses that they are about
    List {
        /// The network: the name of its file in networks/ [default: all]
        network: Option<String>,
    },
    /// Map their responses again with the connector that serves, and write the result
    Retry {
        /// The network: the name of its file in networks/ [default: all]
        network: Option<String>,
    },
}
