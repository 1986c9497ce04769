//! How settings, networks and services are.

use utoipa::ToSchema;

use super::held::Doubt;

/// What can be known to be wrong before a run.
#[derive(ToSchema)]
pub(in crate::api) struct CheckReport {
    networks: Vec<NetworkCheck>,
    /// Files of the connectors folder that may not serve.
    refused: Vec<RefusedFile>,
    /// What is wrong beside networks.
    problems: Vec<String>,
}

/// What was found of a network.
#[derive(ToSchema)]
struct NetworkCheck {
    /// Its name in the settings.
    network: String,
    connector: String,
    accounts: u64,
    #[schema(required)]
    schedule: Option<String>,
    /// The next moments of its schedule.
    next: Vec<String>,
    /// What an operator may not have meant.
    notes: Vec<String>,
    /// What is wrong.
    problems: Vec<String>,
}

/// A file that may not serve.
#[derive(ToSchema)]
struct RefusedFile {
    file: String,
    reason: String,
}

/// What was read and what is missing.
#[derive(ToSchema)]
pub(in crate::api) struct Status {
    networks: Vec<NetworkStatus>,
    streams: Vec<StreamStatus>,
    rejects: Vec<OpenRejects>,
    doubts: Vec<Doubt>,
    services: Vec<ServiceStatus>,
}

/// A network's streams, summed up.
#[derive(ToSchema)]
struct NetworkStatus {
    network: String,
    accounts: u64,
    streams: u64,
    fresh: u64,
    stale: u64,
    never_read: u64,
    unscheduled: u64,
    gaps: u64,
    /// The next moments of its schedule.
    next: Vec<String>,
    paused: Vec<Pause>,
}

/// What the schedule leaves alone.
#[derive(ToSchema)]
pub(in crate::api) struct Pause {
    /// The account's id; null: the whole network.
    #[schema(required)]
    account: Option<String>,
    paused_at: String,
    reason: String,
}

/// What was read of a stream by one date.
#[derive(ToSchema)]
pub(in crate::api) struct StreamStatus {
    network: String,
    account: String,
    stream: String,
    axis: String,
    /// `fresh`, `stale`, `never-read` or `unscheduled`.
    state: String,
    #[schema(required)]
    last_read_at: Option<String>,
    #[schema(required)]
    stale_at: Option<String>,
    #[schema(required)]
    read_since: Option<String>,
    #[schema(required)]
    read_until: Option<String>,
    #[schema(required)]
    last_failed_at: Option<String>,
    gaps: Vec<GapStatus>,
}

/// A window that is missing.
#[derive(ToSchema)]
struct GapStatus {
    since: String,
    until: String,
    /// `never-read` or `failed`.
    kind: String,
    #[schema(required)]
    failed_at: Option<String>,
    #[schema(required)]
    error: Option<String>,
    /// What reads it.
    command: String,
}

/// Records of a stream that could not be mapped.
#[derive(ToSchema)]
struct OpenRejects {
    network: String,
    account: String,
    stream: String,
    count: u64,
}

/// A service as it noted itself last, and what it holds in memory.
#[derive(ToSchema)]
struct ServiceStatus {
    /// Names the service among all that ever ran.
    id: String,
    /// Whether it reported in the last minute.
    running: bool,
    /// Connectors in memory that nothing has needed for minutes.
    leaked: u64,
    host: String,
    process: u64,
    started_at: String,
    noted_at: String,
    roles: Vec<String>,
    runs: u64,
    connectors: u64,
    code_bytes: u64,
    connectors_held: u64,
    #[schema(required)]
    left_over_since: Option<String>,
    instances: u64,
    orphaned_threads: u64,
    memories: u64,
    memory_bytes: u64,
    idle_bytes: u64,
    #[schema(required)]
    allocated_bytes: Option<u64>,
    #[schema(required)]
    resident_bytes: Option<u64>,
}
