//! `sluice erase`: replaces a person's identifiers by stand-ins, everywhere.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use sluice_runtime::app::App;
use sluice_runtime::erase::{self, ErasureReport, ErasureRequest};
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;

use super::print_json;
use crate::arguments::EraseArgs;
use crate::progress::Display;

/// Erases values after it was confirmed, or shows what that would change.
///
/// # Errors
/// A value that can't be erased, and nobody to confirm it; the failures of the lake, the state store and published databases.
pub(super) async fn erase(settings: Settings, args: &EraseArgs, json: bool) -> Result<(), Failure> {
    let request = request(args)?;
    if !args.dry_run && !args.yes {
        confirm()?;
    }
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    let report = if args.dry_run { erase::plan(&app, &request).await } else { erase::erase(&app, &request).await };
    drop(display);
    print(&report?, json)
}

fn request(args: &EraseArgs) -> Result<ErasureRequest, Failure> {
    if args.again {
        return Ok(ErasureRequest::Again);
    }
    let mut values = Vec::new();
    for value in args.sub_id.iter().chain(&args.order) {
        match value.as_str() {
            "-" => {
                for line in std::io::stdin().lock().lines() {
                    values.extend(Some(line?).filter(|line| !line.is_empty()));
                }
            }
            value => values.push(value.to_owned()),
        }
    }
    values.sort_unstable();
    values.dedup();
    if values.is_empty() {
        Err(Failure::usage("there is no value to erase").hint("write values to standard input, one a line"))
    } else {
        Ok(ErasureRequest::Values(values))
    }
}

/// Asks on a terminal.
fn confirm() -> Result<(), Failure> {
    let refused = |why: &str| {
        Failure::usage(format!("nothing was erased: {why}"))
            .hint("look at what it would change with --dry-run, then run it with --yes")
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused("there is no terminal to confirm it on"));
    }
    let mut err = std::io::stderr();
    write!(err, "erasing can't be undone, and earlier versions of the tables are deleted with it. Erase? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused("it wasn't confirmed")),
    }
}

fn print(report: &ErasureReport, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(report);
    }
    let mut out = std::io::stdout();
    for line in report.lines() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
