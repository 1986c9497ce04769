//! `sluice-simulator`: prints one JSON line (origins, accounts, control, clock), then serves until stdin closes.

use chrono::{DateTime, Utc};
use sluice_simulator::{Error, Fault, Options, Simulator};
use std::error::Error as _;
use std::io::Write;
use tokio::io::AsyncReadExt;

const USAGE: &str = "usage: sluice-simulator [--seed N] [--start RFC3339] [--history-days N] [--rows-per-day N] \
    [--bulk-rows N] [--port-base PORT] [--fault-share 0..1] [--fault-kinds status429,reset,…|all] [--fault-max N] \
    [--cj-page-limit N] [--token-life-secs N] [--rate-limits] [--duplicate-rows] [--changed-type] \
    [--new-field-from RFC3339]";

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match run().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("error: {error}{cause}\n{USAGE}");
            std::process::ExitCode::from(if matches!(error, Error::Argument { .. }) { 2 } else { 1 })
        }
    }
}

async fn run() -> Result<(), Error> {
    let simulator = Simulator::start(options(std::env::args().skip(1))?).await?;
    let line = serde_json::json!({
        "origins": simulator.origins(),
        "control": simulator.control(),
        "clock": simulator.clock(),
        "accounts": simulator.accounts(),
    });
    let mut out = std::io::stdout();
    // Whoever doesn't read the line can still talk to fixed ports.
    let _unread = writeln!(out, "{line}").and_then(|()| out.flush());
    let mut buffer = [0_u8; 1024];
    let mut input = tokio::io::stdin();
    while input.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, Error> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let fails = |why: &str| Error::Argument { argument: argument.clone(), why: why.to_owned() };
        match argument.as_str() {
            "--rate-limits" => options.enforce_rate_limits = true,
            "--duplicate-rows" => options.shapes.duplicate_rows = true,
            "--changed-type" => options.shapes.changed_type = true,
            name => {
                let value = arguments.next().ok_or_else(|| fails("unknown, or its value is missing"))?;
                put(&mut options, name, &value).ok_or_else(|| fails("unknown, or its value can't be read"))?;
            }
        }
    }
    Ok(options)
}

fn put(options: &mut Options, name: &str, value: &str) -> Option<()> {
    match name {
        "--seed" => options.seed = value.parse().ok()?,
        "--start" => options.start = time(value)?,
        "--history-days" => options.history_days = value.parse().ok()?,
        "--rows-per-day" => options.rows_per_day = value.parse().ok()?,
        "--bulk-rows" => options.bulk_rows = Some(value.parse().ok()?),
        "--port-base" => options.port_base = Some(value.parse().ok()?),
        "--fault-share" => {
            options.faults.share = value.parse().ok()?;
            if options.faults.kinds.is_empty() {
                options.faults.kinds = Fault::ALL.to_vec();
            }
        }
        "--fault-kinds" if value == "all" => options.faults.kinds = Fault::ALL.to_vec(),
        "--fault-kinds" => options.faults.kinds = value.split(',').map(Fault::of).collect::<Option<_>>()?,
        "--fault-max" => options.faults.max_per_request = value.parse().ok()?,
        "--cj-page-limit" => options.cj_page_limit = value.parse().ok()?,
        "--token-life-secs" => options.token_life_secs = value.parse().ok()?,
        "--new-field-from" => options.shapes.new_field_from = Some(time(value)?),
        _ => return None,
    }
    Some(())
}

fn time(value: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(value).ok()?.with_timezone(&Utc))
}
