//! `sluice maintain`: maintains the lake's tables and raw now.

use std::io::Write;

use chrono::Utc;

use sluice_runtime::app;
use sluice_runtime::failure::Failure;
use sluice_runtime::maintenance::{self, MaintenanceReport, RAW};
use sluice_runtime::meter::Unit;
use sluice_runtime::settings::Settings;

use crate::arguments::MaintainArgs;
use crate::progress::{Display, above};

/// Maintains all tables and raw, or one of them, and prints what was done.
///
/// # Errors
/// The lake's failure, after all tables had their turn.
pub(super) async fn maintain(settings: &Settings, args: &MaintainArgs, json: bool) -> Result<(), Failure> {
    let display = Display::start(json);
    let meter = display.meter();
    let lake = app::open_writable_lake(settings).await?;
    let mut tables = lake.tables().await?;
    let mut keep_raw = settings.maintenance.keep_raw;
    if let Some(wanted) = &args.table {
        let mut names: Vec<String> = tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
        names.extend(keep_raw.map(|_| RAW.to_owned()));
        tables.retain(|table| format!("{}.{}", table.schema, table.name) == *wanted);
        keep_raw = keep_raw.filter(|_| wanted == RAW);
        if tables.is_empty() && keep_raw.is_none() {
            return Err(Failure::usage(format!("there is no table `{wanted}`")).hint(if names.is_empty() {
                "the lake has no tables yet".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            }));
        }
    }
    let options = sluice_lake::Upkeep { dry_run: args.dry_run, ..settings.maintenance.tables.clone() };
    let mut reports: Vec<MaintenanceReport> = Vec::new();
    let print = |report: &MaintenanceReport| {
        if json { Ok(()) } else { above(|| writeln!(std::io::stdout(), "{}", maintenance::line(report, args.dry_run))) }
    };
    meter.begin("maintain", Unit::Tables, (tables.len() + usize::from(keep_raw.is_some())) as u64);
    for table in &tables {
        meter.rename(format!("maintain {}.{}", table.schema, table.name));
        let report = maintenance::table(&lake, table, &options, Utc::now()).await;
        meter.done(Unit::Tables);
        print(&report)?;
        reports.push(report);
    }
    if let Some(keep) = keep_raw {
        meter.rename(format!("maintain {RAW}"));
        let report = maintenance::raw(&lake, keep, args.dry_run, Utc::now()).await;
        meter.done(Unit::Tables);
        print(&report)?;
        reports.push(report);
    }
    drop(display);
    if json {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &reports).map_err(Failure::failed)?;
        writeln!(out)?;
    }
    let failed: Vec<&str> = reports.iter().filter(|r| r.error.is_some()).map(|r| r.table.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(anyhow::anyhow!("maintenance of {} failed", failed.join(", ")))
        .hint("the table's line above says why; what was done for the others is kept"))
}
