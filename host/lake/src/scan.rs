//! Some columns of a data file, read straight from its Parquet.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, MetadataSuffixFetch};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::bloom_filter::Sbbf;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

/// A file in an object store, as the Parquet reader reads it.
struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { self.store.get_range(&self.path, range).map_err(external).await }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            Ok(Arc::new(reader.load_via_suffix_and_finish(self).await?))
        }
        .boxed()
    }
}

impl MetadataSuffixFetch for &mut StoredFile {
    fn fetch_suffix(&mut self, suffix: usize) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let options = GetOptions { range: Some(GetRange::Suffix(suffix as u64)), ..Default::default() };
        async move {
            let found = self.store.get_opts(&self.path, options).await.map_err(external)?;
            found.bytes().await.map_err(external)
        }
        .boxed()
    }
}

/// The columns of these names that the file has, as batches.
pub(crate) async fn read_columns(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    names: &[&str],
) -> ParquetResult<Vec<RecordBatch>> {
    stream_columns(store, path, names).await?.try_collect().await
}

/// The columns of these names that the file has, batch by batch.
pub(crate) async fn stream_columns(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    names: &[&str],
) -> ParquetResult<BoxStream<'static, ParquetResult<RecordBatch>>> {
    let file = StoredFile { store, path: path.clone() };
    let builder = ParquetRecordBatchStreamBuilder::new(file).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    Ok(builder.with_projection(mask).with_batch_size(16_384).build()?.boxed())
}

/// All rows of a file, some at a time.
pub(crate) async fn stream_rows(
    store: Arc<dyn ObjectStore>,
    path: &Path,
) -> ParquetResult<BoxStream<'static, ParquetResult<RecordBatch>>> {
    let file = StoredFile { store, path: path.clone() };
    let builder = ParquetRecordBatchStreamBuilder::new(file).await?;
    Ok(builder.with_batch_size(8_192).build()?.boxed())
}

/// The columns of a file.
pub(crate) async fn file_schema(store: Arc<dyn ObjectStore>, path: &Path) -> ParquetResult<SchemaRef> {
    let file = StoredFile { store, path: path.clone() };
    Ok(ParquetRecordBatchStreamBuilder::new(file).await?.schema().clone())
}

/// The column over which the file has a filter, if it has one.
pub(crate) async fn filtered_column(store: Arc<dyn ObjectStore>, path: &Path) -> ParquetResult<Option<String>> {
    let file = StoredFile { store, path: path.clone() };
    let builder = ParquetRecordBatchStreamBuilder::new(file).await?;
    let columns = builder.metadata().row_groups().first().map(|group| group.columns()).unwrap_or_default();
    let filtered = columns.iter().find(|column| column.bloom_filter_offset().is_some());
    Ok(filtered.map(|column| column.column_path().string()))
}

/// Some rows, in rising order, of the columns of these names that the file has.
pub(crate) async fn read_rows(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    names: &[&str],
    rows: &[u32],
) -> ParquetResult<Vec<RecordBatch>> {
    let file = StoredFile { store, path: path.clone() };
    let builder = ParquetRecordBatchStreamBuilder::new(file).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    let total = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(usize::MAX);
    let single = rows.iter().map(|row| *row as usize..*row as usize + 1);
    let selection = RowSelection::from_consecutive_ranges(single, total);
    builder.with_projection(mask).with_row_selection(selection).with_batch_size(16_384).build()?.try_collect().await
}

/// A column's filters, one per row group; none if the file lacks one.
pub(crate) async fn read_filters(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    column: &str,
) -> ParquetResult<Option<Vec<Sbbf>>> {
    let file = StoredFile { store, path: path.clone() };
    let mut builder = ParquetRecordBatchStreamBuilder::new(file).await?;
    let columns = builder.parquet_schema().columns();
    let Some(place) = columns.iter().position(|found| found.path().string() == column) else { return Ok(None) };
    let mut filters = Vec::new();
    for group in 0..builder.metadata().num_row_groups() {
        match builder.get_row_group_column_bloom_filter(group, place).await? {
            Some(filter) => filters.push(filter),
            None => return Ok(None),
        }
    }
    Ok(Some(filters))
}
