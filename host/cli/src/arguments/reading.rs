//! What is read: by `run`, `collect`, `plan` and `backfill`; and what the schedule leaves alone.

use clap::{ArgGroup, Args};

#[derive(Args)]
pub(crate) struct ReadArgs {
    /// The network: the name of its file in networks/
    pub(crate) network: String,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The network: the name of its file in networks/
    #[arg(required_unless_present = "due")]
    pub(crate) network: Option<String>,
    /// Do what is due now of all networks, as the service would, and end
    #[arg(long, conflicts_with_all = ["network", "account", "stream", "since", "axis"])]
    pub(crate) due: bool,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

/// What to read of a network's history: a part with a window.
#[derive(Args)]
#[command(group = ArgGroup::new("window").required(true).arg("since"))]
pub(crate) struct BackfillArgs {
    /// The network: the name of its file in networks/
    pub(crate) network: String,
    /// Queue it for the services that run, and end: it is spread over them, behind what their schedules name
    #[arg(long)]
    pub(crate) queue: bool,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Args)]
pub(crate) struct PauseArgs {
    /// The network: the name of its file in networks/
    pub(crate) network: String,
    /// Only this account
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// The reason, which `sluice status` shows
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Args)]
pub(crate) struct ResumeArgs {
    /// The network: the name of its file in networks/
    pub(crate) network: String,
    /// Only this account
    #[arg(long)]
    pub(crate) account: Option<String>,
}

/// Which accounts and streams of a network.
#[derive(Args)]
pub(crate) struct ScopeArgs {
    /// Only this account
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Only this stream
    #[arg(long)]
    pub(crate) stream: Option<String>,
}

/// Which windows of what raw holds.
#[derive(Args)]
pub(crate) struct WindowArgs {
    /// Only windows that end after this moment: a day or RFC 3339, UTC
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Only windows that start before this moment
    #[arg(long, requires = "since")]
    pub(crate) until: Option<String>,
}

/// Which part of a network to read.
#[derive(Args)]
pub(crate) struct PartArgs {
    /// Of which account and stream.
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Start of the window: a day or RFC 3339, UTC. Where it may be left out, the look-back rules say what is read
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// End of the window, not part of it [default: now]
    #[arg(long, requires = "since")]
    pub(crate) until: Option<String>,
    /// Filter on this date: transaction, modified, validation or payment
    #[arg(long)]
    pub(crate) axis: Option<String>,
}
