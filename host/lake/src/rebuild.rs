//! Rebuilding: all tables that follow from raw, built beside the old ones, which they then replace.
//!
//! The new tables are built under `tables.new/`. Each takes the place of the old one by one commit that removes all of the
//! old one's files and adds the new one's, so that no reader sees half of a table, and what was there before can be
//! queried by its version. Until then the old tables serve. A rebuild that is interrupted between two tables is noted by an
//! object in the lake until one has come to its end.

mod plan;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deltalake::kernel::{Remove, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use sluice_model::{Fact, Step};
use uuid::Uuid;

use crate::coverage::CoverageState;
use crate::error::Error;
use crate::follow::Followers;
use crate::lake::{Lake, TableRef};
use crate::latest::LatestState;
use crate::meta::Resolution;
use crate::table::{Commit, DataFile, Fence, Proposal, Table};

/// Envelopes that are read at once.
const READ_AHEAD: usize = 16;
/// The folder of tables that are being built.
const NEW: &str = "tables.new";
/// Is in the folder of a rebuild from its beginning until its tables are deleted. One whose tables are deleted by somebody else
/// would put nothing in the place of everything.
const BUILDING: &str = "building";
/// Is there as long as some tables may be new and others old.
const PLACING: &str = "tables.placing";
/// System tables that follow from raw.
const DERIVED: [&str; 5] = ["requests", "coverage", "columns", "rejects", "absent"];

/// A rebuild under way.
pub struct Rebuild {
    id: String,
    lake: Lake,
    fresh: Lake,
    /// The tables that will be replaced, and their versions when it began.
    before: BTreeMap<(String, String), u64>,
    /// The lease under which they are replaced.
    fence: Option<Fence>,
}

/// A table that was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// `schema.table`.
    pub table: String,
    /// How many rows the table had before.
    pub rows_before: u64,
    /// Its rows now.
    pub rows: u64,
}

impl Lake {
    /// The rebuild of this id of all tables of these networks, as far as it has come. From here on nobody may write to these
    /// tables before the new ones are in their place. `fence`: of the lease under which that is done; whoever let an earlier one
    /// lapse can't write to them any more.
    ///
    /// # Errors
    /// The store's failure; [`Error::Unhonoured`] for a table that couldn't be put in place, before anything is done.
    pub async fn rebuild(&self, id: &str, networks: &[String], fence: Option<Fence>) -> Result<Rebuild, Error> {
        let fresh = self.new_tables(id);
        let schemas: Vec<String> = networks.iter().map(|network| network.replace('-', "_")).collect();
        let mut replaced = Vec::new();
        for (schema, name) in [LatestState::TABLE, CoverageState::TABLE] {
            Table::open(self, schema, name).await?;
        }
        for TableRef { schema, name, .. } in self.tables().await? {
            let derived = match schema.as_str() {
                "unified" => Fact::of_versions(&name).is_some(),
                "meta" => DERIVED.contains(&name.as_str()),
                _ => schemas.contains(&schema),
            };
            if derived {
                let table = Table::open(self, &schema, &name).await?;
                replaced.push(((schema, name), table));
            }
        }
        let mut before = BTreeMap::new();
        for (place, mut table) in replaced {
            if let Some(fence) = &fence {
                table.shut_out(fence).await?;
            }
            before.insert(place, table.version().unwrap_or_default());
        }
        self.put_if_absent(&Path::from_iter([NEW, id, BUILDING]), Bytes::from_static(b"sluice")).await?;
        Ok(Rebuild { id: id.to_owned(), lake: self.clone(), fresh, before, fence })
    }

    /// The lake of the same raw objects whose tables are those that a rebuild fills.
    pub fn new_tables(&self, rebuild: &str) -> Self {
        self.with_tables(&format!("{NEW}/{rebuild}"))
    }

    /// Whether new tables are being put in the place of old ones, or were until that was interrupted: some may be of
    /// before a rebuild then, and others of after it.
    pub async fn is_half_rebuilt(&self) -> Result<bool, Error> {
        self.has_object(&Path::from(PLACING)).await
    }

    async fn has_object(&self, path: &Path) -> Result<bool, Error> {
        match self.store().head(path).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(source) => Err(Error::store("read", self.display(path), source)),
        }
    }

    /// All runs that left something in raw, those first of which a response was observed first. The ids of runs begin with their
    /// time too, by the host's clock alone: of a run whose clock was ahead, and of none that has responses, that isn't believed.
    pub async fn raw_runs(&self) -> Result<Vec<String>, Error> {
        let mut runs: Vec<String> = Vec::new();
        for folder in ["raw/envelopes", "raw/slices"] {
            let found = self.folders(&Path::from(folder)).await?;
            runs.extend(found.iter().filter_map(Path::filename).map(str::to_owned));
        }
        runs.sort_unstable();
        runs.dedup();
        let dated = stream::iter(runs).map(|run| async move { Ok::<_, Error>((self.begun(&run).await?, run)) });
        let mut dated: Vec<(DateTime<Utc>, String)> = dated.buffer_unordered(READ_AHEAD).try_collect().await?;
        dated.sort_unstable();
        Ok(dated.into_iter().map(|(_, run)| run).collect())
    }

    /// When one of a run's responses was observed; when its id was made, if it has none.
    async fn begun(&self, run: &str) -> Result<DateTime<Utc>, Error> {
        // Stores list in orders of their own: the same one is asked each time.
        if let Some(path) = self.kept_in(&Path::from_iter(["raw", "envelopes", run])).await?.iter().min() {
            return Ok(self.envelope(path).await?.received_at);
        }
        let made = Uuid::try_parse(run).ok().and_then(|id| id.get_timestamp());
        let made = made.and_then(|time| DateTime::from_timestamp(i64::try_from(time.to_unix().0).ok()?, 0));
        Ok(made.unwrap_or(DateTime::UNIX_EPOCH))
    }

    /// Where an object of a lake on a disk of this machine is.
    pub(crate) fn disk_path(&self, location: &Path) -> Option<PathBuf> {
        let url = self.is_local().then(|| self.url().join(location.as_ref()).ok())??;
        url.to_file_path().ok()
    }

    /// Deletes what rebuilds left beside the tables.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn remove_new_tables(&self) -> Result<(), Error> {
        let folder = Path::from(NEW);
        for rebuild in self.folders(&folder).await? {
            self.stop_rebuild(&rebuild).await?;
        }
        self.remove_folder(&folder).await
    }

    /// Deletes what one rebuild left beside the tables.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn remove_new_tables_of(&self, rebuild: &str) -> Result<(), Error> {
        let folder = Path::from_iter([NEW, rebuild]);
        self.stop_rebuild(&folder).await?;
        self.remove_folder(&folder).await
    }

    /// Lets nobody go on with a rebuild whose tables are about to be deleted.
    async fn stop_rebuild(&self, folder: &Path) -> Result<(), Error> {
        self.delete(&plan::whole_path(folder)).await?;
        self.delete(&folder.clone().join(BUILDING)).await
    }

    async fn remove_folder(&self, folder: &Path) -> Result<(), Error> {
        let listed = self.store().list(Some(folder)).map_ok(|object| object.location).boxed();
        let deleted: Result<Vec<Path>, StoreError> = self.store().delete_stream(listed).try_collect().await;
        match deleted {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(source) => return Err(Error::store("delete", self.display(folder), source)),
        }
        // A process that was killed while it wrote leaves the beginning of a file on a local disk, which no list names.
        let Some(path) = self.disk_path(folder) else { return Ok(()) };
        let name = path.display().to_string();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await;
        match removed.map_err(|source| Error::Worker { source })? {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::OpenFolder { path: name, source })
            }
            _ => Ok(()),
        }
    }
}

impl Rebuild {
    /// The lake of the same raw objects whose tables are to be filled.
    #[expect(clippy::misnamed_getters, reason = "the field `lake` is the one whose tables are replaced")]
    pub fn lake(&self) -> &Lake {
        &self.fresh
    }

    /// Puts the new tables in the place of the old ones, each in one step. They stay beside them until
    /// [`Lake::remove_new_tables_of`]: without them a rebuild that is begun again would put nothing in the place of everything.
    ///
    /// # Errors
    /// [`Error::Overtaken`] if another writer wrote to an old table meanwhile, or deleted new ones: that would be lost.
    /// [`Error::Fenced`] if another process has taken the lease over. Both before any table is replaced, unless it happens
    /// just then.
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
        self.require_as_before(&places).await?;
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
        Ok(rebuilt)
    }

    /// Fails if any of the tables is another one by now: then none is replaced, for the others would be of another history.
    async fn require_as_before(&self, places: &BTreeMap<(String, String), Option<u64>>) -> Result<(), Error> {
        for ((schema, name), before) in places {
            let mut live = Table::open(&self.lake, schema, name).await?;
            if let Some(fence) = &self.fence {
                live.require_unfenced(fence).await?;
            }
            if live.version() != *before {
                return Err(Error::Overtaken { table: live.name().to_owned() });
            }
        }
        Ok(())
    }

    async fn replace(&self, schema: &str, name: &str, before: Option<u64>) -> Result<Rebuilt, Error> {
        let fresh = Table::open(&self.fresh, schema, name).await?;
        let mut live = Table::open(&self.lake, schema, name).await?;
        // Who deletes the new tables deletes this first: what was opened before is whole.
        let building = Path::from_iter([NEW, self.id.as_str(), BUILDING]);
        if live.version() != before || !self.lake.has_object(&building).await? {
            return Err(Error::Overtaken { table: live.name().to_owned() });
        }
        live.create_like(&fresh).await?;
        let rows = |table: &Table| table.files().iter().map(|file| file.rows as u64).sum();
        let rebuilt = Rebuilt { table: live.name().to_owned(), rows_before: rows(&live), rows: rows(&fresh) };
        // What is there already was put there before this rebuild was interrupted.
        let (old, new) = (live.files(), fresh.files());
        let paths = |files: &[DataFile]| files.iter().map(|file| file.path.clone()).collect::<HashSet<Path>>();
        let (old_paths, new_paths) = (paths(&old), paths(&new));
        let metadata = live.reshaped(&fresh)?;
        let gone = old.iter().filter(|file| !new_paths.contains(&file.path));
        let removes: Vec<Remove> = gone.map(|file| file.removal(true)).collect();
        let mut adds = Vec::new();
        for add in fresh.adds() {
            let path = Path::parse(&add.path).unwrap_or_else(|_| Path::from(add.path.as_str()));
            if !old_paths.contains(&path) {
                self.copy(schema, name, &path).await?;
                adds.push(add);
            }
        }
        if metadata.is_none() && removes.is_empty() && adds.is_empty() {
            return Ok(rebuilt);
        }
        let operation = Some(DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None });
        let application = format!("sluice-rebuild/{}", uuid::Uuid::now_v7());
        let now = chrono::Utc::now().timestamp_millis();
        let transactions = vec![Transaction::new_with_last_update(application, 1, Some(now))];
        let fences = self.fence.iter().cloned().collect();
        let proposal = Proposal { removes, adds, metadata, transactions, fences, operation, ..Proposal::default() };
        match live.commit_proposal(&proposal).await? {
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
            self.lake.resolve_rejects(&network, &rows, "rebuild", chrono::Utc::now(), self.fence.clone()).await?;
        }
        Ok(())
    }
}
