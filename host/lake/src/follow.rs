//! Followers: tables that are derived from another table's log.
//!
//! A follower reads the files that commits added to its source since the version that it absorbed, and applies them to
//! its own table. The absorbed version stands in the same commit, as the transaction `sluice/<name>/<id of the source>`:
//! a crash between the two tables leaves the follower behind, never wrong, until the next one catches up. If the log
//! can't be followed, because it was cleaned or because rows went, the follower's table is made anew from the source's
//! snapshot. Several processes may follow at once: a commit is made on exactly the snapshot that it was computed from.

use std::future::Future;

use arrow::datatypes::Field;
use deltalake::kernel::{Add, Remove, Transaction};

use crate::append::wait_a_moment;
use crate::coverage::CoverageState;
use crate::error::Error;
use crate::lake::Lake;
use crate::latest::LatestState;
use crate::table::{Commit, Design, Table};

const MAX_ATTEMPTS: u32 = 60;

/// What is derived from a table's log, and how.
pub(crate) trait Follower: Send {
    /// Names it in its commits.
    const NAME: &'static str;
    /// Schema and name of the table that it follows.
    const SOURCE: (&'static str, &'static str);
    /// Schema and name of its own table. Nobody else writes rows to it.
    const TARGET: (&'static str, &'static str);

    /// What its table is made with.
    fn design(&self, source: &Table) -> Result<Design, Error>;

    /// What makes `target` follow `source`. Files that it wrote for a change that fails are its own to discard.
    fn change(
        &mut self,
        source: &Table,
        target: &Table,
        incoming: Incoming,
    ) -> impl Future<Output = Result<FileChange, Error>> + Send;

    /// A change was committed.
    fn committed(&mut self, _change: &FileChange) {}
}

/// Files of the source.
pub(crate) enum Incoming {
    /// Those that brought rows since the version that was absorbed. No rows went.
    Added(Vec<Add>),
    /// Those of the snapshot: what the target holds is to be replaced.
    All(Vec<Add>),
}

/// What a commit does to a follower's table.
#[derive(Default)]
pub(crate) struct FileChange {
    pub(crate) removes: Vec<Remove>,
    pub(crate) adds: Vec<Add>,
    pub(crate) new_fields: Vec<Field>,
}

/// A follower with the tables that it stands between.
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

    /// Applies what is new in the source. If nothing is, it costs one look at the source's log.
    ///
    /// # Errors
    /// [`Error::Conflict`] if other writers were always first; the follower's own errors.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Error> {
        self.source.refresh().await?;
        match self.here() {
            here if here.is_none() || here == self.absorbed => Ok(()),
            _ => self.follow(true).await,
        }
    }

    /// Makes the follower's table anew from the source's snapshot.
    ///
    /// # Errors
    /// As [`Self::catch_up`].
    pub(crate) async fn rebuild(&mut self) -> Result<(), Error> {
        self.absorbed = None;
        self.follow(false).await
    }

    /// Id and version of the source's snapshot; none if it doesn't exist.
    fn here(&self) -> Option<(String, u64)> {
        self.source.id().map(str::to_owned).zip(self.source.version())
    }

    /// Commits until the target has absorbed the source: what was added since, or all of it.
    async fn follow(&mut self, mut by_log: bool) -> Result<(), Error> {
        let anew = !by_log;
        for attempt in 0..MAX_ATTEMPTS {
            // In this order: the source then has what the target has absorbed.
            self.target.refresh().await?;
            self.source.refresh().await?;
            let Some((id, newest)) = self.here() else { return Ok(()) };
            self.target.ensure(&self.follower.design(&self.source)?).await?;
            let application = application(F::NAME, &id);
            let absorbed = absorbed(&self.target, &application).await?;
            if absorbed == Some(newest) && !anew {
                self.absorbed = self.here();
                return Ok(());
            }
            let change = match self.change(absorbed.filter(|_| by_log)).await {
                // A file that was compacted and deleted since: what took its place has no less.
                Err(error) if by_log && error.is_missing() => {
                    by_log = false;
                    continue;
                }
                change => change?,
            };
            if self.commit(&change, &application, newest).await? {
                self.follower.committed(&change);
                self.absorbed = self.here();
                return Ok(());
            }
            wait_a_moment(attempt).await;
        }
        Err(Error::Conflict { table: self.target.name().to_owned(), attempts: MAX_ATTEMPTS })
    }

    async fn change(&mut self, absorbed: Option<u64>) -> Result<FileChange, Error> {
        let added = match absorbed {
            Some(version) => self.source.added_since(version).await?,
            None => None,
        };
        let incoming = added.map_or_else(|| Incoming::All(self.source.adds()), Incoming::Added);
        self.follower.change(&self.source, &self.target, incoming).await
    }

    /// Commits a change with the version that it absorbs. Gives whether it is in the table: a commit may be done though
    /// its answer says otherwise, and then its files must stay.
    async fn commit(&mut self, change: &FileChange, application: &str, newest: u64) -> Result<bool, Error> {
        let version = i64::try_from(newest).unwrap_or(i64::MAX);
        // Without a time, it doesn't expire.
        let transaction = Transaction::new(application, version);
        let (removes, adds) = (change.removes.clone(), change.adds.clone());
        let committed = self.target.replace(removes, adds, &change.new_fields, Some(transaction)).await;
        if matches!(committed, Ok(Commit::Done)) {
            let (added, removed) = (change.adds.len(), change.removes.len());
            tracing::info!(table = self.target.name(), added, removed, version, "caught up");
            return Ok(true);
        }
        match (committed, self.has(change).await) {
            (_, Ok(true)) => Ok(true),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(false)) => {
                self.target.discard_files(&change.adds).await;
                Ok(false)
            }
        }
    }

    /// Whether the newest snapshot has what a change brings.
    async fn has(&mut self, change: &FileChange) -> Result<bool, Error> {
        self.target.refresh().await?;
        let Some(first) = change.adds.first() else { return Ok(false) };
        Ok(self.target.adds().iter().any(|add| add.path == first.path))
    }
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

    /// Makes their tables anew.
    pub(crate) async fn rebuild(&mut self) -> Result<(), Error> {
        let (latest, coverage) = tokio::join!(self.latest.rebuild(), self.coverage.rebuild());
        latest.and(coverage)
    }
}
