//! Followers: tables that are derived from another table's log.
//!
//! A follower reads the files that commits added to its source since the version that it absorbed, and applies them to
//! its own table. The absorbed version is recorded in the same commit, as the transaction `sluice/<name>/<id of the source>`:
//! a crash between the two tables leaves the follower behind, never wrong, until the next one catches up. If the log
//! can't be followed, because it was cleaned or because rows went, the follower's table is rebuilt from the source's
//! snapshot. Several processes may follow at once: a commit is made on exactly the snapshot that it was computed from.

use deltalake::kernel::{Add, Transaction};

use crate::coverage::CoverageState;
use crate::error::Error;
use crate::lake::Lake;
use crate::latest::LatestState;
use crate::table::{Proposal, Table, TableChange, TableSpec, commit_with};

/// What is derived from a table's log, and how.
pub(crate) trait Follower: Send {
    /// Names it in its commits.
    const NAME: &'static str;
    /// Schema and name of the table that it follows.
    const SOURCE: (&'static str, &'static str);
    /// Schema and name of its own table. Nobody else writes rows to it.
    const TARGET: (&'static str, &'static str);

    /// What its table is made with.
    fn table_spec(&self, source: &Table) -> Result<TableSpec, Error>;

    /// The files and columns that make `target` follow `source`. If it fails, files that it wrote are its own to discard.
    fn change(
        &mut self,
        source: &Table,
        target: &Table,
        incoming: Incoming,
    ) -> impl Future<Output = Result<Proposal, Error>> + Send;
}

/// Files of the source.
pub(crate) enum Incoming {
    /// Those that brought rows since the version that was absorbed. No rows went.
    Added(Vec<Add>),
    /// Those of the snapshot: what the target holds is to be replaced.
    All(Vec<Add>),
}

/// A follower with its source and target tables.
pub(crate) struct Following<F> {
    follower: F,
    source: Table,
    target: Table,
    /// Id and version of the source that the target is known to have absorbed: it never absorbs less.
    absorbed: Option<(String, u64)>,
}

impl<F: Follower> Following<F> {
    /// Schema and name of the follower's table.
    pub(crate) const TABLE: (&'static str, &'static str) = F::TARGET;

    pub(crate) async fn new(lake: &Lake, follower: F) -> Result<Self, Error> {
        // In this order: the source then has what the target has absorbed.
        let target = Table::open(lake, F::TARGET.0, F::TARGET.1).await?;
        let source = Table::open(lake, F::SOURCE.0, F::SOURCE.1).await?;
        Ok(Self { follower, source, target, absorbed: None })
    }

    /// The follower's table, as it was when it last caught up.
    pub(crate) fn table(&self) -> &Table {
        &self.target
    }

    pub(crate) fn follower(&mut self) -> &mut F {
        &mut self.follower
    }

    /// The followed table's files, as they now are.
    pub(crate) async fn source_files(&mut self) -> Result<Vec<Add>, Error> {
        self.source.refresh().await?;
        Ok(self.source.adds())
    }

    /// Applies what is new in the source. If nothing is, it costs one read of the source's log.
    ///
    /// # Errors
    /// [`Error::Conflict`] if other writers were always first; the follower's own errors.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Error> {
        self.source.refresh().await?;
        match place(&self.source) {
            here if here.is_none() || here == self.absorbed => Ok(()),
            _ => self.follow(Basis::Log).await,
        }
    }

    /// Rebuilds the follower's table from the source's snapshot.
    ///
    /// # Errors
    /// As [`Self::catch_up`].
    pub(crate) async fn rebuild(&mut self) -> Result<(), Error> {
        self.follow(Basis::Anew).await
    }

    async fn follow(&mut self, basis: Basis) -> Result<(), Error> {
        // Before the source: it then has what the target has absorbed.
        self.target.refresh().await?;
        let Self { follower, source, .. } = self;
        let mut catching = CatchUp { follower, source, basis };
        let committed = commit_with(&mut self.target, &mut catching).await?;
        self.absorbed = place(&self.source);
        if let (Some(Proposal { adds, removes, .. }), Some((_, version))) = (committed, &self.absorbed) {
            let (added, removed) = (adds.len(), removes.len());
            tracing::info!(table = self.target.name(), added, removed, version, "caught up");
        }
        Ok(())
    }
}

/// What a commit is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// The files that the log has since the absorbed version.
    Log,
    /// The snapshot, if the target hasn't absorbed it.
    Snapshot,
    /// The snapshot, whatever the target has absorbed.
    Anew,
}

/// A commit to a follower's table.
struct CatchUp<'a, F> {
    follower: &'a mut F,
    source: &'a mut Table,
    basis: Basis,
}

impl<F: Follower> TableChange for CatchUp<'_, F> {
    async fn propose(&mut self, target: &mut Table, earlier: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        if let Some(earlier) = earlier {
            target.discard_files(&earlier.adds).await;
        }
        loop {
            self.source.refresh().await?;
            let Some((id, newest)) = place(self.source) else { return Ok(None) };
            target.create_if_missing(&self.follower.table_spec(self.source)?).await?;
            let application = application(F::NAME, &id);
            let absorbed = absorbed(target, &application).await?;
            if absorbed == Some(newest) && self.basis != Basis::Anew {
                return Ok(None);
            }
            match self.change(target, absorbed).await {
                // A file that was compacted and deleted since: what took its place has no less.
                Err(error) if self.basis == Basis::Log && error.is_missing() => self.basis = Basis::Snapshot,
                Err(error) => return Err(error),
                Ok(change) => {
                    // Without a time, it doesn't expire.
                    let version = i64::try_from(newest).unwrap_or(i64::MAX);
                    let transactions = vec![Transaction::new(application, version)];
                    return Ok(Some(Proposal { transactions, ..change }));
                }
            }
        }
    }
}

impl<F: Follower> CatchUp<'_, F> {
    async fn change(&mut self, target: &Table, absorbed: Option<u64>) -> Result<Proposal, Error> {
        let added = match absorbed.filter(|_| self.basis == Basis::Log) {
            Some(version) => self.source.added_since(version).await?,
            None => None,
        };
        let incoming = added.map_or_else(|| Incoming::All(self.source.adds()), Incoming::Added);
        self.follower.change(self.source, target, incoming).await
    }
}

/// Id and version of a table's snapshot; none if it doesn't exist.
fn place(table: &Table) -> Option<(String, u64)> {
    table.id().map(str::to_owned).zip(table.version())
}

/// The transaction by which a follower's commits are known.
pub(crate) fn application(name: &str, source_id: &str) -> String {
    format!("sluice/{name}/{source_id}")
}

/// The version of the source that a follower's table has absorbed.
pub(crate) async fn absorbed(target: &Table, application: &str) -> Result<Option<u64>, Error> {
    Ok(target.transaction(application).await?.and_then(|version| u64::try_from(version).ok()))
}

/// All followers of a lake.
pub(crate) struct Followers {
    /// The latest state of all transactions.
    pub(crate) latest: LatestState,
    /// The folded coverage.
    pub(crate) coverage: CoverageState,
}

impl Followers {
    pub(crate) async fn open(lake: &Lake) -> Result<Self, Error> {
        Ok(Self { latest: LatestState::open(lake).await?, coverage: CoverageState::open(lake).await? })
    }

    /// Applies what is new in the tables that they follow. One that fails keeps no other one behind.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Error> {
        let (latest, coverage) = tokio::join!(self.latest.catch_up(), self.coverage.catch_up());
        latest.and(coverage)
    }

    /// Rebuilds their tables.
    pub(crate) async fn rebuild(&mut self) -> Result<(), Error> {
        let (latest, coverage) = tokio::join!(self.latest.rebuild(), self.coverage.rebuild());
        latest.and(coverage)
    }
}
