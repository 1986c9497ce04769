//! Taking a replay back: a commit that removes exactly the files which the replay's commits added.
//!
//! The replay's commit is found in the table's log by its transaction. Nothing is taken back if any table can't be.

use std::collections::{BTreeMap, HashSet};

use deltalake::kernel::{Action, Add, Remove, Transaction};
use deltalake::protocol::DeltaOperation;
use object_store::path::Path;
use sluice_model::Fact;

use super::apply::application;
use super::kept::{key_at, read, typed, wrong};
use super::schema_of;
use crate::error::Error;
use crate::index::KeyMap;
use crate::lake::{Lake, TableRef};
use crate::latest::LatestState;
use crate::table::{Fence, Proposal, Table, TableChange, commit_with};

/// A replay that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The run that had made it.
    pub run_id: String,
    /// Each table, and how many rows were taken back.
    pub tables: BTreeMap<String, u64>,
}

/// The transaction by which a rollback is known.
fn undone(run_id: &str) -> String {
    format!("sluice-rollback/{run_id}")
}

impl Lake {
    /// Takes back what a replay of a network wrote: its tables hold what they held before, row for row. `fence`: of the lease
    /// under which that is done. Whoever let an earlier one lapse can't write more of a replay afterwards, even if nothing of it
    /// was found.
    ///
    /// # Errors
    /// [`Error::NoReplay`]; [`Error::BuiltUpon`] if compaction merged what was written, or later versions follow it;
    /// [`Error::Fenced`] if another process has taken the lease over.
    pub async fn roll_back_replay(
        &self,
        network: &str,
        run_id: &str,
        fence: Option<&Fence>,
    ) -> Result<RolledBack, Error> {
        let mut rolled_back = RolledBack { run_id: run_id.to_owned(), tables: BTreeMap::new() };
        let mut waiting: Vec<Table> = Vec::new();
        let mut found = false;
        let of_network = schema_of(network);
        for table in self.tables().await? {
            if ![of_network.as_str(), "unified", "meta"].contains(&table.schema.as_str()) {
                continue;
            }
            let is_written = is_written(&table);
            let mut table = Table::open(self, &table.schema, &table.name).await?;
            if let Some(fence) = fence.filter(|_| is_written) {
                table.shut_out(fence).await?;
            }
            if table.transaction(&application(run_id)).await?.is_some() {
                found = true;
                // What an interrupted rollback had done is done.
                if table.transaction(&undone(run_id)).await?.is_none() {
                    removals(&table, network, run_id).await?;
                    waiting.push(table);
                }
            }
        }
        if !found {
            return Err(Error::NoReplay { network: network.to_owned(), run_id: run_id.to_owned() });
        }
        for mut table in waiting {
            let rows = remove(&mut table, network, run_id, fence).await?;
            rolled_back.tables.insert(table.name().to_owned(), rows);
        }
        LatestState::open(self).await?.catch_up().await?;
        Ok(rolled_back)
    }
}

/// Whether replays write to a table of those that may have something of one.
fn is_written(table: &TableRef) -> bool {
    match table.schema.as_str() {
        "unified" => Fact::of_versions(&table.name).is_some(),
        "meta" => ["rejects", "resolved_rejects"].contains(&table.name.as_str()),
        _ => true,
    }
}

/// Removes what the replay added, and gives its rows.
async fn remove(table: &mut Table, network: &str, run_id: &str, fence: Option<&Fence>) -> Result<u64, Error> {
    let mut removal = Removal { network, run_id, fence, rows: 0 };
    Ok(commit_with(table, &mut removal).await?.map_or(0, |_| removal.rows))
}

struct Removal<'a> {
    network: &'a str,
    run_id: &'a str,
    fence: Option<&'a Fence>,
    rows: u64,
}

impl TableChange for Removal<'_> {
    async fn propose(&mut self, table: &mut Table, _: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        if table.transaction(&undone(self.run_id)).await?.is_some() {
            return Ok(None);
        }
        let (version, removes, rows) = removals(table, self.network, self.run_id).await?;
        self.rows = rows;
        let now = chrono::Utc::now().timestamp_millis();
        let transactions = vec![Transaction::new_with_last_update(undone(self.run_id), 1, Some(now))];
        let operation = Some(DeltaOperation::Restore { version: version.checked_sub(1), datetime: None });
        let fences = self.fence.cloned().into_iter().collect();
        Ok(Some(Proposal { removes, transactions, fences, operation, ..Proposal::default() }))
    }
}

/// The replay's commit, the removals of the files that it added, and their rows.
async fn removals(table: &Table, network: &str, run_id: &str) -> Result<(u64, Vec<Remove>, u64), Error> {
    let refused = |reason: &str| Error::BuiltUpon {
        run_id: run_id.to_owned(),
        table: table.name().to_owned(),
        reason: reason.to_owned(),
    };
    let (version, adds) = commit_of(table, &application(run_id))
        .await?
        .ok_or_else(|| refused("its commit is no longer in the log, which was cleaned since"))?;
    let added: HashSet<Path> = adds.iter().filter_map(|add| Path::parse(&add.path).ok()).collect();
    let files = table.files();
    let there: Vec<_> = files.iter().filter(|file| added.contains(&file.path)).collect();
    if there.len() < added.len() {
        return Err(refused("its files were merged with others since"));
    }
    // A version implies the one before it; other tables' rows don't.
    let fact = table.name().strip_prefix("unified.").and_then(Fact::of_versions);
    if let Some(fact) = fact {
        if there.iter().any(|file| file.network() != Some(network)) {
            return Err(refused(&format!("it is of another network than {network}")));
        }
        let others = files.iter().filter(|file| !added.contains(&file.path) && file.network() == Some(network));
        if followed(table, fact.key(), &added, others.map(|file| &file.path)).await? {
            return Err(refused("later versions follow those that it wrote"));
        }
    }
    let rows = there.iter().map(|file| file.rows as u64).sum();
    Ok((version, there.iter().map(|file| file.removal(true)).collect(), rows))
}

/// Whether a key of `added` has a later version in one of `others`.
async fn followed(
    table: &Table,
    key: &str,
    added: &HashSet<Path>,
    others: impl Iterator<Item = &Path>,
) -> Result<bool, Error> {
    let mut taken_back: KeyMap<i32> = KeyMap::default();
    for path in added {
        each_version(table, key, path, |key, version| {
            taken_back.insert(key, version);
        })
        .await?;
    }
    let mut followed = false;
    for path in others {
        each_version(table, key, path, |key, version| {
            followed |= taken_back.get(&key).is_some_and(|ours| version > *ours);
        })
        .await?;
    }
    Ok(followed)
}

async fn each_version(table: &Table, name: &str, path: &Path, mut take: impl FnMut(u128, i32)) -> Result<(), Error> {
    for batch in read(table, path, &[name, "version"]).await? {
        let keys = batch.column_by_name(name).ok_or_else(|| wrong(table, name, "there"))?;
        let versions: &arrow::array::Int32Array = typed(table, &batch, "version")?;
        for row in 0..batch.num_rows() {
            let key = key_at(keys.as_ref(), row).ok_or_else(|| wrong(table, name, "32 digits"))?;
            take(key, versions.value(row));
        }
    }
    Ok(())
}

/// The commit that carries a transaction of an application, with the files that it added.
async fn commit_of(table: &Table, application: &str) -> Result<Option<(u64, Vec<Add>)>, Error> {
    let failed = |source: deltalake::DeltaTableError| Error::table("read the log of", table.name(), source);
    let Some(newest) = table.version() else { return Ok(None) };
    for version in (0..=newest).rev() {
        let Some(entry) = table.log().read_commit_entry(version).await.map_err(failed)? else { return Ok(None) };
        // Most commits are others': their text shows it without being parsed.
        if !String::from_utf8_lossy(&entry).contains(application) {
            continue;
        }
        let actions = deltalake::logstore::get_actions(version, &entry).map_err(failed)?;
        let carries = |action: &Action| matches!(action, Action::Txn(transaction) if transaction.app_id == application);
        if actions.iter().any(carries) {
            let adds = actions.into_iter().filter_map(|action| match action {
                Action::Add(add) => Some(add),
                _ => None,
            });
            return Ok(Some((version, adds.collect())));
        }
    }
    Ok(None)
}
