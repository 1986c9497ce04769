//! The command line.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use sluice_model::{Axis, Window};

use sluice_runtime::failure::Failure;
use sluice_state::Selection;

/// Collects the transactions of every affiliate network into one data lake.
#[derive(Parser)]
#[command(name = "sluice", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The settings file.
    #[arg(long, global = true, default_value = "sluice.toml", env = "SLUICE_CONFIG")]
    pub(crate) config: PathBuf,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = OutputForm::Human)]
    pub(crate) output: OutputForm,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Shows everything on simulated networks: collects, lets time pass, collects again, asks in SQL.
    Demo(DemoArgs),
    /// Runs as a service: by schedule, swapping connectors while it runs.
    Serve,
    /// Collects a network and builds its tables, now.
    Run(ReadArgs),
    /// Collects a network to raw only.
    Collect(ReadArgs),
    /// Builds a network's tables from raw only, without asking the network.
    Build(BuildArgs),
    /// Says what another connector would make of a network's history, and makes it so; no network is asked.
    Replay(ReplayArgs),
    /// Lists records that could not be mapped, or tries them again.
    Rejects(RejectsArgs),
    /// Looks after the lake: merges small files, writes checkpoints, deletes what nobody needs any more.
    Maintain(MaintainArgs),
    /// Asks the lake.
    Sql(SqlArgs),
    /// Prints the requests that a run would send, secrets masked, and sends nothing.
    Plan(ReadArgs),
    /// Checks settings, connectors and secrets, and asks nobody.
    Check,
    /// Shows connectors.
    Connectors(ConnectorsArgs),
    /// Lists runs, the newest first.
    Runs(RunsArgs),
    /// Says how fresh each account is, and which windows were never read or failed.
    Status(StatusArgs),
    /// Says how a transaction came to be what it is: each version, its cause, and the record that it came from.
    Explain(ExplainArgs),
}

/// What to show.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Where to leave the lake; a fresh folder under the system's temporary one without it.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

/// What to read.
#[derive(Args)]
pub(crate) struct ReadArgs {
    /// The network: the name of its file in networks/.
    pub(crate) network: String,
    /// Only this account.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Only this stream.
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// The window's first moment: RFC 3339, or a day, UTC. Without it the look-back rules hold.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// The first moment after the window; now without it.
    #[arg(long, requires = "since")]
    pub(crate) until: Option<String>,
    /// The date to filter on: transaction, modified, validation or payment.
    #[arg(long)]
    pub(crate) axis: Option<String>,
}

/// What to build.
#[derive(Args)]
pub(crate) struct BuildArgs {
    /// The network: the name of its file in networks/. All without it.
    pub(crate) network: Option<String>,
    /// Only this account.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Only this stream.
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// Only what this run fetched.
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// Only windows that touch this moment or later.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Only windows that touch an earlier moment.
    #[arg(long, requires = "since")]
    pub(crate) until: Option<String>,
    /// Makes all tables of all networks anew from raw alone, and then puts them in the place of the old ones.
    #[arg(long, conflicts_with_all = ["network", "account", "stream", "run", "since"])]
    pub(crate) from_raw: bool,
    /// With --from-raw: goes on though raw no longer holds all that the tables were made from. What only the old
    /// tables know is lost then.
    #[arg(long, requires = "from_raw")]
    pub(crate) lossy: bool,
}

/// What to replay.
#[derive(Args)]
#[command(group = ArgGroup::new("action").required(true))]
pub(crate) struct ReplayArgs {
    /// The network: the name of its file in networks/.
    pub(crate) network: String,
    /// The connector to map by: a `.wasm` file. Without it the one that serves.
    #[arg(long, conflicts_with = "version")]
    pub(crate) connector: Option<PathBuf>,
    /// A version that the lake keeps, instead of a file: a digest, its beginning, or the version's name.
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// Only this account.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Only this stream.
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// Only windows that touch this moment or later: RFC 3339, or a day, UTC.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Only windows that touch an earlier moment.
    #[arg(long, requires = "since")]
    pub(crate) until: Option<String>,
    /// Says what would change, and changes nothing.
    #[arg(long, group = "action")]
    pub(crate) diff: bool,
    /// Writes a version of every transaction that differs, marked `mapping-change`.
    #[arg(long, group = "action")]
    pub(crate) apply: bool,
    /// Takes back what a replay wrote, by the id of its run: the tables are what they were before it.
    #[arg(
        long,
        group = "action",
        value_name = "RUN",
        conflicts_with_all = ["connector", "version", "account", "stream", "since", "fail_if"]
    )]
    pub(crate) rollback: Option<String>,
    /// Fails if this holds: `commission>0.1%`, `rows>0`, `added`, `removed`, `changed`, `native`, `rejects`, `unknown`;
    /// `>` or `>=`, a number or a share. With --apply nothing is written then.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) fail_if: Vec<String>,
}

/// Which rejects.
#[derive(Args)]
pub(crate) struct RejectsArgs {
    /// What to do; list without it.
    #[command(subcommand)]
    pub(crate) command: Option<RejectsCommand>,
}

/// What to do with rejects.
#[derive(Subcommand)]
pub(crate) enum RejectsCommand {
    /// Lists those that nothing became of yet, oldest first.
    List {
        /// The network: the name of its file in networks/. All without it.
        network: Option<String>,
    },
    /// Maps their responses again by the connector that serves, and writes what they give now.
    Retry {
        /// The network: the name of its file in networks/. All without it.
        network: Option<String>,
    },
}

/// What to look after.
#[derive(Args)]
pub(crate) struct MaintainArgs {
    /// Only this table, like `unified.transaction_versions`, or `raw.objects`.
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Changes nothing, and says what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A question.
#[derive(Args)]
pub(crate) struct SqlArgs {
    /// One SELECT, or SHOW TABLES.
    pub(crate) query: String,
    /// How the answer is written; table for people, or json with `--output json`.
    #[arg(long)]
    pub(crate) format: Option<String>,
}

/// Which connectors.
#[derive(Args)]
pub(crate) struct ConnectorsArgs {
    /// What to do; list without it.
    #[command(subcommand)]
    pub(crate) command: Option<ConnectorsCommand>,
}

/// What to do with connectors.
#[derive(Subcommand)]
pub(crate) enum ConnectorsCommand {
    /// Lists what is in the connectors folder, and why a file is refused.
    List,
    /// Prints a connector's manifest as JSON.
    Inspect {
        /// A network id, or a `.wasm` file.
        connector: String,
    },
    /// Loads a `.wasm` file as the service would, and says whether it may serve.
    Verify {
        /// The file.
        file: PathBuf,
    },
    /// Gives a version that waits what it asks for, and takes it as it was found to be.
    Approve(VersionArgs),
    /// Lets a version take over now that maps beside the running one or waits to be promoted.
    Promote(VersionArgs),
    /// Puts the version back that served before; the one that serves is held until it is approved.
    Rollback {
        /// The network.
        network: String,
        /// A digest, its beginning, or a version's name; the version before without it.
        #[arg(long)]
        to: Option<String>,
    },
    /// Shows what the waiting version makes otherwise than the running one.
    Diff {
        /// The network.
        network: String,
    },
    /// Lists when which version became active, the newest first.
    History {
        /// The network.
        network: String,
    },
}

/// Which version.
#[derive(Args)]
pub(crate) struct VersionArgs {
    /// The network.
    pub(crate) network: String,
    /// The version's digest or its beginning; the one that waits without it.
    pub(crate) digest: Option<String>,
}

/// Which runs.
#[derive(Args)]
pub(crate) struct RunsArgs {
    /// How many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    /// Only this network's.
    #[arg(long)]
    pub(crate) network: Option<String>,
}

/// What to say of coverage.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Ends with 1 if a window is missing, or if something wasn't read for two periods of its schedule.
    #[arg(long)]
    pub(crate) fail_if_gaps: bool,
}

/// Which transaction.
#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// Its key, the beginning of its key, or `network/account/transaction_id`.
    pub(crate) transaction: String,
}

impl ReadArgs {
    /// What the arguments select at `now`.
    ///
    /// # Errors
    /// A usage failure for a time or axis that is none.
    pub(crate) fn selection(&self, now: DateTime<Utc>) -> Result<Selection, Failure> {
        // A window of nothing is refused before anything else is looked at.
        window(self.since.as_deref(), self.until.as_deref(), now)?;
        Ok(Selection {
            account: self.account.clone(),
            stream: self.stream.clone(),
            axis: self.axis.as_deref().map(axis).transpose()?,
            since: self.since.as_deref().map(moment).transpose()?,
            until: self.until.as_deref().map(moment).transpose()?,
            rules: None,
        })
    }
}

/// The window that `--since` and `--until` name.
///
/// # Errors
/// A usage failure for a text that is no time, or a window of nothing.
pub(crate) fn window(since: Option<&str>, until: Option<&str>, now: DateTime<Utc>) -> Result<Option<Window>, Failure> {
    let Some(since) = since.map(moment).transpose()? else { return Ok(None) };
    let until = until.map(moment).transpose()?.unwrap_or(now);
    if since >= until {
        return Err(
            Failure::usage(format!("the window {since} to {until} is empty")).hint("--since must be before --until")
        );
    }
    Ok(Some(Window { since, until }))
}

fn moment(text: &str) -> Result<DateTime<Utc>, Failure> {
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|t| t.to_utc())
        .or_else(day)
        .ok_or_else(|| Failure::usage(format!("`{text}` is no time")).hint("write 2026-01-31 or 2026-01-31T12:00:00Z"))
}

fn axis(text: &str) -> Result<Axis, Failure> {
    [Axis::Transaction, Axis::Modified, Axis::Validation, Axis::Payment, Axis::None]
        .into_iter()
        .find(|axis| axis.name() == text)
        .ok_or_else(|| {
            Failure::usage(format!("`{text}` is no axis")).hint("write transaction, modified, validation or payment")
        })
}
