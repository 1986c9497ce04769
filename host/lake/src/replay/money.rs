//! What a replay does to money: sums before and after, by what people reconcile on.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::kept::typed;
use crate::error::Error;
use crate::month;
use crate::table::Table;

/// What money is summed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MoneyKey {
    /// The operator's name for the account.
    pub account: String,
    /// `YYYY-MM` of the transaction, UTC.
    pub month: String,
    /// The validation status.
    pub status: String,
    /// The currency of the commission; none: the network states none.
    pub currency: Option<String>,
}

/// Transactions and their `commission_effective` in millionths, as they are and as they would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// Transactions in the lake.
    pub rows_before: u64,
    /// Transactions as the candidate maps them.
    pub rows_after: u64,
    /// Their commission in the lake.
    pub before: i128,
    /// Their commission as the candidate maps it.
    pub after: i128,
}

/// The sums, each under a number.
#[derive(Default)]
pub(super) struct Groups {
    numbers: HashMap<(String, i32, String, Option<String>), u32>,
    all: Vec<(MoneyKey, Money)>,
    /// Absolute differences row by row, by currency.
    moved: BTreeMap<Option<String>, i128>,
    last: Option<u32>,
}

/// The columns that name a row's sum.
pub(super) struct MoneyColumns<'a> {
    accounts: &'a StringArray,
    times: &'a TimestampMicrosecondArray,
    statuses: &'a StringArray,
    currencies: &'a StringArray,
}

impl Groups {
    pub(super) fn columns<'a>(&self, table: &Table, batch: &'a RecordBatch) -> Result<MoneyColumns<'a>, Error> {
        Ok(MoneyColumns {
            accounts: typed(table, batch, "account")?,
            times: typed(table, batch, "transacted_at")?,
            statuses: typed(table, batch, "validation_status")?,
            currencies: typed(table, batch, "commission_currency")?,
        })
    }

    /// The number of a row's sum.
    pub(super) fn of(&mut self, columns: &MoneyColumns<'_>, row: usize) -> u32 {
        let currency = columns.currencies.is_valid(row).then(|| columns.currencies.value(row));
        let (account, status) = (columns.accounts.value(row), columns.statuses.value(row));
        let month = month::of_micros(columns.times.value(row));
        // Neighbours mostly share it, and then no text is copied.
        if let Some((number, (key, _))) = self.last.and_then(|last| Some((last, self.all.get(last as usize)?)))
            && key.account == account
            && key.status == status
            && key.currency.as_deref() == currency
            && month::code(&key.month) == month
        {
            return number;
        }
        let place = (account.to_owned(), month, status.to_owned(), currency.map(str::to_owned));
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(place).or_insert(next);
        if number == next {
            let key = MoneyKey {
                account: account.to_owned(),
                month: month::name(month),
                status: status.to_owned(),
                currency: currency.map(str::to_owned),
            };
            self.all.push((key, Money::default()));
        }
        self.last = Some(number);
        number
    }

    /// Counts a transaction as the lake holds it (`before`) and as the candidate maps it (`after`).
    pub(super) fn count(&mut self, before: Option<(u32, i64)>, after: Option<(u32, i64)>) {
        if let Some((group, amount)) = before
            && let Some((_, money)) = self.all.get_mut(group as usize)
        {
            money.rows_before += 1;
            money.before += i128::from(amount);
        }
        if let Some((group, amount)) = after
            && let Some((_, money)) = self.all.get_mut(group as usize)
        {
            money.rows_after += 1;
            money.after += i128::from(amount);
        }
        if before != after {
            let mut change: BTreeMap<Option<String>, i128> = BTreeMap::new();
            for (side, sign) in [(before, -1), (after, 1)] {
                if let Some((group, amount)) = side
                    && let Some((key, _)) = self.all.get(group as usize)
                {
                    *change.entry(key.currency.clone()).or_default() += sign * i128::from(amount);
                }
            }
            for (currency, difference) in change {
                *self.moved.entry(currency).or_default() += difference.abs();
            }
        }
    }

    /// The sums by their keys, and the absolute differences by currency.
    pub(super) fn finish(self) -> (BTreeMap<MoneyKey, Money>, BTreeMap<Option<String>, i128>) {
        let money = self.all.into_iter().filter(|(_, money)| *money != Money::default()).collect();
        (money, self.moved)
    }
}
