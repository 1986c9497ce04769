//! Counters of what a service does. Labels are bounded: networks by their name in the settings, outcomes, error kinds;
//! rules of alarms and their severities; never accounts, ids or texts that a network sends.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use sluice_model::{Alarm, AlarmState, Severity};
use sluice_state::ServiceStats;

use crate::alarms::rule::Rule;
use crate::run::RunReport;

/// Says what each metric is, once for an exporter, and shows that nothing is held yet.
pub fn describe() {
    show(&ServiceStats::default());
    describe_counter!("sluice_runs_total", "Runs that ended, by network and outcome");
    describe_histogram!("sluice_run_seconds", Unit::Seconds, "Time of runs that ended, by network");
    describe_counter!("sluice_slices_total", "Slices of ended runs, by network and outcome: read, failed or doubtful");
    describe_counter!("sluice_requests_total", "Requests that runs sent, retries included, by network");
    describe_counter!("sluice_received_bytes_total", Unit::Bytes, "Bytes that runs received, by network");
    describe_counter!("sluice_records_total", "Records in the answers, by network");
    describe_counter!("sluice_new_versions_total", "New versions of transactions, by network");
    describe_counter!("sluice_rejects_total", "Records that could not be mapped, by network");
    describe_counter!(
        "sluice_guest_cpu_milliseconds_total",
        Unit::Milliseconds,
        "Processor time of connectors, by network"
    );
    describe_gauge!("sluice_alarms", "Alarms that are open or acknowledged, by rule and severity");
    describe_gauge!("sluice_runs_in_flight", "Runs in flight in this process");
    describe_gauge!("sluice_connectors", "Compiled connectors in memory");
    describe_gauge!("sluice_guest_memory_bytes", Unit::Bytes, "Linear memory of guests in flight");
    describe_gauge!("sluice_allocated_bytes", Unit::Bytes, "What the process has allocated and not given back");
    describe_gauge!("sluice_resident_bytes", Unit::Bytes, "Memory of the process");
}

/// Counts a run that ended.
pub fn count_run(report: &RunReport) {
    let network = || report.network.clone();
    counter!("sluice_runs_total", "network" => network(), "outcome" => report.status).increment(1);
    let took = (report.finished_at - report.started_at).as_seconds_f64();
    histogram!("sluice_run_seconds", "network" => network()).record(took);
    let read = report.slices.saturating_sub(report.slices_failed + report.slices_doubtful);
    for (outcome, slices) in [("read", read), ("failed", report.slices_failed), ("doubtful", report.slices_doubtful)] {
        counter!("sluice_slices_total", "network" => network(), "outcome" => outcome).increment(slices);
    }
    counter!("sluice_requests_total", "network" => network()).increment(report.requests);
    counter!("sluice_received_bytes_total", "network" => network()).increment(report.bytes);
    counter!("sluice_records_total", "network" => network()).increment(report.records);
    counter!("sluice_new_versions_total", "network" => network()).increment(report.new_versions);
    counter!("sluice_rejects_total", "network" => network()).increment(report.rejects);
    counter!("sluice_guest_cpu_milliseconds_total", "network" => network()).increment(report.guest_cpu_ms);
}

/// Shows the alarms that aren't resolved, of all hosts.
pub fn show_alarms(alarms: &[Alarm]) {
    let is_shown = |alarm: &&Alarm| matches!(alarm.state, AlarmState::Open | AlarmState::Acknowledged);
    for (rule, severity) in Rule::ALL.into_iter().flat_map(|rule| Severity::ALL.map(|severity| (rule.name(), severity)))
    {
        let of = alarms.iter().filter(is_shown).filter(|alarm| alarm.rule == rule && alarm.severity == severity);
        gauge!("sluice_alarms", "rule" => rule, "severity" => severity.name()).set(of.count() as f64);
    }
}

/// Shows what a service holds.
pub fn show(stats: &ServiceStats) {
    gauge!("sluice_runs_in_flight").set(stats.runs as f64);
    gauge!("sluice_connectors").set(stats.connectors as f64);
    gauge!("sluice_guest_memory_bytes").set(stats.memory_bytes as f64);
    if let Some(bytes) = stats.allocated_bytes {
        gauge!("sluice_allocated_bytes").set(bytes as f64);
    }
    if let Some(bytes) = stats.resident_bytes {
        gauge!("sluice_resident_bytes").set(bytes as f64);
    }
}
