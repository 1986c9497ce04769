//! `unified.transactions`: the latest version of each transaction, a table of its own that follows the versions.
//!
//! A file of nothing but latest versions is copied by the store unchanged; what a newer version supersedes is left
//! out of the others.
//!
//! The latest state holds no key twice, because it refuses what would make it so, see [`Error::DuplicateVersion`]: of
//! the files that it takes in, no two rows may be the same version of a key, and none may be a version that isn't newer
//! than the one that it has. Looked for are the keys of a network's new rows
//! - in all new files of the network;
//! - in all files that it has of the month, where a key's versions are together;
//! - in files of other months that came since it was opened: another writer may have put a key there that this one
//!   couldn't know. Older ones are those that the writer's index has asked before it called a key new.

mod duplicates;
mod keys;
mod known;
mod merge;
mod rewrite;
mod window;

pub use known::{KnownCounts, KnownTransaction, KnownTransactions, Worth};
pub(crate) use rewrite::lay_out;
pub use window::{WindowState, WindowStates};

use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::Field;
use deltalake::kernel::Add;
use object_store::path::Path;

use crate::error::Error;
use crate::follow::{Follower, Following, Incoming};
use crate::lake::Lake;
use crate::table::{Proposal, Table, TableSpec, remove};
use crate::unified;
use duplicates::refuse_duplicates;
use keys::{Filters, KeyVersions};
use merge::Merge;

pub(crate) type LatestState = Following<LatestVersions>;

impl LatestState {
    pub(crate) async fn open(lake: &Lake) -> Result<Self, Error> {
        let follower = LatestVersions { lake: lake.clone(), filters: Filters::default(), familiar: HashSet::new() };
        let mut opened = Self::new(lake, follower).await?;
        let familiar = opened.table().adds().into_iter().map(|add| add.path).collect();
        opened.follower().familiar = familiar;
        Ok(opened)
    }

    /// Whether there are versions of a network's transactions.
    pub(crate) async fn knows(&mut self, network: &str) -> Result<bool, Error> {
        Ok(self.source_files().await?.iter().any(|add| network_of(add) == network))
    }
}

impl Lake {
    /// Whether there are versions of a network's transactions.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn knows_network(&self, network: &str) -> Result<bool, Error> {
        LatestState::open(self).await?.knows(network).await
    }
}

/// Keeps the latest version of each transaction.
pub(crate) struct LatestVersions {
    lake: Lake,
    filters: Filters,
    /// Files of the latest state that were there when it was opened, or were looked at since.
    familiar: HashSet<String>,
}

impl Follower for LatestVersions {
    const NAME: &'static str = "latest";
    const SOURCE: (&'static str, &'static str) = ("unified", "transaction_versions");
    const TARGET: (&'static str, &'static str) = ("unified", "transactions");

    /// That of the table of versions, and its columns as they now are.
    fn table_spec(&self, source: &Table) -> Result<TableSpec, Error> {
        let fields = source.schema()?.fields().iter().map(|field| field.as_ref().clone()).collect();
        Ok(TableSpec { fields, ..unified::table_spec() })
    }

    async fn change(&mut self, source: &Table, target: &Table, incoming: Incoming) -> Result<Proposal, Error> {
        let known = target.adds();
        let mut change = Proposal { new_fields: new_fields(source, target)?, ..Proposal::default() };
        let (incoming, kept) = match incoming {
            Incoming::Added(added) => (added, known.as_slice()),
            Incoming::All(all) => {
                change.removes = known.iter().map(remove).collect();
                (all, &[][..])
            }
        };
        if let Err(error) = self.absorb(source, target, &incoming, kept, &mut change).await {
            target.discard_files(&change.adds).await;
            return Err(error);
        }
        self.familiar = known.iter().chain(&change.adds).map(|add| add.path.clone()).collect();
        Ok(change)
    }
}

impl LatestVersions {
    /// Network by network, and there month by month: all versions of a key are in one.
    async fn absorb(
        &mut self,
        versions: &Table,
        latest: &Table,
        incoming: &[Add],
        known: &[Add],
        change: &mut Proposal,
    ) -> Result<(), Error> {
        let known = grouped(known, network_of);
        for (network, incoming) in &grouped(incoming, network_of) {
            let mut rows = KeyVersions::of(versions);
            refuse_duplicates(&mut rows, incoming).await?;
            let known = known.get(network).map_or(&[][..], Vec::as_slice);
            for (partition, incoming) in &grouped(incoming, partition_of) {
                let (here, elsewhere): (Vec<&Add>, Vec<&Add>) =
                    known.iter().partition(|add| partition_of(add) == *partition);
                let unfamiliar = elsewhere.into_iter().filter(|add| !self.familiar.contains(&add.path)).collect();
                let lake = &self.lake;
                let mut merge = Merge { lake, versions, latest, rows: &mut rows, filters: &mut self.filters };
                merge.partition(incoming, here, unfamiliar, change).await?;
            }
        }
        Ok(())
    }
}

/// The columns that the table of versions got since.
fn new_fields(versions: &Table, latest: &Table) -> Result<Vec<Field>, Error> {
    let (known, now) = (latest.schema()?, versions.schema()?);
    let new = now.fields().iter().filter(|field| known.field_with_name(field.name()).is_err());
    Ok(new.map(|field| field.as_ref().clone().with_nullable(true)).collect())
}

/// Files by their partition.
fn grouped<K: Ord>(adds: &[Add], of: impl Fn(&Add) -> K) -> BTreeMap<K, Vec<Add>> {
    let mut groups: BTreeMap<K, Vec<Add>> = BTreeMap::new();
    for add in adds {
        groups.entry(of(add)).or_default().push(add.clone());
    }
    groups
}

fn network_of(add: &Add) -> String {
    add.partition_values.get("network").cloned().flatten().unwrap_or_default()
}

fn partition_of(add: &Add) -> BTreeMap<String, Option<String>> {
    add.partition_values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(crate) fn path_of(add: &Add) -> Path {
    Path::parse(&add.path).unwrap_or_else(|_| Path::from(add.path.as_str()))
}
