//! Alarms and checks of one's own.

use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct AlarmsArgs {
    /// The action [default: list]
    #[command(subcommand)]
    pub(crate) command: Option<AlarmsCommand>,
    /// List resolved alarms too
    #[arg(long)]
    pub(crate) all: bool,
}

/// What to do with alarms.
#[derive(Subcommand)]
pub(crate) enum AlarmsCommand {
    /// List alarms, oldest first
    List {
        /// Resolved alarms too
        #[arg(long)]
        all: bool,
    },
    /// Acknowledge an alarm: somebody has taken notice, for as long as the fault lasts
    Ack {
        /// The alarm's id, or its beginning
        id: String,
        /// Who, which is kept in meta.alarms
        #[arg(long, default_value = "operator")]
        by: String,
    },
    /// Acknowledge an alarm for a time: if the fault lasts longer, it opens again
    Snooze {
        /// The alarm's id, or its beginning
        id: String,
        /// For how long, such as 4h or 1d
        #[arg(long = "for", value_name = "DURATION")]
        duration: String,
        /// Who, which is kept in meta.alarms
        #[arg(long, default_value = "operator")]
        by: String,
    },
}

#[derive(Args)]
pub(crate) struct ChecksArgs {
    /// The check: the name of its file in checks/ [default: all]
    pub(crate) check: Option<String>,
}
