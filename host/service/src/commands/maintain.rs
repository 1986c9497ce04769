//! `sluice maintain`: looks after the lake's tables and raw now.

use std::io::Write;

use chrono::Utc;

use crate::app;
use crate::cli::MaintainArgs;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::upkeep::{self, RAW, UpkeepReport};

/// Looks after all tables and raw, or one of them, and says what was done.
///
/// # Errors
/// The lake's failure, after all tables had their turn.
pub(super) async fn maintain(settings: &Settings, args: &MaintainArgs, json: bool) -> Result<(), Failure> {
    let lake = app::open_writable_lake(settings).await?;
    let mut tables = lake.tables().await?;
    let mut keep_raw = settings.upkeep.keep_raw;
    if let Some(wanted) = &args.table {
        let mut names: Vec<String> = tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
        names.extend(keep_raw.map(|_| RAW.to_owned()));
        tables.retain(|table| format!("{}.{}", table.schema, table.name) == *wanted);
        keep_raw = keep_raw.filter(|_| wanted == RAW);
        if tables.is_empty() && keep_raw.is_none() {
            return Err(Failure::usage(format!("there is no table `{wanted}`")).hint(match names.is_empty() {
                true => "the lake has no tables yet".to_owned(),
                false => format!("there are: {}", names.join(", ")),
            }));
        }
    }
    let upkeep = sluice_lake::Upkeep { dry_run: args.dry_run, ..settings.upkeep.tables.clone() };
    let mut reports: Vec<UpkeepReport> = Vec::new();
    let say = |report: &UpkeepReport| match json {
        true => Ok(()),
        false => writeln!(std::io::stdout(), "{}", upkeep::line(report, args.dry_run)),
    };
    for table in &tables {
        let report = upkeep::table(&lake, table, &upkeep, Utc::now()).await;
        say(&report)?;
        reports.push(report);
    }
    if let Some(keep) = keep_raw {
        let report = upkeep::raw(&lake, keep, args.dry_run, Utc::now()).await;
        say(&report)?;
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
