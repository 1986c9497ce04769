//! A unified transaction as a mapping fills it, its columns, and their form in the contract: all from the one table of
//! columns, so that a further column is a line there.

use crate::bindings::sluice::connector0_1_0::columns::{
    ByteColumn, MapColumn, MoneyColumn, Reject, TextColumn, TimeColumn,
};
use crate::bindings::sluice::connector0_3_0_draft_4::facts;
use crate::cells::{buffer, cell, finish, first, push, select, values};
use crate::columns::{ByteBuffer, Implied, MoneyBuffer, PairsBuffer, Sparse, TextBuffer, TimeBuffer};
use crate::schema::transaction_columns;
use crate::{IdBasis, Money, PaymentStatus, Time, TimezoneBasis, TransactionKind, ValidationStatus};

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

            /// The rows that were pushed, in the zone of their local times.
            pub(crate) fn finish(self, records: Vec<u32>, timezone: String, timezone_basis: TimezoneBasis) -> Transactions {
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

macro_rules! given {
    ($($blocks:tt)*) => { select! { define [] [] $($blocks)* } };
}

transaction_columns!(given);

/// What a mapping gives: transactions and other facts, records that can't be mapped, and words that the connector doesn't know.
#[derive(Debug)]
pub struct Mapped {
    /// The transactions; none without any row, unless records were left out.
    pub transactions: Option<Transactions>,
    /// Records that can't be mapped, and why.
    pub rejects: Vec<Reject>,
    /// Status words that the connector doesn't know.
    pub unknown_statuses: Vec<String>,
    /// Facts of other kinds, a batch of each that has rows.
    pub facts: Vec<facts::Batch>,
    /// How many records the network states, see [`crate::Output::total`].
    pub total: Option<u64>,
}

impl From<Mapped> for facts::Mapped {
    fn from(mapped: Mapped) -> Self {
        Self {
            facts: mapped.transactions.map(facts::Batch::from).into_iter().chain(mapped.facts).collect(),
            native: Vec::new(),
            rejects: mapped.rejects,
            unknown_statuses: mapped.unknown_statuses,
            total: mapped.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[Transaction<'_>]) -> facts::Batch {
        let mut columns = Columns::default();
        rows.iter().for_each(|row| columns.push(row));
        let records = (0..rows.len() as u32).collect();
        columns.finish(records, "UTC".into(), TimezoneBasis::Declared).into()
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
