//! What is erased.

use clap::{ArgGroup, Args};

/// Which values.
#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct EraseArgs {
    /// A sub-id, as the network writes it; `-` reads values from standard input, one a line
    #[arg(long, group = "what", value_name = "VALUE")]
    pub(crate) sub_id: Vec<String>,
    /// An order's reference, as the network writes it
    #[arg(long, group = "what", value_name = "VALUE")]
    pub(crate) order: Vec<String>,
    /// What was erased before, where networks reported it again since
    #[arg(long, group = "what", conflicts_with_all = ["sub_id", "order"])]
    pub(crate) again: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Erase without asking
    #[arg(long)]
    pub(crate) yes: bool,
}
