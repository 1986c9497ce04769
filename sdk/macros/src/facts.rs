//! Payments, programmes, aggregates and items: `fact = "payments"` and the columns of `[streams.map]`.

use crate::columns::{Column, Described, Id, Inputs, Kind, check_minor, id, read_columns};
use crate::document::{Read, Section, Text, mistake};
use crate::fact_schema::{aggregate_columns, item_columns, payment_columns, programme_columns};
use crate::template::Names;

macro_rules! list {
    ($list:ident $($who:ident { $($name:ident $kind:ident $(($($word:tt)*))? $presence:ident $group:ident $doc:literal;)* })*) => {
        const $list: &[Described] = &[$($([stringify!($who), stringify!($name), stringify!($kind)],)*)*];
    };
}

macro_rules! items {
    ($($blocks:tt)*) => {
        list! { ITEMS $($blocks)* }
    };
}

macro_rules! payments {
    ($($blocks:tt)*) => {
        list! { PAYMENTS $($blocks)* }
    };
}

macro_rules! programmes {
    ($($blocks:tt)*) => {
        list! { PROGRAMMES $($blocks)* }
    };
}

macro_rules! aggregates {
    ($($blocks:tt)*) => {
        list! { AGGREGATES $($blocks)* }
    };
}

item_columns!(items);
payment_columns!(payments);
programme_columns!(programmes);
aggregate_columns!(aggregates);

/// A kind of fact.
pub(crate) struct Fact {
    /// Its name in the contract and in the file.
    name: &'static str,
    /// The SDK's type of a row.
    pub(crate) row: &'static str,
    /// The SDK's function that takes a row.
    pub(crate) push: &'static str,
    /// The column of the id.
    pub(crate) id: &'static str,
    columns: &'static [Described],
}

static FACTS: [Fact; 4] = [
    Fact { name: "items", row: "Item", push: "push_item", id: "item_id", columns: ITEMS },
    Fact { name: "payments", row: "Payment", push: "push_payment", id: "payment_id", columns: PAYMENTS },
    Fact { name: "programmes", row: "Programme", push: "push_programme", id: "programme_id", columns: PROGRAMMES },
    Fact { name: "aggregates", row: "Aggregate", push: "push_aggregate", id: "aggregate_id", columns: AGGREGATES },
];

/// The words that columns of words take, and their variants.
static WORDS: [(&str, &[(&str, &str)]); 2] = [
    (
        "payment_status",
        &[
            ("unpaid", "PaymentStatus::Unpaid"),
            ("payable", "PaymentStatus::Payable"),
            ("paid", "PaymentStatus::Paid"),
            ("clawed-back", "PaymentStatus::ClawedBack"),
        ],
    ),
    (
        "validation_status",
        &[
            ("pending", "ValidationStatus::Pending"),
            ("approved", "ValidationStatus::Approved"),
            ("declined", "ValidationStatus::Declined"),
        ],
    ),
];

/// The mapping of a stream to facts of a kind.
pub(crate) struct FactColumns {
    pub(crate) fact: &'static Fact,
    pub(crate) inputs: Vec<String>,
    pub(crate) id: Id,
    pub(crate) columns: Vec<Column>,
    /// Columns of words, which are the same of all rows, and their variants.
    pub(crate) words: Vec<(&'static str, &'static str)>,
}

/// The kind of this name.
pub(crate) fn named(name: &Text) -> Read<&'static Fact> {
    match FACTS.iter().find(|fact| fact.name == name.text) {
        Some(fact) => Ok(fact),
        None => {
            mistake(name.line, format!("`{}` is no kind of fact: items, payments, programmes or aggregates", name.text))
        }
    }
}

/// Reads `[streams.map]` of a stream of such facts.
pub(crate) fn read(fact: &'static Fact, table: &Section, names: &Names) -> Read<FactColumns> {
    let mut inputs = Inputs::default();
    let id = id(table, fact.id, &mut inputs)?;
    let columns = read_columns(table, (fact.columns, &[fact.id]), &mut inputs, names)?;
    check_minor(&columns, table.line)?;
    if columns.iter().any(|column| column.when.is_some()) {
        return mistake(table.line, "only columns of transactions wait for a decision");
    }
    if let Some(column) = columns.iter().find(|column| column.kind == Kind::Id && column.sources.len() > 1) {
        return mistake(table.line, format!("`{}` comes from one field", column.name));
    }
    for needed in ["day", "transaction_id"] {
        let has = |name: &str| columns.iter().any(|column| column.name == name);
        let is_needed = fact.columns.iter().any(|[_, name, _]| *name == needed);
        if is_needed && !has(needed) {
            return mistake(table.line, format!("`[streams.map]` has no `{needed}`"));
        }
    }
    let mut words = Vec::new();
    for (column, known) in WORDS.iter().filter(|(name, _)| fact.columns.iter().any(|[_, of, _]| of == name)) {
        let Some(word) = table.text(column)? else { continue };
        match known.iter().find(|(name, _)| word.text.strip_prefix("$const ") == Some(*name)) {
            Some((_, variant)) => words.push((*column, *variant)),
            None => {
                let all: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return mistake(word.line, format!("`{column}` is `$const` and one of: {}", all.join(", ")));
            }
        }
    }
    table.finish()?;
    Ok(FactColumns { fact, inputs: inputs.0, id, columns, words })
}
