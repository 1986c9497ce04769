//! What the latest state holds of the transactions that an answer reports, for those who compare the two.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, Decimal128Array, MapArray, RecordBatch, StringArray};
use arrow::datatypes::Decimal128Type;
use deltalake::kernel::Add;
use futures::TryStreamExt;
use sluice_model::unified::has_filled_pair;

use super::keys::Filters;
use super::{LatestVersions, network_of, path_of};
use crate::error::Error;
use crate::follow::Follower;
use crate::hash::VANISHED;
use crate::index::{column, keys_of, unreadable, wrong};
use crate::lake::Lake;
use crate::month;
use crate::prepare::Prepared;
use crate::scan::stream_columns;
use crate::table::Table;
use crate::unified::INDEX;

const COLUMNS: [&str; 8] = [
    INDEX.key,
    INDEX.content,
    "commission_amount",
    "commission_currency",
    "sale_amount",
    "sale_currency",
    "validation_status",
    "sub_ids",
];

/// What a transaction says of money. Amounts are in millionths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// The commission.
    pub commission: Option<i128>,
    /// Its currency.
    pub commission_currency: Option<String>,
    /// The sale.
    pub sale: Option<i128>,
    /// Its currency.
    pub sale_currency: Option<String>,
    /// The status in the words of the unified model.
    pub status: String,
    /// Whether it has a sub-id that isn't blank.
    pub has_sub_ids: bool,
}

/// A transaction that an answer reports and the latest state has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTransaction {
    /// What the latest state has.
    pub before: Worth,
    /// What the answer says.
    pub now: Worth,
}

/// The latest state of a network's transactions as it was at one moment, to be asked about many answers. It holds the names of
/// the network's files, and none of their rows.
pub struct KnownTransactions {
    table: Table,
    files: Vec<Add>,
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
        Ok(KnownTransactions { table: table.without_snapshot(), files })
    }
}

impl KnownTransactions {
    /// The transactions of an answer that the latest state has, but for those that vanished. They are looked for in the
    /// months of their dates, where nearly all are.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn of(&self, answer: &Prepared) -> Result<Vec<KnownTransaction>, Error> {
        let Self { table, files } = self;
        // Of a network that is new all answers are odd, and there is nothing to compare them with.
        let Some((rows, keyed)) = answer.transactions.as_ref().filter(|_| !files.is_empty()) else {
            return Ok(Vec::new());
        };
        let months: HashSet<String> = keyed.months.iter().map(|month| month::name(*month)).collect();
        let is_of_month = |add: &Add| {
            let month = INDEX.month.and_then(|column| add.partition_values.get(column)).cloned().flatten();
            month.is_none_or(|month| months.contains(&month))
        };
        let now = MoneyColumns::of(table, rows)?;
        let mut wanted: HashMap<u128, usize> = keyed.keys.iter().copied().zip(0..).collect();
        let (mut filters, mut found) = (Filters::default(), Vec::new());
        for add in files.iter().filter(|add| is_of_month(add)) {
            let keys: Vec<u128> = wanted.keys().copied().collect();
            if filters.may_hold(table, add, &keys).await? {
                read_file(table, add, &now, &mut wanted, &mut found).await?;
            }
        }
        Ok(found)
    }
}

/// Takes the rows of a file whose keys are wanted.
async fn read_file(
    table: &Table,
    add: &Add,
    now: &MoneyColumns<'_>,
    wanted: &mut HashMap<u128, usize>,
    found: &mut Vec<KnownTransaction>,
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
                found.push(KnownTransaction { before: before.worth(row), now: now.worth(at) });
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
        }
    }
}
