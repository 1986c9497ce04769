//! `sluice demo`: five simulated networks, collects with time between them, and what came of it on one screen.

mod folder;
mod story;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use sluice_lake::DoubtRow;
use sluice_runtime::app::{App, Network, open_session};
use sluice_runtime::doubts;
use sluice_runtime::failure::Failure;
use sluice_runtime::run::{self, RunReport};
use sluice_runtime::settings::{Settings, network};
use sluice_simulator::{Options, Simulator};
use sluice_state::{Selection, Verb};

use crate::arguments::DemoArgs;
use crate::progress::Display;

const HISTORY_DAYS: u32 = 60;
/// Days between a collect and the next one, and how often there is one.
const LATER_DAYS: i64 = 10;
const LATER_COLLECTS: i64 = 2;
/// The network that gives a doubtful answer.
const DOUBTED: &str = "awin";

/// The reports of the collects, each of all networks in the same order.
struct Collects {
    first: Vec<RunReport>,
    /// One after the other.
    later: Vec<RunReport>,
    again: Vec<RunReport>,
}

/// Runs the demo.
///
/// # Errors
/// A failure to find the connectors, or of anything that a real run uses.
pub(super) async fn demo(args: &DemoArgs, json: bool) -> Result<(), Failure> {
    let temporary = || std::env::temp_dir().join(format!("sluice-demo-{}", std::process::id()));
    let dir = args.dir.clone().unwrap_or_else(temporary);
    let options = Options { history_days: HISTORY_DAYS, everyday_amounts: true, ..Options::default() };
    let simulator = Simulator::start(options).await.map_err(Failure::failed)?;
    folder::prepare(&dir, &simulator)?;
    let display = Display::start(json);
    let app = Arc::new(App::open_with(Settings::load(&dir.join("sluice.toml"))?, display.meter()).await?);
    let first = collect(&app, &simulator).await?;
    let mut later = Vec::new();
    for _ in 0..LATER_COLLECTS {
        simulator.advance(TimeDelta::days(LATER_DAYS));
        later.extend(collect(&app, &simulator).await?);
    }
    let again = collect(&app, &simulator).await?;
    let doubt = doubt(&app, &simulator).await?;
    drop(display);
    let collects = Collects { first, later, again };
    let session = open_session(app.lake.clone()).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", story::collected(&collects))?;
    writeln!(out, "{}", story::earnings(&session).await?)?;
    writeln!(out, "{}", story::changes(&session, &collects.later).await?)?;
    writeln!(out, "{}", story::doubt(&doubt))?;
    let (transaction, history) = story::history(&session).await?;
    writeln!(out, "{history}")?;
    write!(out, "{}", what_to_try(&dir, &transaction))?;
    Ok(out.flush()?)
}

/// Reads all networks over the simulator's whole history.
async fn collect(app: &Arc<App>, simulator: &Simulator) -> Result<Vec<RunReport>, Failure> {
    let until = simulator.clock();
    let since = until - TimeDelta::days(i64::from(HISTORY_DAYS) + (LATER_COLLECTS + 1) * LATER_DAYS);
    let mut reports = Vec::new();
    for network in network::load_all(&app.settings.networks_dir)? {
        let network = app.network(&network.name)?;
        let selection = Selection { since: Some(since), until: Some(until), ..Selection::default() };
        let report = read(app, &network, &selection).await?;
        if report.status != "done" {
            return Err(Failure::failed(anyhow::anyhow!(report.errors.join("; "))));
        }
        reports.push(report);
    }
    Ok(reports)
}

/// Has Awin give commissions in another field, which is doubted, and decides that as an operator does who asks the network.
async fn doubt(app: &Arc<App>, simulator: &Simulator) -> Result<DoubtRow, Failure> {
    simulator.move_commissions(true);
    let (until, network) = (simulator.clock(), app.network(DOUBTED)?);
    let since = until - TimeDelta::days(LATER_DAYS);
    let account = network.settings.content.accounts.first().map(|account| account.name.clone());
    let selection = Selection { account, since: Some(since), until: Some(until), ..Selection::default() };
    let report = read(app, &network, &selection).await?;
    simulator.move_commissions(false);
    let found = app.lake.doubts(Some(DOUBTED)).await?.into_iter().find(|doubt| doubt.run_id == report.run_id);
    let found = found.ok_or_else(|| Failure::failed(anyhow::anyhow!("no doubt: {}", report.errors.join("; "))))?;
    doubts::reject(app, &found, Some("Awin puts the field back")).await?;
    doubts::find(&app.lake, &found.doubt_id).await
}

async fn read(app: &Arc<App>, network: &Network, selection: &Selection) -> Result<RunReport, Failure> {
    let claim = app.claim(&network.settings.name).await?;
    let report = claim.guard(run::run(app, network, &claim, Verb::Run, selection)).await;
    claim.release().await;
    report
}

/// Commands that work in the folder.
fn what_to_try(dir: &Path, transaction: &str) -> String {
    let program = program();
    format!(
        "Try next:
  cd {}
  {program} explain {transaction}
  {program} sql \"SELECT * FROM unified.earnings_daily ORDER BY day DESC LIMIT 10\"
  {program} status
",
        dir.display()
    )
}

/// How this binary is called: by its name if that finds it, else by its path.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else { return "sluice".to_owned() };
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("sluice")).find(|file| file.is_file());
    let is_this = |found: PathBuf| found.canonicalize().is_ok_and(|found| Some(found) == path.canonicalize().ok());
    if found.is_some_and(is_this) { "sluice".to_owned() } else { path.display().to_string() }
}
