//! Small Delta tables in a directory of their own.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, Int32Array, MapBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use deltalake::DeltaTable;
use sluice_lake::{Lake, TableRef};
use sluice_query::{Error, Format, Session, SessionOptions, write};
use tempfile::TempDir;
use url::Url;

/// A lake in a temporary directory.
pub struct TestLake {
    dir: TempDir,
    tables: Vec<TableRef>,
}

/// One version of a transaction: key, version, validation, commission in millionths.
pub type Version<'a> = (&'a str, i32, &'a str, i128);

impl TestLake {
    pub fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("a lake ").tempdir().unwrap(), tables: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Appends rows to a table, which is created by the first.
    pub async fn append(&mut self, schema: &str, name: &str, partitions: &[&str], rows: RecordBatch) {
        let path = self.dir.path().join("tables").join(schema).join(name);
        std::fs::create_dir_all(&path).unwrap();
        let url = Url::from_directory_path(&path).unwrap();
        let mut write = DeltaTable::try_from_url(url.clone()).await.unwrap().write([rows]);
        if !partitions.is_empty() {
            write = write.with_partition_columns(partitions.iter().copied());
        }
        write.await.unwrap();
        self.locate(schema, name, url);
    }

    /// Names a table without making it.
    pub fn locate(&mut self, schema: &str, name: &str, url: Url) {
        let location = TableRef { schema: schema.to_owned(), name: name.to_owned(), url };
        if !self.tables.contains(&location) {
            self.tables.push(location);
        }
    }

    /// Appends versions with every column that the table has.
    pub async fn append_history(&mut self, rows: &[Row]) {
        let session = TestLake::new().session().await;
        let schema = session.query("select * from unified.transaction_versions").await.unwrap().schema();
        self.append("unified", "transaction_versions", &["network", "month"], history(&schema, rows)).await;
    }

    pub async fn append_versions(&mut self, network: &str, versions: &[Version<'_>]) {
        let rows = transaction_versions(network, versions);
        self.append("unified", "transaction_versions", &["network", "month"], rows).await;
    }

    pub async fn session(&self) -> Session {
        self.session_with(SessionOptions { target_partitions: Some(2), ..SessionOptions::default() }).await
    }

    pub async fn session_with(&self, options: SessionOptions) -> Session {
        let lake = Lake::open(&self.dir.path().display().to_string()).await.unwrap();
        Session::open(lake, self.tables.clone(), options).unwrap()
    }
}

/// A version of a transaction; what it doesn't say is the same for all.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: &'static str,
    pub network: &'static str,
    pub version: i32,
    pub change: &'static str,
    /// Whether it is a tombstone: the transaction is no longer there.
    pub gone: bool,
    /// The same as `transaction_day` and every other moment here: RFC 3339, or a day.
    pub observed: &'static str,
    pub day: &'static str,
    pub kind: &'static str,
    pub validation: &'static str,
    pub payment: &'static str,
    pub validated: Option<&'static str>,
    pub payable: Option<&'static str>,
    pub paid: Option<&'static str>,
    pub currency: Option<&'static str>,
    /// Millionths.
    pub sale: i128,
    pub commission: i128,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            key: "a",
            network: "awin",
            version: 1,
            change: "first-seen",
            gone: false,
            observed: "2026-01-10T12:00:00Z",
            day: "2026-01-09",
            kind: "sale",
            validation: "pending",
            payment: "unpaid",
            validated: None,
            payable: None,
            paid: None,
            currency: Some("EUR"),
            sale: 100_000_000,
            commission: 5_000_000,
        }
    }
}

fn micros(text: &str) -> i64 {
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros()
}

/// Versions in the columns of the table.
pub fn history(schema: &Schema, rows: &[Row]) -> RecordBatch {
    let text = |of: &dyn Fn(&Row) -> Option<&'static str>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let time = |of: &dyn Fn(&Row) -> Option<&'static str>| -> ArrayRef {
        let times = rows.iter().map(|row| of(row).map(micros));
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let counts = |row: &Row| !row.gone && row.validation != "declined";
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "transaction_key" | "transaction_id" => text(&|row| Some(row.key)),
        "network" | "connector" => text(&|row| Some(row.network)),
        "account" => text(&|_| Some("uk")),
        "stream" => text(&|_| Some("transactions")),
        "kind" => text(&|row| Some(row.kind)),
        "advertiser_id" => text(&|_| Some("7")),
        "network_timezone" => text(&|_| Some("Europe/Amsterdam")),
        "change" => text(&|row| Some(row.change)),
        "validation_status" => text(&|row| Some(row.validation)),
        "payment_status" => text(&|row| Some(row.payment)),
        "sale_currency" | "commission_currency" => text(&|row| row.currency),
        "month" => text(&|_| Some("2026-01")),
        "transacted_at" => time(&|row| Some(row.day)),
        "observed_at" => time(&|row| Some(row.observed)),
        "validated_at" => time(&|row| row.validated),
        "payable_at" => time(&|row| row.payable),
        "paid_at" => time(&|row| row.paid),
        "transaction_day" => {
            let days = rows.iter().map(|row| i32::try_from(micros(row.day) / 86_400_000_000).unwrap());
            Arc::new(Date32Array::from_iter_values(days))
        }
        "content_hash" => {
            let hashes = rows.iter().map(|row| [u8::from(!row.gone); 16]);
            Arc::new(BinaryArray::from_iter_values(hashes))
        }
        "version" => Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.version))),
        "sale_amount" => money(rows.iter().map(|row| Some(row.sale)).collect()),
        "commission_amount" => money(rows.iter().map(|row| Some(row.commission)).collect()),
        "commission_effective" => {
            money(rows.iter().map(|row| Some(if counts(row) { row.commission } else { 0 })).collect())
        }
        _ => arrow::array::new_null_array(field.data_type(), rows.len()),
    });
    let columns: Vec<ArrayRef> = columns.collect();
    let fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The result of a query as text.
pub async fn text(session: &Session, sql: &str, format: Format) -> String {
    String::from_utf8(bytes(session, sql, format).await).unwrap()
}

/// The result of a query as bytes.
pub async fn bytes(session: &Session, sql: &str, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    let result = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    write(result, format, &mut out).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    out
}

/// Why a query is refused or fails.
pub async fn failure(session: &Session, sql: &str) -> Error {
    match session.query(sql).await {
        Err(error) => error,
        Ok(result) => match result.collect().await {
            Err(error) => error,
            Ok(rows) => panic!("{sql} gave {rows:?}"),
        },
    }
}

pub fn money(values: Vec<Option<i128>>) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(18, 6).unwrap())
}

pub fn transaction_versions(network: &str, versions: &[Version<'_>]) -> RecordBatch {
    let count = versions.len();
    let mut sub_ids = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for (key, ..) in versions {
        sub_ids.keys().append_value("clickRef");
        sub_ids.values().append_value(format!("ref \"{key}\""));
        sub_ids.append(true).unwrap();
    }
    let micros = 1_767_225_600_000_001; // 2026-01-01T00:00:00.000001Z
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("transaction_key", Arc::new(StringArray::from_iter_values(versions.iter().map(|row| row.0)))),
        ("network", Arc::new(StringArray::from(vec![network; count]))),
        ("transacted_at", Arc::new(TimestampMicrosecondArray::from(vec![micros; count]).with_timezone("UTC"))),
        ("transaction_day", Arc::new(Date32Array::from(vec![20_454; count]))),
        ("validation_status", Arc::new(StringArray::from_iter_values(versions.iter().map(|row| row.2)))),
        ("commission_effective", money(versions.iter().map(|row| Some(row.3)).collect())),
        ("sale_amount", money(vec![None; count])),
        ("sub_ids", Arc::new(sub_ids.finish())),
        ("version", Arc::new(Int32Array::from_iter_values(versions.iter().map(|row| row.1)))),
        ("month", Arc::new(StringArray::from(vec!["2026-01"; count]))),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
        .unwrap()
}

/// One column `id` of texts.
pub fn ids(ids: &[&str]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Utf8, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringArray::from(ids.to_vec()))]).unwrap()
}
