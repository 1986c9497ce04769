//! What waits for somebody: alarms and doubts.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A fault that a person should know of.
#[derive(ToSchema)]
pub(in crate::api) struct Alarm {
    alarm_id: String,
    /// The rule that found it.
    rule: String,
    /// What the rule found it of.
    subject: String,
    #[schema(required)]
    network: Option<String>,
    #[schema(required)]
    account: Option<String>,
    #[schema(required)]
    stream: Option<String>,
    #[schema(required)]
    host: Option<String>,
    /// `info`, `warning` or `critical`.
    severity: AlarmSeverity,
    state: AlarmState,
    /// What is wrong, on one line.
    summary: String,
    /// What shows it.
    evidence: String,
    /// What to do about it.
    advice: String,
    opened_at: String,
    #[schema(required)]
    acknowledged_at: Option<String>,
    #[schema(required)]
    acknowledged_by: Option<String>,
    #[schema(required)]
    snoozed_until: Option<String>,
    #[schema(required)]
    resolved_at: Option<String>,
    noted_at: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
enum AlarmSeverity {
    Info,
    Warning,
    Critical,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
enum AlarmState {
    Pending,
    Open,
    Acknowledged,
    Resolved,
}

/// An answer that is held back.
#[derive(ToSchema)]
pub(in crate::api) struct Doubt {
    doubt_id: String,
    network: String,
    account: String,
    stream: String,
    axis: String,
    since: String,
    until: String,
    run_id: String,
    /// The rule that found it; of several the first.
    kind: String,
    #[schema(required)]
    field: Option<String>,
    /// Everything that is doubted.
    reason: String,
    request_ids: Vec<String>,
    records: u64,
    /// Commission by currency that the tables hold of the window.
    money_in_tables: BTreeMap<String, String>,
    /// Commission by currency that the held responses state.
    money_in_answer: BTreeMap<String, String>,
    connector_version: String,
    found_at: String,
    agrees_since: String,
    state: DoubtState,
    #[schema(required)]
    decided_at: Option<String>,
    #[schema(required)]
    decided_by: Option<String>,
    #[schema(required)]
    decision: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
enum DoubtState {
    Open,
    Accepted,
    Rejected,
    Superseded,
}
