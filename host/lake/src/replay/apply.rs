//! Applying a replay: each table gets all that differs in one commit, or nothing.
//!
//! Files are written while the replay runs, and no snapshot has them until the commit. The commit is made on the
//! snapshot that was compared, or on a later one that has nothing new of any key in it and lacks none of what was compared;
//! else it is given up.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::kernel::{Add, Transaction};
use object_store::path::Path;
use sluice_model::unified::ColumnKind;
use sluice_model::{Change, Fact, Step, money_type};

use super::diff::{Diff, texts};
use super::kept::{KeyStates, key_at, read, typed, wrong};
use crate::error::Error;
use crate::hash::VANISHED;
use crate::index::KeySet;
use crate::lake::Lake;
use crate::latest::LatestState;
use crate::lineage::{ConnectorRef, binary};
use crate::meta::Resolution;
use crate::month;
use crate::native::NewColumn;
use crate::table::{self, Fence, Proposal, Table, commit_with};

/// Files that wait for the commit of their table.
#[derive(Default)]
pub(super) struct Staged {
    /// The table's columns with new ones.
    pub(super) schema: Option<SchemaRef>,
    /// The rows of `meta.columns` for new ones.
    pub(super) described: Vec<NewColumn>,
    new_fields: Vec<Field>,
    adds: Vec<Add>,
    /// The files of the snapshot that was compared.
    compared: Option<HashSet<Path>>,
}

/// The transaction by which a run's commits to a table are known.
pub(super) fn application(run_id: &str) -> String {
    format!("sluice-replay/{run_id}")
}

impl Staged {
    /// Whether there are no files.
    pub(super) fn is_empty(&self) -> bool {
        self.adds.is_empty()
    }

    pub(super) fn add(&mut self, schema: &SchemaRef, new_fields: Vec<Field>, adds: Vec<Add>) {
        self.schema = Some(schema.clone());
        self.new_fields.extend(new_fields);
        self.adds.extend(adds);
    }

    /// The table's columns with those of the rows that wait.
    pub(super) fn schema(&self, table: &Table) -> Result<SchemaRef, Error> {
        match &self.schema {
            Some(schema) => Ok(schema.clone()),
            None if table.version().is_none() => Ok(Arc::new(Schema::empty())),
            None => table.schema(),
        }
    }

    /// Records the snapshot that is compared.
    pub(super) fn compare(&mut self, table: &Table) {
        self.compared.get_or_insert_with(|| table.files().into_iter().map(|file| file.path).collect());
    }

    /// Commits what waits, in one step. Returns whether there was anything.
    pub(super) async fn commit(
        &mut self,
        table: &mut Table,
        key: &str,
        run_id: &str,
        fence: Option<&Fence>,
    ) -> Result<bool, Error> {
        if self.is_empty() {
            return Ok(false);
        }
        table.refresh().await?;
        let application = application(run_id);
        commit_with(table, &mut StagedCommit { staged: self, key, application, fence }).await?;
        Ok(true)
    }

    /// Whether files that came or went since the comparison have rows of these keys, or columns of another type came. What went
    /// was merged into files that came, or was taken back: then a version would follow one that isn't there.
    async fn overtaken(&self, table: &Table, key: &str) -> Result<bool, Error> {
        let schema = table.schema()?;
        let differs = |field: &Field| {
            schema.field_with_name(field.name()).is_ok_and(|known| known.data_type() != field.data_type())
        };
        if self.new_fields.iter().any(differs) {
            return Ok(true);
        }
        let Some(compared) = &self.compared else { return Ok(false) };
        let mut others = KeySet::default();
        let files: HashSet<Path> = table.files().into_iter().map(|file| file.path).collect();
        for path in files.difference(compared) {
            keys_of(table, path, key, |found| others.insert(found)).await?;
        }
        for path in compared.difference(&files) {
            // One that is deleted already, or can't be read, is compared no more.
            if keys_of(table, path, key, |found| others.insert(found)).await.is_err() {
                return Ok(true);
            }
        }
        let mut overtaken = false;
        for add in self.adds.iter().filter(|_| !others.is_empty()) {
            let path = Path::parse(&add.path).map_err(|error| wrong(table, &add.path, &error.to_string()))?;
            keys_of(table, &path, key, |own| {
                overtaken |= others.contains(&own);
                true
            })
            .await?;
        }
        Ok(overtaken)
    }
}

/// What waits, as a commit to a table that nobody wrote the same keys to meanwhile.
struct StagedCommit<'a> {
    staged: &'a Staged,
    key: &'a str,
    application: String,
    fence: Option<&'a Fence>,
}

impl table::TableChange for StagedCommit<'_> {
    async fn propose(&mut self, table: &mut Table, _: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        let Staged { adds, new_fields, .. } = self.staged;
        if table.transaction(&self.application).await?.is_some() {
            return Ok(None);
        }
        if self.staged.overtaken(table, self.key).await? {
            table.discard_files(adds).await;
            return Err(Error::Overtaken { table: table.name().to_owned() });
        }
        let known = table.schema()?;
        let is_new = |field: &&Field| known.field_with_name(field.name()).is_err();
        let now = chrono::Utc::now().timestamp_millis();
        let transactions = vec![Transaction::new_with_last_update(&self.application, 1, Some(now))];
        let new_fields = new_fields.iter().filter(is_new).cloned().collect();
        let fences = self.fence.cloned().into_iter().collect();
        Ok(Some(Proposal { adds: adds.clone(), new_fields, transactions, fences, ..Proposal::default() }))
    }
}

/// Calls `take` with each key of a file.
pub(super) async fn keys_of(
    table: &Table,
    path: &Path,
    key: &str,
    mut take: impl FnMut(u128) -> bool,
) -> Result<(), Error> {
    for batch in read(table, path, &[key]).await? {
        let keys = batch.column_by_name(key).ok_or_else(|| wrong(table, key, "in every file"))?;
        for row in 0..batch.num_rows() {
            take(key_at(keys.as_ref(), row).ok_or_else(|| wrong(table, key, "128 bits wide"))?);
        }
    }
    Ok(())
}

/// A table and the files that wait for its commit.
pub(super) struct StagedTable {
    table: Table,
    staged: Staged,
    key: &'static str,
}

impl StagedTable {
    pub(super) fn of(table: Table, staged: Staged, key: &'static str) -> Self {
        Self { table, staged, key }
    }
}

/// A replay that has gone through all responses.
pub struct Replayed {
    /// What would change.
    pub diff: Diff,
    pub(super) lake: Lake,
    pub(super) schema: String,
    pub(super) network: String,
    pub(super) run_id: Option<String>,
    pub(super) fence: Option<Fence>,
    /// Rejects that were resolved and are rejected again.
    pub(super) reopened: Vec<u128>,
    /// Native tables, then transactions and other facts, then rejects.
    pub(super) waiting: VecDeque<StagedTable>,
}

impl Replayed {
    /// Commits what differs, each table in one step: native tables, then transactions and other facts, then rejects; then
    /// the latest state follows. After a crash between, the same replay finds what is there and commits the rest.
    ///
    /// # Errors
    /// [`Error::Overtaken`] if another writer wrote of the same keys meanwhile: then the replay is to be made again.
    /// [`Error::Fenced`] if another process has taken the lease over.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let Some(run_id) = self.run_id.clone() else { return Ok(()) };
        let fence = self.fence.clone();
        let admitted = self.require_unfenced().await;
        if admitted.is_err() {
            self.discard().await;
        }
        admitted?;
        while let Some(mut next) = self.waiting.pop_front() {
            let committed = next.staged.commit(&mut next.table, next.key, &run_id, fence.as_ref()).await;
            if committed.is_err() {
                self.discard().await;
            }
            if committed? {
                self.note_columns(&next).await?;
            }
            self.lake.passed(match next.table.name() {
                name if name.starts_with("unified.") => Step::UnifiedCommitted,
                "meta.rejects" => Step::RejectsCommitted,
                _ => Step::NativeCommitted,
            });
        }
        let reopened: Vec<_> = self.reopened.drain(..).map(|key| (key, Resolution::Reopened)).collect();
        self.lake.resolve_rejects(&self.network, &reopened, &run_id, chrono::Utc::now(), fence).await?;
        LatestState::open(&self.lake).await?.catch_up().await?;
        self.lake.passed(Step::LatestCaughtUp);
        Ok(())
    }

    /// Fails if any of the tables refuses the lease: what the first ones would take is of no use without the others.
    async fn require_unfenced(&mut self) -> Result<(), Error> {
        let Some(fence) = &self.fence else { return Ok(()) };
        for waiting in &mut self.waiting {
            waiting.table.require_unfenced(fence).await?;
        }
        Ok(())
    }

    /// Lets go of what waits.
    pub async fn discard(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            waiting.table.discard_files(&waiting.staged.adds).await;
        }
    }

    /// Tells `meta.columns` of a native table's new columns.
    async fn note_columns(&self, committed: &StagedTable) -> Result<(), Error> {
        let described = &committed.staged.described;
        let Some((_, stream)) = committed.table.name().split_once('.').filter(|_| !described.is_empty()) else {
            return Ok(());
        };
        let noted = self.lake.noted_columns().await?;
        let place = |column: &NewColumn| (self.schema.clone(), stream.to_owned(), column.name.clone());
        let new: Vec<NewColumn> = described.iter().filter(|column| !noted.contains(&place(column))).cloned().collect();
        self.lake.append_columns(&self.schema, stream, &new).await
    }
}

/// The versions that follow rows whose facts the candidate doesn't give: as they were, but for what counts. Of a transaction
/// that is `commission_effective`; of other facts no amount and no number is left, so that a sum over the latest versions has
/// nothing of them.
pub(super) fn removals(
    (table, fact): (&Table, Fact),
    schema: &SchemaRef,
    before: &RecordBatch,
    connector: &ConnectorRef,
    latest: &KeyStates,
) -> Result<RecordBatch, Error> {
    let rows = before.num_rows();
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows))) };
    let keys = texts(table.name(), before, fact.key())?;
    let versions: &Int32Array = typed(table, before, "version")?;
    let counts = |name: &str| {
        let mapped = fact.mapped_column(name).filter(|_| fact != Fact::Transactions);
        mapped.is_some_and(|column| matches!(column.kind, ColumnKind::Money | ColumnKind::Int64))
    };
    let month = |row: usize| {
        let kept = key_at(keys, row).and_then(|key| latest.rows.get(&key));
        month::name(kept.map_or(month::NONE, |kept| kept.month))
    };
    let nothing = Decimal128Array::from_iter_values(std::iter::repeat_n(0, rows)).with_data_type(money_type());
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.name().as_str() {
            "network" => same(&connector.name),
            "month" => Arc::new((0..rows).map(|row| Some(month(row))).collect::<StringArray>()),
            "version" => Arc::new(versions.iter().map(|version| version.map(|v| v + 1)).collect::<Int32Array>()),
            "content_hash" => binary(std::iter::repeat_n(VANISHED, rows)),
            "change" => same(Change::MappingChange.name()),
            "commission_effective" => Arc::new(nothing.clone()),
            "connector" => same(&connector.name),
            "connector_version" => same(&connector.version),
            "connector_digest" => same(&connector.digest.to_hex()),
            name if counts(name) => new_null_array(field.data_type(), rows),
            name => before.column_by_name(name).cloned().unwrap_or_else(|| new_null_array(field.data_type(), rows)),
        }
    };
    let arrays = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.clone(), arrays).map_err(|source| Error::rows(table.name(), source))
}
