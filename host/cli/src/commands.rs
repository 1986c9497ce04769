//! One function per command.

mod alarms;
mod changes;
mod check;
mod connectors;
mod demo;
mod doubts;
mod erase;
mod explain;
mod kit;
mod maintain;
mod manual;
mod mcp;
mod plan;
mod publish;
mod raw;
mod rejects;
mod replay;
mod report;
mod scheduled;
mod serve;
mod sql;
mod status;
mod tables;
mod usage;

use std::io::Write;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sluice_runtime::app::App;
use sluice_runtime::claims::Claims;
use sluice_runtime::failure::Failure;
use sluice_runtime::rebuild;
use sluice_runtime::run::{self, RunReport};
use sluice_runtime::settings::{Settings, network};
use sluice_runtime::tables::RawSelection;
use sluice_state::Verb;

use crate::arguments::{BuildArgs, Cli, Command, OutputForm, PartArgs};
use crate::progress::Display;

/// Runs the command line.
///
/// # Errors
/// The command's failure, with its exit code.
pub(crate) async fn execute(cli: Cli) -> Result<(), Failure> {
    let json = cli.output == OutputForm::Json;
    let settings = || Settings::load(&cli.config);
    match &cli.command {
        Command::Demo(args) => demo::demo(args, json).await,
        Command::Serve(args) => serve::serve(settings()?, args).await,
        Command::Tokens(args) => serve::tokens(&settings()?, args, json).await,
        Command::Run(args) => scheduled::run(settings()?, args, json).await,
        Command::Collect(args) => read(settings()?, &args.network, &args.part, Verb::Collect, json).await,
        Command::Backfill(args) => scheduled::backfill(settings()?, args, json).await,
        Command::Pause(args) => scheduled::pause(&settings()?, args, json).await,
        Command::Resume(args) => scheduled::resume(&settings()?, args, json).await,
        Command::Build(args) => build(settings()?, args, json).await,
        Command::Replay(args) => replay::replay(settings()?, args, json).await,
        Command::Alarms(args) => alarms::alarms(&settings()?, args, json).await,
        Command::Checks(args) => alarms::checks(&settings()?, args, json).await,
        Command::Doubts(args) => doubts::doubts(settings()?, args, json).await,
        Command::Rejects(args) => rejects::rejects(settings()?, args, json).await,
        Command::Erase(args) => erase::erase(settings()?, args, json).await,
        Command::Maintain(args) => maintain::maintain(&settings()?, args, json).await,
        Command::Sql(args) => sql::sql(&settings()?, args, json).await,
        Command::Plan(args) => plan::plan(settings()?, args, json).await,
        Command::Check(args) => check::check(&settings()?, args, json).await,
        Command::Connectors(args) => connectors::connectors(settings, args, json).await,
        Command::Runs(args) => sql::runs(&settings()?, args, json).await,
        Command::Status(args) => status::status(&settings()?, args, json).await,
        Command::Explain(args) => explain::explain(&settings()?, args, json).await,
        Command::Raw(args) => raw::raw(&settings()?, args, json).await,
        Command::Changes(args) => changes::changes(&settings()?, args).await,
        Command::Publish(args) => publish::publish(&settings()?, args, json).await,
        Command::Tables(args) => tables::tables(&settings()?, args, json).await,
        Command::FlightQuery => serve::flight_query(&settings()?).await,
        Command::WireSession => serve::wire_session(&settings()?).await,
        Command::Mcp => mcp::mcp(&settings()?).await,
        Command::Usage(args) => usage::usage(&settings()?, args, json).await,
        Command::New(args) => kit::new(args, json),
        Command::Test(args) => kit::test(args, json).await,
        Command::Fuzz(args) => kit::fuzz(args, json).await,
        Command::Dev(args) => kit::dev(args).await,
        Command::Record(args) => kit::record(settings()?, args, json).await,
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { dir } => manual::man(dir.as_deref()),
    }
}

/// What is logged without `SLUICE_LOG`: a service logs what it does, a command only what is wrong.
pub(crate) fn default_log(command: &Command) -> &'static str {
    match command {
        // Delta calls it an error that another writer was first; the lake then tries again.
        Command::Serve(_) => {
            "warn,sluice_runtime=info,sluice_server=info,sluice_wire=info,sluice_flight=info,sluice_query=info,sluice_registry=info,sluice_state=info,sluice_engine=info,deltalake_core::kernel::transaction=off"
        }
        Command::Demo(_) => "off",
        _ => {
            "off,sluice_cli=warn,sluice_runtime=warn,sluice_wire=warn,sluice_flight=warn,sluice_query=warn,sluice_registry=warn,sluice_state=warn,sluice_engine=warn,sluice_fetch=warn,sluice_lake=warn"
        }
    }
}

async fn read(settings: Settings, name: &str, part: &PartArgs, verb: Verb, json: bool) -> Result<(), Failure> {
    let selection = part.selection(Utc::now())?;
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    let network = app.network(name)?;
    let claim = app.claim(name).await?;
    let report = claim.guard(run::run(&app, &network, &claim, verb, &selection)).await;
    claim.release().await;
    drop(display);
    report::print(&[report?], json)
}

async fn build(settings: Settings, args: &BuildArgs, json: bool) -> Result<(), Failure> {
    let selection = RawSelection {
        account: args.scope.account.clone(),
        stream: args.scope.stream.clone(),
        run_id: args.run.clone(),
        window: args.window.window(Utc::now())?,
    };
    let names = match &args.network {
        Some(name) => vec![name.clone()],
        None => network::load_all(&settings.networks_dir)?.into_iter().map(|network| network.name).collect(),
    };
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    if args.queue {
        let queued = rebuild::queued::queue(&app, args.lossy).await;
        drop(display);
        return report::print_queued_rebuild(&queued?, json);
    }
    if args.from_raw {
        let rebuilt = rebuild::rebuild(&app, args.lossy).await;
        drop(display);
        return report::print_tables(&rebuilt?, json);
    }
    let mut reports: Vec<RunReport> = Vec::new();
    for name in names {
        let network = app.network(&name)?;
        let account = selection.account.as_deref().map(|named| network.settings.account_id(named));
        let selection = RawSelection { account, ..selection.clone() };
        let claims = Claims::of_connector(&app, &network.settings.content.connector, &name).await?;
        let report = claims.guard(run::build(&app, &network, &claims, &selection)).await;
        claims.release().await;
        reports.push(report?);
    }
    drop(display);
    report::print(&reports, json)
}

/// Prints a report as one line of JSON, its keys in alphabetical order.
fn print_json(report: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
    let value = serde_json::to_value(report).map_err(Failure::failed)?;
    Ok(writeln!(std::io::stdout(), "{value}")?)
}

/// A moment as people and programs read it.
fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
