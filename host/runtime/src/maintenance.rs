//! Maintenance of the lake: table after table, then raw, on command or by the service on its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sluice_lake::{Lake, Maintained, RawRetired, TableRef, Upkeep};
use sluice_model::describe;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::app::App;
use crate::failure::Failure;
use crate::schedule::has_come;

/// How often, at most, the service asks the state whether maintenance is due.
const ASK: Duration = Duration::from_secs(60);
/// How long to leave it after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);
/// How long maintenance that is due waits for runs to end, all in all: then it goes on while they run.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// How late maintenance may be before a person should know.
const OVERDUE: TimeDelta = TimeDelta::hours(6);

/// What is claimed for maintenance: no network has this name.
pub(crate) const LAKE: &str = "";

/// The name of raw among tables.
pub const RAW: &str = "raw.objects";

/// The outcome for a table, or for raw.
#[derive(Clone, Debug, Serialize)]
pub struct MaintenanceReport {
    /// Its name with its schema.
    pub table: String,
    /// What was done.
    #[serde(flatten)]
    pub done: Done,
    /// What went wrong.
    pub error: Option<String>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Done {
    /// To a table.
    Table(Maintained),
    /// To raw.
    Raw(RawRetired),
}

impl MaintenanceReport {
    fn of<T: Default>(table: String, outcome: Result<T, sluice_lake::Error>, done: fn(T) -> Done) -> Self {
        let (outcome, error) = match outcome {
            Ok(outcome) => (outcome, None),
            Err(error) => (T::default(), Some(Failure::from(error).render(false))),
        };
        Self { table, done: done(outcome), error }
    }

    /// Whether nothing was done, or had to be.
    pub fn is_idle(&self) -> bool {
        let idle = match self.done {
            Done::Table(done) => done == Maintained { files: done.files, ..Maintained::default() },
            Done::Raw(done) => done == RawRetired::default(),
        };
        idle && self.error.is_none()
    }
}

/// Looks after one table. A failure is in the report: it keeps no other table waiting.
pub async fn table(lake: &Lake, table: &TableRef, options: &Upkeep, now: DateTime<Utc>) -> MaintenanceReport {
    let name = format!("{}.{}", table.schema, table.name);
    MaintenanceReport::of(name, lake.maintain(table, options, now).await, Done::Table)
}

/// Deletes from raw what is older than it is kept. A failure is in the report.
pub async fn raw(lake: &Lake, keep: TimeDelta, dry_run: bool, now: DateTime<Utc>) -> MaintenanceReport {
    MaintenanceReport::of(RAW.to_owned(), lake.retire_raw(keep, dry_run, now).await, Done::Raw)
}

/// One line for people.
pub fn line(report: &MaintenanceReport, dry_run: bool) -> String {
    let mut parts = match &report.done {
        Done::Table(done) => table_parts(done),
        Done::Raw(done) => raw_parts(done),
    };
    parts.extend(report.error.clone());
    let details = match (report.is_idle(), &report.done) {
        (true, Done::Table(done)) => format!("nothing to do ({} files)", done.files),
        (true, Done::Raw(_)) => "nothing to do".to_owned(),
        (false, _) => parts.join("; "),
    };
    format!("{}: {}{details}", report.table, if dry_run && !report.is_idle() { "to do: " } else { "" })
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

fn table_parts(done: &Maintained) -> Vec<String> {
    let mut parts = Vec::new();
    if done.merged_files > 0 {
        let (files, all, into) = (done.merged_files, done.files, done.merged_into);
        parts.push(format!("{files} of {all} files merged into {into} ({})", mib(done.merged_bytes)));
    }
    if done.checkpoint {
        parts.push("a checkpoint written".to_owned());
    }
    if done.deleted_files > 0 {
        parts.push(format!("{} files deleted ({})", done.deleted_files, mib(done.deleted_bytes)));
    }
    if done.deleted_log_files > 0 {
        parts.push(format!("{} entries of the log deleted", done.deleted_log_files));
    }
    parts
}

fn raw_parts(done: &RawRetired) -> Vec<String> {
    let mut parts = Vec::new();
    if done.retired_runs > 0 {
        parts.push(format!("{} responses of {} runs deleted", done.retired_responses, done.retired_runs));
    }
    if done.stranded_rejects > 0 {
        parts.push(format!("{} open rejects can't be tried again any more", done.stranded_rejects));
    }
    if done.set_aside_bodies > 0 {
        parts.push(format!("{} bodies set aside, to be deleted by a later maintenance", done.set_aside_bodies));
    }
    if done.restored_bodies > 0 {
        parts.push(format!("{} bodies put back", done.restored_bodies));
    }
    if done.deleted_bodies > 0 {
        parts.push(format!("{} bodies deleted ({})", done.deleted_bodies, mib(done.deleted_bytes)));
    }
    parts
}

/// Looks after the lake while the service runs: when it is due and no run is in flight, or it has waited long enough for that.
pub struct MaintenanceScheduler {
    ask_at: Instant,
    /// Since when it is due and waits.
    due_since: Option<Instant>,
    quiet: Arc<AtomicBool>,
    task: Option<JoinHandle<bool>>,
}

impl Default for MaintenanceScheduler {
    fn default() -> Self {
        Self { ask_at: Instant::now(), due_since: None, quiet: Arc::new(AtomicBool::new(true)), task: None }
    }
}

impl MaintenanceScheduler {
    /// Begins maintenance if it is due; `quiet`: no run is in flight.
    pub async fn tick(&mut self, app: &Arc<App>, quiet: bool) {
        self.quiet.store(quiet, Ordering::Relaxed);
        if let Some(task) = self.task.take_if(|task| task.is_finished()) {
            // A task that panicked is retried like one that failed.
            if !task.await.unwrap_or(false) {
                self.ask_at = Instant::now() + AFTER_FAILURE;
            }
        }
        let Some(every) = app.settings.maintenance.every else { return };
        if self.task.is_some() {
            return;
        }
        let now = Instant::now();
        if self.due_since.is_none() && now >= self.ask_at {
            self.ask_at = now + ASK.min(every.to_std().unwrap_or(ASK));
            match late(app, every).await {
                Ok(late) => self.due_since = late.map(|late| now.checked_sub(late).unwrap_or(now)),
                Err(failure) => tracing::error!("maintenance: {}", failure.render(false)),
            }
        }
        let Some(patience) = self.due_since.map(|since| MAX_WAIT.saturating_sub(since.elapsed())) else { return };
        if quiet || patience.is_zero() {
            self.due_since = None;
            self.task = Some(tokio::spawn(maintain_alone(app.clone(), self.quiet.clone(), every, now + patience)));
        }
    }
}

impl Drop for MaintenanceScheduler {
    /// At any moment: what isn't committed is deleted by a later maintenance.
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// For how long maintenance is due; none if it isn't.
async fn late(app: &App, every: TimeDelta) -> Result<Option<Duration>, Failure> {
    Ok(late_by(app.state.maintained_at().await?, every, Utc::now()))
}

/// The same, given when it was done last. What never was is due since now.
fn late_by(last: Option<DateTime<Utc>>, every: TimeDelta, now: DateTime<Utc>) -> Option<Duration> {
    match last.filter(|last| has_come(*last, now)) {
        Some(last) => (now - (last + every)).to_std().ok(),
        None => Some(Duration::ZERO),
    }
}

/// By how much maintenance is late, if a person should know.
///
/// # Errors
/// The state store's failure.
pub(crate) async fn overdue(app: &App, now: DateTime<Utc>) -> Result<Option<TimeDelta>, Failure> {
    let Some(every) = app.settings.maintenance.every else { return Ok(None) };
    let late = late_by(app.state.maintained_at().await?, every, now);
    Ok(late.and_then(|late| TimeDelta::from_std(late).ok()).filter(|late| *late >= OVERDUE))
}

/// Maintains the lake unless another service does or just has, and returns whether it went well.
async fn maintain_alone(app: Arc<App>, quiet: Arc<AtomicBool>, every: TimeDelta, patience: Instant) -> bool {
    let alone = async {
        let Some(claim) = app.state.try_claim(LAKE, &[]).await? else { return Ok(true) };
        let maintained = claim.guard(async {
            let is_due = late(&app, every).await?.is_some();
            Ok(!is_due || maintain(app.clone(), quiet, patience).await)
        });
        let maintained: Result<bool, Failure> = maintained.await;
        claim.release().await;
        maintained
    };
    alone.await.unwrap_or_else(|failure: Failure| {
        tracing::error!("maintenance: {}", failure.render(false));
        false
    })
}

/// Maintains all tables and raw, until then only while no run is in flight, and returns whether it went well.
async fn maintain(app: Arc<App>, quiet: Arc<AtomicBool>, until: Instant) -> bool {
    let began = Utc::now();
    let tables = match app.lake.tables().await {
        Ok(tables) => tables,
        Err(error) => {
            tracing::error!("maintenance: {}", Failure::from(error).render(false));
            return false;
        }
    };
    let mut well = true;
    for table in tables {
        wait_for(&quiet, until).await;
        let options = &app.settings.maintenance.tables;
        well &= log_report(&self::table(&app.lake, &table, options, Utc::now()).await);
    }
    if let Some(keep) = app.settings.maintenance.keep_raw {
        wait_for(&quiet, until).await;
        well &= log_report(&raw(&app.lake, keep, false, Utc::now()).await);
    }
    if well && let Err(error) = app.state.note_maintained(began).await {
        tracing::error!("maintenance: {}", describe(&error));
        return false;
    }
    tracing::info!("maintenance is done");
    well
}

/// Logs what was done, and returns whether it went well.
fn log_report(report: &MaintenanceReport) -> bool {
    let line = line(report, false);
    match &report.error {
        Some(_) => tracing::error!("maintenance: {line}"),
        None if report.is_idle() => tracing::debug!("maintenance: {line}"),
        None => tracing::info!("maintenance: {line}"),
    }
    report.error.is_none()
}

/// Waits until no run is in flight, though not forever.
async fn wait_for(quiet: &AtomicBool, until: Instant) {
    while !quiet.load(Ordering::Relaxed) && Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn maintenance_is_late_from_when_it_was_due() {
        let now: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().unwrap();
        let late = |hours: i64| late_by(Some(now - TimeDelta::hours(hours)), TimeDelta::days(1), now);
        assert_eq!((late(23), late(24)), (None, Some(Duration::ZERO)));
        assert_eq!(late(25), Some(MAX_WAIT));
        assert_eq!(late_by(None, TimeDelta::days(1), now), Some(Duration::ZERO));
        assert_eq!(late(-1), Some(Duration::ZERO), "a clock that was ahead noted it");
    }
}
