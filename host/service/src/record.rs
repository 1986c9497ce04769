//! What a run leaves behind besides its rows: `meta.runs`, `meta.coverage`, `meta.requests`, the connector itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use chrono::{DateTime, Utc};

use crate::app::{App, Network};
use crate::failure::Failure;
use crate::run::{RunReport, SliceDone, Verb};

/// Records a run: its requests, then what it covered, then itself, so that a run that is listed is whole.
///
/// # Errors
/// The lake's failure.
pub async fn finish(app: &App, report: &RunReport, done: &[SliceDone], built: bool) -> Result<(), Failure> {
    if report.verb != Verb::Build {
        app.lake.index_requests(&report.run_id).await?;
    }
    // Only what is in the tables counts as covered.
    if report.verb == Verb::Run && built && !done.is_empty() {
        app.lake.append_rows("meta", "coverage", coverage(&report.run_id, done)?).await?;
    }
    Ok(app.lake.append_rows("meta", "runs", run_row(report)?).await?)
}

/// Keeps the connector's bytes in the lake by digest, and a row of when it was first used.
///
/// # Errors
/// The lake's failure.
pub async fn keep_connector(app: &App, network: &Network) -> Result<(), Failure> {
    let connector = &network.connector;
    if !app.lake.put_connector(connector.digest(), connector.component()).await? {
        return Ok(());
    }
    let row = columns(vec![
        ("network", text([Some(network.manifest().network.as_str())])),
        ("version", text([Some(connector.version())])),
        ("digest", text([Some(connector.digest().to_hex().as_str())])),
        ("first_used_at", times([Utc::now()])),
    ])?;
    Ok(app.lake.append_rows("meta", "connectors", row).await?)
}

fn coverage(run_id: &str, done: &[SliceDone]) -> Result<RecordBatch, Failure> {
    let slices = || done.iter().map(|slice| &slice.job.slice);
    columns(vec![
        ("network", text(slices().map(|slice| Some(slice.network.as_str())))),
        ("account", text(slices().map(|slice| Some(slice.account.as_str())))),
        ("stream", text(slices().map(|slice| Some(slice.stream.as_str())))),
        ("axis", text(slices().map(|slice| Some(slice.axis.name())))),
        ("since", times(slices().map(|slice| slice.window.since))),
        ("until", times(slices().map(|slice| slice.window.until))),
        ("read_at", times(done.iter().map(|slice| slice.read_at))),
        ("complete", Arc::new(BooleanArray::from_iter(done.iter().map(|slice| Some(slice.report.errors.is_empty()))))),
        ("requests", counts(done.iter().map(|slice| slice.report.requests))),
        ("records", counts(done.iter().map(|slice| slice.report.records))),
        ("run_id", text(done.iter().map(|_| Some(run_id)))),
        ("error", text(done.iter().map(|slice| slice.report.errors.first().map(String::as_str)))),
    ])
}

fn run_row(report: &RunReport) -> Result<RecordBatch, Failure> {
    let verb = match report.verb {
        Verb::Run => "run",
        Verb::Collect => "collect",
        Verb::Build => "build",
    };
    columns(vec![
        ("run_id", text([Some(report.run_id.as_str())])),
        ("network", text([Some(report.network.as_str())])),
        ("verb", text([Some(verb)])),
        ("status", text([Some(report.status)])),
        ("started_at", times([report.started_at])),
        ("finished_at", times([report.finished_at])),
        ("slices", counts([report.slices])),
        ("slices_failed", counts([report.slices_failed])),
        ("requests", counts([report.requests])),
        ("bytes", counts([report.bytes])),
        ("records", counts([report.records])),
        ("native_rows", counts([report.native_rows])),
        ("new_versions", counts([report.new_versions])),
        ("rejects", counts([report.rejects])),
        ("error", text([report.errors.first().map(String::as_str)])),
    ])
}

fn columns(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, Failure> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(Failure::failed)
}

fn text<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn counts(values: impl IntoIterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values.into_iter().map(|value| i64::try_from(value).ok())))
}

fn times(values: impl IntoIterator<Item = DateTime<Utc>>) -> ArrayRef {
    let micros = values.into_iter().map(|time| Some(time.timestamp_micros()));
    Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
}
