//! Rebuilding: all tables that follow from raw, built beside the old ones, which they then replace.
//!
//! The new tables are built under `tables.new/`. Each takes the place of the old one by one commit that removes all of the
//! old one's files and adds the new one's, so that no reader sees half of a table, and what was there before can be
//! queried by its version. Until then the old tables serve; an interrupted rebuild starts again. If that
//! happens between two tables, an object in the lake says so until a rebuild has come to its end.

use std::collections::BTreeMap;

use bytes::Bytes;
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use sluice_model::Step;

use crate::coverage::CoverageState;
use crate::error::Error;
use crate::follow::Followers;
use crate::lake::{Lake, TableRef};
use crate::latest::LatestState;
use crate::meta::Resolution;
use crate::table::{Commit, Table};

/// The folder of tables that are being built.
const NEW: &str = "tables.new";
/// Is there as long as some tables may be new and others old.
const PLACING: &str = "tables.placing";
/// System tables that follow from raw.
const DERIVED: [&str; 5] = ["requests", "coverage", "columns", "rejects", "absent"];

/// A rebuild under way.
pub struct Rebuild {
    lake: Lake,
    fresh: Lake,
    /// The tables that will be replaced, and their versions when it began.
    before: BTreeMap<(String, String), u64>,
}

/// A table that was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// `schema.table`.
    pub table: String,
    /// Its rows before.
    pub rows_before: u64,
    /// Its rows now.
    pub rows: u64,
}

impl Lake {
    /// Starts rebuilding all tables of these networks. What an earlier rebuild left is deleted.
    ///
    /// # Errors
    /// The store's failure; [`Error::Unhonoured`] for a table that couldn't be put in place, before anything is done.
    pub async fn rebuild(&self, networks: &[String]) -> Result<Rebuild, Error> {
        let fresh = self.with_tables(NEW);
        fresh.remove_tables().await?;
        let schemas: Vec<String> = networks.iter().map(|network| network.replace('-', "_")).collect();
        let mut before = BTreeMap::new();
        for (schema, name) in [LatestState::TABLE, CoverageState::TABLE] {
            Table::open(self, schema, name).await?;
        }
        for TableRef { schema, name, .. } in self.tables().await? {
            let derived = match schema.as_str() {
                "unified" => name == "transaction_versions",
                "meta" => DERIVED.contains(&name.as_str()),
                _ => schemas.contains(&schema),
            };
            if derived {
                let version = Table::open(self, &schema, &name).await?.version().unwrap_or_default();
                before.insert((schema, name), version);
            }
        }
        Ok(Rebuild { lake: self.clone(), fresh, before })
    }

    /// Whether new tables are being put in the place of old ones, or were until that was interrupted: some may be of
    /// before a rebuild then, and others of after it.
    pub async fn is_half_rebuilt(&self) -> Result<bool, Error> {
        let placing = Path::from(PLACING);
        match self.store().head(&placing).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(source) => Err(Error::store("read", self.display(&placing), source)),
        }
    }

    /// All runs that left something in raw, oldest first.
    pub async fn raw_runs(&self) -> Result<Vec<String>, Error> {
        let mut runs: Vec<String> = Vec::new();
        for folder in ["raw/envelopes", "raw/slices"] {
            let found = self.folders(&Path::from(folder)).await?;
            runs.extend(found.iter().filter_map(Path::filename).map(str::to_owned));
        }
        // The ids of runs begin with their time.
        runs.sort_unstable();
        runs.dedup();
        Ok(runs)
    }

    async fn remove_tables(&self) -> Result<(), Error> {
        let folder = self.tables_folder();
        let listed = self.store().list(Some(&folder)).map_ok(|object| object.location).boxed();
        let deleted: Result<Vec<Path>, StoreError> = self.store().delete_stream(listed).try_collect().await;
        match deleted {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::store("delete", self.display(&folder), source)),
        }
    }
}

impl Rebuild {
    /// The lake of the same raw objects whose tables are to be filled.
    #[expect(clippy::misnamed_getters, reason = "the field `lake` is the one whose tables are replaced")]
    pub fn lake(&self) -> &Lake {
        &self.fresh
    }

    /// Puts the new tables in the place of the old ones, each in one step.
    ///
    /// # Errors
    /// [`Error::Overtaken`] if another writer wrote to an old table meanwhile: that would be lost.
    pub async fn put_in_place(self) -> Result<Vec<Rebuilt>, Error> {
        let mut places: BTreeMap<(String, String), Option<u64>> =
            self.before.iter().map(|(place, version)| (place.clone(), Some(*version))).collect();
        for TableRef { schema, name, .. } in self.fresh.tables().await? {
            let follows = [LatestState::TABLE, CoverageState::TABLE].contains(&(schema.as_str(), name.as_str()));
            let noted = schema == "meta" && !DERIVED.contains(&name.as_str());
            // What is only noted once is taken over where nobody noted it.
            let lost = noted && Table::open(&self.lake, &schema, &name).await?.version().is_none();
            if !follows && (!noted || lost) {
                places.entry((schema, name)).or_insert(None);
            }
        }
        self.lake.passed(Step::TablesBuilt);
        let placing = Path::from(PLACING);
        let all_were_old = self.lake.put_if_absent(&placing, Bytes::from_static(b"sluice")).await?;
        let mut rebuilt = Vec::new();
        for ((schema, name), before) in places {
            match self.replace(&schema, &name, before).await {
                Ok(replaced) => rebuilt.push(replaced),
                Err(error) if rebuilt.is_empty() && all_were_old => {
                    self.lake.delete(&placing).await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
            self.lake.passed(Step::TableReplaced);
        }
        Followers::open(&self.lake).await?.rebuild().await?;
        self.reopen().await?;
        self.lake.passed(Step::TablesReplaced);
        self.lake.delete(&placing).await?;
        self.fresh.remove_tables().await?;
        Ok(rebuilt)
    }

    async fn replace(&self, schema: &str, name: &str, before: Option<u64>) -> Result<Rebuilt, Error> {
        let fresh = Table::open(&self.fresh, schema, name).await?;
        let mut live = Table::open(&self.lake, schema, name).await?;
        if live.version() != before {
            return Err(Error::Overtaken { table: live.name().to_owned() });
        }
        live.create_like(&fresh).await?;
        let rows = |table: &Table| table.files().iter().map(|file| file.rows as u64).sum();
        let rebuilt = Rebuilt { table: live.name().to_owned(), rows_before: rows(&live), rows: rows(&fresh) };
        let mut actions: Vec<Action> = live.reshaped(&fresh)?.into_iter().map(Action::Metadata).collect();
        actions.extend(live.files().iter().map(|file| Action::Remove(file.removal(true))));
        for add in fresh.adds() {
            let path = Path::parse(&add.path).unwrap_or_else(|_| Path::from(add.path.as_str()));
            self.copy(schema, name, &path).await?;
            actions.push(Action::Add(add));
        }
        if actions.is_empty() {
            return Ok(rebuilt);
        }
        let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
        let application = format!("sluice-rebuild/{}", uuid::Uuid::now_v7());
        let transaction =
            Transaction::new_with_last_update(application, 1, Some(chrono::Utc::now().timestamp_millis()));
        match live.commit_actions(actions, operation, vec![transaction]).await? {
            Commit::Done => Ok(rebuilt),
            Commit::Conflict => Err(Error::Overtaken { table: live.name().to_owned() }),
        }
    }

    /// Copies a file of a new table to where the old one's files are.
    async fn copy(&self, schema: &str, name: &str, path: &Path) -> Result<(), Error> {
        let place = |lake: &Lake| -> Path {
            let table = lake.tables_folder().join(schema).join(name);
            table.parts().chain(path.parts()).collect()
        };
        let (from, to) = (place(&self.fresh), place(&self.lake));
        let store = self.lake.store();
        match store.copy(&from, &to).await {
            Ok(()) => Ok(()),
            // A file system without hard links, or a store without copies.
            Err(_) => {
                let bytes = self.lake.get(&from).await?;
                let put = store.put(&to, bytes.into()).await;
                put.map(|_| ()).map_err(|source| Error::store("copy", self.lake.display(&to), source))
            }
        }
    }

    /// Rejects that had been resolved and are there again are open again.
    async fn reopen(&self) -> Result<(), Error> {
        let resolved = self.lake.resolved_rejects().await?;
        if resolved.is_empty() {
            return Ok(());
        }
        let mut by_network: BTreeMap<String, Vec<(u128, Resolution)>> = BTreeMap::new();
        // Nothing was resolved in the new place, so all of its rejects are open.
        for reject in self.fresh.open_rejects(None).await? {
            if resolved.contains_key(&reject.key) {
                by_network.entry(reject.network).or_default().push((reject.key, Resolution::Reopened));
            }
        }
        for (network, rows) in by_network {
            self.lake.resolve_rejects(&network, &rows, "rebuild", chrono::Utc::now()).await?;
        }
        Ok(())
    }
}
