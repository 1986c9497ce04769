//! One Delta table: its snapshot, its files, its commits.

mod commit;
mod features;
mod files;
mod log;
mod schema;

pub use commit::Fence;
pub(crate) use commit::{Proposal, TableChange, commit_with};
pub use features::{require_honoured, unhonoured_in_log};
pub(crate) use log::remove;
pub(crate) use schema::assemble;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::DeltaTableError;
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Metadata, MetadataExt, Remove, StructField, Transaction};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::state::DeltaTableState;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::Error;
use crate::lake::Lake;

/// What a table is made with.
pub(crate) struct TableSpec {
    /// All columns.
    pub(crate) fields: Vec<Field>,
    /// The columns that its files are parted by.
    pub(crate) partitions: &'static [&'static str],
    /// Columns whose least and greatest values are kept per file, so that readers can skip files.
    pub(crate) indexed: Vec<&'static str>,
}

/// A Delta table and the snapshot of it that was read last. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Table {
    name: String,
    log: LogStoreRef,
    state: Option<DeltaTableState>,
    epochs: commit::Epochs,
}

/// A commit's outcome.
pub(crate) enum Commit {
    /// It is in the table.
    Done,
    /// Another writer was first: read the table again.
    Conflict,
}

/// A data file of the snapshot.
#[derive(Clone, Debug)]
pub(crate) struct DataFile {
    pub(crate) path: Path,
    pub(crate) partitions: HashMap<String, Option<String>>,
    pub(crate) stats: Option<String>,
    pub(crate) bytes: u64,
    /// 0 if the table doesn't say.
    pub(crate) rows: usize,
    /// When it was written, milliseconds since 1970.
    pub(crate) written_at: i64,
}

impl DataFile {
    /// The network whose rows it has, in a table that is partitioned by network.
    pub(crate) fn network(&self) -> Option<&str> {
        self.partitions.get("network")?.as_deref()
    }

    /// The action that removes it; `data_change` unless its rows stand in other files.
    pub(crate) fn removal(&self, data_change: bool) -> Remove {
        Remove {
            path: self.path.to_string(),
            data_change,
            deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
            extended_file_metadata: Some(true),
            partition_values: Some(self.partitions.clone()),
            size: i64::try_from(self.bytes).ok(),
            ..Remove::default()
        }
    }
}

impl Table {
    /// The table, which needn't exist.
    pub(crate) async fn open(lake: &Lake, schema: &str, name: &str) -> Result<Self, Error> {
        let full = format!("{schema}.{name}");
        let log = lake.log_store(&lake.url_of(schema, name)?)?;
        let mut table = Self { name: full, log, state: None, epochs: commit::Epochs::default() };
        table.refresh().await?;
        Ok(table)
    }

    /// The same without a snapshot: its files can be read by their names.
    pub(crate) fn without_snapshot(self) -> Self {
        Self { state: None, ..self }
    }

    /// Its name with its schema.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its files' store, rooted at the table.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.log.object_store(None)
    }

    /// Reads what others committed.
    ///
    /// # Errors
    /// [`Error::Unhonoured`] for a table with a feature that Sluice doesn't honour.
    pub(crate) async fn refresh(&mut self) -> Result<(), Error> {
        let failed = |source: DeltaTableError| Error::table("read", &self.name, source);
        if let Some(state) = &mut self.state {
            let before = state.version();
            if let Err(source) = state.update(&self.log, None).await {
                return Err(self.unreadable_log(source).await);
            }
            self.require_honoured()?;
            return self.learn_epochs(before).await;
        }
        if self.log.is_delta_table_location().await.map_err(failed)? {
            match DeltaTableState::try_new(&self.log, None).await {
                Ok(state) => self.state = Some(state),
                Err(source) => return Err(self.unreadable_log(source).await),
            }
        }
        self.require_honoured()?;
        Ok(())
    }

    /// Creates the table if it isn't there.
    pub(crate) async fn create_if_missing(&mut self, spec: &TableSpec) -> Result<(), Error> {
        let indexed = (!spec.indexed.is_empty()).then(|| spec.indexed.join(","));
        self.create(&spec.fields, spec.partitions, indexed).await
    }

    /// Creates the table as another one is, if it isn't there and the other one is.
    pub(crate) async fn create_like(&mut self, other: &Self) -> Result<(), Error> {
        let Some(state) = &other.state else { return Ok(()) };
        let fields: Vec<Field> = other.schema()?.fields().iter().map(|field| field.as_ref().clone()).collect();
        let indexed = state.metadata().configuration().get("delta.dataSkippingStatsColumns").cloned();
        self.create(&fields, state.metadata().partition_columns(), indexed).await
    }

    /// Creates the table if it isn't there. `indexed` are names joined by commas.
    async fn create(
        &mut self,
        fields: &[Field],
        partitions: &[impl AsRef<str>],
        indexed: Option<String>,
    ) -> Result<(), Error> {
        if self.state.is_some() {
            return Ok(());
        }
        let failed = |source: DeltaTableError| Error::table("create", &self.name, source);
        let fields = kernel_fields(fields).map_err(|source| Error::rows(&self.name, source))?;
        let created = CreateBuilder::new()
            .with_log_store(self.log.clone())
            .with_save_mode(SaveMode::Ignore)
            .with_columns(fields)
            .with_partition_columns(partitions.iter().map(AsRef::as_ref))
            .with_configuration([
                ("delta.dataSkippingStatsColumns", indexed.as_deref()),
                ("delta.setTransactionRetentionDuration", Some("interval 30 days")),
            ])
            .with_raise_if_key_not_exists(false)
            // With retries, a table that someone else made meanwhile would get a second birth.
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        match created {
            Ok(_) => {}
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(failed(error)),
        }
        self.refresh().await
    }

    fn state(&self) -> Result<&DeltaTableState, Error> {
        self.state.as_ref().ok_or_else(|| Error::table("read", &self.name, DeltaTableError::NotInitialized))
    }

    /// The snapshot's version; none if the table doesn't exist.
    pub(crate) fn version(&self) -> Option<u64> {
        self.state.as_ref().map(DeltaTableState::version)
    }

    /// The snapshot's columns.
    pub(crate) fn schema(&self) -> Result<SchemaRef, Error> {
        let schema = self.state()?.schema();
        let arrow: Schema = schema.as_ref().try_into_arrow().map_err(|source| Error::rows(&self.name, source))?;
        Ok(Arc::new(arrow))
    }

    /// The columns that its files are parted by; none if the table doesn't exist.
    pub(crate) fn partitioned_by(&self) -> Vec<String> {
        self.state.as_ref().map(|state| state.metadata().partition_columns().to_vec()).unwrap_or_default()
    }

    /// The snapshot's files.
    pub(crate) fn files(&self) -> Vec<DataFile> {
        let Some(state) = &self.state else { return Vec::new() };
        let log = state.log_data();
        log.iter()
            .map(|file| DataFile {
                path: file.object_store_path(),
                partitions: file.partition_values_map(),
                stats: file.stats(),
                bytes: file.size().unsigned_abs(),
                rows: file.num_records().unwrap_or_default(),
                written_at: file.modification_time(),
            })
            .collect()
    }

    /// The last transaction of an application in the snapshot.
    pub(crate) async fn transaction(&self, application: &str) -> Result<Option<i64>, Error> {
        let Some(state) = &self.state else { return Ok(None) };
        let failed = |source: DeltaTableError| Error::table("read", &self.name, source);
        state.transaction_version(&self.log, application).await.map_err(failed)
    }

    /// Commits actions on exactly this snapshot, or not at all.
    pub(crate) async fn commit_actions(
        &mut self,
        actions: Vec<Action>,
        operation: DeltaOperation,
        transactions: Vec<Transaction>,
    ) -> Result<Commit, Error> {
        let state = self.state()?;
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(transactions);
        let committed =
            CommitBuilder::from(properties).with_actions(actions).build(Some(state), self.log.clone(), operation).await;
        match committed {
            Ok(done) => {
                self.state = Some(done.snapshot());
                Ok(Commit::Done)
            }
            Err(error) if is_conflict(&error) => Ok(Commit::Conflict),
            Err(error) => Err(Error::table("commit to", &self.name, error)),
        }
    }

    /// The metadata by which this table gets the columns of another; none if it has them, or there is no other.
    pub(crate) fn reshaped(&self, other: &Self) -> Result<Option<Metadata>, Error> {
        let Some(wanted) = &other.state else { return Ok(None) };
        let state = self.state()?;
        if state.schema() == wanted.schema() {
            return Ok(None);
        }
        let metadata = state.metadata().clone().with_schema(wanted.schema().as_ref());
        metadata.map(Some).map_err(|error| Error::table("commit to", &self.name, error))
    }

    pub(crate) fn log(&self) -> &LogStoreRef {
        &self.log
    }
}

/// Whether another writer was first.
fn is_conflict(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::VersionAlreadyExists(_)
                | TransactionError::MaxCommitAttempts(_)
                | TransactionError::CommitConflict(_)
        ),
        _ => false,
    }
}

fn kernel_fields(fields: &[Field]) -> Result<Vec<StructField>, arrow::error::ArrowError> {
    fields.iter().map(TryIntoKernel::try_into_kernel).collect()
}
