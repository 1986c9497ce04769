//! What a replay does to money: sums before and after, by what people reconcile on.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, Decimal128Array, RecordBatch, StringArray};
use sluice_model::Fact;

use super::kept::typed;
use crate::error::Error;
use crate::facts::months;
use crate::month;
use crate::table::Table;

/// What money is summed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MoneyKey {
    /// The operator's name for the account.
    pub account: String,
    /// `YYYY-MM` of the transaction, the item or the aggregate, UTC; `none` of a payment, and where there is no date.
    pub month: String,
    /// The validation status; of a payment where the money is; empty of an aggregate.
    pub status: String,
    /// The currency of the amount; none: the network states none.
    pub currency: Option<String>,
}

/// Facts and their amount in millionths, as they are and as they would be: `commission_effective` of transactions, of other
/// facts the column that [`Fact::amount`] names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// Facts in the lake.
    pub rows_before: u64,
    /// Facts as the candidate maps them.
    pub rows_after: u64,
    /// Their amount in the lake.
    pub before: i128,
    /// Their amount as the candidate maps it.
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

/// The columns that name a row's sum, and its amount.
pub(super) struct MoneyColumns<'a> {
    accounts: &'a StringArray,
    months: Vec<i32>,
    statuses: Option<&'a StringArray>,
    currencies: &'a StringArray,
    amounts: &'a Decimal128Array,
}

/// The sum of facts without money.
const NO_GROUP: u32 = u32::MAX;

/// The columns of a kind's amount and of its currency. Of a transaction that is declined or gone nothing counts.
fn amount_columns(fact: Fact) -> Option<(&'static str, &'static str)> {
    let (amount, currency) = fact.amount()?;
    Some((if fact == Fact::Transactions { "commission_effective" } else { amount }, currency))
}

/// The columns that [`MoneyColumns`] are made of; none of facts without money.
pub(super) fn summed_columns(fact: Fact) -> Vec<&'static str> {
    let Some((amount, currency)) = amount_columns(fact) else { return Vec::new() };
    ["account", amount, currency].into_iter().chain(fact.status()).chain(fact.month_of()).collect()
}

impl<'a> MoneyColumns<'a> {
    /// Those of a batch; none of facts without money.
    pub(super) fn of(fact: Fact, table: &Table, batch: &'a RecordBatch) -> Result<Option<Self>, Error> {
        let Some((amount, currency)) = amount_columns(fact) else { return Ok(None) };
        let statuses = match fact.status() {
            Some(name) => Some(typed(table, batch, name)?),
            None => None,
        };
        Ok(Some(Self {
            accounts: typed(table, batch, "account")?,
            months: months(fact, batch),
            statuses,
            currencies: typed(table, batch, currency)?,
            amounts: typed(table, batch, amount)?,
        }))
    }

    /// A row's amount in millionths; 18 digits fit.
    fn amount(&self, row: usize) -> i64 {
        if self.amounts.is_null(row) { 0 } else { i64::try_from(self.amounts.value(row)).unwrap_or(i64::MAX) }
    }
}

impl Groups {
    /// The number of a row's sum, and its amount.
    pub(super) fn place(&mut self, columns: Option<&MoneyColumns<'_>>, row: usize) -> (u32, i64) {
        columns.map_or((NO_GROUP, 0), |columns| (self.of(columns, row), columns.amount(row)))
    }

    /// The number of a row's sum.
    fn of(&mut self, columns: &MoneyColumns<'_>, row: usize) -> u32 {
        let currency = columns.currencies.is_valid(row).then(|| columns.currencies.value(row));
        let account = columns.accounts.value(row);
        let status = columns.statuses.map_or("", |statuses| statuses.value(row));
        let month = columns.months[row];
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

    /// Counts a fact as the lake holds it (`before`) and as the candidate maps it (`after`).
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
