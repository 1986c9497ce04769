//! What the latest state holds of the transactions that an answer reports, for those who compare the two.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{Array, AsArray, Decimal128Array, MapArray, RecordBatch, StringArray};
use arrow::datatypes::Decimal128Type;
use deltalake::kernel::Add;
use futures::TryStreamExt;
use sluice_model::unified::has_filled_pair;
use tokio::sync::Mutex;

use super::keys::Filters;
use super::{LatestVersions, network_of, path_of};
use crate::error::Error;
use crate::follow::Follower;
use crate::hash::VANISHED;
use crate::index::{KeyMap, column, keys_of, unreadable, wrong};
use crate::lake::Lake;
use crate::month;
use crate::prepare::Prepared;
use crate::scan::stream_columns;
use crate::table::Table;
use crate::unified::INDEX;

const COLUMNS: [&str; 9] = [
    INDEX.key,
    INDEX.content,
    "commission_amount",
    "commission_currency",
    "sale_amount",
    "sale_currency",
    "validation_status",
    "sub_ids",
    "advertiser_id",
];

/// Bytes of the files' filters that are held between answers.
const FILTER_BYTES: usize = 4 << 20;

/// Different transactions, unchanged ones alike, of an answer that are compared: some 10 MB.
const MAX_DIFFERENT: usize = 20_000;

/// What a transaction says of money. Amounts are in millionths.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worth {
    /// The commission in millionths; none without one.
    pub commission: Option<i128>,
    /// ISO 4217 code of the currency that it is in.
    pub commission_currency: Option<String>,
    /// The sale's amount in millionths; none without one.
    pub sale: Option<i128>,
    /// ISO 4217 code of the currency that it is in.
    pub sale_currency: Option<String>,
    /// The status in the words of the unified model.
    pub status: String,
    /// Whether it has a sub-id that isn't blank.
    pub has_sub_ids: bool,
    /// The advertiser, by the network's id.
    pub advertiser_id: Option<String>,
}

/// A transaction that an answer reports and the latest state has, or several that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTransaction {
    /// What the latest state has. Amounts of one that didn't change are 1, -1 or 0.
    pub before: Worth,
    /// What the answer says.
    pub now: Worth,
    /// How many there are.
    pub count: u64,
}

/// Known transactions, of which alike ones are counted: an answer may have a million. Once there are 20,000 different ones, no
/// more are taken in.
#[derive(Debug, Default)]
pub struct KnownCounts(BTreeMap<(Worth, Worth), u64>);

impl KnownCounts {
    /// Takes transactions in that are alike.
    pub fn add(&mut self, known: KnownTransaction) {
        if self.is_full() {
            return;
        }
        let KnownTransaction { mut before, mut now, count } = known;
        if before == now {
            // Of what stayed the same only the sign matters.
            for worth in [&mut before, &mut now] {
                worth.commission = worth.commission.map(i128::signum);
                worth.sale = worth.sale.map(i128::signum);
            }
        }
        *self.0.entry((before, now)).or_default() += count;
    }

    fn is_full(&self) -> bool {
        self.0.len() >= MAX_DIFFERENT
    }

    /// All of them, in an order of their own.
    pub fn into_rows(self) -> Vec<KnownTransaction> {
        self.0.into_iter().map(|((before, now), count)| KnownTransaction { before, now, count }).collect()
    }
}

/// The latest state of a network's transactions as it was at one moment, to be asked about many answers. It holds the names of
/// the network's files, and none of their rows.
pub struct KnownTransactions {
    table: Table,
    files: Vec<Add>,
    filters: Mutex<Filters>,
}

impl Lake {
    /// The latest state of a network's transactions as it is now.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn known_transactions(&self, network: &str) -> Result<KnownTransactions, Error> {
        let table = Table::open(self, LatestVersions::TARGET.0, LatestVersions::TARGET.1).await?;
        let files = table.adds().into_iter().filter(|add| network_of(add) == network).collect();
        // Many runs may hold one at once, and the snapshot has the files of all networks.
        let filters = Mutex::new(Filters::of(FILTER_BYTES));
        Ok(KnownTransactions { table: table.without_snapshot(), files, filters })
    }
}

impl KnownTransactions {
    /// The transactions of an answer that the latest state has, but for those that vanished, alike ones counted. They are looked
    /// for in the months of their dates, where nearly all are.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn of(&self, answer: &Prepared) -> Result<Vec<KnownTransaction>, Error> {
        let Self { table, files, filters } = self;
        // Of a network that is new all answers are odd, and there is nothing to compare them with.
        let Some((rows, keyed)) = answer.transactions.as_ref().filter(|_| !files.is_empty()) else {
            return Ok(Vec::new());
        };
        let months: BTreeSet<i32> = keyed.months.iter().copied().collect();
        let months: HashSet<String> = months.into_iter().map(month::name).collect();
        let is_of_month = |add: &Add| {
            let month = INDEX.month.and_then(|column| add.partition_values.get(column)).cloned().flatten();
            month.is_none_or(|month| months.contains(&month))
        };
        let now = MoneyColumns::of(table, rows)?;
        let mut wanted: KeyMap<usize> = keyed.keys.iter().copied().zip(0..).collect();
        let mut found = KnownCounts::default();
        for add in files.iter().filter(|add| is_of_month(add)) {
            if found.is_full() {
                break;
            }
            let keys: Vec<u128> = wanted.keys().copied().collect();
            let may_hold = filters.lock().await.may_hold(table, add, &keys).await?;
            if may_hold {
                read_file(table, add, &now, &mut wanted, &mut found).await?;
            }
        }
        Ok(found.into_rows())
    }
}

/// Takes the rows of a file whose keys are wanted.
async fn read_file(
    table: &Table,
    add: &Add,
    now: &MoneyColumns<'_>,
    wanted: &mut KeyMap<usize>,
    found: &mut KnownCounts,
) -> Result<(), Error> {
    let path = path_of(add);
    let failed = |source| unreadable(table, &path, source);
    let mut batches = stream_columns(table.store(), &path, &COLUMNS).await.map_err(failed)?;
    while let Some(rows) = batches.try_next().await.map_err(failed)? {
        let before = MoneyColumns::of(table, &rows)?;
        let contents = column(table, &rows, INDEX.content)?.as_binary_opt::<i32>();
        let contents = contents.ok_or_else(|| wrong(table, INDEX.content, "binary"))?;
        for (row, key) in keys_of(table, &rows, INDEX.key)?.into_iter().enumerate() {
            let Some(at) = wanted.remove(&key) else { continue };
            if contents.value(row) != VANISHED.to_be_bytes() {
                found.add(KnownTransaction { before: before.worth(row), now: now.worth(at), count: 1 });
            }
        }
    }
    Ok(())
}

/// The columns of transactions that say what they are worth.
struct MoneyColumns<'a> {
    commissions: &'a Decimal128Array,
    commission_currencies: &'a StringArray,
    sales: &'a Decimal128Array,
    sale_currencies: &'a StringArray,
    statuses: &'a StringArray,
    sub_ids: &'a MapArray,
    advertisers: &'a StringArray,
}

impl<'a> MoneyColumns<'a> {
    fn of(table: &Table, rows: &'a RecordBatch) -> Result<Self, Error> {
        let text =
            |name: &str| column(table, rows, name)?.as_string_opt::<i32>().ok_or_else(|| wrong(table, name, "text"));
        let money = |name: &str| {
            let amounts = column(table, rows, name)?.as_primitive_opt::<Decimal128Type>();
            amounts.ok_or_else(|| wrong(table, name, "a decimal"))
        };
        Ok(Self {
            commissions: money("commission_amount")?,
            commission_currencies: text("commission_currency")?,
            sales: money("sale_amount")?,
            sale_currencies: text("sale_currency")?,
            statuses: text("validation_status")?,
            sub_ids: column(table, rows, "sub_ids")?.as_map_opt().ok_or_else(|| wrong(table, "sub_ids", "pairs"))?,
            advertisers: text("advertiser_id")?,
        })
    }

    fn worth(&self, row: usize) -> Worth {
        let money = |amounts: &Decimal128Array| amounts.is_valid(row).then(|| amounts.value(row));
        let text = |texts: &StringArray| texts.is_valid(row).then(|| texts.value(row).to_owned());
        Worth {
            commission: money(self.commissions),
            commission_currency: text(self.commission_currencies),
            sale: money(self.sales),
            sale_currency: text(self.sale_currencies),
            status: text(self.statuses).unwrap_or_default(),
            has_sub_ids: has_filled_pair(self.sub_ids, row),
            advertiser_id: text(self.advertisers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(commission: i128) -> Worth {
        Worth { commission: Some(commission), ..Worth::default() }
    }

    fn counted(amounts: impl Iterator<Item = (i128, i128)>) -> Vec<KnownTransaction> {
        let mut counts = KnownCounts::default();
        amounts.for_each(|(before, now)| {
            counts.add(KnownTransaction { before: worth(before), now: worth(now), count: 1 });
        });
        counts.into_rows()
    }

    #[test]
    fn alike_transactions_are_one_row() {
        let unchanged = (1..=50_000).map(|amount| (amount, amount));
        let rows = counted(unchanged.chain([(0, 0), (5, 7), (5, 7), (5, 8)]));
        let counts: Vec<(Option<i128>, u64)> = rows.iter().map(|row| (row.now.commission, row.count)).collect();
        assert_eq!(counts, [(Some(0), 1), (Some(1), 50_000), (Some(7), 2), (Some(8), 1)]);
    }

    #[test]
    fn different_changes_are_bounded() {
        assert_eq!(counted((0..30_000).map(|amount| (amount, amount + 1))).len(), MAX_DIFFERENT);
    }
}
