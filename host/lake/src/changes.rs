//! The change feed: new versions of transactions in the order of their commits, from a cursor on.
//!
//! A transaction's versions come in their order, each at least once: a reader that asks again with the cursor that it kept
//! gets what followed it. Maintenance moves rows without a change, and gives nothing. A rollback takes versions away
//! without saying so.

mod cursor;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{SortColumn, cast, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use deltalake::kernel::Add;
use futures::TryStreamExt;

pub use cursor::ChangeCursor;

use crate::error::Error;
use crate::lake::Lake;
use crate::latest::path_of;
use crate::scan::stream_rows;
use crate::table::Table;

/// Which versions are asked for; what is empty fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    /// Of these networks, by their id.
    pub networks: BTreeSet<String>,
    /// For these reasons, by their name in the column `change`.
    pub changes: BTreeSet<String>,
}

/// Some of the feed.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Rows of `unified.transaction_versions`, in the feed's order.
    pub batches: Vec<RecordBatch>,
    /// Where the feed goes on.
    pub next: ChangeCursor,
    /// Whether there was more when this was read.
    pub has_more: bool,
}

/// Reads the feed. It knows the table's log as far as it was read, so that asking again costs little.
pub struct ChangeReader {
    versions: Table,
}

impl Lake {
    /// A reader of the feed.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn change_reader(&self) -> Result<ChangeReader, Error> {
        Ok(ChangeReader { versions: Table::open(self, "unified", "transaction_versions").await? })
    }
}

impl ChangeReader {
    /// Where the feed ends now; none if there is no transaction yet.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn end(&mut self) -> Result<Option<ChangeCursor>, Error> {
        self.versions.refresh().await?;
        let place = self.versions.id().zip(self.versions.version());
        Ok(place.map(|(table, version)| ChangeCursor { table: table.to_owned(), version, rows: 0 }))
    }

    /// What follows a cursor, or the feed from its beginning: `most` rows or a few more. None if there is no transaction yet.
    ///
    /// # Errors
    /// [`Error::FeedGone`] for a cursor of another table or of a log that was cleaned. The store's failure.
    pub async fn read(
        &mut self,
        after: Option<&ChangeCursor>,
        filter: &ChangeFilter,
        most: usize,
    ) -> Result<Option<Changes>, Error> {
        let Some(ChangeCursor { table, version: newest, .. }) = self.end().await? else { return Ok(None) };
        let mut next = match after {
            Some(cursor) if cursor.table != table => return Err(Error::FeedGone { cursor: cursor.to_string() }),
            Some(cursor) => cursor.clone(),
            None => ChangeCursor { table, version: 0, rows: 0 },
        };
        let (mut batches, mut found) = (Vec::new(), 0);
        // Of a commit that was read to its end, nothing follows.
        let mut version = if next.rows == 0 { next.version + 1 } else { next.version };
        while version <= newest && found < most {
            let Some(added) = self.versions.commit_added(version).await? else {
                return Err(Error::FeedGone { cursor: next.to_string() });
            };
            let skipped = if version == next.version { next.rows } else { 0 };
            let read = read_commit(&self.versions, &added, filter, skipped, most - found).await?;
            found += read.batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            batches.extend(read.batches);
            let is_half = read.stopped_at.is_some();
            next = ChangeCursor { version, rows: read.stopped_at.unwrap_or(0), ..next };
            if is_half {
                break;
            }
            version += 1;
        }
        let has_more = next.rows > 0 || next.version < newest;
        Ok(Some(Changes { batches, next, has_more }))
    }
}

/// Rows of a commit that fit a filter.
struct CommitRows {
    batches: Vec<RecordBatch>,
    /// Rows of the commit, fitting or not, before which it stopped; none: it came to its end.
    stopped_at: Option<u64>,
}

/// Reads a commit partition by partition, in which a transaction's versions are together, without the first `skipped`
/// rows, until `most` are found.
async fn read_commit(
    versions: &Table,
    added: &[Add],
    filter: &ChangeFilter,
    skipped: u64,
    most: usize,
) -> Result<CommitRows, Error> {
    let mut partitions: BTreeMap<Vec<(String, Option<String>)>, Vec<&Add>> = BTreeMap::new();
    for add in added {
        let mut partition: Vec<_> = add.partition_values.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        partition.sort();
        partitions.entry(partition).or_default().push(add);
    }
    let mut read = CommitRows { batches: Vec::new(), stopped_at: None };
    let (mut before, mut found) = (0_u64, 0);
    for files in partitions.into_values() {
        if found >= most {
            read.stopped_at = Some(before);
            return Ok(read);
        }
        let sorted = read_partition(versions, &files).await?;
        let length = sorted.num_rows() as u64;
        // A page may end within a partition, so that a commit of a whole history is no page of its own.
        let from = skipped.saturating_sub(before).min(length);
        let until = (from + most as u64).min(length);
        let page = sorted.slice(from as usize, (until - from) as usize);
        let fitting = fitting(&page, filter)?;
        found += fitting.num_rows();
        if fitting.num_rows() > 0 {
            read.batches.push(fitting);
        }
        if until < length {
            read.stopped_at = Some(before + until);
            return Ok(read);
        }
        before += length;
    }
    Ok(read)
}

/// The rows of files of one partition with all columns, by transaction and version.
async fn read_partition(versions: &Table, files: &[&Add]) -> Result<RecordBatch, Error> {
    let schema = versions.schema()?;
    let mut batches = Vec::new();
    for add in files {
        let path = path_of(add);
        let failed = |source| Error::DataFile { table: versions.name().to_owned(), path: path.to_string(), source };
        let mut stream = stream_rows(versions.store(), &path).await.map_err(failed)?;
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            batches.push(aligned(&batch, &schema, add)?);
        }
    }
    let sorted = concat_batches(&schema, &batches).map_err(rows)?;
    let by = ["transaction_key", "version"].map(|name| sorted.column_by_name(name).cloned());
    let by: Vec<SortColumn> = by.into_iter().flatten().map(|values| SortColumn { values, options: None }).collect();
    let order = lexsort_to_indices(&by, None).map_err(rows)?;
    take_record_batch(&sorted, &order).map_err(rows)
}

/// A file's rows with the columns of the table: those of its partition, and those that came later, too.
pub(crate) fn aligned(batch: &RecordBatch, schema: &SchemaRef, add: &Add) -> Result<RecordBatch, Error> {
    let columns = schema.fields().iter().map(|field| {
        if let Some(column) = batch.column_by_name(field.name()) {
            return cast(column, field.data_type());
        }
        match add.partition_values.get(field.name()).and_then(Option::as_deref) {
            Some(value) => {
                let values: ArrayRef = std::sync::Arc::new(StringArray::from(vec![value; batch.num_rows()]));
                cast(&values, field.data_type())
            }
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(rows)?;
    RecordBatch::try_new(schema.clone(), columns).map_err(rows)
}

fn fitting(page: &RecordBatch, filter: &ChangeFilter) -> Result<RecordBatch, Error> {
    let mut fitting = page.clone();
    for (column, wanted) in [("network", &filter.networks), ("change", &filter.changes)] {
        let Some(values) = fitting.column_by_name(column).filter(|_| !wanted.is_empty()) else { continue };
        let texts = cast(values, &arrow::datatypes::DataType::Utf8).map_err(rows)?;
        let texts = texts.as_string::<i32>();
        let mask: BooleanArray =
            (0..texts.len()).map(|at| Some(texts.is_valid(at) && wanted.contains(texts.value(at)))).collect();
        fitting = filter_record_batch(&fitting, &mask).map_err(rows)?;
    }
    Ok(fitting)
}

fn rows(source: ArrowError) -> Error {
    Error::Rows { table: "unified.transaction_versions".to_owned(), source }
}
