//! The command line.

mod alarms;
mod erase;
mod held_back;
mod kit;
mod lists;
mod outlets;
mod raw;
mod reading;
mod selection;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sluice_runtime::roles::Role;

pub(crate) use alarms::{AlarmsArgs, AlarmsCommand, ChecksArgs};
pub(crate) use erase::EraseArgs;
pub(crate) use held_back::{DecideArgs, DoubtsArgs, DoubtsCommand, RejectsArgs, RejectsCommand};
pub(crate) use kit::{DevArgs, FuzzArgs, LanguageArg, NewArgs, RecordArgs, TestArgs};
pub(crate) use lists::{ChangesArgs, UsageArgs};
pub(crate) use outlets::{PublishArgs, TablesArgs};
pub(crate) use raw::RawArgs;
pub(crate) use reading::{BackfillArgs, PartArgs, PauseArgs, ReadArgs, ResumeArgs, RunArgs, ScopeArgs, WindowArgs};

/// Collect the transactions of affiliate networks into one data lake
#[derive(Parser)]
#[command(name = "sluice", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Read the settings from this file
    #[arg(long, global = true, default_value = "sluice.toml", env = "SLUICE_CONFIG")]
    pub(crate) config: PathBuf,
    /// Print results in this form
    #[arg(long, global = true, value_enum, default_value_t = OutputForm::Human)]
    pub(crate) output: OutputForm,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// Text for people
    Human,
    /// JSON for programs
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show everything on simulated networks: collect, let time pass, collect again, query
    Demo(DemoArgs),
    /// Run networks by schedule as a service, and swap connectors while it runs
    Serve(ServeArgs),
    /// Collect a network and build its tables now
    Run(RunArgs),
    /// Collect a network into raw only
    Collect(ReadArgs),
    /// Build a network's tables from raw, without sending requests
    Build(BuildArgs),
    /// Read any range of a network's history month by month, between the runs of its schedule
    Backfill(BackfillArgs),
    /// Manage the tokens of the HTTP API
    Tokens(TokensArgs),
    /// Pause the schedule of a network or an account
    Pause(PauseArgs),
    /// Resume the schedule of a network or an account
    Resume(ResumeArgs),
    /// Compare or rewrite a network's history with another connector, without sending requests
    Replay(ReplayArgs),
    /// List alarms: faults that somebody should know of, and acknowledge them
    Alarms(AlarmsArgs),
    /// Run your own checks: checks/*.sql, each of which must return no row
    Checks(ChecksArgs),
    /// List doubtful answers, which are held back, and accept or reject them
    Doubts(DoubtsArgs),
    /// List records that could not be mapped, or retry them
    Rejects(RejectsArgs),
    /// Erase sub-ids and order references of a person: from raw, tables, the state store and published databases
    Erase(EraseArgs),
    /// Maintain the lake: merge small files, write checkpoints, delete expired files
    Maintain(MaintainArgs),
    /// Run a SQL query against the lake
    Sql(SqlArgs),
    /// Print the requests that a run would send, with secrets masked, and send nothing
    Plan(ReadArgs),
    /// Check settings, connectors, secrets and schedules, without sending requests to a network
    Check(CheckArgs),
    /// Show connectors and decide which version serves
    Connectors(ConnectorsArgs),
    /// List runs, newest first
    Runs(RunsArgs),
    /// Show freshness, coverage gaps and open rejects
    Status(StatusArgs),
    /// Show the history of a transaction: each version, its cause, and the record that it came from
    Explain(ExplainArgs),
    /// Show a response that is kept in raw, or one of its records
    Raw(RawArgs),
    /// Print new versions of transactions in their order, from a cursor on
    Changes(ChangesArgs),
    /// Bring outside databases up to the lake: [publish] of sluice.toml
    Publish(PublishArgs),
    /// List the lake's tables, or print what registers them in another engine
    Tables(TablesArgs),
    /// Give assistants read-only tools on standard input and output, by the Model Context Protocol
    Mcp,
    /// Answer the client of PostgreSQL at standard input, as `sluice serve` runs it for each connection
    #[command(name = sluice_wire::SESSION_COMMAND, hide = true)]
    WireSession,
    /// Answer one query of a client of Flight SQL, as `sluice serve` runs it for each
    #[command(name = sluice_flight::QUERY_COMMAND, hide = true)]
    FlightQuery,
    /// Show what networks and accounts used, priced by the rates of the settings
    Usage(UsageArgs),
    /// Make a connector's folder that builds and passes its tests
    New(NewArgs),
    /// Test a connector: its fixtures, and what holds of all connectors
    Test(TestArgs),
    /// Change the bodies of a connector's fixtures, and find those on which it fails
    Fuzz(FuzzArgs),
    /// Build a connector whenever its files change, and show how its records change
    Dev(DevArgs),
    /// Collect a window of an account, and write the answers as fixtures without ids, names and references
    Record(RecordArgs),
    /// Print the completions of a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write a page per command
    Man {
        /// Write all pages into this folder, and print nothing
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// Where the demo leaves its lake.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Put the settings and the lake into this folder [default: a new folder for temporary files]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct BuildArgs {
    /// The network: the name of its file in networks/ [default: all]
    pub(crate) network: Option<String>,
    /// Of which account and stream.
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Only responses of this run
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// Of which windows.
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    /// Rebuild all tables of all networks from raw alone, then replace the old ones
    #[arg(long, conflicts_with_all = ["network", "account", "stream", "run", "since"])]
    pub(crate) from_raw: bool,
    /// With --from-raw: rebuild although raw no longer holds everything; what only the old tables hold is lost
    #[arg(long, requires = "from_raw")]
    pub(crate) lossy: bool,
    /// With --from-raw: only queue it, a part for each network and month, for the services that run; all tables are replaced
    /// at the end
    #[arg(long, requires = "from_raw")]
    pub(crate) queue: bool,
}

/// What the service does.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Only these roles: scheduler, worker, api, query, by commas [default: all]
    #[arg(long, value_name = "ROLES", value_delimiter = ',', value_parser = role)]
    pub(crate) role: Vec<Role>,
}

fn role(name: &str) -> Result<Role, String> {
    Role::named(name).ok_or_else(|| "there are scheduler, worker, api and query".to_owned())
}

#[derive(Args)]
#[command(group = ArgGroup::new("action").required(true))]
pub(crate) struct ReplayArgs {
    /// The network: the name of its file in networks/
    pub(crate) network: String,
    /// Map by this `.wasm` file [default: the connector that serves]
    #[arg(long, conflicts_with = "version")]
    pub(crate) connector: Option<PathBuf>,
    /// Map by a version that the lake keeps: a digest, its beginning, or a version's name
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// Of which account and stream.
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Of which windows.
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    /// Show what would change, and change nothing
    #[arg(long, group = "action")]
    pub(crate) diff: bool,
    /// Write a version of every transaction and other fact that differs, marked `mapping-change`
    #[arg(long, group = "action")]
    pub(crate) apply: bool,
    /// Take back what the replay with this run id wrote
    #[arg(
        long,
        group = "action",
        value_name = "RUN",
        conflicts_with_all = ["connector", "version", "account", "stream", "since", "fail_if"]
    )]
    pub(crate) rollback: Option<String>,
    /// With --apply: only queue it, a run for each month, for the services that run; each month is atomic by itself
    #[arg(long, requires = "apply", conflicts_with = "fail_if")]
    pub(crate) queue: bool,
    /// Fail if this holds, and write nothing: `commission>0.1%`, `amounts`, `rows>0`, `added`, `removed`, `changed`, `native`,
    /// `rejects`, `unknown`; with `>` or `>=` and a number or a share
    #[arg(long, value_name = "CONDITION")]
    pub(crate) fail_if: Vec<String>,
}

#[derive(Args)]
pub(crate) struct TokensArgs {
    /// The action [default: list]
    #[command(subcommand)]
    pub(crate) command: Option<TokensCommand>,
}

/// What to do with tokens.
#[derive(Subcommand)]
pub(crate) enum TokensCommand {
    /// List tokens by name
    List,
    /// Make a token and print it, this once
    Create {
        /// A name for it
        name: String,
        /// What it may do: read, operate (also run, backfill, decide doubts, pause and resume) or admin (also decide about connectors, apply replays and rebuild)
        #[arg(long, value_parser = ["read", "operate", "admin"])]
        role: String,
    },
    /// Remove a token: it is refused from now on
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
pub(crate) struct MaintainArgs {
    /// Only this table, such as `unified.transaction_versions` or `raw.objects`
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A query.
#[derive(Args)]
pub(crate) struct SqlArgs {
    /// The query: one SELECT, or SHOW TABLES; with --batch several
    #[arg(required = true, value_name = "QUERY")]
    pub(crate) queries: Vec<String>,
    /// Write the result as table, csv, json, parquet or arrow [default: table, or json with --output json]
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Print one JSON array with an object for each query: its rows, what they may lack, and its error
    #[arg(long, conflicts_with = "format")]
    pub(crate) batch: bool,
}

/// How much a check prints.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// With --output json: an object that also has what is wrong, not only the networks
    #[arg(long)]
    pub(crate) report: bool,
    /// Read the lake only, instead of writing a probe to it
    #[arg(long)]
    pub(crate) read_only: bool,
}

#[derive(Args)]
pub(crate) struct ConnectorsArgs {
    /// The action [default: list]
    #[command(subcommand)]
    pub(crate) command: Option<ConnectorsCommand>,
}

/// What to do with connectors.
#[derive(Subcommand)]
pub(crate) enum ConnectorsCommand {
    /// List the files of the connectors folder, and why any is refused
    List,
    /// Show a connector: streams, axes, limits, rights, status words, size, speed; with --output json its manifest
    Inspect {
        /// A network id, or a `.wasm` file
        connector: String,
    },
    /// Load a `.wasm` file as the service would, and report whether it may serve
    Verify {
        /// The file
        file: PathBuf,
    },
    /// Grant a waiting version the rights that it asks for, and accept what its trial found
    Approve(VersionArgs),
    /// Let a version in shadow, or one that waits for promotion, take over now
    Promote(VersionArgs),
    /// Return to the version that served before, and hold the current one until it is approved
    Rollback {
        /// The network
        network: String,
        /// A digest, its beginning, or a version's name [default: the version before]
        #[arg(long)]
        to: Option<String>,
    },
    /// Show how the results of the waiting version differ from those of the running one
    Diff {
        /// The network
        network: String,
    },
    /// List when each version became active, newest first
    History {
        /// The network
        network: String,
    },
}

#[derive(Args)]
pub(crate) struct VersionArgs {
    /// The network
    pub(crate) network: String,
    /// The version's digest or its beginning [default: the version that waits]
    pub(crate) digest: Option<String>,
}

#[derive(Args)]
pub(crate) struct RunsArgs {
    /// List at most this many
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    /// Only runs of this network
    #[arg(long)]
    pub(crate) network: Option<String>,
}

/// How much of the status to show.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// List every stream of every account, not only those with gaps
    #[arg(long)]
    pub(crate) all: bool,
    /// Exit with 1 if a window is missing, or if a stream was not read for two periods of its schedule
    #[arg(long)]
    pub(crate) fail_if_gaps: bool,
}

/// Which transaction.
#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// Its key, the beginning of its key, or `network/account/transaction_id`
    pub(crate) transaction: String,
}
