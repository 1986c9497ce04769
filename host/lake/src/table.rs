//! One Delta table: its snapshot, its files, its commits.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, lexsort_to_indices, partition, take, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::{ArrowError, Result as ArrowResult};
use deltalake::DeltaTableError;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Add, MetadataExt, StructField, StructType, Transaction};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::config::TablePropertiesExt;
use deltalake::table::state::DeltaTableState;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::Error;
use crate::lake::Lake;

/// What Hive-style folders call null.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// What a table is made with.
pub(crate) struct Design {
    /// All columns.
    pub(crate) fields: Vec<Field>,
    /// The columns that its files are parted by.
    pub(crate) partitions: &'static [&'static str],
    /// Columns whose least and greatest values are kept per file, so that readers can skip files.
    pub(crate) indexed: &'static [&'static str],
}

/// A Delta table and the snapshot of it that was read last.
pub(crate) struct Table {
    name: String,
    log: LogStoreRef,
    state: Option<DeltaTableState>,
}

/// What became of a commit.
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
}

impl Table {
    /// The table, which needn't exist.
    pub(crate) async fn open(lake: &Lake, schema: &str, name: &str) -> Result<Self, Error> {
        let full = format!("{schema}.{name}");
        let log = lake.log_store(&lake.url_of(schema, name)?)?;
        let mut table = Self { name: full, log, state: None };
        table.refresh().await?;
        Ok(table)
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
    pub(crate) async fn refresh(&mut self) -> Result<(), Error> {
        let failed = |source: DeltaTableError| Error::table("read", &self.name, source);
        if let Some(state) = &mut self.state {
            return state.update(&self.log, None).await.map_err(failed);
        }
        if self.log.is_delta_table_location().await.map_err(failed)? {
            self.state = Some(DeltaTableState::try_new(&self.log, None).await.map_err(failed)?);
        }
        Ok(())
    }

    /// Makes the table if it isn't there.
    pub(crate) async fn ensure(&mut self, design: &Design) -> Result<(), Error> {
        if self.state.is_some() {
            return Ok(());
        }
        let failed = |source: DeltaTableError| Error::table("create", &self.name, source);
        let fields = kernel_fields(&design.fields).map_err(|source| Error::rows(&self.name, source))?;
        let indexed = (!design.indexed.is_empty()).then(|| design.indexed.join(","));
        let created = CreateBuilder::new()
            .with_log_store(self.log.clone())
            .with_save_mode(SaveMode::Ignore)
            .with_columns(fields)
            .with_partition_columns(design.partitions.iter().copied())
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

    /// The snapshot's files.
    pub(crate) fn files(&self) -> Vec<DataFile> {
        let Some(state) = &self.state else { return Vec::new() };
        let log = state.log_data();
        log.iter()
            .map(|file| DataFile {
                path: file.object_store_path(),
                partitions: file.partition_values_map(),
                stats: file.stats(),
            })
            .collect()
    }

    /// The last transaction of an application in the snapshot.
    pub(crate) async fn transaction(&self, application: &str) -> Result<Option<i64>, Error> {
        let Some(state) = &self.state else { return Ok(None) };
        let failed = |source: DeltaTableError| Error::table("read", &self.name, source);
        state.transaction_version(&self.log, application).await.map_err(failed)
    }

    /// Writes rows as files that no snapshot has yet, one partition after another: a writer for each at once would
    /// hold a compressor per column and partition. The rows' schema is the table's, plus new columns. Rows of one
    /// partition that lie together are written from where they are; others are copied first.
    pub(crate) async fn write_files(&self, rows: &RecordBatch, key: Option<&str>) -> Result<Vec<Add>, Error> {
        let names = self.state()?.metadata().partition_columns().to_vec();
        let parts = parts(rows, &names).map_err(|source| Error::rows(&self.name, source))?;
        let mut adds = Vec::with_capacity(parts.len());
        for part in parts {
            match self.write_partition(&part, &names, key).await {
                Ok(written) => adds.extend(written),
                Err(error) => {
                    self.discard_files(&adds).await;
                    return Err(error);
                }
            }
        }
        Ok(adds)
    }

    /// Writes the rows of one partition into its folder. The writer knows of no partitions: it would copy the rows to
    /// part them once more.
    async fn write_partition(
        &self,
        rows: &RecordBatch,
        names: &[String],
        key: Option<&str>,
    ) -> Result<Vec<Add>, Error> {
        let state = self.state()?;
        let config = state.table_config();
        let stats: Option<Vec<String>> = state
            .metadata()
            .configuration()
            .get("delta.dataSkippingStatsColumns")
            .map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
        let properties = properties(rows.num_rows(), key, stats.as_deref().unwrap_or_default());
        let partition = Partition::of(rows, names).map_err(|source| Error::rows(&self.name, source))?;
        let config = WriterConfig::new(
            partition.rows.schema(),
            Vec::new(),
            Some(properties),
            None,
            None,
            config.num_indexed_cols(),
            stats,
        );
        let store = Arc::new(PrefixStore::new(self.store(), partition.folder.clone()));
        let mut writer = DeltaWriter::new(store, config);
        let failed = |source: DeltaTableError| Error::table("write files of", &self.name, source);
        if let Err(error) = writer.write(&partition.rows).await {
            // What was begun is given up; the first error is the one that counts.
            let _ = writer.abort().await;
            return Err(failed(error));
        }
        let written = writer.close().await.map_err(failed)?;
        Ok(written.into_iter().map(|add| partition.place(add)).collect())
    }

    /// Removes files that were written and never committed, as well as it goes.
    pub(crate) async fn discard_files(&self, adds: &[Add]) {
        let store = self.store();
        for add in adds {
            if let Ok(path) = Path::parse(&add.path) {
                let _ = store.delete(&path).await;
            }
        }
    }

    /// Commits files and new columns on exactly this snapshot, or not at all.
    pub(crate) async fn commit(
        &mut self,
        adds: Vec<Add>,
        new_fields: &[Field],
        transaction: Option<Transaction>,
    ) -> Result<Commit, Error> {
        let state = self.state()?;
        let failed = |source: DeltaTableError| Error::table("commit to", &self.name, source);
        let mut actions: Vec<Action> = Vec::with_capacity(adds.len() + 1);
        if !new_fields.is_empty() {
            let added = kernel_fields(new_fields).map_err(|source| Error::rows(&self.name, source))?;
            let schema = StructType::try_new(state.schema().fields().cloned().chain(added))
                .map_err(|source| failed(DeltaTableError::generic(source.to_string())))?;
            actions.push(Action::Metadata(
                state.metadata().clone().with_schema(&schema).map_err(|error| failed(error.into()))?,
            ));
        }
        actions.extend(adds.into_iter().map(Action::Add));
        let partitions = state.metadata().partition_columns().to_vec();
        let partition_by = (!partitions.is_empty()).then_some(partitions);
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None };
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(transaction.into_iter().collect());
        let committed =
            CommitBuilder::from(properties).with_actions(actions).build(Some(state), self.log.clone(), operation).await;
        match committed {
            Ok(done) => {
                self.state = Some(done.snapshot());
                Ok(Commit::Done)
            }
            Err(error) if is_conflict(&error) => Ok(Commit::Conflict),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The rows of one partition as its files have them.
struct Partition {
    values: HashMap<String, Option<String>>,
    folder: Path,
    /// Without the columns that the folder's name says.
    rows: RecordBatch,
}

impl Partition {
    /// Reads the values of the first row: all rows have the same.
    fn of(rows: &RecordBatch, names: &[String]) -> ArrowResult<Self> {
        let mut values = HashMap::with_capacity(names.len());
        let mut folder = Path::default();
        for name in names {
            let index = rows.schema().index_of(name)?;
            let column = rows.column(index).as_string_opt::<i32>();
            let column =
                column.ok_or_else(|| ArrowError::SchemaError(format!("partition column {name} is no text")))?;
            let value = column.is_valid(0).then(|| column.value(0).to_owned());
            folder = folder.join(format!("{name}={}", value.as_deref().unwrap_or(NO_VALUE)));
            values.insert(name.clone(), value);
        }
        let kept: Vec<usize> =
            (0..rows.num_columns()).filter(|index| !names.contains(rows.schema().field(*index).name())).collect();
        Ok(Self { values, folder, rows: rows.project(&kept)? })
    }

    /// A file of the folder as a file of the table.
    fn place(&self, add: Add) -> Add {
        let path = match self.values.is_empty() {
            true => add.path,
            false => format!("{}/{}", self.folder, add.path),
        };
        Add { path, partition_values: self.values.clone(), ..add }
    }
}

/// The rows by partition: slices where they lie together already.
fn parts(rows: &RecordBatch, names: &[String]) -> ArrowResult<Vec<RecordBatch>> {
    let columns = |rows: &RecordBatch| -> Vec<ArrayRef> {
        names.iter().filter_map(|name| rows.column_by_name(name)).cloned().collect()
    };
    let mut by = columns(rows);
    if by.is_empty() || rows.num_rows() == 0 {
        return Ok(if rows.num_rows() == 0 { Vec::new() } else { vec![rows.clone()] });
    }
    let mut ranges = partition(&by)?.ranges();
    let distinct = |ranges: &[Range<usize>]| {
        let firsts = UInt32Array::from_iter_values(ranges.iter().map(|range| range.start as u32));
        let firsts: Vec<ArrayRef> = by.iter().map(|column| take(column, &firsts, None)).collect::<ArrowResult<_>>()?;
        let sorted = lexsort_to_indices(&sorted_by(&firsts), None)?;
        let firsts: Vec<ArrayRef> =
            firsts.iter().map(|column| take(column, &sorted, None)).collect::<ArrowResult<_>>()?;
        ArrowResult::Ok(partition(&firsts)?.len())
    };
    let mut sorted = rows.clone();
    if distinct(&ranges)? < ranges.len() {
        sorted = take_record_batch(rows, &lexsort_to_indices(&sorted_by(&by), None)?)?;
        by = columns(&sorted);
        ranges = partition(&by)?.ranges();
    }
    Ok(ranges.into_iter().map(|range| sorted.slice(range.start, range.len())).collect())
}

fn sorted_by(columns: &[ArrayRef]) -> Vec<SortColumn> {
    columns.iter().map(|values| SortColumn { values: values.clone(), options: None }).collect()
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

fn properties(rows: usize, key: Option<&str>, stats: &[String]) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::None);
    for name in stats {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name.as_str()), EnabledStatistics::Chunk);
    }
    if let Some(key) = key {
        // Keys are hashes: a dictionary of them would only be thrown away. The filter tells, without reading the
        // keys, that a transaction isn't in a month that nobody touched.
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(key), false)
            .set_column_bloom_filter_enabled(ColumnPath::from(key), true)
            .set_column_bloom_filter_fpp(ColumnPath::from(key), 0.0001)
            .set_column_bloom_filter_max_ndv(ColumnPath::from(key), rows.max(64) as u64);
    }
    builder.build()
}
