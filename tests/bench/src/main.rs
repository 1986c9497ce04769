//! `just bench`: what the sandbox and the lake cost.
//!
//! What it measures. The **map stage**: each connector's component against the same Rust code run natively, on one
//! thread. **End to end**: `sluice run` on 1,200 requests of 500 Awin-like rows, in CPU seconds against a native
//! pipeline (`yardstick.rs`) that fetches the same, keeps raw and writes one Parquet table, and against one that writes the
//! unified versions too. **Stages**: where that time goes,
//! by `perf`. **Swap**: from a connector's
//! file to its new version serving. **Replay**: mapping what is in raw again, against building from it for the first
//! time. **Load**: many networks due at once, in one service and in two over one PostgreSQL and S3. **Exact**: no
//! transaction counted twice at size, nor after a rebuild of millions of rows. **Detection**: reading a million rows again
//! against histories of 1, 10 and 50 million. **Questions**: SQL on ten million versions, against DuckDB over the same
//! files; **workers**, only where it is asked for, the same on two query workers and on Sail. **Scale**: seventy networks of fifty accounts at once, and what a slice costs among 1,000 and 100,000.
//! **Growth**: what a row costs with larger bodies, more networks and on one core. **Starts**: a service with ninety
//! connectors until its first request, and the smallest query. **Console**: the page over 4,500 accounts and 400 days. **Attackers**: an honest network beside guests and networks that want time and memory.
//!
//! The network is a process of its own, so that its work isn't counted; see `network.rs`.

mod attackers;
mod bodies;
mod console;
mod detection;
mod end_to_end;
mod exact;
mod front;
mod growth;
mod guards;
mod history;
mod hosts;
mod http;
mod load;
mod map;
mod natives;
mod network;
mod process;
mod questions;
mod replay;
mod report;
mod rereading;
mod row;
mod scale;
mod stages;
mod starts;
mod swap;
mod workers;
mod yardstick;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::history::History;
use crate::network::Work;

const USAGE: &str = "usage: sluice-bench --connectors DIR --sluice FILE [--quick] [--scale N] [--attacker NAME] \
    [--only map|end-to-end|stages|swap|replay|load|exact|detection|questions|attackers|rereading|hosts|scale|console|growth|starts|workers]";
/// What can be measured alone.
const PARTS: [&str; 17] = [
    "map",
    "end-to-end",
    "stages",
    "swap",
    "replay",
    "load",
    "exact",
    "detection",
    "questions",
    "attackers",
    "rereading",
    "hosts",
    "scale",
    "console",
    "growth",
    "starts",
    "workers",
];
/// Transactions that are read again.
const WINDOW: u64 = 1_000_000;
/// Transactions of the histories that they are read again in.
const HISTORIES: [u64; 3] = [1_000_000, 10_000_000, 50_000_000];
/// Transactions of the history that questions are asked of: with every fifth's second version, ten million versions.
const QUESTIONED: u64 = 8_333_333;

/// What to measure, and with what.
struct Arguments {
    connectors: PathBuf,
    sluice: PathBuf,
    quick: bool,
    /// Windows and histories are so many times smaller.
    scale: u64,
    only: Option<String>,
    /// The only one of the attackers.
    attacker: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        // Parts of the bench that run as processes of their own.
        Some("network") => network::serve(arguments.get(1)).map(|()| true),
        Some("yardstick") => yardstick::run(&arguments[1..]).map(|()| true),
        _ => parse(arguments).and_then(|arguments| bench(&arguments)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: Vec<String>) -> anyhow::Result<Arguments> {
    let (mut connectors, mut sluice, mut quick, mut scale, mut only) = (None, None, false, None, None);
    let mut attacker = None;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--connectors" => connectors = arguments.next().map(PathBuf::from),
            "--sluice" => sluice = arguments.next().map(PathBuf::from),
            "--attacker" => attacker = Some(arguments.next().context(USAGE)?),
            "--scale" => scale = Some(arguments.next().and_then(|text| text.parse().ok()).context(USAGE)?),
            "--only" => only = Some(arguments.next().filter(|part| PARTS.contains(&part.as_str())).context(USAGE)?),
            other => bail!("`{other}` is no argument\n{USAGE}"),
        }
    }
    let connectors = connectors.context(USAGE)?;
    let scale = scale.unwrap_or(if quick { 100 } else { 1 }).max(1);
    Ok(Arguments { connectors, sluice: sluice.context(USAGE)?, quick: quick || scale > 1, scale, only, attacker })
}

/// Measures, prints, and says whether the limits hold.
fn bench(arguments: &Arguments) -> anyhow::Result<bool> {
    let wanted = |part: &str| arguments.only.as_deref().is_none_or(|only| only == part);
    let mut report = report::Report { quick: arguments.quick, ..Default::default() };
    if wanted("map") {
        report.map = map::measure(&arguments.connectors)?;
        report.print_map();
    }
    if wanted("end-to-end") {
        let work = if arguments.quick { Work::QUICK } else { Work::FULL };
        report.end_to_end = Some(end_to_end::measure(work, &arguments.sluice, &arguments.connectors)?);
        report.print_end_to_end();
    }
    if wanted("stages") {
        let work = if arguments.quick { Work::QUICK } else { Work::FULL };
        report.stages = stages::measure(work, &arguments.sluice, &arguments.connectors)?;
        stages::print(&report.stages);
    }
    if wanted("swap") {
        report.swap = Some(swap::measure(&arguments.sluice, &arguments.connectors)?);
        report.print_swap();
    }
    if wanted("replay") {
        let work = if arguments.quick { Work::QUICK } else { Work::FULL };
        report.replay = Some(replay::measure(work, &arguments.sluice, &arguments.connectors)?);
        report.print_replay();
    }
    if wanted("load") {
        report.load = load::measure(arguments.quick, &arguments.sluice, &arguments.connectors)?;
        report.print_load();
    }
    if wanted("exact") {
        report.exact = exact::measure(arguments.quick, &arguments.sluice, &arguments.connectors)?;
        report.print_exact();
    }
    if wanted("rereading") {
        report.reread = rereading::measure(arguments.quick)?;
        report.print_reread();
    }
    services(arguments, &mut report)?;
    if wanted("detection") || wanted("questions") || wanted("workers") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(history(arguments, &mut report))?;
        report.print_detection();
        report.print_questions();
        workers::print(report.versions, &report.spread);
    }
    let file = arguments.connectors.parent().unwrap_or(&arguments.connectors).join("bench.json");
    std::fs::write(&file, format!("{}\n", serde_json::to_string(&report)?))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nas JSON: {}", file.display());
    Ok(report.holds())
}

/// Measures services with many accounts.
fn services(arguments: &Arguments, report: &mut report::Report) -> anyhow::Result<()> {
    let wanted = |part: &str| arguments.only.as_deref().is_none_or(|only| only == part);
    if wanted("hosts") {
        report.shared = hosts::measure(arguments.quick, &arguments.sluice, &arguments.connectors)?;
        report.print_shared();
    }
    if wanted("starts") {
        report.starts = Some(starts::measure(&arguments.sluice, &arguments.connectors)?);
        report.starts.iter().for_each(starts::Starts::print);
    }
    if wanted("growth") {
        report.grown = growth::measure(arguments.quick, &arguments.sluice, &arguments.connectors)?;
        growth::print(&report.grown);
    }
    if wanted("scale") {
        report.scale = scale::measure(arguments.quick, &arguments.sluice, &arguments.connectors)?;
        report.print_scale();
    }
    if wanted("console") {
        report.console = Some(console::measure(arguments.quick, &arguments.sluice, &arguments.connectors)?);
        report.print_console();
    }
    if wanted("attackers") {
        report.attacked = attackers::measure(
            arguments.quick,
            arguments.attacker.as_deref(),
            &arguments.sluice,
            &arguments.connectors,
        )?;
        attackers::print(&report.attacked, report.quick);
    }
    Ok(())
}

/// Lets one lake grow, and measures on the way.
async fn history(arguments: &Arguments, report: &mut report::Report) -> anyhow::Result<()> {
    let only = |part: &str| arguments.only.as_deref() == Some(part);
    let mut history = History::new(WINDOW / arguments.scale, QUESTIONED / arguments.scale).await?;
    let mut sizes: Vec<(u64, bool)> = HISTORIES.iter().map(|size| (*size, true)).chain([(QUESTIONED, false)]).collect();
    sizes.sort_unstable();
    sizes.retain(|(_, detects)| if *detects { !only("questions") && !only("workers") } else { !only("detection") });
    for (size, detects) in sizes {
        history.grow(size / arguments.scale).await?;
        if detects {
            report.detection.push(detection::measure(&mut history).await?);
        } else if only("workers") {
            report.versions = history.versions();
            report.spread = workers::measure(&history, &arguments.sluice, &arguments.connectors)?;
        } else {
            let tools = arguments.connectors.parent().unwrap_or(&arguments.connectors).join("python/bin/python");
            report.versions = history.versions();
            report.questions = questions::measure(&history, &tools).await?;
        }
    }
    Ok(())
}
