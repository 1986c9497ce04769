//! Payments, programmes, aggregates and items as a mapping fills them, and their form in the contract: all from the one table of
//! columns, as transactions are.

use crate::bindings::sluice::connector0_3_0_draft_4::facts;
use crate::cells::{buffer, cell, finish, first, push, select, values};
use crate::columns::{ByteBuffer, Implied, MoneyBuffer, Sparse, TextBuffer, TimeBuffer};
use crate::fact_schema::{aggregate_columns, item_columns, payment_columns, programme_columns};
use crate::row_check::{check_count, check_currency, check_day, check_id};
use crate::{Money, Output, PaymentStatus, Record, Time, TimezoneBasis, ValidationStatus};

/// What the contract takes of a cell.
macro_rules! check {
    ($name:expr, $cell:expr, id $presence:ident) => {
        check_id($name, $cell)?
    };
    ($name:expr, $cell:expr, currency $presence:ident) => {
        check_currency($cell)?
    };
    ($name:expr, $cell:expr, day required) => {
        check_day($name, $cell)?
    };
    ($name:expr, $cell:expr, int64 $presence:ident) => {
        check_count($name, $cell)?
    };
    ($name:expr, $cell:expr, $kind:ident $presence:ident) => {};
}

macro_rules! define {
    ($fact:literal $row:ident $columns:ident $field:ident $push:ident $doc:literal $(
        $name:ident $kind:ident $(($words:ident :: $first:ident))? $presence:ident $group:ident $documentation:literal;
    )*) => {
        #[doc = $doc]
        ///
        /// What the network doesn't offer stays as the default has it: nothing. `docs/data-model.md` explains the columns.
        #[derive(Clone, Copy, Debug)]
        pub struct $row<'a> {
            $(#[doc = $documentation] pub $name: cell!('a $kind $($words)? $presence),)*
        }

        impl Default for $row<'_> {
            fn default() -> Self {
                Self { $($name: first!($kind $($words $first)? $presence),)* }
            }
        }

        /// The columns of a response's rows.
        #[derive(Default)]
        pub(crate) struct $columns {
            records: Vec<u32>,
            $($name: buffer!($kind $presence),)*
        }

        impl $columns {
            /// Adds a row, unless the contract doesn't take it.
            fn push(&mut self, record: u32, row: &$row<'_>) -> Result<(), String> {
                $(check!(stringify!($name), row.$name, $kind $presence);)*
                self.records.push(record);
                $(push!(self.$name, row.$name, $kind $($words $first)? $presence);)*
                Ok(())
            }

            /// The contract's form; none without rows.
            fn finish(self, timezone: &str, timezone_basis: TimezoneBasis) -> Option<facts::Batch> {
                if self.records.is_empty() {
                    return None;
                }
                let columns = [$((stringify!($name), values!(finish!(self.$name, $presence), $kind $presence)),)*];
                let named = |(name, values): (&str, Option<facts::Values>)| {
                    Some(facts::Column { name: name.into(), values: values? })
                };
                Some(facts::Batch {
                    fact: $fact.into(),
                    records: self.records,
                    timezone: timezone.into(),
                    timezone_basis,
                    columns: columns.into_iter().filter_map(named).collect(),
                })
            }
        }

        impl Output {
            /// Adds one of a record.
            ///
            /// A row that the contract doesn't take becomes a reject, as of transactions: see [`Output::push`].
            pub fn $push(&mut self, record: Record, row: &$row) {
                if let Err(reason) = self.facts.$field.push(record.index() as u32, row) {
                    self.reject(record, reason);
                }
            }
        }
    };
}

macro_rules! items {
    ($($blocks:tt)*) => {
        select! { define ["items" Item ItemColumns items push_item "What a transaction consists of."] [] $($blocks)* }
    };
}

macro_rules! payments {
    ($($blocks:tt)*) => {
        select! {
            define ["payments" Payment PaymentColumns payments push_payment "What the network paid, or will pay."] []
            $($blocks)*
        }
    };
}

macro_rules! programmes {
    ($($blocks:tt)*) => {
        select! {
            define ["programmes" Programme ProgrammeColumns programmes push_programme "A programme that can be promoted."] []
            $($blocks)*
        }
    };
}

macro_rules! aggregates {
    ($($blocks:tt)*) => {
        select! {
            define ["aggregates" Aggregate AggregateColumns aggregates push_aggregate "Sums of a day, which are no transaction."] []
            $($blocks)*
        }
    };
}

item_columns!(items);
payment_columns!(payments);
programme_columns!(programmes);
aggregate_columns!(aggregates);

/// The facts of a response that are no transactions.
#[derive(Default)]
pub(crate) struct Facts {
    items: ItemColumns,
    payments: PaymentColumns,
    programmes: ProgrammeColumns,
    aggregates: AggregateColumns,
}

impl Facts {
    /// A batch of each kind that has rows.
    pub(crate) fn finish(self, timezone: &str, basis: TimezoneBasis) -> Vec<facts::Batch> {
        let Self { items, payments, programmes, aggregates } = self;
        let batches = [
            items.finish(timezone, basis),
            payments.finish(timezone, basis),
            programmes.finish(timezone, basis),
            aggregates.finish(timezone, basis),
        ];
        batches.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mapped(rows: impl Fn(Record, &mut Output)) -> crate::Mapped {
        Output::of_one(1, &[], |record, out| {
            rows(record, out);
            Ok(())
        })
    }

    #[test]
    fn a_payment_crosses_the_boundary_by_its_columns() {
        let amount = Some(Money::from_micros(5));
        let mapped = mapped(|record, out| {
            let payment = Payment { payment_id: "9", amount, ..Payment::default() };
            out.push_payment(record, &payment);
        });
        assert!(mapped.transactions.is_none() && mapped.rejects.is_empty());
        let [batch] = &mapped.facts[..] else { panic!("{:?}", mapped.facts) };
        let names: Vec<&str> = batch.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((batch.fact.as_str(), &names[..]), ("payments", &["payment_id", "amount"][..]));
    }

    #[test]
    fn what_the_contract_does_not_take_is_a_reject() {
        let day = Time::iso("2026-01-01");
        let aggregate = Aggregate { aggregate_id: "a", day, ..Aggregate::default() };
        let of = |row: Aggregate<'_>| mapped(|record, out| out.push_aggregate(record, &row));
        assert_eq!(of(aggregate).facts.len(), 1);
        for (row, reason) in [
            (Aggregate { aggregate_id: "", ..aggregate }, "`aggregate_id` is empty"),
            (Aggregate { day: None, ..aggregate }, "`day` is missing"),
            (Aggregate { clicks: Some(i64::MAX), ..aggregate }, "`clicks`: 9223372036854775807 is too large a number"),
        ] {
            let mapped = of(row);
            assert_eq!((mapped.facts.len(), mapped.rejects[0].reason.as_str()), (0, reason));
        }
    }
}
