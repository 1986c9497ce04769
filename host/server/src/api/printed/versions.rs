//! Versions of connectors, and how they differ.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A file of the connectors folder.
#[derive(ToSchema)]
pub(in crate::api) struct ConnectorEntry {
    file: String,
    #[schema(required)]
    network: Option<String>,
    #[schema(required)]
    version: Option<String>,
    #[schema(required)]
    contract: Option<String>,
    #[schema(required)]
    digest: Option<String>,
    state: String,
    /// Why it, or the version that waits, may not serve.
    #[schema(required)]
    reason: Option<String>,
    #[schema(required)]
    hint: Option<String>,
    #[schema(required)]
    candidate_version: Option<String>,
    #[schema(required)]
    candidate_digest: Option<String>,
}

/// How a version that waits differs from the one that serves.
#[derive(ToSchema)]
pub(in crate::api) struct VersionDiff {
    network: String,
    version: String,
    digest: String,
    /// `waiting`, `shadow` or `refused`; empty if it wasn't tried yet.
    state: String,
    /// On the latest kept responses; null: it wasn't tried yet.
    #[schema(required)]
    kept: Option<Trial>,
    /// On live responses, as a shadow; null: it isn't one.
    #[schema(required)]
    live: Option<Comparison>,
}

/// What a version did on the latest kept responses.
#[derive(ToSchema)]
struct Trial {
    /// Digest of the version that it was compared with; empty: none served.
    against: String,
    comparison: Comparison,
    /// What no decision overrides.
    #[schema(required)]
    fault: Option<String>,
    /// What may be wrong or intended.
    #[schema(required)]
    doubt: Option<String>,
}

/// How a candidate's rows differ from those of the version that serves.
#[derive(ToSchema)]
struct Comparison {
    slices: u64,
    responses: u64,
    records: Pair,
    transactions: Pair,
    /// Facts of other kinds, by their kind.
    facts: BTreeMap<String, Pair>,
    /// Transactions and other facts that only the version that waits gives.
    added: u64,
    removed: u64,
    changed: u64,
    /// In how many changed transactions each field differs, and as `payments.amount` in how many other facts.
    fields: BTreeMap<String, u64>,
    /// Responses in which a native column differs, by its path.
    columns: BTreeMap<String, u64>,
    /// Commissions by currency, in millionths.
    money: BTreeMap<String, Pair>,
    /// What payments pay, and commissions of items and aggregates, by kind and currency (`payments EUR`), in millionths.
    fact_money: BTreeMap<String, Pair>,
    rejects: Pair,
    unknown_statuses: Pair,
    /// Responses on which the candidate failed.
    faults: u64,
    #[schema(required)]
    first_fault: Option<String>,
}

/// A sum by the version that serves and by the candidate.
#[derive(ToSchema)]
struct Pair {
    running: i64,
    candidate: i64,
}

/// What another version of a connector would change: the `result` of a job of `/v1/replays`, beside further fields.
#[derive(ToSchema)]
pub(in crate::api) struct ReplayReport {
    network: String,
    connector: ReplayConnector,
    /// Whether nothing differs.
    empty: bool,
    responses: u64,
    compared: u64,
    added: Transactions,
    removed: Transactions,
    changed: Transactions,
    fields: BTreeMap<String, ChangedField>,
    /// Facts of other kinds, by their kind.
    facts: BTreeMap<String, ReplayedFacts>,
    /// By currency.
    totals: Vec<Total>,
    new_rejects: Rejects,
    gone_rejects: Rejects,
}

/// What it would change of facts of a kind, beside further fields.
#[derive(ToSchema)]
struct ReplayedFacts {
    compared: u64,
    added: FactCount,
    removed: FactCount,
    changed: FactCount,
    /// By currency: what payments pay, and commissions of items and aggregates.
    totals: Vec<Total>,
}

#[derive(ToSchema)]
struct FactCount {
    count: u64,
}

#[derive(ToSchema)]
struct ReplayConnector {
    network: String,
    version: String,
    digest: String,
}

#[derive(ToSchema)]
struct Transactions {
    count: u64,
    examples: Vec<TransactionName>,
}

#[derive(ToSchema)]
struct TransactionName {
    account: String,
    transaction_id: String,
}

#[derive(ToSchema)]
struct ChangedField {
    count: u64,
    examples: Vec<ChangedExample>,
}

#[derive(ToSchema)]
struct ChangedExample {
    account: String,
    transaction_id: String,
    #[schema(required)]
    before: Option<String>,
    #[schema(required)]
    after: Option<String>,
}

#[derive(ToSchema)]
struct Total {
    #[schema(required)]
    currency: Option<String>,
    before: String,
    after: String,
    difference: String,
    absolute: String,
}

#[derive(ToSchema)]
struct Rejects {
    count: u64,
}
