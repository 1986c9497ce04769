//! The kinds of facts that connectors give, as data: their tables, keys and columns.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::columns::{AGGREGATE_COLUMNS, ITEM_COLUMNS, PAYMENT_COLUMNS, PROGRAMME_COLUMNS};
use super::{ColumnKind, GivenBy, Group, Presence, TRANSACTION_COLUMNS, UnifiedColumn};

/// A kind of fact. Every version of every fact of a kind is in one table, of which a view shows the latest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// Sales, leads and what corrects them.
    Transactions,
    /// What transactions consist of.
    Items,
    /// What the network paid, or will pay.
    Payments,
    /// Who can be promoted.
    Programmes,
    /// Sums by day and whatever else the network groups by. They are no transactions.
    Aggregates,
}

/// What describes a kind.
struct Kind {
    name: &'static str,
    view: &'static str,
    versions: &'static str,
    key: &'static str,
    key_documentation: &'static str,
    id: &'static str,
    month_of: Option<&'static str>,
    month_documentation: &'static str,
    personal: &'static [&'static str],
}

const TRANSACTIONS: Kind = Kind {
    name: "transactions",
    view: "transactions",
    versions: "transaction_versions",
    key: "transaction_key",
    key_documentation: "",
    id: "transaction_id",
    month_of: Some("transacted_at"),
    month_documentation: "",
    // Ids of orders and clicks, sub-ids, what is composed of them, and words of a network about them.
    personal: &[
        "transaction_id",
        "parent_transaction_id",
        "group_key",
        "order_id",
        "sub_ids",
        "click_id",
        "voucher_code",
        "reason_raw",
    ],
};

const ITEMS: Kind = Kind {
    name: "items",
    view: "transaction_items",
    versions: "transaction_item_versions",
    key: "item_key",
    key_documentation: "Hash of network, account, stream and `item_id`: the same after any replay.",
    id: "item_id",
    month_of: Some("transacted_at"),
    month_documentation: "Month of `transacted_at` in UTC when it was first seen, `none` without one: the table's partition.",
    personal: &["item_id", "transaction_id", "order_id", "reason_raw"],
};

const PAYMENTS: Kind = Kind {
    name: "payments",
    view: "payments",
    versions: "payment_versions",
    key: "payment_key",
    key_documentation: "Hash of network, account, stream and `payment_id`: the same after any replay.",
    id: "payment_id",
    month_of: None,
    month_documentation: "`none`: the table's partition.",
    personal: &[],
};

const PROGRAMMES: Kind = Kind {
    name: "programmes",
    view: "programmes",
    versions: "programme_versions",
    key: "programme_key",
    key_documentation: "Hash of network, account, stream and `programme_id`: the same after any replay.",
    id: "programme_id",
    month_of: None,
    month_documentation: "`none`: the table's partition.",
    personal: &[],
};

const AGGREGATES: Kind = Kind {
    name: "aggregates",
    view: "aggregates",
    versions: "aggregate_versions",
    key: "aggregate_key",
    key_documentation: "Hash of network, account, stream and `aggregate_id`: the same after any replay.",
    id: "aggregate_id",
    month_of: Some("day"),
    month_documentation: "Month of `day` when it was first seen, as `2026-01`: the table's partition.",
    // A network may group by a sub-id, or by a property that is a member's.
    personal: &["aggregate_id", "site_id", "site_name", "grouped_by"],
};

/// Why there is a version of a fact that is no transaction.
const CHANGES: &[&str] = &["first-seen", "network-change", "mapping-change", "reappeared"];

impl Fact {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Transactions, Self::Items, Self::Payments, Self::Programmes, Self::Aggregates];
    /// The kinds beside transactions, whose tables work alike.
    pub const OTHERS: [Self; 4] = [Self::Items, Self::Payments, Self::Programmes, Self::Aggregates];

    const fn kind(self) -> &'static Kind {
        match self {
            Self::Transactions => &TRANSACTIONS,
            Self::Items => &ITEMS,
            Self::Payments => &PAYMENTS,
            Self::Programmes => &PROGRAMMES,
            Self::Aggregates => &AGGREGATES,
        }
    }

    /// Its name in the contract.
    pub const fn name(self) -> &'static str {
        self.kind().name
    }

    /// The kind of this name in the contract.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.name() == name)
    }

    /// The relation in the schema `unified` that has the latest version of each.
    pub const fn view(self) -> &'static str {
        self.kind().view
    }

    /// The table in the schema `unified` that has all versions.
    pub const fn versions(self) -> &'static str {
        self.kind().versions
    }

    /// The kind whose versions this table of the schema `unified` has.
    pub fn of_versions(table: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.versions() == table)
    }

    /// The column of the key that stays the same after any replay: a hash of network, account, stream and id.
    pub const fn key(self) -> &'static str {
        self.kind().key
    }

    /// The column of the id.
    pub const fn id(self) -> &'static str {
        self.kind().id
    }

    /// The column whose month parts the table's files; none if they are all of one.
    pub const fn month_of(self) -> Option<&'static str> {
        self.kind().month_of
    }

    /// The column of the amount that is summed of facts of the kind, and the one of its currency; none of programmes.
    pub const fn amount(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Transactions | Self::Items => Some(("commission_amount", "commission_currency")),
            Self::Payments => Some(("amount", "currency")),
            Self::Aggregates => Some(("commission_amount", "currency")),
            Self::Programmes => None,
        }
    }

    /// The column of the status by which amounts are summed, where the kind has one.
    pub const fn status(self) -> Option<&'static str> {
        match self {
            Self::Transactions | Self::Items => Some("validation_status"),
            Self::Payments => Some("payment_status"),
            Self::Programmes | Self::Aggregates => None,
        }
    }

    /// The columns that may name a person. An erasure replaces values in these and in no others.
    pub const fn personal_columns(self) -> &'static [&'static str] {
        self.kind().personal
    }

    /// All columns of the table of versions, in their order.
    pub fn columns(self) -> &'static [UnifiedColumn] {
        static OTHERS: LazyLock<[Vec<UnifiedColumn>; 4]> = LazyLock::new(|| {
            [
                with_lake_columns(Fact::Items, ITEM_COLUMNS),
                with_lake_columns(Fact::Payments, PAYMENT_COLUMNS),
                with_lake_columns(Fact::Programmes, PROGRAMME_COLUMNS),
                with_lake_columns(Fact::Aggregates, AGGREGATE_COLUMNS),
            ]
        });
        match self {
            Self::Transactions => TRANSACTION_COLUMNS,
            Self::Items => &OTHERS[0],
            Self::Payments => &OTHERS[1],
            Self::Programmes => &OTHERS[2],
            Self::Aggregates => &OTHERS[3],
        }
    }

    /// The column of this name that a connector or the engine gives.
    pub fn mapped_column(self, name: &str) -> Option<&'static UnifiedColumn> {
        self.columns().iter().find(|column| column.is_mapped() && column.name == name)
    }

    /// The columns as the engine returns them: `record_index` (UInt32, the record that each row came from), then those that
    /// connector and engine give.
    pub fn mapped_schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 5]> = LazyLock::new(|| {
            Fact::ALL.map(|fact| {
                let mapped = fact.columns().iter().filter(|column| column.is_mapped()).map(UnifiedColumn::field);
                let record_index = Field::new("record_index", DataType::UInt32, false);
                Arc::new(Schema::new(std::iter::once(record_index).chain(mapped).collect::<Vec<_>>()))
            })
        });
        SCHEMAS[self as usize].clone()
    }

    /// The columns of the table of versions.
    pub fn versions_schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 5]> = LazyLock::new(|| {
            Fact::ALL
                .map(|fact| Arc::new(Schema::new(fact.columns().iter().map(UnifiedColumn::field).collect::<Vec<_>>())))
        });
        SCHEMAS[self as usize].clone()
    }
}

/// A kind's columns between those that the lake gives.
fn with_lake_columns(fact: Fact, own: &[UnifiedColumn]) -> Vec<UnifiedColumn> {
    let kind = fact.kind();
    let added = |name, kind, group, documentation| UnifiedColumn {
        name,
        kind,
        presence: Presence::Required,
        group,
        given_by: GivenBy::Lake,
        documentation,
    };
    // Those that are the same of transactions.
    let shared = |names: &[&str]| {
        let is_shared = |column: &&UnifiedColumn| names.contains(&column.name);
        TRANSACTION_COLUMNS.iter().filter(is_shared).copied().collect::<Vec<_>>()
    };
    let mut columns = vec![added(kind.key, ColumnKind::Text, Group::Key, kind.key_documentation)];
    columns.extend(shared(&["network", "account", "stream"]));
    if fact == Fact::Items {
        let documentation = "The transaction, in `unified.transactions`: it is there if the same stream brought it.";
        columns.push(added(Fact::Transactions.key(), ColumnKind::Text, Group::Key, documentation));
    }
    columns.extend(own);
    columns.extend([
        added("version", ColumnKind::Int32, Group::Version, "1, 2, 3 … for each key."),
        added("content_hash", ColumnKind::Bytes, Group::Version, "Hash of the mapped content, nulls left out."),
        added("change", ColumnKind::Enum(CHANGES), Group::Version, "Why there is this version."),
    ]);
    columns.extend(shared(&[
        "observed_at",
        "connector",
        "connector_version",
        "connector_digest",
        "run_id",
        "request_id",
        "raw_object",
        "record_index",
    ]));
    columns.push(added("month", ColumnKind::Text, Group::Lineage, kind.month_documentation));
    columns
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_of_columns_are_distinct_and_documented() {
        for fact in Fact::ALL {
            let names: BTreeSet<&str> = fact.columns().iter().map(|column| column.name).collect();
            assert_eq!(names.len(), fact.columns().len(), "{fact:?}");
            for column in fact.columns() {
                assert!(column.documentation.ends_with('.') && !column.documentation.contains('|'), "{column:?}");
            }
        }
    }

    #[test]
    fn a_kind_has_the_columns_that_it_names() {
        for fact in Fact::ALL {
            let has = |name: &str| fact.columns().iter().any(|column| column.name == name);
            assert!(has(fact.key()) && has(fact.id()) && fact.month_of().is_none_or(has), "{fact:?}");
            assert!(fact.personal_columns().iter().all(|name| has(name)), "{fact:?}");
            assert!(fact.amount().is_none_or(|(amount, currency)| has(amount) && has(currency)), "{fact:?}");
            assert!(fact.status().is_none_or(has), "{fact:?}");
            assert_eq!((Fact::named(fact.name()), Fact::of_versions(fact.versions())), (Some(fact), Some(fact)));
        }
    }

    /// Each currency has a column for what is none, which the engine fills.
    #[test]
    fn currencies_have_a_column_for_the_networks_own_word() {
        for column in Fact::ALL.into_iter().flat_map(Fact::columns).filter(|column| column.kind == ColumnKind::Currency)
        {
            let raw = format!("{}_raw", column.name);
            assert!(Fact::ALL.into_iter().any(|fact| fact.mapped_column(&raw).is_some()), "{raw}");
        }
    }
}
