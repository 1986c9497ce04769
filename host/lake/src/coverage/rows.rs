//! Rows of `meta.coverage` as reads, and the folded state as rows of `meta.coverage_state`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use deltalake::kernel::Add;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use sluice_model::Window;

use super::stream::{Failure, StreamFold, range, window};
use super::{CoverageFold, StreamAxis, WindowRead};
use crate::error::Error;
use crate::latest::path_of;
use crate::meta::COVERAGE_STATE;
use crate::scan::read_columns;
use crate::table::{Table, TableSpec, assemble};

/// Files that are read at once.
const FILES_AT_ONCE: usize = 8;
const READ_COLUMNS: [&str; 9] =
    ["network", "account", "stream", "axis", "since", "until", "read_at", "complete", "error"];
/// The columns of the state that stand in its files.
const STATE_COLUMNS: [&str; 9] =
    ["account", "stream", "axis", "kind", "since", "until", "read_at", "failed_at", "error"];

/// What a row of the state is about, its column `kind`.
mod kind {
    /// A stream: its last complete and its last failed read.
    pub(super) const STREAM: &str = "stream";
    /// A window that was read completely; without `read_at` long ago.
    pub(super) const READ: &str = "read";
    /// The window of a failed read that no later complete read overlaps.
    pub(super) const FAILED: &str = "failed";
    /// What no complete read covers of a failed one that a later one overlaps.
    pub(super) const UNREAD: &str = "unread";
}

/// What `meta.coverage_state` is made with. A network's rows stand in files of their own.
pub(super) fn table_spec() -> TableSpec {
    TableSpec { fields: COVERAGE_STATE.fields().collect(), partitions: &["network"], indexed: vec![] }
}

/// The networks in files of `meta.coverage`.
pub(super) async fn networks(table: &Table, files: &[Add]) -> Result<HashSet<String>, Error> {
    let mut found = HashSet::new();
    let mut read = read_all(table, files, &["network"]);
    while let Some((_, batches)) = read.try_next().await? {
        for batch in &batches {
            let networks = Rows { table, batch }.text("network")?;
            let mut last = None;
            let changes = networks.iter().flatten().filter(|network| last.replace(*network) != Some(*network));
            found.extend(changes.map(str::to_owned));
        }
    }
    Ok(found)
}

/// Adds the reads in files of `meta.coverage`.
pub(super) async fn add_reads(fold: &mut CoverageFold, table: &Table, files: &[Add]) -> Result<(), Error> {
    let mut read = read_all(table, files, &READ_COLUMNS);
    while let Some((_, batches)) = read.try_next().await? {
        for batch in &batches {
            let rows = Rows { table, batch };
            let [networks, accounts, streams, axes, errors] =
                ["network", "account", "stream", "axis", "error"].map(|name| rows.text(name));
            let (networks, accounts, streams, axes, errors) = (networks?, accounts?, streams?, axes?, errors?);
            let [since, until, read_at] = ["since", "until", "read_at"].map(|name| rows.time(name));
            let (since, until, read_at) = (since?, until?, read_at?);
            let complete = rows.flag("complete")?;
            for row in 0..batch.num_rows() {
                let (Some(since), Some(until), Some(at)) = (at(&since, row), at(&until, row), at(&read_at, row)) else {
                    continue;
                };
                let complete = complete.is_valid(row) && complete.value(row);
                let error = errors.is_valid(row).then(|| errors.value(row).to_owned());
                fold.add(
                    StreamAxis {
                        network: networks.value(row).to_owned(),
                        account: accounts.value(row).to_owned(),
                        stream: streams.value(row).to_owned(),
                        axis: axes.value(row).to_owned(),
                    },
                    WindowRead { window: Window { since, until }, at, complete, error },
                );
            }
        }
    }
    Ok(())
}

/// The state that files of `meta.coverage_state` hold.
pub(super) async fn state(table: &Table, files: &[Add]) -> Result<CoverageFold, Error> {
    let mut fold = CoverageFold::default();
    let mut read = read_all(table, files, &STATE_COLUMNS);
    while let Some((add, batches)) = read.try_next().await? {
        let network = add.partition_values.get("network").cloned().flatten().unwrap_or_default();
        for batch in &batches {
            take_state(&mut fold, &network, &Rows { table, batch })?;
        }
    }
    Ok(fold)
}

fn take_state(fold: &mut CoverageFold, network: &str, rows: &Rows<'_>) -> Result<(), Error> {
    let [accounts, streams, axes, kinds, errors] =
        ["account", "stream", "axis", "kind", "error"].map(|name| rows.text(name));
    let (accounts, streams, axes, kinds, errors) = (accounts?, streams?, axes?, kinds?, errors?);
    let [since, until, read_at, failed_at] = ["since", "until", "read_at", "failed_at"].map(|name| rows.time(name));
    let (since, until, read_at, failed_at) = (since?, until?, read_at?, failed_at?);
    for row in 0..rows.batch.num_rows() {
        let of = StreamAxis {
            network: network.to_owned(),
            account: accounts.value(row).to_owned(),
            stream: streams.value(row).to_owned(),
            axis: axes.value(row).to_owned(),
        };
        let stream = fold.0.entry(of).or_default();
        let failure = || {
            let error = errors.is_valid(row).then(|| errors.value(row).to_owned());
            at(&failed_at, row).map(|at| Failure { at, error })
        };
        let window = at(&since, row).zip(at(&until, row)).map(|(since, until)| Window { since, until });
        match (kinds.value(row), window.filter(|window| window.since < window.until)) {
            (kind::STREAM, _) => (stream.read_at, stream.failed_at) = (at(&read_at, row), at(&failed_at, row)),
            (kind::READ, Some(window)) => stream.read.insert(range(window), at(&read_at, row)),
            (kind::FAILED, Some(window)) => stream.standing.extend(failure().map(|failure| (failure, window))),
            (kind::UNREAD, Some(window)) => {
                failure().into_iter().for_each(|failure| stream.unread.insert(range(window), failure));
            }
            // A later release may keep more.
            _ => {}
        }
    }
    Ok(())
}

struct StateRow<'a> {
    of: &'a StreamAxis,
    kind: &'static str,
    window: Option<Window>,
    read_at: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    error: Option<&'a str>,
}

/// A state under the columns of `meta.coverage_state`.
pub(super) fn rows(table: &str, fold: &CoverageFold) -> Result<RecordBatch, Error> {
    let rows: Vec<StateRow<'_>> = fold.0.iter().flat_map(|(of, stream)| stream_rows(of, stream)).collect();
    let text = |value: &dyn Fn(&StateRow<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let time = |value: &dyn Fn(&StateRow<'_>) -> Option<DateTime<Utc>>| -> ArrayRef {
        let micros = rows.iter().map(|row| value(row).map(|at| at.timestamp_micros()));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let columns = vec![
        text(&|row| Some(row.of.network.clone())),
        text(&|row| Some(row.of.account.clone())),
        text(&|row| Some(row.of.stream.clone())),
        text(&|row| Some(row.of.axis.clone())),
        text(&|row| Some(row.kind.to_owned())),
        time(&|row| row.window.map(|window| window.since)),
        time(&|row| row.window.map(|window| window.until)),
        time(&|row| row.read_at),
        time(&|row| row.failed_at),
        text(&|row| row.error.map(str::to_owned)),
    ];
    assemble(table, table_spec().fields, columns)
}

fn stream_rows<'a>(of: &'a StreamAxis, stream: &'a StreamFold) -> Vec<StateRow<'a>> {
    let StreamFold { read_at, failed_at, .. } = *stream;
    let failed = |kind, window, failure: &'a Failure| StateRow {
        of,
        kind,
        window: Some(window),
        read_at: None,
        failed_at: Some(failure.at),
        error: failure.error.as_deref(),
    };
    let mut rows = vec![StateRow { of, kind: kind::STREAM, window: None, read_at, failed_at, error: None }];
    rows.extend(stream.read.iter().map(|(range, read_at)| StateRow {
        of,
        kind: kind::READ,
        window: Some(window(range)),
        read_at: *read_at,
        failed_at: None,
        error: None,
    }));
    rows.extend(stream.standing.iter().map(|(failure, window)| failed(kind::FAILED, *window, failure)));
    rows.extend(stream.unread.iter().map(|(range, failure)| failed(kind::UNREAD, window(range), failure)));
    rows
}

/// Files with the columns of these names, several read at once.
fn read_all<'a>(
    table: &'a Table,
    files: &[Add],
    names: &'static [&'static str],
) -> BoxStream<'a, Result<(Add, Vec<RecordBatch>), Error>> {
    let read = move |add: Add| async move {
        let path = path_of(&add);
        let failed = |source| Error::DataFile { table: table.name().to_owned(), path: path.to_string(), source };
        let batches = read_columns(table.store(), &path, names).await.map_err(failed)?;
        Ok((add, batches))
    };
    stream::iter(files.to_vec()).map(read).buffered(FILES_AT_ONCE).boxed()
}

/// Columns of a file, whatever its writer calls their types.
struct Rows<'a> {
    table: &'a Table,
    batch: &'a RecordBatch,
}

impl Rows<'_> {
    fn column(&self, name: &str, kind: &DataType) -> Result<ArrayRef, Error> {
        let missing = || Error::Column {
            table: self.table.name().to_owned(),
            column: name.to_owned(),
            found: "missing".to_owned(),
            expected: kind.to_string(),
        };
        let column = self.batch.column_by_name(name).ok_or_else(missing)?;
        cast(column, kind).map_err(|source| Error::rows(self.table.name(), source))
    }

    fn text(&self, name: &str) -> Result<StringArray, Error> {
        Ok(self.column(name, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    fn time(&self, name: &str) -> Result<TimestampMicrosecondArray, Error> {
        Ok(self.column(name, &instant())?.as_primitive::<TimestampMicrosecondType>().clone())
    }

    fn flag(&self, name: &str) -> Result<BooleanArray, Error> {
        Ok(self.column(name, &DataType::Boolean)?.as_boolean().clone())
    }
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn at(times: &TimestampMicrosecondArray, row: usize) -> Option<DateTime<Utc>> {
    times.is_valid(row).then(|| DateTime::from_timestamp_micros(times.value(row))).flatten()
}
