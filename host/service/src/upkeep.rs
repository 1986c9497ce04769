//! Upkeep of the lake: table after table, on command or by the service on its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sluice_lake::{Lake, Maintained, TableRef, Upkeep};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::app::App;
use crate::failure::Failure;

/// Under this name the state keeps when the lake was last looked after.
const LOOK: &str = "(upkeep)";
/// How often, at most, the service asks the state whether upkeep is due.
const ASK: Duration = Duration::from_secs(60);
/// How long to leave it after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);
/// How long upkeep waits for runs to end before it goes on beside them.
const MOST_PATIENCE: Duration = Duration::from_secs(3600);

/// What became of a table.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// Its name with its schema.
    pub table: String,
    /// Files of the table before.
    pub files: u64,
    /// Small files that were merged.
    pub merged_files: u64,
    /// Files that they were merged into.
    pub merged_into: u64,
    /// Bytes of the small files.
    pub merged_bytes: u64,
    /// Whether a checkpoint was written.
    pub checkpoint: bool,
    /// Data files that were deleted.
    pub deleted_files: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Entries of the log that were deleted.
    pub deleted_log_files: u64,
    /// What went wrong.
    pub error: Option<String>,
}

impl TableReport {
    /// Whether nothing was done, or had to be.
    pub fn is_idle(&self) -> bool {
        self.merged_files + self.deleted_files + self.deleted_log_files == 0 && !self.checkpoint && self.error.is_none()
    }
}

/// Looks after one table. A failure is in the report: it keeps no other table waiting.
pub async fn table(lake: &Lake, table: &TableRef, upkeep: &Upkeep, now: DateTime<Utc>) -> TableReport {
    let (done, error) = match lake.maintain(table, upkeep, now).await {
        Ok(done) => (done, None),
        Err(error) => (Maintained::default(), Some(Failure::from(error).render(false))),
    };
    TableReport {
        table: format!("{}.{}", table.schema, table.name),
        files: done.files,
        merged_files: done.merged_files,
        merged_into: done.merged_into,
        merged_bytes: done.merged_bytes,
        checkpoint: done.checkpoint,
        deleted_files: done.deleted_files,
        deleted_bytes: done.deleted_bytes,
        deleted_log_files: done.deleted_log_files,
        error,
    }
}

/// One line for people.
pub fn line(report: &TableReport, dry_run: bool) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
    let mut parts = Vec::new();
    if report.merged_files > 0 {
        let (files, all, into) = (report.merged_files, report.files, report.merged_into);
        parts.push(format!("{files} of {all} files merged into {into} ({})", mib(report.merged_bytes)));
    }
    if report.checkpoint {
        parts.push("a checkpoint written".to_owned());
    }
    if report.deleted_files > 0 {
        parts.push(format!("{} files deleted ({})", report.deleted_files, mib(report.deleted_bytes)));
    }
    if report.deleted_log_files > 0 {
        parts.push(format!("{} entries of the log deleted", report.deleted_log_files));
    }
    parts.extend(report.error.clone());
    let said = if report.is_idle() { format!("nothing to do ({} files)", report.files) } else { parts.join("; ") };
    format!("{}: {}{said}", report.table, if dry_run && !report.is_idle() { "to do: " } else { "" })
}

/// Looks after the lake while the service runs, when it is due and no run is in flight.
pub struct Keeper {
    ask_at: Instant,
    quiet: Arc<AtomicBool>,
    task: Option<JoinHandle<bool>>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self { ask_at: Instant::now(), quiet: Arc::new(AtomicBool::new(true)), task: None }
    }
}

impl Keeper {
    /// Begins upkeep if it is due; `quiet` says that no run is in flight.
    pub async fn tick(&mut self, app: &Arc<App>, quiet: bool) {
        self.quiet.store(quiet, Ordering::Relaxed);
        if let Some(task) = self.task.take_if(|task| task.is_finished()) {
            // What broke off is tried again like what failed.
            let well = task.await.unwrap_or(false);
            self.ask_at = Instant::now() + if well { Duration::ZERO } else { AFTER_FAILURE };
        }
        let Some(every) = app.settings.upkeep.every else { return };
        if self.task.is_some() || !quiet || Instant::now() < self.ask_at {
            return;
        }
        self.ask_at = Instant::now() + ASK.min(every.to_std().unwrap_or(ASK));
        match is_due(app, every).await {
            Ok(true) => self.task = Some(tokio::spawn(look_after(app.clone(), self.quiet.clone()))),
            Ok(false) => {}
            Err(failure) => tracing::error!("upkeep: {}", failure.render(false)),
        }
    }
}

impl Drop for Keeper {
    /// At any moment: what isn't committed is deleted by a later upkeep.
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn is_due(app: &App, every: TimeDelta) -> Result<bool, Failure> {
    let last = app.state.looks(LOOK).await?.get(&0).copied();
    Ok(last.is_none_or(|last| last + every <= Utc::now()))
}

/// Looks after all tables and gives whether it went well.
async fn look_after(app: Arc<App>, quiet: Arc<AtomicBool>) -> bool {
    let began = Utc::now();
    let tables = match app.lake.tables().await {
        Ok(tables) => tables,
        Err(error) => {
            tracing::error!("upkeep: {}", Failure::from(error).render(false));
            return false;
        }
    };
    let mut well = true;
    for table in tables {
        wait_for(&quiet).await;
        let report = self::table(&app.lake, &table, &app.settings.upkeep.tables, Utc::now()).await;
        well &= report.error.is_none();
        match &report.error {
            Some(_) => tracing::error!("upkeep: {}", line(&report, false)),
            None if report.is_idle() => tracing::debug!("upkeep: {}", line(&report, false)),
            None => tracing::info!("upkeep: {}", line(&report, false)),
        }
    }
    if well && let Err(failure) = app.state.note_looks(LOOK, &[0], began).await {
        tracing::error!("upkeep: {}", failure.render(false));
        return false;
    }
    tracing::info!("upkeep is done");
    well
}

/// Waits until no run is in flight, though not forever.
async fn wait_for(quiet: &AtomicBool) {
    let patience = Instant::now() + MOST_PATIENCE;
    while !quiet.load(Ordering::Relaxed) && Instant::now() < patience {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
