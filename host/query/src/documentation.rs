//! What users may know of the relations in `unified`, `meta` and `raw`: one sentence each, and one for each column.
//! `docs/data-model.md` is made from it; a test compares them.

use sluice_lake::{SYSTEM_TABLES, SystemTable};
use sluice_model::Fact;

use crate::unified_columns;

/// A table, view or table function.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Its name with its schema; a function has example arguments.
    pub name: String,
    /// What a row is.
    pub documentation: String,
    /// Where its columns are documented.
    columns: Columns,
}

/// Where columns are documented.
#[derive(Clone, Copy, Debug)]
enum Columns {
    /// Its columns are those of another relation.
    Of(&'static str),
    /// In the schema of a kind of facts.
    Unified(Fact),
    /// In the specification of a system table, and further ones here.
    System(&'static SystemTable, &'static [(&'static str, &'static str)]),
    /// Here; those that aren't are columns of transactions.
    View(&'static [(&'static str, &'static str)]),
}

impl Relation {
    /// The relation whose columns it has, if it has no own ones.
    pub fn columns_of(&self) -> Option<&'static str> {
        match self.columns {
            Columns::Of(name) => Some(name),
            _ => None,
        }
    }

    /// The kind of facts of which it has all versions.
    pub fn versions_of(&self) -> Option<Fact> {
        match self.columns {
            Columns::Unified(fact) => Some(fact),
            _ => None,
        }
    }

    /// What a column means; none for one that isn't documented.
    pub fn column(&self, name: &str) -> Option<String> {
        let named = |columns: &'static [(&str, &str)]| {
            columns.iter().find(|(column, _)| *column == name).map(|(_, documentation)| (*documentation).to_owned())
        };
        match self.columns {
            Columns::Of(_) => None,
            Columns::Unified(fact) => unified(fact, name),
            Columns::View(columns) => named(columns).or_else(|| unified(Fact::Transactions, name)),
            Columns::System(table, further) => {
                let column = table.columns.iter().find(|column| column.name == name);
                column.map(|column| column.documentation.to_owned()).or_else(|| named(further))
            }
        }
    }
}

fn unified(fact: Fact, name: &str) -> Option<String> {
    fact.columns().iter().find(|column| column.name == name).map(|column| column.description())
}

/// All relations that every lake has, in the order in which they are worth reading.
pub fn relations() -> Vec<Relation> {
    let relation = |name: &str, documentation: &str, columns| Relation {
        name: name.to_owned(),
        documentation: documentation.to_owned(),
        columns,
    };
    let mut relations: Vec<Relation> =
        UNIFIED.iter().map(|(name, text, columns)| relation(name, text, *columns)).collect();
    for table in SYSTEM_TABLES {
        let further = if table.name == "columns" { COUNTED } else { &[] };
        relations.push(relation(&format!("meta.{}", table.name), table.documentation, Columns::System(table, further)));
    }
    relations.extend(META.iter().map(|(name, text, columns)| relation(name, text, *columns)));
    relations
}

const UNIFIED: &[(&str, &str, Columns)] = &[
    (
        "unified.transaction_versions",
        "Every version of every transaction of all networks; rows are only ever added.",
        Columns::Unified(Fact::Transactions),
    ),
    (
        "unified.transactions",
        "The latest version of each transaction, also of those that are no longer there.",
        Columns::Of("unified.transaction_versions"),
    ),
    (
        "unified.live_transactions",
        "The latest version of each transaction that is there: neither vanished nor removed by a replay.",
        Columns::Of("unified.transaction_versions"),
    ),
    (
        "unified.as_of('2026-01-31')",
        "What `unified.live_transactions` was at a moment, by when each version was observed.",
        Columns::Of("unified.transaction_versions"),
    ),
    (
        "unified.restatements('2026-01-31', '2026-02-28')",
        "What changed between two moments, one row per transaction and currency.",
        Columns::View(RESTATEMENTS),
    ),
    (
        "unified.earnings_daily",
        "Amounts by day. Ask for one `basis`: a transaction is in each that it has a day for.",
        Columns::View(EARNINGS_DAILY),
    ),
    ("unified.unpaid", "Transactions that are approved or payable and not paid.", Columns::View(UNPAID)),
    (
        "unified.validation_latency",
        "Days from a transaction to the advertiser's decision, by advertiser.",
        Columns::View(VALIDATION_LATENCY),
    ),
    (
        "unified.suspected_duplicates",
        "Sales and leads that may be one, reported under several ids or to several accounts.",
        Columns::View(SUSPECTED_DUPLICATES),
    ),
    (
        "unified.transaction_item_versions",
        "Every version of every item of a transaction, where the network gives items; rows are only ever added.",
        Columns::Unified(Fact::Items),
    ),
    (
        "unified.transaction_items",
        "The latest version of each item, without those that a replay removed.",
        Columns::Of("unified.transaction_item_versions"),
    ),
    (
        "unified.payment_versions",
        "Every version of every payment of a network to the publisher; rows are only ever added.",
        Columns::Unified(Fact::Payments),
    ),
    (
        "unified.payments",
        "The latest version of each payment, without those that a replay removed.",
        Columns::Of("unified.payment_versions"),
    ),
    (
        "unified.programme_versions",
        "Every version of every programme that the network lists; rows are only ever added.",
        Columns::Unified(Fact::Programmes),
    ),
    (
        "unified.programmes",
        "The latest version of each programme, without those that a replay removed.",
        Columns::Of("unified.programme_versions"),
    ),
    (
        "unified.aggregate_versions",
        "Every version of every sum by day that a network reports; rows are only ever added. They are no transactions.",
        Columns::Unified(Fact::Aggregates),
    ),
    (
        "unified.aggregates",
        "The latest version of each sum by day, without those that a replay removed.",
        Columns::Of("unified.aggregate_versions"),
    ),
];

const RESTATEMENTS: &[(&str, &str)] = &[
    ("cause", "The `change` of each version between the two moments, joined by commas."),
    ("versions", "How many versions there are between the two moments."),
    ("version_before", "The version at the first moment; none if the transaction wasn't known."),
    ("version_after", "The version at the second moment."),
    ("observed_at", "When the version at the second moment was observed."),
    ("validation_before", "`validation_status` at the first moment."),
    ("validation_after", "`validation_status` at the second moment."),
    ("payment_before", "`payment_status` at the first moment."),
    ("payment_after", "`payment_status` at the second moment."),
    ("sale_currency", "Currency of the three sale amounts."),
    ("sale_before", "`sale_amount` at the first moment; 0 if the transaction wasn't there."),
    ("sale_after", "`sale_amount` at the second moment; 0 if the transaction is no longer there."),
    ("sale_difference", "`sale_after` less `sale_before`."),
    ("commission_currency", "Currency of the three commission amounts."),
    ("commission_before", "`commission_effective` at the first moment; 0 if the transaction wasn't there."),
    ("commission_after", "`commission_effective` at the second moment; 0 if the transaction is no longer there."),
    ("commission_difference", "`commission_after` less `commission_before`."),
];

const EARNINGS_DAILY: &[(&str, &str)] = &[
    ("basis", "What `day` is the day of: `transaction`, `validation` or `payment`."),
    ("day", "Calendar day in the network's zone."),
    ("transactions", "How many transactions."),
    ("sale_amount", "Sum of `sale_amount`."),
    ("commission_amount", "Sum of `commission_amount`, declined ones included."),
    ("commission_effective", "Sum of `commission_effective`: what counts."),
];

const UNPAID: &[(&str, &str)] = &[
    ("age_days", "Days since `transaction_day`, in the network's zone."),
    ("overdue_days", "Days since `payable_at`; negative before it."),
];

const VALIDATION_LATENCY: &[(&str, &str)] = &[
    ("basis", "`network`: by the network's own date. `observed`: by when a decision was first observed."),
    ("transactions", "How many transactions."),
    ("days_min", "The fewest days."),
    ("days_median", "The median."),
    ("days_p90", "The 90th percentile."),
    ("days_max", "The most days."),
];

const SUSPECTED_DUPLICATES: &[(&str, &str)] = &[
    ("duplicate_of", "The least `transaction_id` of those that may be one."),
    (
        "duplicate_account",
        "The first account of those that may be one: another one if two accounts report the same id.",
    ),
    ("copies", "How many may be one."),
];

/// What is counted in the native tables when `meta.columns` is queried.
const COUNTED: &[(&str, &str)] = &[
    ("last_seen", "When the newest record with a value in it was observed."),
    ("null_share", "The share of records without a value in it, from 0 to 1."),
];

const META: &[(&str, &str, Columns)] = &[
    ("meta.gaps", "One row per window that the tables may lack rows of.", Columns::View(GAPS)),
    ("meta.doubts", "One row per doubtful slice, with what was decided of it.", Columns::Of("meta.doubt_events")),
    ("meta.alarms", "One row per alarm, as it now stands.", Columns::Of("meta.alarm_events")),
    ("meta.usage", "What each account used in each run.", Columns::View(USAGE)),
    (
        "meta.unified_columns",
        "One row per column of the unified tables: this page as a table.",
        Columns::View(unified_columns::COLUMNS),
    ),
    ("raw.objects", "One row per response whose body is kept.", Columns::Of("meta.requests")),
];

const GAPS: &[(&str, &str)] = &[
    ("axis", "The date that the window filters on."),
    ("since", "Begin of the window, inclusive."),
    ("until", "End of the window, exclusive."),
    ("kind", "`never-read`: no read of it was complete or failed. `failed`: a read of it failed."),
    ("failed_at", "When a read of it last failed."),
    ("error", "That read's error."),
];

const USAGE: &[(&str, &str)] = &[
    ("network", "The network, by the name of the operator's file."),
    ("account", "The operator's name for the account; null for all of a run that asked no network."),
    ("run_id", "The run, in `meta.runs`."),
    ("command", "The command."),
    ("started_at", "When it began."),
    ("requests", "Requests that were sent, retries included."),
    ("bytes", "Bytes of response bodies as received, compressed."),
    ("guest_cpu_ms", "Processor time of guests and of decoding for them, in milliseconds."),
    (
        "host_cpu_ms",
        "Processor time of the host's own work on the account's slices, in milliseconds; without what writes the tables for all.",
    ),
    ("records", "Records in the responses."),
    ("stored_bytes", "Bytes that were added to raw."),
];
