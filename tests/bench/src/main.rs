//! `just bench`: what the sandbox and the lake cost.
//!
//! Three measurements. The **map stage**: each connector's component against the same Rust code run natively, on one
//! thread. **End to end**: `sluice run` on 1,200 requests of 500 Awin-like rows, in CPU seconds against a native
//! pipeline (`yardstick.rs`) that fetches the same, keeps raw and writes one Parquet table. **Swap**: from a connector's
//! file to its new version serving.
//!
//! The network is a process of its own, so that its work isn't counted; see `network.rs`.

mod bodies;
mod end_to_end;
mod front;
mod http;
mod map;
mod natives;
mod network;
mod process;
mod report;
mod row;
mod swap;
mod yardstick;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::network::Work;

const USAGE: &str = "usage: sluice-bench --connectors DIR --sluice FILE [--quick] [--only map|end-to-end|swap]";

/// What to measure, and with what.
struct Arguments {
    connectors: PathBuf,
    sluice: PathBuf,
    quick: bool,
    only: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        // Parts of the bench that run as processes of their own.
        Some("network") => network::serve().map(|()| true),
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
    let (mut connectors, mut sluice, mut quick, mut only) = (None, None, false, None);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--connectors" => connectors = arguments.next().map(PathBuf::from),
            "--sluice" => sluice = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next().filter(|part| ["map", "end-to-end", "swap"].contains(&part.as_str())),
            other => bail!("`{other}` is no argument\n{USAGE}"),
        }
    }
    let connectors = connectors.context(USAGE)?;
    Ok(Arguments { connectors, sluice: sluice.context(USAGE)?, quick, only })
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
    if wanted("swap") {
        report.swap = Some(swap::measure(&arguments.sluice, &arguments.connectors)?);
        report.print_swap();
    }
    let file = arguments.connectors.parent().unwrap_or(&arguments.connectors).join("bench.json");
    std::fs::write(&file, format!("{}\n", serde_json::to_string(&report)?))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nas JSON: {}", file.display());
    Ok(report.holds())
}
