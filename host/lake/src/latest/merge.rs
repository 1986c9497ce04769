//! The new files of one partition, merged with those that the latest state has of it.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake::kernel::Add;

use super::duplicates::duplicate;
use super::keys::{Filters, KeyVersions, key_versions};
use super::new_fields;
use crate::error::Error;
use crate::index::KeyMap;
use crate::lake::Lake;
use crate::table::{Proposal, Table, remove};

/// What a change is made from.
pub(super) struct Merge<'a, 'b> {
    pub(super) lake: &'a Lake,
    pub(super) versions: &'a Table,
    pub(super) latest: &'a Table,
    /// Of the table of versions.
    pub(super) rows: &'a mut KeyVersions<'b>,
    /// Of the latest state.
    pub(super) filters: &'a mut Filters,
}

/// What the new files of a partition hold.
#[derive(Default)]
struct Arrivals {
    /// All keys, rising; not gathered where there is nothing to compare them with.
    keys: Vec<u128>,
    /// The newest version of each key that they hold a further version of: only these supersede anything.
    newest: KeyMap<i32>,
}

impl Merge<'_, '_> {
    /// Takes in the new files of a partition, of which the latest state has the files `here`. None of the files
    /// `unfamiliar`, of other partitions, may hold a key of theirs.
    pub(super) async fn partition(
        &mut self,
        incoming: &[Add],
        here: Vec<&Add>,
        unfamiliar: Vec<&Add>,
        change: &mut Proposal,
    ) -> Result<(), Error> {
        let arrivals = self.arrivals(incoming, !here.is_empty() || !unfamiliar.is_empty()).await?;
        let mut superseded: KeyMap<i32> = KeyMap::default();
        let mut touched = Vec::new();
        for add in here {
            let found = self.found(add, &arrivals.keys).await?;
            if !found.is_empty() {
                touched.push(add);
                superseded.extend(found);
            }
        }
        self.refuse_known(incoming, &superseded).await?;
        for add in unfamiliar {
            if let Some((key, version)) = self.found(add, &arrivals.keys).await?.first() {
                return Err(duplicate(self.latest, *key, *version, add));
            }
        }
        self.take_in(incoming, &arrivals, change).await?;
        for add in touched {
            self.rewrite(self.latest, add, |key, _| superseded.contains_key(&key), &mut change.adds).await?;
            change.removes.push(remove(add));
        }
        Ok(())
    }

    async fn arrivals(&mut self, incoming: &[Add], compared: bool) -> Result<Arrivals, Error> {
        let mut arrivals = Arrivals::default();
        for add in incoming {
            let rows = self.rows.read(add).await?;
            if compared {
                arrivals.keys.extend(rows.iter().map(|(key, _)| *key));
            }
            for (key, version) in rows.iter().filter(|(_, version)| *version > 1) {
                let known = arrivals.newest.entry(*key).or_insert(*version);
                *known = (*version).max(*known);
            }
        }
        arrivals.keys.sort_unstable();
        arrivals.keys.dedup();
        Ok(arrivals)
    }

    /// The rows of a file of the latest state whose keys are among `keys`, which rise.
    async fn found(&mut self, add: &Add, keys: &[u128]) -> Result<Vec<(u128, i32)>, Error> {
        if !self.filters.may_hold(self.latest, add, keys).await? {
            return Ok(Vec::new());
        }
        let rows = key_versions(self.latest, add).await?;
        Ok(rows.into_iter().filter(|(key, _)| keys.binary_search(key).is_ok()).collect())
    }

    /// Refuses a version that isn't newer than the one that the latest state has of its key.
    async fn refuse_known(&mut self, incoming: &[Add], known: &KeyMap<i32>) -> Result<(), Error> {
        for add in incoming.iter().filter(|_| !known.is_empty()) {
            for (key, version) in self.rows.read(add).await?.iter() {
                if known.get(key).is_some_and(|known| version <= known) {
                    return Err(duplicate(self.versions, *key, *version, add));
                }
            }
        }
        Ok(())
    }

    /// Copies the new files, those that hold a superseded row without it.
    async fn take_in(&mut self, incoming: &[Add], arrivals: &Arrivals, change: &mut Proposal) -> Result<(), Error> {
        let is_superseded = |key: u128, version: i32| arrivals.newest.get(&key).is_some_and(|newest| *newest > version);
        for add in incoming {
            let superseded = !arrivals.newest.is_empty() && {
                let rows = self.rows.read(add).await?;
                rows.iter().any(|(key, version)| is_superseded(*key, *version))
            };
            if superseded {
                self.rewrite(self.versions, add, is_superseded, &mut change.adds).await?
            } else {
                change.adds.push(self.copy(add).await?)
            }
        }
        Ok(())
    }

    /// The latest state's columns, as they are after the commit.
    pub(super) fn schema(&self) -> Result<SchemaRef, Error> {
        let known = self.latest.schema()?;
        let known = known.fields().iter().map(|field| field.as_ref().clone());
        Ok(Arc::new(Schema::new(known.chain(new_fields(self.versions, self.latest)?).collect::<Vec<_>>())))
    }
}
