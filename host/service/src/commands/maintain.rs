//! `sluice maintain`: looks after the lake's tables now.

use std::io::Write;

use chrono::Utc;

use crate::app;
use crate::cli::MaintainArgs;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::upkeep::{self, TableReport};

/// Looks after all tables, or one, and says what was done.
///
/// # Errors
/// The lake's failure, after all tables had their turn.
pub(super) async fn maintain(settings: &Settings, args: &MaintainArgs, json: bool) -> Result<(), Failure> {
    let lake = app::open_writable_lake(settings).await?;
    let mut tables = lake.tables().await?;
    if let Some(wanted) = &args.table {
        let names: Vec<String> = tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
        tables.retain(|table| format!("{}.{}", table.schema, table.name) == *wanted);
        if tables.is_empty() {
            return Err(Failure::usage(format!("there is no table `{wanted}`")).hint(match names.is_empty() {
                true => "the lake has no tables yet".to_owned(),
                false => format!("there are: {}", names.join(", ")),
            }));
        }
    }
    let upkeep = sluice_lake::Upkeep { dry_run: args.dry_run, ..settings.upkeep.tables.clone() };
    let mut reports: Vec<TableReport> = Vec::new();
    for table in &tables {
        let report = upkeep::table(&lake, table, &upkeep, Utc::now()).await;
        if !json {
            writeln!(std::io::stdout(), "{}", upkeep::line(&report, args.dry_run))?;
        }
        reports.push(report);
    }
    if json {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &reports).map_err(Failure::failed)?;
        writeln!(out)?;
    }
    let failed: Vec<&str> = reports.iter().filter(|r| r.error.is_some()).map(|r| r.table.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(anyhow::anyhow!("upkeep of {} failed", failed.join(", ")))
        .hint("what was done stays done; look at the table's line, and run it again"))
}
