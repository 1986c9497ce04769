//! `sluice publish`: brings outside databases up to the lake.

use std::io::Write;

use sluice_runtime::app::open_lake;
use sluice_runtime::failure::Failure;
use sluice_runtime::publish;
use sluice_runtime::settings::Settings;

use super::print_json;
use crate::arguments::PublishArgs;

/// Publishes what is new to all databases of the settings, or to one, and prints what was done.
///
/// # Errors
/// A failure of the settings, the lake or a database. What was done for others is kept.
pub(super) async fn publish(settings: &Settings, args: &PublishArgs, json: bool) -> Result<(), Failure> {
    let lake = open_lake(settings).await?;
    let reports = publish::publish(settings, &lake, args.database.as_deref(), args.rebuild).await?;
    if json {
        return print_json(&reports);
    }
    let mut out = std::io::stdout();
    for report in reports {
        writeln!(out, "{}", report.line())?;
    }
    Ok(())
}
