//! Data files of a table: rows written into the folders of their partitions, and rewritten into fewer files.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{SortColumn, lexsort_to_indices, partition, take, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::{ArrowError, Result as ArrowResult};
use deltalake::DeltaTableError;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::kernel::Add;
use deltalake::table::config::TablePropertiesExt;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{DataFile, Table};
use crate::error::Error;
use crate::scan::{filtered_column, stream_rows};

/// What Hive-style folders call null.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

impl Table {
    /// Writes rows as files that no snapshot has yet, one partition after another: a writer for each at once would
    /// hold a compressor per column and partition. The rows' schema is the table's, plus new columns. Rows of one
    /// partition that lie together are written from where they are; others are copied first.
    pub(crate) async fn write_files(&self, rows: &RecordBatch, key: Option<&str>) -> Result<Vec<Add>, Error> {
        self.check(rows)?;
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
        let shaped = |source| Error::rows(&self.name, source);
        let partition = PartitionFolder::of(rows, names).map_err(shaped)?;
        let rows = without(rows, names).map_err(shaped)?;
        let mut writer = self.writer(&partition, rows.schema(), rows.num_rows(), key, &distinct_columns(&rows))?;
        let failed = |source: DeltaTableError| Error::table("write files of", &self.name, source);
        if let Err(error) = writer.write(&rows).await {
            // What was begun is given up; the first error is the one that counts.
            let _ = writer.abort().await;
            return Err(failed(error));
        }
        let written = writer.close().await.map_err(failed)?;
        Ok(written.into_iter().map(|add| partition.place(add)).collect())
    }

    /// A writer of about `rows` rows into the folder of a partition, whose columns aren't in `schema`. Columns that are
    /// `distinct` get no dictionary.
    fn writer(
        &self,
        partition: &PartitionFolder,
        schema: SchemaRef,
        rows: usize,
        key: Option<&str>,
        distinct: &[String],
    ) -> Result<DeltaWriter, Error> {
        let state = self.state()?;
        let stats: Option<Vec<String>> = state
            .metadata()
            .configuration()
            .get("delta.dataSkippingStatsColumns")
            .map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
        let properties = properties(rows, key, distinct, stats.as_deref().unwrap_or_default());
        let indexed = state.table_config().num_indexed_cols();
        let config = WriterConfig::new(schema, Vec::new(), Some(properties), None, None, indexed, stats);
        let store = Arc::new(PrefixStore::new(self.store(), partition.folder.clone()));
        Ok(DeltaWriter::new(store, config))
    }

    /// Writes the rows of files of one partition again, as they are, under the snapshot's columns: into one file, or
    /// few if they are large. A filter over keys and the statistics stay what they were. In memory are some rows of
    /// one file and what the writer holds.
    pub(crate) async fn rewrite(&self, files: &[DataFile]) -> Result<Vec<Add>, Error> {
        self.rewrite_with(files, Ok).await
    }

    /// The same with other rows in the place of those that are there, as many and under the same columns.
    pub(crate) async fn rewrite_with(
        &self,
        files: &[DataFile],
        change: impl Fn(RecordBatch) -> Result<RecordBatch, Error> + Send + Sync,
    ) -> Result<Vec<Add>, Error> {
        let Some(first) = files.first() else { return Ok(Vec::new()) };
        let names = self.state()?.metadata().partition_columns().to_vec();
        let partition = PartitionFolder::named(&first.partitions, &names);
        let schema = self.schema()?;
        let kept: Vec<usize> =
            (0..schema.fields().len()).filter(|index| !names.contains(schema.field(*index).name())).collect();
        let schema = Arc::new(schema.project(&kept).map_err(|source| Error::rows(&self.name, source))?);
        let unreadable = |file: &DataFile, source| self.unreadable(&file.path, source);
        let key = filtered_column(self.store(), &first.path).await.map_err(|source| unreadable(first, source))?;
        let rows = files.iter().map(|file| file.rows).sum();
        let mut writer = self.writer(&partition, schema.clone(), rows, key.as_deref(), &[])?;
        let copied = async {
            for file in files {
                let mut batches = stream_rows(self.store(), &file.path).await.map_err(|e| unreadable(file, e))?;
                while let Some(batch) = batches.try_next().await.map_err(|source| unreadable(file, source))? {
                    let batch = conform(&schema, &batch).map_err(|source| Error::rows(&self.name, source))?;
                    let batch = change(batch)?;
                    writer.write(&batch).await.map_err(|source| Error::table("write files of", &self.name, source))?;
                }
            }
            Ok(())
        };
        if let Err(error) = copied.await {
            let _ = writer.abort().await;
            return Err(error);
        }
        let written = writer.close().await.map_err(|source| Error::table("write files of", &self.name, source))?;
        Ok(written.into_iter().map(|add| partition.place(add)).collect())
    }

    fn unreadable(&self, path: &Path, source: parquet::errors::ParquetError) -> Error {
        Error::DataFile { table: self.name.clone(), path: path.to_string(), source }
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
}

/// A partition: the values of its columns, and the folder that is named by them.
struct PartitionFolder {
    values: HashMap<String, Option<String>>,
    folder: Path,
}

impl PartitionFolder {
    /// Reads the values of the first row: all rows have the same.
    fn of(rows: &RecordBatch, names: &[String]) -> ArrowResult<Self> {
        let mut values = HashMap::with_capacity(names.len());
        for name in names {
            let column = rows.column(rows.schema().index_of(name)?).as_string_opt::<i32>();
            let column =
                column.ok_or_else(|| ArrowError::SchemaError(format!("partition column {name} is no text")))?;
            values.insert(name.clone(), column.is_valid(0).then(|| column.value(0).to_owned()));
        }
        Ok(Self::named(&values, names))
    }

    fn named(values: &HashMap<String, Option<String>>, names: &[String]) -> Self {
        let value = |name: &String| values.get(name).and_then(Option::as_deref).unwrap_or(NO_VALUE);
        let folder = names.iter().fold(Path::default(), |folder, name| folder.join(format!("{name}={}", value(name))));
        Self { values: values.clone(), folder }
    }

    /// A file of the folder as a file of the table.
    fn place(&self, add: Add) -> Add {
        let path = if self.values.is_empty() { add.path } else { format!("{}/{}", self.folder, add.path) };
        Add { path, partition_values: self.values.clone(), ..add }
    }
}

/// The rows without the columns that are in a folder's name.
fn without(rows: &RecordBatch, names: &[String]) -> ArrowResult<RecordBatch> {
    let kept: Vec<usize> =
        (0..rows.num_columns()).filter(|index| !names.contains(rows.schema().field(*index).name())).collect();
    rows.project(&kept)
}

/// A file's rows under the table's columns: those that came after the file was written are null.
fn conform(schema: &SchemaRef, rows: &RecordBatch) -> ArrowResult<RecordBatch> {
    let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => Err(ArrowError::SchemaError(format!(
            "column {} is {} in a file and {} in the table",
            field.name(),
            column.data_type(),
            field.data_type()
        ))),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<ArrowResult<Vec<_>>>()?)
}

/// The rows by partition: slices where they are contiguous already.
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

/// Rows of a column that are checked for whether its values differ.
const SAMPLED_ROWS: usize = 128;

/// Columns of text and bytes nearly all of whose values differ: a dictionary of them costs a hash and a comparison for
/// each value, and is thrown away or as large as the values.
fn distinct_columns(rows: &RecordBatch) -> Vec<String> {
    let (count, step) = (rows.num_rows(), rows.num_rows().div_ceil(SAMPLED_ROWS).max(1));
    let mut seen: HashSet<&[u8]> = HashSet::with_capacity(SAMPLED_ROWS);
    let mut distinct = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let value = |row: usize| -> Option<&[u8]> {
            if column.is_null(row) {
                return None;
            }
            match column.data_type() {
                DataType::Utf8 => Some(column.as_string::<i32>().value(row).as_bytes()),
                DataType::Binary => Some(column.as_binary::<i32>().value(row)),
                _ => None,
            }
        };
        seen.clear();
        let sampled = (0..count).step_by(step).filter_map(value).map(|value| seen.insert(value)).count();
        if sampled >= SAMPLED_ROWS / 4 && seen.len() * 10 >= sampled * 9 {
            distinct.push(field.name().clone());
        }
    }
    distinct
}

/// Rows from which on a file is a large one, as upkeep makes them.
const LARGE_ROWS: usize = 65_536;

/// The rate of a filter's false positives: each time, all keys of the file are read. The many small files of a run that
/// reads new transactions are asked for all keys of each later flush, some 100,000 at once; of large files there are few,
/// and their filters are what a reader of a long history loads. A filter that errs a tenth as often takes a byte more per
/// key, before its size is rounded up to a power of two.
fn false_alarms(rows: usize) -> f64 {
    if rows < LARGE_ROWS { 0.000_000_1 } else { 0.000_01 }
}

/// Rows below which a file isn't worth a Zstandard compressor for each of its columns: to make them takes longer than to
/// write it. Upkeep puts small files together.
const SMALL_ROWS: usize = 4_096;
/// Distinct values of a column in a file, in bytes, above which they are written out in full.
const DICTIONARY_BYTES: usize = 128 << 10;

fn properties(rows: usize, key: Option<&str>, distinct: &[String], stats: &[String]) -> WriterProperties {
    let compression = if rows < SMALL_ROWS { Compression::SNAPPY } else { Compression::ZSTD(ZstdLevel::default()) };
    let mut builder = WriterProperties::builder()
        .set_compression(compression)
        // A column of more distinct values has no use for a dictionary: the sooner it is given up the better.
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_enabled(EnabledStatistics::None);
    for name in distinct {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name.as_str()), false);
    }
    for name in stats {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name.as_str()), EnabledStatistics::Chunk);
    }
    if let Some(key) = key {
        // Keys are hashes: a dictionary of them would be useless. The filter shows, without reading the
        // keys, that a transaction isn't in a month that nobody touched.
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(key), false)
            .set_column_bloom_filter_enabled(ColumnPath::from(key), true)
            .set_column_bloom_filter_fpp(ColumnPath::from(key), false_alarms(rows))
            .set_column_bloom_filter_max_ndv(ColumnPath::from(key), rows.max(64) as u64);
    }
    builder.build()
}
