//! What is listed for other programs: changes, and use.

use clap::Args;

/// Which part of the change feed.
#[derive(Args)]
pub(crate) struct ChangesArgs {
    /// Begin after this cursor: `next` of an earlier answer, or `now` [default: the beginning of the feed]
    #[arg(long)]
    pub(crate) after: Option<String>,
    /// Only of this network id; may be given several times
    #[arg(long)]
    pub(crate) network: Vec<String>,
    /// Only for this reason: first-seen, network-change, vanished …; may be given several times
    #[arg(long)]
    pub(crate) change: Vec<String>,
    /// Stop after this many, or a few more
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// Whose use, and when.
#[derive(Args)]
pub(crate) struct UsageArgs {
    /// Only runs that began at this moment or later: a day or RFC 3339, UTC [default: the first day of this month]
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Only runs that began before this moment [default: now]
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// Write the result as table, csv or json [default: table, or json with --output json]
    #[arg(long, value_parser = ["table", "csv", "json"])]
    pub(crate) format: Option<String>,
}
