//! The console with what a large operator has: 90 networks of 50 accounts over 400 days, with a gap in each account.
//!
//! A browser opens each view with nothing cached; its time ends when no panel loads any more. Bytes are those over the wire.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use anyhow::{Context, anyhow, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sluice_tests::{Operator, repository};

use crate::load::{self, Load, Parts};
use crate::network::{Network, WINDOW_DAYS};
use crate::scale::ROWS_EACH;

/// Windows that a run reads: six back from now, and six that end before these begin.
const WINDOWS: usize = 6;
/// Days that each account lacks between them.
const GAP_DAYS: usize = 28;
/// Networks that are read at once before the service begins.
const AT_ONCE: usize = 3;

/// What the page took.
#[derive(Serialize)]
pub(crate) struct Console {
    /// Windows that were read.
    pub(crate) slices: usize,
    /// Gaps between them.
    pub(crate) gaps: u64,
    /// By view.
    pub(crate) views: Vec<View>,
    /// Of the longest view.
    pub(crate) scrolling: Scrolling,
}

/// A view that was opened with nothing cached.
#[derive(Serialize, Deserialize)]
pub(crate) struct View {
    /// Its path.
    pub(crate) path: String,
    /// Until all its panels were there, the median of a few times.
    pub(crate) ms: f64,
    /// Over the wire.
    pub(crate) bytes: u64,
}

/// Times between frames while the page was scrolled.
#[derive(Serialize, Deserialize)]
pub(crate) struct Scrolling {
    /// Of 20 frames 19 came sooner.
    pub(crate) p95_ms: f64,
    /// The longest.
    pub(crate) worst_ms: f64,
}

/// What the browser's script prints.
#[derive(Deserialize)]
struct Measured {
    views: Vec<View>,
    scrolling: Scrolling,
}

/// Fills a lake, serves it, and opens the page.
pub(crate) fn measure(quick: bool, sluice: &Path, connectors: &Path) -> anyhow::Result<Console> {
    let (networks, accounts) = if quick { (9, 5) } else { (90, 50) };
    let load = Load { networks, accounts, windows: WINDOWS, rows_each: ROWS_EACH };
    let network = Network::start(ROWS_EACH)?;
    let operator = load::operator(load, Parts::Distinct, &network.address, sluice, connectors)?;
    listen(&operator)?;
    read_early_windows(&operator, networks)?;
    let (sender, log) = channel();
    let service = load::Service::start(&operator, sender)?;
    let mut lines = log.iter();
    let address = load::listening_at(&mut lines)?;
    // With what the schedule reads.
    let over = lines.filter(|line| line.contains(load::OVER)).take(networks).count();
    ensure!(over == networks, "{over} of {networks} runs are over");
    let gaps = operator.sql("SELECT count(*) AS n FROM meta.gaps WHERE since IS NOT NULL")?[0]["n"].as_u64();
    let tools = connectors.parent().unwrap_or(connectors).join("browser");
    let Measured { views, scrolling } = open_page(&operator, &address, &tools)?;
    drop(service);
    Ok(Console { slices: 2 * load.slices(), gaps: gaps.context("no count of gaps")?, views, scrolling })
}

/// Has the service answer at a port of the system's choice.
fn listen(operator: &Operator) -> anyhow::Result<()> {
    let settings = std::fs::read_to_string(operator.join("sluice.toml"))?;
    operator.write("sluice.toml", &format!("{settings}{}", load::LISTENING))
}

/// Reads what lies a gap before the windows that the schedule reads.
fn read_early_windows(operator: &Operator, networks: usize) -> anyhow::Result<()> {
    let days = |days: usize| text(Utc::now() - TimeDelta::days(days as i64));
    let until = WINDOWS * WINDOW_DAYS + GAP_DAYS;
    let [since, until] = [days(until + WINDOWS * WINDOW_DAYS), days(until)];
    let (window, next) = ([since, until], AtomicUsize::new(0));
    let read = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= networks {
                return Ok(());
            }
            operator.run(&format!("n{number:02}"), &window)?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(read)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn open_page(operator: &Operator, address: &str, tools: &Path) -> anyhow::Result<Measured> {
    ensure!(tools.is_dir(), "no {}: run `just tools`", tools.display());
    let token = operator.succeed(&["tokens", "create", "bench", "--role", "read"])?;
    let output = Command::new("node")
        .arg(repository().join("tests/console/speed.mjs"))
        .env("SLUICE_BROWSER_TOOLS", tools)
        .env("SLUICE_URL", format!("http://{address}"))
        .env("SLUICE_ADMIN", token.trim())
        .env("SLUICE_READER", token.trim())
        .output()
        .context("cannot run node")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
