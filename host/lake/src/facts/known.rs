//! What the tables hold of the facts that an answer reports, for those who compare the two.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{Array, AsArray, Decimal128Array, RecordBatch, StringArray};
use arrow::datatypes::{Decimal128Type, Int32Type};
use futures::TryStreamExt;
use sluice_model::Fact;

use crate::error::Error;
use crate::hash::VANISHED;
use crate::index::{KeyMap, column, keys_of, unreadable, wrong};
use crate::lake::Lake;
use crate::month;
use crate::prepare::Prepared;
use crate::scan::stream_columns;
use crate::table::{DataFile, Table};

/// What a fact is worth: its amount in millionths, and the ISO 4217 code of its currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactWorth {
    /// The amount that is summed of its kind; none without one.
    pub amount: Option<i128>,
    /// Its currency; none where the network states none.
    pub currency: Option<String>,
}

/// A fact that an answer reports and the tables have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFact {
    /// What its latest version says.
    pub before: FactWorth,
    /// What the answer says.
    pub now: FactWorth,
}

/// The facts of a network as the tables had them at one moment, to be asked about many answers. It holds the names of files, and
/// none of their rows.
pub struct KnownFacts {
    tables: BTreeMap<Fact, (Table, Vec<DataFile>)>,
}

impl Lake {
    /// The facts of a network that have amounts and are no transactions, as they are now.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn known_facts(&self, network: &str) -> Result<KnownFacts, Error> {
        let mut tables = BTreeMap::new();
        for fact in Fact::OTHERS.into_iter().filter(|fact| fact.amount().is_some()) {
            let table = Table::open(self, "unified", fact.versions()).await?;
            let files = table.files().into_iter().filter(|file| file.network() == Some(network)).collect();
            tables.insert(fact, (table.without_snapshot(), files));
        }
        Ok(KnownFacts { tables })
    }
}

impl KnownFacts {
    /// The facts of a kind of an answer that the tables have, but for those that a replay took back. They are looked for in the
    /// months of their dates, where nearly all are.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn of(&self, answer: &Prepared, fact: Fact) -> Result<Vec<KnownFact>, Error> {
        let batch = answer.facts.iter().find(|batch| batch.fact == fact);
        let (Some(batch), Some((table, files))) = (batch, self.tables.get(&fact)) else { return Ok(Vec::new()) };
        let months: BTreeSet<i32> = batch.months().iter().copied().collect();
        let months: HashSet<String> = months.into_iter().map(month::name).collect();
        let is_of_month = |file: &DataFile| {
            let month = file.partitions.get("month").and_then(Option::as_ref);
            month.is_none_or(|month| months.contains(month))
        };
        let mut wanted: KeyMap<usize> = (0..batch.len()).map(|row| (batch.keyed_row(row).0, row)).collect();
        let mut latest: KeyMap<(i32, Option<FactWorth>)> = KeyMap::default();
        for file in files.iter().filter(|file| is_of_month(file)) {
            read_file(table, file, fact, &wanted, &mut latest).await?;
        }
        let now = Columns::of(table, fact, &batch.rows)?;
        let before = latest.into_iter().filter_map(|(key, (_, worth))| Some((wanted.remove(&key)?, worth?)));
        Ok(before.map(|(row, before)| KnownFact { before, now: now.worth(row) }).collect())
    }
}

/// Takes the latest versions of wanted keys that a file has.
async fn read_file(
    table: &Table,
    file: &DataFile,
    fact: Fact,
    wanted: &KeyMap<usize>,
    latest: &mut KeyMap<(i32, Option<FactWorth>)>,
) -> Result<(), Error> {
    let mut names = vec![fact.key(), "version", "content_hash"];
    names.extend(fact.amount().into_iter().flat_map(|(amount, currency)| [amount, currency]));
    let failed = |source| unreadable(table, &file.path, source);
    let mut batches = stream_columns(table.store(), &file.path, &names).await.map_err(failed)?;
    while let Some(rows) = batches.try_next().await.map_err(failed)? {
        let worth = Columns::of(table, fact, &rows)?;
        let versions = column(table, &rows, "version")?.as_primitive_opt::<Int32Type>();
        let versions = versions.ok_or_else(|| wrong(table, "version", "a number"))?;
        let contents = column(table, &rows, "content_hash")?.as_binary_opt::<i32>();
        let contents = contents.ok_or_else(|| wrong(table, "content_hash", "binary"))?;
        for (row, key) in keys_of(table, &rows, fact.key())?.into_iter().enumerate() {
            let version = versions.value(row);
            let is_newer = latest.get(&key).is_none_or(|(known, _)| *known < version);
            if wanted.contains_key(&key) && is_newer {
                let is_there = contents.value(row) != VANISHED.to_be_bytes();
                latest.insert(key, (version, is_there.then(|| worth.worth(row))));
            }
        }
    }
    Ok(())
}

/// The columns of facts that say what they are worth.
struct Columns<'a> {
    amounts: &'a Decimal128Array,
    currencies: &'a StringArray,
}

impl<'a> Columns<'a> {
    fn of(table: &Table, fact: Fact, rows: &'a RecordBatch) -> Result<Self, Error> {
        let (amount, currency) = fact.amount().ok_or_else(|| wrong(table, "amount", "there"))?;
        let amounts = column(table, rows, amount)?.as_primitive_opt::<Decimal128Type>();
        let currencies = column(table, rows, currency)?.as_string_opt::<i32>();
        Ok(Self {
            amounts: amounts.ok_or_else(|| wrong(table, amount, "a decimal"))?,
            currencies: currencies.ok_or_else(|| wrong(table, currency, "text"))?,
        })
    }

    fn worth(&self, row: usize) -> FactWorth {
        FactWorth {
            amount: self.amounts.is_valid(row).then(|| self.amounts.value(row)),
            currency: self.currencies.is_valid(row).then(|| self.currencies.value(row).to_owned()),
        }
    }
}
