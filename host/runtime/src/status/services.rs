//! The services that run on a state store, and what they hold in memory.

use chrono::{DateTime, Utc};
use serde::Serialize;

use sluice_state::ServiceStats;

use super::rfc3339;
use crate::text::count;

/// A service as it noted itself last.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    /// Whether it reported in the last minute.
    running: bool,
    /// Connectors in memory that nothing has needed for minutes.
    leaked: usize,
    #[serde(flatten)]
    vitals: ServiceStats,
}

pub(super) fn services(noted: Vec<ServiceStats>, now: DateTime<Utc>) -> Vec<ServiceStatus> {
    let service =
        |vitals: ServiceStats| ServiceStatus { running: vitals.is_fresh(now), leaked: vitals.leaked(), vitals };
    noted.into_iter().map(service).collect()
}

impl ServiceStatus {
    /// A line for people, and one more if something is wrong.
    pub fn lines(&self) -> String {
        lines(self)
    }
}

fn lines(service: &ServiceStatus) -> String {
    let ServiceStatus { running, leaked, vitals } = service;
    let ServiceStats { host, process, connectors, connectors_held, instances, .. } = vitals;
    let began = rfc3339(vitals.started_at);
    if !running {
        let last = rfc3339(vitals.noted_at);
        return format!("service {process} on {host} since {began}: last reported {last}\n");
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
    let resident = vitals.resident_bytes.map(|bytes| format!(", {} in all", mib(bytes))).unwrap_or_default();
    let (granted, idle) = (mib(vitals.memory_bytes as u64), mib(vitals.idle_bytes as u64));
    let mut text = format!(
        "service {process} on {host} since {began}: {}, {} in memory ({connectors_held} in the folder), {} with \
         {granted}, {idle} kept for the next{resident}\n",
        count(vitals.runs as u64, "run"),
        count(*connectors as u64, "connector"),
        count(*instances, "guest call"),
    );
    if vitals.orphaned_threads > 0 {
        text.push_str(&format!(
            "  orphaned threads: {}: their slices have ended, and each ends at its call's deadline\n",
            vitals.orphaned_threads
        ));
    }
    if *leaked > 0 {
        text.push_str(&format!(
            "  {} in memory that nothing needs: a fault of sluice\n    restart the service\n",
            count(*leaked as u64, "connector")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_leak_and_a_silence_are_shown() {
        let now: DateTime<Utc> = "2026-02-01T10:00:00Z".parse().unwrap();
        let vitals = ServiceStats {
            host: "blue".to_owned(),
            process: 7,
            started_at: "2026-02-01T08:00:00Z".parse().unwrap(),
            noted_at: now - TimeDelta::seconds(5),
            connectors: 3,
            connectors_held: 2,
            idle_bytes: 3 << 19,
            resident_bytes: Some(150 << 20),
            ..ServiceStats::default()
        };
        let render = |vitals: ServiceStats| services(vec![vitals], now).iter().map(lines).collect::<String>();
        let well = "service 7 on blue since 2026-02-01T08:00:00Z: 0 runs, 3 connectors in memory (2 in the folder), 0 \
                    guest calls with 0.0 MiB, 1.5 MiB kept for the next, 150.0 MiB in all\n";
        assert_eq!(render(vitals.clone()), well);
        let left_over_since = Some("2026-02-01T09:00:00Z".parse().unwrap());
        let leak = "  1 connector in memory that nothing needs: a fault of sluice\n    restart the service\n";
        assert_eq!(render(ServiceStats { left_over_since, ..vitals.clone() }), [well, leak].concat());
        let orphan = "  orphaned threads: 2: their slices have ended, and each ends at its call's deadline\n";
        assert_eq!(render(ServiceStats { orphaned_threads: 2, ..vitals.clone() }), [well, orphan].concat());
        let silent = ServiceStats { noted_at: now - TimeDelta::hours(1), ..vitals };
        let words = "service 7 on blue since 2026-02-01T08:00:00Z: last reported 2026-02-01T09:00:00Z\n";
        assert_eq!(render(silent), words);
    }
}
