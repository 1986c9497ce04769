//! Erasure: values of a person are replaced by stand-ins in all tables, and what the tables were before is deleted.
//!
//! Which text is replaced by which is the caller's, see [`Substitutes`]. Keys and content hashes follow: a row gets those that
//! mapping the changed response gives, so that a replay, a rebuild and the next read find nothing new. Nothing is done to
//! amounts, dates and states.
//!
//! Tables are changed one after another, each in one commit on the snapshot that it was prepared on, versions last: what other
//! tables name a transaction by follows from them. Done again, it changes what is left.

mod cells;
mod forget;
mod raw;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};

use deltalake::kernel::Add;
use futures::TryStreamExt;
use serde::Serialize;

pub use raw::RawEnvelope;
pub use rows::renamed;
use rows::{Changed, Shape};

use crate::coverage::CoverageState;
use crate::error::Error;
use crate::follow::Followers;
use crate::lake::{Lake, TableRef};
use crate::latest::LatestState;
use crate::scan::stream_rows;
use crate::table::{DataFile, Fence, Proposal, Table, TableChange, commit_with};

/// Replaces values in a text; none if it holds none.
pub type Replace = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What is replaced by what.
pub struct Substitutes {
    /// Replaces any of the values.
    pub values: Replace,
    /// The values that can be no amount.
    pub words: Replace,
    /// All values in the texts of JSON, and not in its numbers.
    pub documents: Replace,
    /// Names that were derived from values, as digests and keys: found as whole tokens of letters and digits.
    pub names: HashMap<String, String>,
    /// A random number, from which keys and hashes are made that no response shows any more.
    pub salt: u128,
    /// By `schema.table`: what is known of a native table's rows.
    pub native: HashMap<String, NativeSubstitutes>,
}

/// What is known of the rows of a native table.
#[derive(Clone, Debug, Default)]
pub struct NativeSubstitutes {
    /// By key and content hash: those of the changed record.
    pub rows: HashMap<(u128, u128), (u128, u128)>,
    /// The paths of fields in which values stand.
    pub paths: HashSet<String>,
    /// The paths of the fields that name a record.
    pub key: Vec<String>,
}

/// What an erasure changes in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErasedRows {
    /// `schema.table`.
    pub table: String,
    /// Rows that hold a value.
    pub rows: u64,
    /// Rows that hold none, and name a response that holds one.
    pub renamed: u64,
    /// Cells with a value, by column.
    pub columns: BTreeMap<String, u64>,
    /// Cells that hold what is equal to a value and stay, since no response shows that it is an id, by column: numbers of native
    /// tables, and whatever isn't of a person in the unified ones.
    pub left: BTreeMap<String, u64>,
    /// The bodies of the responses that rows with a value came from.
    #[serde(skip)]
    pub bodies: HashSet<String>,
}

impl Lake {
    /// What an erasure would change in each table; nothing is written. Adds the names of transactions that change to
    /// `substitutes`.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn plan_erasure(&self, substitutes: &mut Substitutes) -> Result<Vec<ErasedRows>, Error> {
        let mut planned = Vec::new();
        for table in self.erased_tables().await? {
            let opened = Table::open(self, &table.schema, &table.name).await?;
            let shape = Shape::of(&table, substitutes, &opened)?;
            let mut changed = Changed::default();
            for file in opened.files() {
                scan(&opened, &shape, substitutes, &file, &mut changed).await?;
            }
            substitutes.names.extend(changed.names);
            planned.push(ErasedRows { table: opened.name().to_owned(), ..changed.rows });
        }
        Ok(planned)
    }

    /// Makes what was planned, under the claims of `fences`, and has followers follow.
    ///
    /// # Errors
    /// [`Error::Fenced`] if a lease was taken over; the store's failure. What was done before stays done.
    pub async fn erase_tables(
        &self,
        substitutes: &Substitutes,
        fences: &[Fence],
        done: impl Fn(),
    ) -> Result<(), Error> {
        let mut tables = self.erased_tables().await?;
        tables.reverse();
        for table in tables {
            let mut opened = Table::open(self, &table.schema, &table.name).await?;
            let shape = Shape::of(&table, substitutes, &opened)?;
            commit_with(&mut opened, &mut Erase { substitutes, shape, fences }).await?;
            done();
        }
        let mut followers = Followers::open(self).await?;
        followers.rebuild().await
    }

    /// The tables in the order in which names become known: first those that are committed last.
    async fn erased_tables(&self) -> Result<Vec<TableRef>, Error> {
        let follows = |table: &TableRef| {
            [LatestState::TABLE, CoverageState::TABLE].contains(&(table.schema.as_str(), table.name.as_str()))
        };
        let mut tables = self.tables().await?;
        tables.retain(|table| !follows(table));
        // Versions name transactions, items and native rows what they came from, rejects what was decided about them.
        tables.sort_by_key(|table| match (table.schema.as_str(), table.name.as_str()) {
            ("unified", "transaction_versions") => 0,
            ("meta", "rejects") => 2,
            ("meta", _) => 3,
            _ => 1,
        });
        Ok(tables)
    }
}

/// Notes what would be changed in a file, and returns whether anything would.
async fn scan(
    table: &Table,
    shape: &Shape,
    substitutes: &Substitutes,
    file: &DataFile,
    changed: &mut Changed,
) -> Result<bool, Error> {
    let unreadable = |source| crate::index::unreadable(table, &file.path, source);
    let mut batches = stream_rows(table.store(), &file.path).await.map_err(unreadable)?;
    let mut is_changed = false;
    while let Some(batch) = batches.try_next().await.map_err(unreadable)? {
        is_changed |= shape.change(&batch, &file.partitions, substitutes, changed)?.is_some();
    }
    Ok(is_changed)
}

/// The commit of a table.
struct Erase<'a> {
    substitutes: &'a Substitutes,
    shape: Shape,
    fences: &'a [Fence],
}

impl TableChange for Erase<'_> {
    async fn propose(&mut self, table: &mut Table, earlier: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        if let Some(earlier) = earlier {
            table.discard_files(&earlier.adds).await;
        }
        let (mut removes, mut adds): (Vec<_>, Vec<Add>) = Default::default();
        for file in table.files() {
            if !scan(table, &self.shape, self.substitutes, &file, &mut Changed::default()).await? {
                continue;
            }
            let change = |batch| {
                let changed = self.shape.change(&batch, &file.partitions, self.substitutes, &mut Changed::default())?;
                Ok(changed.unwrap_or(batch))
            };
            adds.extend(table.rewrite_with(std::slice::from_ref(&file), change).await?);
            removes.push(file.removal(true));
        }
        let fences = self.fences.to_vec();
        Ok((!removes.is_empty()).then(|| Proposal { removes, adds, fences, ..Proposal::default() }))
    }
}
