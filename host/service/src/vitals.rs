//! What a running service holds in memory, so that a leak shows: said in the log when it comes to rest, noted in the
//! state store for `sluice status`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::app::App;
use crate::failure::Failure;

/// How often it is noted, if nothing changes.
const EVERY: Duration = Duration::from_secs(10);
/// A service that has noted nothing for so long has ended without a word, or hangs.
const SILENT: TimeDelta = TimeDelta::minutes(1);
/// How long a connector may outlive its last run before it counts as leaked: a call that was given up ends at its
/// deadline, and a candidate is being tried.
const CONNECTOR_LINGER: TimeDelta = TimeDelta::minutes(2);

/// What a service holds at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStats {
    /// The machine, as it calls itself.
    pub host: String,
    /// The process on it.
    pub process: u32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The moment.
    pub noted_at: DateTime<Utc>,
    /// Runs in flight.
    pub runs: usize,
    /// Compiled connectors in memory.
    pub connectors: usize,
    /// Their machine code.
    pub code_bytes: usize,
    /// Of these, what the connectors' folder accounts for: those that serve and those that wait.
    pub connectors_held: usize,
    /// Since when there are more without a run in flight. For longer than two minutes: a leak.
    pub left_over_since: Option<DateTime<Utc>>,
    /// Calls of guests in flight.
    pub instances: u64,
    /// Linear memories of theirs.
    pub memories: usize,
    /// What these were granted.
    pub memory_bytes: usize,
    /// Memory that idle slots keep for the next calls.
    pub idle_bytes: usize,
    /// What the process has allocated and not given back; none with another allocator than jemalloc. Machine code and
    /// linear memories are mapped, and no part of it.
    pub allocated_bytes: Option<u64>,
    /// Memory of the whole process, with what the allocator keeps for later and the files that are mapped; none where
    /// the system doesn't say it.
    pub resident_bytes: Option<u64>,
}

impl ServiceStats {
    /// Whether the service noted it lately.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        now - self.noted_at < SILENT
    }

    /// How many connectors nothing accounts for, and have not for long.
    pub fn leaked(&self) -> usize {
        let for_long = self.left_over_since.is_some_and(|since| self.noted_at - since > CONNECTOR_LINGER);
        if for_long { self.connectors.saturating_sub(self.connectors_held) } else { 0 }
    }

    /// What changes only when something happens.
    fn counts(&self) -> [usize; 5] {
        [self.runs, self.connectors, self.connectors_held, self.memories, self.leaked()]
    }
}

/// Takes a service's vitals and tells them.
pub struct Heartbeat {
    id: String,
    last: ServiceStats,
    note_at: Instant,
}

impl Default for Heartbeat {
    /// Of a service that begins now.
    fn default() -> Self {
        let last = ServiceStats {
            host: host(),
            process: std::process::id(),
            started_at: Utc::now(),
            ..ServiceStats::default()
        };
        Self { id: uuid::Uuid::now_v7().to_string(), last, note_at: Instant::now() }
    }
}

impl Heartbeat {
    /// Takes them while so many runs are in flight; notes and says them if it's time to.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn record(&mut self, app: &App, runs: usize) -> Result<(), Failure> {
        let before = std::mem::take(&mut self.last);
        self.last = taken(app, runs, &before);
        let has_changed = self.last.counts() != before.counts();
        if !has_changed && Instant::now() < self.note_at {
            return Ok(());
        }
        self.note_at = Instant::now() + EVERY;
        let noted = app.state.note_vitals(&self.id, &self.last).await;
        // What the log says, the status then knows.
        if has_changed {
            log_stats(&self.last, &before);
        }
        noted
    }

    /// Takes the note back: the service ends in order.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn end(self, app: &App) -> Result<(), Failure> {
        app.state.forget_vitals(&self.id).await
    }
}

fn taken(app: &App, runs: usize, before: &ServiceStats) -> ServiceStats {
    let noted_at = Utc::now();
    let (live, connectors_held) = (app.registry.engine().live(), app.registry.held());
    let is_left_over = runs == 0 && live.connectors > connectors_held;
    ServiceStats {
        host: before.host.clone(),
        process: before.process,
        started_at: before.started_at,
        noted_at,
        runs,
        connectors: live.connectors,
        code_bytes: live.code_bytes,
        connectors_held,
        left_over_since: is_left_over.then(|| before.left_over_since.unwrap_or(noted_at)),
        instances: live.instances,
        memories: live.memories,
        memory_bytes: live.memory_bytes,
        idle_bytes: live.idle_bytes,
        allocated_bytes: allocated_bytes(),
        resident_bytes: resident_bytes(),
    }
}

fn log_stats(now: &ServiceStats, before: &ServiceStats) {
    if now.leaked() > before.leaked() {
        tracing::error!(left_over = now.leaked(), since = ?now.left_over_since, "connectors stay in memory that nothing needs");
    }
    if now.runs == 0 {
        let ServiceStats { connectors, connectors_held, instances, memories, memory_bytes, idle_bytes, .. } = now;
        let ServiceStats { code_bytes, allocated_bytes, resident_bytes, .. } = now;
        tracing::info!(
            connectors,
            connectors_held,
            code_bytes,
            instances,
            memories,
            memory_bytes,
            idle_bytes,
            allocated_bytes,
            resident_bytes,
            "at rest"
        );
    }
}

/// What this process has allocated and not given back; none in a program with another allocator.
fn allocated_bytes() -> Option<u64> {
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    let bytes = tikv_jemalloc_ctl::stats::allocated::read().ok()?;
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

/// Memory of this process that is in the machine's.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The machine, as it calls itself.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_lingers_is_a_leak_only_after_a_while() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let since = |since: Option<TimeDelta>| ServiceStats {
            noted_at: now,
            connectors: 3,
            connectors_held: 1,
            left_over_since: since.map(|since| now - since),
            ..ServiceStats::default()
        };
        assert_eq!(since(None).leaked(), 0, "a run holds them");
        assert_eq!(since(Some(TimeDelta::seconds(10))).leaked(), 0);
        assert_eq!(since(Some(TimeDelta::minutes(3))).leaked(), 2);
        assert!(since(None).is_fresh(now) && !since(None).is_fresh(now + SILENT));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_has_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn what_is_allocated_is_counted_until_it_is_given_back() {
        let before = allocated_bytes().unwrap();
        let taken = std::hint::black_box(Vec::<u8>::with_capacity(1 << 30));
        assert!(allocated_bytes().unwrap() >= before + (1 << 29), "other tests run beside");
        drop(taken);
    }
}
