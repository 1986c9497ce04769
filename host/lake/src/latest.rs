//! `unified.transactions`: the latest version of each transaction, a table of its own that follows the versions.
//!
//! [`LatestState::catch_up`] is its only writer of rows. It takes the files that commits to the table of versions
//! added since it looked last. A file of nothing but latest versions is copied by the store as it stands; what a
//! newer version supersedes is left out of the others. Which version of the table of versions the latest state has
//! absorbed stands in the same commit, so that a crash between the two tables is healed by the next one who looks.

mod rewrite;

pub(crate) use rewrite::lay_out;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::kernel::{Add, Remove, Transaction};
use object_store::path::Path;

use crate::error::Error;
use crate::index::{FilterKeys, KeyMap};
use crate::lake::Lake;
use crate::table::{Commit, Design, MAX_ATTEMPTS, Table, remove, wait_a_moment};
use crate::unified;

/// The two tables.
pub(crate) struct LatestState {
    lake: Lake,
    versions: Table,
    latest: Table,
}

/// What a commit does to the latest state.
#[derive(Default)]
struct Change {
    adds: Vec<Add>,
    removes: Vec<Remove>,
}

impl LatestState {
    pub(crate) async fn open(lake: &Lake) -> Result<Self, Error> {
        Ok(Self {
            lake: lake.clone(),
            versions: Table::open(lake, "unified", "transaction_versions").await?,
            latest: Table::open(lake, "unified", "transactions").await?,
        })
    }

    /// Its table, as it was when it caught up.
    pub(crate) fn table(&self) -> &Table {
        &self.latest
    }

    /// Whether there are versions of a network's transactions.
    pub(crate) async fn knows(&mut self, network: &str) -> Result<bool, Error> {
        self.versions.refresh().await?;
        let of = |add: &Add| add.partition_values.get("network").and_then(Option::as_deref) == Some(network);
        Ok(self.versions.adds().iter().any(of))
    }

    /// Makes the latest state that of the newest version of the table of versions.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Error> {
        let mut follow = true;
        for attempt in 0..MAX_ATTEMPTS {
            // In this order: what the latest state has absorbed, the table of versions then has.
            self.latest.refresh().await?;
            self.versions.refresh().await?;
            let Some(target) = self.versions.version() else { return Ok(()) };
            self.latest.ensure(&self.design()?).await?;
            let application = format!("sluice/latest/{}", self.versions.id().unwrap_or_default());
            let absorbed = self.latest.transaction(&application).await?.and_then(|version| u64::try_from(version).ok());
            if absorbed == Some(target) {
                return Ok(());
            }
            let change = match self.change(absorbed.filter(|_| follow)).await {
                // A file that was compacted and swept away since: what took its place has no less.
                Err(error) if follow && error.is_missing() => {
                    follow = false;
                    continue;
                }
                change => change?,
            };
            match self.commit(&change, &application, target).await {
                Ok(Commit::Done) => return Ok(()),
                // A commit may be done though it looks as if it weren't: then its files must stay.
                Ok(Commit::Conflict) if self.has(&change).await? => return Ok(()),
                Ok(Commit::Conflict) => self.latest.discard_files(&change.adds).await,
                Err(error) => match self.has(&change).await {
                    Ok(true) => return Ok(()),
                    _ => return Err(error),
                },
            }
            wait_a_moment(attempt).await;
        }
        Err(Error::Conflict { table: self.latest.name().to_owned(), attempts: MAX_ATTEMPTS })
    }

    /// That of the table of versions, and its columns as they now are.
    fn design(&self) -> Result<Design, Error> {
        let fields = self.versions.schema()?.fields().iter().map(|field| field.as_ref().clone()).collect();
        Ok(Design { fields, ..unified::design() })
    }

    /// The columns that the table of versions got since.
    fn new_fields(&self) -> Result<Vec<Field>, Error> {
        let (known, now) = (self.latest.schema()?, self.versions.schema()?);
        let new = now.fields().iter().filter(|field| known.field_with_name(field.name()).is_err());
        Ok(new.map(|field| field.as_ref().clone().with_nullable(true)).collect())
    }

    /// The latest state's columns, as they are after the next commit.
    fn schema(&self) -> Result<SchemaRef, Error> {
        let known = self.latest.schema()?;
        let known = known.fields().iter().map(|field| field.as_ref().clone());
        Ok(Arc::new(Schema::new(known.chain(self.new_fields()?).collect::<Vec<_>>())))
    }

    /// Whether the newest snapshot has what a change brings.
    async fn has(&mut self, change: &Change) -> Result<bool, Error> {
        self.latest.refresh().await?;
        let Some(first) = change.adds.first() else { return Ok(false) };
        Ok(self.latest.adds().iter().any(|add| add.path == first.path))
    }

    async fn commit(&mut self, change: &Change, application: &str, target: u64) -> Result<Commit, Error> {
        let new_fields = self.new_fields()?;
        let version = i64::try_from(target).unwrap_or(i64::MAX);
        // Without a time, it doesn't expire.
        let transaction = Transaction::new(application, version);
        let (removes, adds) = (change.removes.clone(), change.adds.clone());
        let committed = self.latest.replace(removes, adds, &new_fields, Some(transaction)).await?;
        if matches!(committed, Commit::Done) {
            let (added, removed) = (change.adds.len(), change.removes.len());
            tracing::info!(table = self.latest.name(), added, removed, version, "caught up");
        }
        Ok(committed)
    }

    /// What makes the latest state that of the snapshot of versions, from what it absorbed or from nothing.
    async fn change(&self, absorbed: Option<u64>) -> Result<Change, Error> {
        let followed = match absorbed {
            Some(version) => self.versions.added_since(version).await?,
            None => None,
        };
        let mut change = Change::default();
        let mut known = BTreeMap::new();
        match &followed {
            Some(_) => known = by_partition(self.latest.adds()),
            None => change.removes = self.latest.adds().iter().map(remove).collect(),
        }
        let incoming = by_partition(followed.unwrap_or_else(|| self.versions.adds()));
        for (partition, incoming) in &incoming {
            let known = known.get(partition).map_or(&[][..], Vec::as_slice);
            if let Err(error) = self.absorb(incoming, known, &mut change).await {
                self.latest.discard_files(&change.adds).await;
                return Err(error);
            }
        }
        Ok(change)
    }

    /// One partition: all versions of a key are in one.
    async fn absorb(&self, incoming: &[Add], known: &[Add], change: &mut Change) -> Result<(), Error> {
        let newest = self.newest(incoming).await?;
        let keys = FilterKeys::of(unified::INDEX.key, newest.keys().copied());
        for add in incoming {
            match self.holds_superseded(&self.versions, add, &newest, &keys).await? {
                true => self.rewrite(&self.versions, add, &newest, &mut change.adds).await?,
                false => change.adds.push(self.copy(add).await?),
            }
        }
        for add in known {
            if self.holds_superseded(&self.latest, add, &newest, &keys).await? {
                self.rewrite(&self.latest, add, &newest, &mut change.adds).await?;
                change.removes.push(remove(add));
            }
        }
        Ok(())
    }

    /// The newest version of each key that these files hold a further version of: only these supersede anything.
    async fn newest(&self, files: &[Add]) -> Result<KeyMap<i32>, Error> {
        let mut newest: KeyMap<i32> = KeyMap::default();
        for add in files.iter().filter(|add| greatest_version(add) != Some(1)) {
            for (key, version) in self.key_versions(&self.versions, add).await? {
                if version > 1 {
                    let known = newest.entry(key).or_insert(version);
                    *known = version.max(*known);
                }
            }
        }
        Ok(newest)
    }
}

/// Files by the values that their partition's folder says.
fn by_partition(adds: Vec<Add>) -> BTreeMap<BTreeMap<String, Option<String>>, Vec<Add>> {
    let mut partitions: BTreeMap<BTreeMap<String, Option<String>>, Vec<Add>> = BTreeMap::new();
    for add in adds {
        let values = add.partition_values.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        partitions.entry(values).or_default().push(add);
    }
    partitions
}

/// The greatest version in a file, as its statistics say.
fn greatest_version(add: &Add) -> Option<i64> {
    let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref()?).ok()?;
    stats.get("maxValues")?.get("version")?.as_i64()
}

pub(crate) fn path_of(add: &Add) -> Path {
    Path::parse(&add.path).unwrap_or_else(|_| Path::from(add.path.as_str()))
}
