//! The lake as its users see it, on a local directory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod causes;
mod changes;
mod committer;
mod concurrent;
mod coverage;
mod facts;
mod faulty;
mod features;
mod fenced;
mod growth;
mod held;
mod histories;
mod hosts;
mod index;
mod intercepted;
mod known_facts;
mod latest;
mod maintain;
mod native;
mod older_schema;
mod raw;
mod readers;
mod replay;
mod replayed_facts;
mod rest;
mod retention;
mod throughput;
mod unified;
mod vanished;
mod writers;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, MapArray, MapBuilder, MapFieldNames, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{
    Axis, BodyFindings, Digest, Format, Kinds, Layout, Mapped, NativeBatch, NativeColumn, RawObject, Reject, Request,
    SentRequest, Slice, mapped_transactions_schema,
};

use crate::scan::read_columns;
use crate::table::Table;
use crate::{ConnectorRef, Lake};

/// A row as texts; nulls are left out.
type Row = BTreeMap<String, String>;

async fn new_lake() -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open_writable(folder.path().join("lake").to_str().unwrap()).await.unwrap();
    (folder, lake)
}

fn moment(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap() + TimeDelta::seconds(secs)
}

/// A response to `request` of run `run`, received `secs` after 2026 began.
fn response(run: &str, request: &str, secs: i64) -> Arc<RawObject> {
    let body = Digest::of(format!("{request}@{secs}").as_bytes());
    Arc::new(RawObject {
        run_id: run.to_owned(),
        request_id: request.to_owned(),
        slice: Slice {
            network: "awin-test".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            settings: Vec::new(),
            window: "2026-01-01T00:00:00Z/2026-02-01T00:00:00Z".parse().unwrap(),
            timezone: "UTC".parse().unwrap(),
            axis: Axis::Transaction,
            cursor: None,
        },
        request: Request::get("page-1"),
        sent: SentRequest {
            method: "GET".to_owned(),
            url: "https://api.example.com/".to_owned(),
            headers: Vec::new(),
            body: None,
        },
        attempt: 1,
        sent_at: moment(secs - 1),
        received_at: moment(secs),
        status: 200,
        headers: Vec::new(),
        body,
        body_bytes: 1,
        masked: false,
        outcome: "answered".to_owned(),
        connector_version: "1.0.0".to_owned(),
        connector_digest: Digest::of(b"connector"),
    })
}

fn connector() -> ConnectorRef {
    ConnectorRef { name: "awin-test".to_owned(), version: "1.0.0".to_owned(), digest: Digest::of(b"connector") }
}

fn layout(key: &[&str]) -> Layout {
    Layout {
        format: Format::Json(String::new()),
        pins: Vec::new(),
        inputs: Vec::new(),
        key: key.iter().map(|path| (*path).to_owned()).collect(),
    }
}

/// Columns as JSON has them: a value in quotes is text, a bare one a number or a boolean.
fn native(columns: &[(&str, &[Option<&str>])]) -> NativeBatch {
    let columns: Vec<NativeColumn> = columns.iter().map(|(path, cells)| native_column(path, cells)).collect();
    NativeBatch { rows: columns.first().map_or(0, |column| arrow::array::Array::len(&column.text)), columns }
}

fn native_column(path: &str, cells: &[Option<&str>]) -> NativeColumn {
    let mut kinds = Kinds::default();
    let mut texts = Vec::new();
    for cell in cells {
        let quoted = cell.and_then(|cell| cell.strip_prefix('"')?.strip_suffix('"'));
        kinds.insert(match (cell, quoted) {
            (None, _) => Kinds::NULL,
            (_, Some(_)) => Kinds::TEXT,
            (Some("true" | "false"), _) => Kinds::BOOLEAN,
            (Some(number), _) if number.parse::<i64>().is_ok() => Kinds::INTEGER,
            (Some(_), _) => Kinds::FLOAT,
        });
        texts.push(quoted.or(*cell));
    }
    NativeColumn { path: path.to_owned(), text: StringArray::from(texts), kinds }
}

/// A transaction: its id, the day after 2026 began, its commission in millionths.
#[derive(Clone, Debug, PartialEq)]
struct Sale {
    id: String,
    day: i64,
    commission: i64,
}

fn sale(id: &str, day: i64, commission: i64) -> Sale {
    Sale { id: id.to_owned(), day, commission }
}

fn transactions(sales: &[Sale]) -> RecordBatch {
    let schema = mapped_transactions_schema();
    let count = sales.len();
    let constant = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; count])) };
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "record_index" => Arc::new(UInt32Array::from_iter_values(0..count as u32)),
            "transaction_id" => Arc::new(StringArray::from_iter_values(sales.iter().map(|sale| &sale.id))),
            "transacted_at" => {
                let times = sales.iter().map(|sale| moment(sale.day * 86_400).timestamp_micros());
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            "transaction_day" => {
                Arc::new(Date32Array::from_iter_values(sales.iter().map(|sale| 20_454 + sale.day as i32)))
            }
            "commission_amount" | "commission_effective" => {
                let amounts = sales.iter().map(|sale| i128::from(sale.commission));
                Arc::new(Decimal128Array::from_iter_values(amounts).with_precision_and_scale(18, 6).unwrap())
            }
            "id_basis" => constant("native"),
            "kind" => constant("sale"),
            "time_basis" => constant("instant"),
            "network_timezone" => constant("UTC"),
            "timezone_basis" => constant("declared"),
            "validation_status" => constant("pending"),
            "payment_status" => constant("unknown"),
            _ => new_null_array(field.data_type(), count),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// One row of sub-ids; null without any.
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> MapArray {
    let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut column = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for (key, value) in pairs {
        column.keys().append_value(key);
        column.values().append_value(value);
    }
    column.append(!pairs.is_empty()).unwrap();
    column.finish()
}

/// The rows with another column of this name.
fn with_column(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let place = rows.schema().index_of(name).unwrap();
    let mut columns = rows.columns().to_vec();
    columns[place] = arrow::compute::cast(&column, rows.column(place).data_type()).unwrap();
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// What a connector would make of these sales.
fn mapped(sales: &[Sale]) -> Mapped {
    let ids: Vec<String> = sales.iter().map(|sale| format!("\"{}\"", sale.id)).collect();
    let days: Vec<String> = sales.iter().map(|sale| sale.day.to_string()).collect();
    let amounts: Vec<String> = sales.iter().map(|sale| sale.commission.to_string()).collect();
    let cells = |texts: &[String]| texts.iter().map(|text| Some(text.clone())).collect::<Vec<_>>();
    let [ids, days, amounts] = [cells(&ids), cells(&days), cells(&amounts)];
    fn borrowed(texts: &[Option<String>]) -> Vec<Option<&str>> {
        texts.iter().map(Option::as_deref).collect()
    }
    Mapped {
        native: native(&[("id", &borrowed(&ids)), ("day", &borrowed(&days)), ("commission", &borrowed(&amounts))]),
        transactions: Some(transactions(sales)),
        facts: std::collections::BTreeMap::new(),
        rejects: Vec::new(),
        unknown_statuses: Vec::new(),
        total: None,
        findings: BodyFindings::default(),
    }
}

fn only_native(native: NativeBatch) -> Mapped {
    Mapped {
        native,
        transactions: None,
        facts: std::collections::BTreeMap::new(),
        rejects: Vec::new(),
        unknown_statuses: Vec::new(),
        total: None,
        findings: BodyFindings::default(),
    }
}

fn reject(record_index: u32, reason: &str) -> Reject {
    Reject { record_index, reason: reason.to_owned() }
}

/// All rows of a table, columns of partitions too.
async fn rows(lake: &Lake, schema: &str, name: &str) -> Vec<Row> {
    rows_with(lake, schema, name, |_| true).await
}

/// All rows of a table with some of its columns, and those of partitions.
async fn rows_with(lake: &Lake, schema: &str, name: &str, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let table = Table::open(lake, schema, name).await.unwrap();
    let mut rows = Vec::new();
    if table.version().is_none() {
        return rows;
    }
    let columns = table.schema().unwrap();
    let names: Vec<&str> =
        columns.fields().iter().map(|field| field.name().as_str()).filter(|name| wanted(name)).collect();
    for file in table.files() {
        for batch in read_columns(table.store(), &file.path, &names).await.unwrap() {
            for place in 0..batch.num_rows() {
                let mut row = Row::new();
                for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                    if !column.is_null(place) {
                        let text = ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap();
                        row.insert(field.name().clone(), text.value(place).to_string());
                    }
                }
                for (name, value) in &file.partitions {
                    row.extend(value.clone().map(|value| (name.clone(), value)));
                }
                rows.push(row);
            }
        }
    }
    rows
}

/// The values of some columns, sorted; `-` for null.
async fn values(lake: &Lake, schema: &str, name: &str, columns: &[&str]) -> Vec<String> {
    let rows = rows(lake, schema, name).await;
    let text =
        |row: &Row| columns.iter().map(|name| row.get(*name).map_or("-", String::as_str)).collect::<Vec<_>>().join(" ");
    let mut texts: Vec<String> = rows.iter().map(text).collect();
    texts.sort();
    texts
}

fn is_timestamp(data_type: &DataType) -> bool {
    *data_type == DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}
