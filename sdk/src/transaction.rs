//! A unified transaction as a mapping fills it, its columns, and their form in the contract: all from the one table of
//! columns, so that a further column is a line there.

use crate::bindings::sluice::connector0_1_0::columns::{
    ByteColumn, MapColumn, MoneyColumn, Reject, TextColumn, TimeColumn,
};
use crate::bindings::sluice::connector0_3_0_draft_4::facts;
use crate::columns::{ByteBuffer, Implied, MoneyBuffer, PairsBuffer, Sparse, TextBuffer, TimeBuffer};
use crate::schema::transaction_columns;
use crate::{IdBasis, Money, PaymentStatus, Time, TimezoneBasis, TransactionKind, ValidationStatus};

/// Takes the blocks of columns that connectors give, and leaves out the others.
macro_rules! select {
    ([$($kept:tt)*] connector { $($columns:tt)* } $($rest:tt)*) => {
        select! { [$($kept)* $($columns)*] $($rest)* }
    };
    ([$($kept:tt)*] $other:ident { $($columns:tt)* } $($rest:tt)*) => {
        select! { [$($kept)*] $($rest)* }
    };
    ([$($kept:tt)*]) => {
        define! { $($kept)* }
    };
}

macro_rules! given {
    ($($blocks:tt)*) => { select! { [] $($blocks)* } };
}

/// A field of [`Transaction`].
macro_rules! cell {
    ($a:lifetime id required) => { &$a str };
    ($a:lifetime text nullable) => { Option<&$a str> };
    ($a:lifetime currency nullable) => { Option<&$a str> };
    ($a:lifetime money nullable) => { Option<Money> };
    ($a:lifetime flag nullable) => { Option<bool> };
    ($a:lifetime time $presence:ident) => { Option<Time> };
    ($a:lifetime pairs nullable) => { &$a [(&$a str, Option<&$a str>)] };
    ($a:lifetime enum $words:ident nullable) => { Option<$words> };
    ($a:lifetime enum $words:ident $presence:ident) => { $words };
}

/// What a row begins with.
macro_rules! first {
    (id required) => {
        ""
    };
    (pairs nullable) => {
        &[]
    };
    (enum $words:ident $first:ident nullable) => {
        None
    };
    (enum $words:ident $first:ident $presence:ident) => {
        $words::$first
    };
    ($kind:ident $presence:ident) => {
        None
    };
}

/// The column that rows are pushed to.
macro_rules! buffer {
    (id $presence:ident) => { Sparse<TextBuffer> };
    (text $presence:ident) => { Sparse<TextBuffer> };
    (currency $presence:ident) => { Sparse<TextBuffer> };
    (money $presence:ident) => { Sparse<MoneyBuffer> };
    (flag $presence:ident) => { Sparse<ByteBuffer> };
    (time $presence:ident) => { Sparse<TimeBuffer> };
    (pairs $presence:ident) => { Sparse<PairsBuffer> };
    (enum implied) => { Implied };
    (enum $presence:ident) => { Sparse<ByteBuffer> };
}

macro_rules! push {
    ($column:expr, $cell:expr, id required) => {
        $column.push(Some($cell))
    };
    ($column:expr, $cell:expr, flag nullable) => {
        $column.push($cell.map(u8::from))
    };
    ($column:expr, $cell:expr, time required) => {
        $column.push($cell)
    };
    // Moments outside of these years are networks' words for none.
    ($column:expr, $cell:expr, time nullable) => {
        $column.push($cell.filter(Time::is_real))
    };
    ($column:expr, $cell:expr, pairs nullable) => {
        $column.push((!$cell.is_empty()).then_some($cell))
    };
    ($column:expr, $cell:expr, enum $words:ident $first:ident nullable) => {
        $column.push($cell.map(|word| word as u8))
    };
    ($column:expr, $cell:expr, enum $words:ident $first:ident required) => {
        $column.push(Some($cell as u8))
    };
    ($column:expr, $cell:expr, enum $words:ident $first:ident implied) => {
        $column.push($cell as u8, $words::$first as u8)
    };
    ($column:expr, $cell:expr, $kind:ident nullable) => {
        $column.push($cell)
    };
}

/// The contract's form of a column's values.
macro_rules! wire {
    (id $presence:ident) => { wire!(@TextColumn $presence) };
    (text $presence:ident) => { wire!(@TextColumn $presence) };
    (currency $presence:ident) => { wire!(@TextColumn $presence) };
    (money $presence:ident) => { wire!(@MoneyColumn $presence) };
    (flag $presence:ident) => { wire!(@ByteColumn $presence) };
    (time $presence:ident) => { wire!(@TimeColumn $presence) };
    (pairs $presence:ident) => { wire!(@MapColumn $presence) };
    (enum $presence:ident) => { wire!(@ByteColumn $presence) };
    (@$column:ident required) => { $column };
    (@$column:ident $presence:ident) => { Option<$column> };
}

macro_rules! finish {
    ($column:expr, required) => {
        $column.into_whole()
    };
    ($column:expr, $presence:ident) => {
        $column.into_wire()
    };
}

macro_rules! values {
    ($column:expr, $kind:ident required) => { Some(values!(@$kind)($column)) };
    ($column:expr, $kind:ident $presence:ident) => { $column.map(values!(@$kind)) };
    (@id) => { facts::Values::Text };
    (@text) => { facts::Values::Text };
    (@currency) => { facts::Values::Text };
    (@money) => { facts::Values::Money };
    (@flag) => { facts::Values::Flag };
    (@time) => { facts::Values::Time };
    (@pairs) => { facts::Values::Pairs };
    (@enum) => { facts::Values::Words };
}

macro_rules! define {
    ($(
        $name:ident $kind:ident $(($words:ident :: $first:ident))? $presence:ident $group:ident $documentation:literal;
    )*) => {
        /// One unified transaction. What the network doesn't offer stays as [`Transaction::default`] has it: nothing,
        /// a pending sale whose payment is unknown. `docs/data-model.md` explains the columns.
        #[derive(Clone, Copy, Debug)]
        pub struct Transaction<'a> {
            $(#[doc = $documentation] pub $name: cell!('a $kind $($words)? $presence),)*
        }

        impl Default for Transaction<'_> {
            fn default() -> Self {
                Self { $($name: first!($kind $($words $first)? $presence),)* }
            }
        }

        /// The columns of a response's transactions.
        #[derive(Default)]
        pub(crate) struct Columns {
            $($name: buffer!($kind $presence),)*
        }

        impl Columns {
            /// Adds a row.
            pub(crate) fn push(&mut self, row: &Transaction<'_>) {
                $(push!(self.$name, row.$name, $kind $($words $first)? $presence);)*
            }

            fn finish(self, records: Vec<u32>, timezone: String, timezone_basis: TimezoneBasis) -> Transactions {
                let columns = self;
                Transactions { records, timezone, timezone_basis, $($name: finish!(columns.$name, $presence),)* }
            }
        }

        /// Unified transactions as columns of the contract. One that no row has a value of is none.
        #[derive(Debug)]
        pub struct Transactions {
            /// The record that each row came from.
            pub records: Vec<u32>,
            /// IANA zone of the network's reporting day, and of local times.
            pub timezone: String,
            /// How that zone is known.
            pub timezone_basis: TimezoneBasis,
            $(#[doc = $documentation] pub $name: wire!($kind $presence),)*
        }

        impl From<Transactions> for facts::Batch {
            fn from(rows: Transactions) -> Self {
                let columns = [$((stringify!($name), values!(rows.$name, $kind $presence)),)*];
                let named = |(name, values): (&str, Option<facts::Values>)| {
                    Some(facts::Column { name: name.into(), values: values? })
                };
                Self {
                    fact: "transactions".into(),
                    records: rows.records,
                    timezone: rows.timezone,
                    timezone_basis: rows.timezone_basis,
                    columns: columns.into_iter().filter_map(named).collect(),
                }
            }
        }
    };
}

transaction_columns!(given);

/// What a mapping gives: transactions, records that can't be mapped, and words that the connector doesn't know.
#[derive(Debug)]
pub struct Mapped {
    /// The transactions; none without any row.
    pub transactions: Option<Transactions>,
    /// Records that can't be mapped, and why.
    pub rejects: Vec<Reject>,
    /// Status words that the connector doesn't know.
    pub unknown_statuses: Vec<String>,
    /// How many records the network states, see [`crate::Output::total`].
    pub total: Option<u64>,
}

impl Columns {
    /// The rows that were pushed, in the zone of their local times; none without any.
    pub(crate) fn into_transactions(
        self,
        records: Vec<u32>,
        timezone: String,
        timezone_basis: TimezoneBasis,
    ) -> Option<Transactions> {
        (!records.is_empty()).then(|| self.finish(records, timezone, timezone_basis))
    }
}

impl From<Mapped> for facts::Mapped {
    fn from(mapped: Mapped) -> Self {
        Self {
            facts: mapped.transactions.map(facts::Batch::from).into_iter().collect(),
            native: Vec::new(),
            rejects: mapped.rejects,
            unknown_statuses: mapped.unknown_statuses,
            total: mapped.total,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn batch(rows: &[Transaction<'_>]) -> facts::Batch {
        let mut columns = Columns::default();
        rows.iter().for_each(|row| columns.push(row));
        let records = (0..rows.len() as u32).collect();
        columns.into_transactions(records, "UTC".into(), TimezoneBasis::Declared).unwrap().into()
    }

    #[test]
    fn only_columns_with_a_value_and_required_ones_cross_the_boundary() {
        let bare =
            Transaction { transaction_id: "1", transacted_at: Time::iso("2026-01-01"), ..Transaction::default() };
        let names = |batch: facts::Batch| batch.columns.into_iter().map(|column| column.name).collect::<Vec<_>>();
        let required = ["transaction_id", "kind", "transacted_at", "validation_status", "payment_status"];
        assert_eq!(names(batch(&[bare])), required);
        let voucher = Transaction { voucher_code: Some("SAVE5"), id_basis: IdBasis::Composed, ..bare };
        let more = names(batch(&[bare, voucher]));
        assert!(more.contains(&"voucher_code".to_owned()) && more.contains(&"id_basis".to_owned()), "{more:?}");
    }

    #[test]
    fn a_moment_that_is_none_is_left_out() {
        let never = Time::iso("0001-01-01");
        let row = Transaction { validated_at: never, ..Transaction::default() };
        assert!(batch(&[row]).columns.iter().all(|column| column.name != "validated_at"));
    }
}
