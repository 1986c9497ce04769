//! What a running service holds in memory, so that a leak shows: logged when it comes to rest, recorded in the state
//! store for `sluice status`.

use std::time::Duration;

use chrono::Utc;
use sluice_state::{ServiceStats, host};
use tokio::time::Instant;

use crate::app::App;
use crate::failure::Failure;
use crate::roles::Roles;
use crate::telemetry;

/// How often it is noted, if nothing changes.
const EVERY: Duration = Duration::from_secs(10);

/// Records what a service holds.
pub struct Heartbeat {
    id: String,
    last: ServiceStats,
    /// Runs that had ended then.
    ended: u64,
    note_at: Instant,
}

impl Heartbeat {
    /// Of a service that begins now.
    pub fn new(roles: &Roles) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        let last = ServiceStats {
            id: id.clone(),
            host: host(),
            process: std::process::id(),
            started_at: Utc::now(),
            roles: roles.names(),
            ..ServiceStats::default()
        };
        Self { id, last, ended: 0, note_at: Instant::now() }
    }

    /// Measures while this many runs are in flight, and so many have ended; records and logs when that is due.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn record(&mut self, app: &App, runs: usize, ended: u64) -> Result<(), Failure> {
        let before = std::mem::take(&mut self.last);
        self.last = taken(app, runs, &before);
        telemetry::show(&self.last);
        // A run may begin and end between two measurements.
        let has_changed = self.last.counts() != before.counts() || ended != self.ended;
        self.ended = ended;
        if !has_changed && Instant::now() < self.note_at {
            return Ok(());
        }
        self.note_at = Instant::now() + EVERY;
        let noted = app.state.note_service(&self.id, &self.last).await;
        // The log and the status show the same.
        if has_changed {
            log_stats(&self.last, &before);
        }
        Ok(noted?)
    }

    /// Takes the note back: the service ends in order.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn end(self, app: &App) -> Result<(), Failure> {
        Ok(app.state.forget_service(&self.id).await?)
    }
}

fn taken(app: &App, runs: usize, before: &ServiceStats) -> ServiceStats {
    let noted_at = Utc::now();
    let (live, connectors_held) = (app.registry.engine().live(), app.registry.held());
    let is_left_over = runs == 0 && live.connectors > connectors_held;
    ServiceStats {
        id: before.id.clone(),
        host: before.host.clone(),
        process: before.process,
        started_at: before.started_at,
        noted_at,
        roles: before.roles.clone(),
        query_address: app.query_address.get().cloned(),
        runs,
        connectors: live.connectors,
        code_bytes: live.code_bytes,
        connectors_held,
        left_over_since: is_left_over.then(|| before.left_over_since.unwrap_or(noted_at)),
        instances: live.instances,
        orphaned_threads: app.guests.orphaned(),
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
    if now.runs == 0 && now.orphaned_threads > 0 {
        let ServiceStats { orphaned_threads, instances, memory_bytes, .. } = now;
        tracing::warn!(
            orphaned_threads,
            instances,
            memory_bytes,
            "no run is in flight, and threads of guests outlive their slices"
        );
    } else if now.runs == 0 {
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
pub(crate) fn allocated_bytes() -> Option<u64> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

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
