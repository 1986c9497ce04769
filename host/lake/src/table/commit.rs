//! Commits: made on exactly the snapshot that they were prepared on, tried again when another writer was first, and
//! refused when the lease under which their rows were read has been taken over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Field;
use deltalake::DeltaTableError;
use deltalake::kernel::{Action, Add, Metadata, MetadataExt, Remove, StructType, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use object_store::path::Path;
use uuid::Uuid;

use super::{Commit, Table, kernel_fields};
use crate::error::Error;

/// How often a commit is prepared again before it is given up.
const MAX_ATTEMPTS: u32 = 60;
/// What the application id of a lease's transactions begins with.
const LEASE: &str = "sluice/lease/";

/// The lease under which rows were read: the resource's name, and the epoch of its acquisition. Every commit that
/// carries such rows carries the epoch too, and fails on a snapshot that has a larger one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The name of what is leased, and of the store that knows its leases.
    pub resource: String,
    /// Grows with each acquisition of the lease.
    pub epoch: i64,
    /// Other leases, whose holders let them lapse, and the epochs that they have since: what was done under them may be
    /// continued under this one. The commit carries these epochs too, so that the late holders' commits fail after it.
    pub lapsed: Arc<BTreeMap<String, i64>>,
}

/// What a commit does to a table.
#[derive(Clone, Default)]
pub(crate) struct Proposal {
    pub(crate) removes: Vec<Remove>,
    pub(crate) adds: Vec<Add>,
    pub(crate) new_fields: Vec<Field>,
    /// Further metadata, in place of what `new_fields` would make.
    pub(crate) metadata: Option<Metadata>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) fences: Vec<Fence>,
    /// An append or an update by default.
    pub(crate) operation: Option<DeltaOperation>,
}

impl Proposal {
    /// Whether it would change nothing.
    fn is_empty(&self) -> bool {
        let changes_files = !self.removes.is_empty() || !self.adds.is_empty();
        !changes_files && self.new_fields.is_empty() && self.metadata.is_none() && self.fences.is_empty()
    }
}

/// What is to be committed, prepared for each snapshot.
pub(crate) trait TableChange: Send {
    /// What to commit on the table's snapshot; none if it has all of it already. `earlier` is what the last attempt
    /// proposed and another writer forestalled: its files may be used again, and are discarded by
    /// [`Table::discard_files`] if they aren't.
    fn propose(
        &mut self,
        table: &mut Table,
        earlier: Option<Proposal>,
    ) -> impl Future<Output = Result<Option<Proposal>, Error>> + Send;
}

/// Commits a change, and returns what was committed; none if there was nothing to commit.
///
/// The table must have been refreshed before. After a conflict, and after a failure of which it isn't known whether
/// the commit was made, the newest snapshot decides.
pub(crate) async fn commit_with(table: &mut Table, change: &mut impl TableChange) -> Result<Option<Proposal>, Error> {
    let mut earlier: Option<Proposal> = None;
    for attempt in 0..MAX_ATTEMPTS {
        let Some(proposal) = change.propose(table, earlier.take()).await? else { return Ok(None) };
        match table.commit_proposal(&proposal).await {
            Ok(Commit::Done) => return Ok(Some(proposal)),
            Ok(Commit::Conflict) => {
                tracing::debug!(table = table.name(), attempt, "another writer was first");
                wait_a_moment(attempt).await;
                table.refresh().await?;
                if table.has(&proposal) {
                    return Ok(Some(proposal));
                }
            }
            Err(error @ Error::Fenced { .. }) => {
                table.discard_files(&proposal.adds).await;
                return Err(error);
            }
            // Whether it was committed isn't known: if not, its files stay for upkeep to delete.
            Err(error) => {
                let refreshed = table.refresh().await;
                return if refreshed.is_ok() && table.has(&proposal) { Ok(Some(proposal)) } else { Err(error) };
            }
        }
        earlier = Some(proposal);
    }
    if let Some(proposal) = earlier {
        table.discard_files(&proposal.adds).await;
    }
    Err(Error::Conflict { table: table.name().to_owned(), attempts: MAX_ATTEMPTS })
}

impl Table {
    /// Commits files in the place of others on exactly this snapshot, or not at all.
    #[cfg(test)]
    pub(crate) async fn replace(
        &mut self,
        removes: Vec<Remove>,
        adds: Vec<Add>,
        new_fields: &[Field],
        transaction: Option<Transaction>,
    ) -> Result<Commit, Error> {
        let (new_fields, transactions) = (new_fields.to_vec(), transaction.into_iter().collect());
        self.commit_proposal(&Proposal { removes, adds, new_fields, transactions, ..Proposal::default() }).await
    }

    /// Shuts out of the table whoever let its lease lapse before this one was acquired: what such a process still commits is
    /// refused. The snapshot is then one that has all that it did commit.
    ///
    /// # Errors
    /// [`Error::Fenced`] if this lease itself was taken over.
    pub(crate) async fn shut_out(&mut self, fence: &Fence) -> Result<(), Error> {
        commit_with(self, &mut ShutOut(fence)).await.map(drop)
    }

    /// Fails if the newest snapshot refuses what is written under a lease.
    ///
    /// # Errors
    /// [`Error::Fenced`] if the lease was taken over.
    pub(crate) async fn require_unfenced(&mut self, fence: &Fence) -> Result<(), Error> {
        self.refresh().await?;
        self.check_fences(std::slice::from_ref(fence)).await.map(drop)
    }

    /// Commits a proposal on exactly this snapshot, or not at all.
    pub(crate) async fn commit_proposal(&mut self, proposal: &Proposal) -> Result<Commit, Error> {
        let mut transactions = proposal.transactions.clone();
        for (resource, epoch) in self.check_fences(&proposal.fences).await? {
            // Without a time, it doesn't expire.
            transactions.push(Transaction::new(format!("{LEASE}{resource}"), epoch));
        }
        let Proposal { removes, adds, new_fields, metadata, operation, .. } = proposal.clone();
        let metadata = match metadata {
            Some(metadata) => Some(metadata),
            None => self.grown(&new_fields)?,
        };
        let operation = match operation {
            Some(operation) => operation,
            None if removes.is_empty() => {
                let partitions = self.state()?.metadata().partition_columns().to_vec();
                let partition_by = (!partitions.is_empty()).then_some(partitions);
                DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None }
            }
            None => DeltaOperation::Update { predicate: None },
        };
        let actions = metadata.into_iter().map(Action::Metadata);
        let actions = actions.chain(removes.into_iter().map(Action::Remove));
        let committed = self
            .commit_actions(actions.chain(adds.into_iter().map(Action::Add)).collect(), operation, transactions.clone())
            .await?;
        if matches!(committed, Commit::Done) {
            for transaction in transactions {
                if let Some(resource) = transaction.app_id.strip_prefix(LEASE) {
                    self.epochs.insert(resource.to_owned(), transaction.version);
                }
            }
        }
        Ok(committed)
    }

    /// The metadata with further columns; none without any.
    fn grown(&self, new_fields: &[Field]) -> Result<Option<Metadata>, Error> {
        if new_fields.is_empty() {
            return Ok(None);
        }
        let failed = |source: DeltaTableError| Error::table("commit to", &self.name, source);
        let state = self.state()?;
        let added = kernel_fields(new_fields).map_err(|source| Error::rows(&self.name, source))?;
        let schema = StructType::try_new(state.schema().fields().cloned().chain(added))
            .map_err(|source| failed(DeltaTableError::generic(source.to_string())))?;
        state.metadata().clone().with_schema(&schema).map(Some).map_err(|error| failed(error.into()))
    }

    /// The epochs that the table doesn't have yet.
    ///
    /// # Errors
    /// [`Error::Fenced`] if it has a larger one of any of the leases under which rows were read.
    async fn check_fences(&mut self, fences: &[Fence]) -> Result<BTreeMap<String, i64>, Error> {
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for Fence { resource, epoch, lapsed } in fences {
            if let Some(known) = self.epoch(resource).await?.filter(|known| known > epoch) {
                let (table, resource, epoch) = (self.name.clone(), resource.clone(), *epoch);
                return Err(Error::Fenced { table, resource, epoch, known });
            }
            for (resource, epoch) in lapsed.iter().chain([(resource, epoch)]) {
                let newest = newest.entry(resource).or_insert(*epoch);
                *newest = (*newest).max(*epoch);
            }
        }
        let mut newer = BTreeMap::new();
        for (resource, epoch) in newest {
            if self.epoch(resource).await?.is_none_or(|known| known < epoch) {
                newer.insert(resource.to_owned(), epoch);
            }
        }
        Ok(newer)
    }

    /// The largest epoch of a lease that the snapshot has.
    pub(crate) async fn epoch(&mut self, resource: &str) -> Result<Option<i64>, Error> {
        if let Some(known) = self.epochs.get(resource) {
            return Ok(Some(*known).filter(|epoch| *epoch != NO_EPOCH));
        }
        let found = self.transaction(&format!("{LEASE}{resource}")).await?;
        self.epochs.insert(resource.to_owned(), found.unwrap_or(NO_EPOCH));
        Ok(found)
    }

    /// Records the epochs in the commits after `version`, so that the whole log is read only once for each.
    pub(super) async fn learn_epochs(&mut self, version: u64) -> Result<(), Error> {
        if self.epochs.is_empty() {
            return Ok(());
        }
        let failed = |source: DeltaTableError| Error::table("read the log of", &self.name, source);
        let newest = self.version().unwrap_or_default();
        for version in version + 1..=newest {
            let Some(text) = self.log.read_commit_entry(version).await.map_err(failed)? else {
                self.epochs.clear();
                return Ok(());
            };
            for action in deltalake::logstore::get_actions(version, &text).map_err(failed)? {
                if let Action::Txn(Transaction { app_id, version, .. }) = action
                    && let Some(resource) = app_id.strip_prefix(LEASE)
                {
                    self.epochs.insert(resource.to_owned(), version);
                }
            }
        }
        Ok(())
    }

    /// Whether the snapshot has what a proposal brings, by the name of a file that it adds or takes away.
    fn has(&self, proposal: &Proposal) -> bool {
        let files = self.files();
        let holds = |path: &str| Path::parse(path).is_ok_and(|path| files.iter().any(|file| file.path == path));
        match (proposal.adds.first(), proposal.removes.first()) {
            (Some(add), _) => holds(&add.path),
            (None, Some(remove)) => !holds(&remove.path),
            (None, None) => proposal.is_empty(),
        }
    }
}

/// A commit of epochs alone.
struct ShutOut<'a>(&'a Fence);

impl TableChange for ShutOut<'_> {
    async fn propose(&mut self, table: &mut Table, _: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        if table.version().is_none() {
            return Ok(None);
        }
        // The late holder's lease may be the one that this process has now.
        let Fence { resource, epoch, lapsed } = self.0;
        for (resource, epoch) in lapsed.iter().chain([(resource, epoch)]) {
            if table.epoch(resource).await?.is_none_or(|known| known < *epoch) {
                return Ok(Some(Proposal { fences: vec![self.0.clone()], ..Proposal::default() }));
            }
        }
        Ok(None)
    }
}

/// Stands for a lease of which the table has no epoch.
const NO_EPOCH: i64 = i64::MIN;

/// Epochs of leases by resource, as far as they were read.
pub(super) type Epochs = HashMap<String, i64>;

/// Waits a little longer at each attempt, and not in step with other writers.
async fn wait_a_moment(attempt: u32) {
    let (_, random) = Uuid::now_v7().as_u64_pair();
    let most_ms = 10_u64 << attempt.min(5);
    tokio::time::sleep(Duration::from_millis(random % most_ms + 1)).await;
}
