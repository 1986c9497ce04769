//! What a result looks like in each format.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Decimal128Type};
use lake::{TestLake, bytes, text};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sluice_query::{Error, Format, Session};

/// The lake's directory lasts as long as the lake.
async fn session() -> (TestLake, Session) {
    let mut lake = TestLake::new();
    let versions = [("a", 1, "pending", 100_000), ("b", 1, "pending", 200_000), ("c", 1, "declined", -300_001)];
    lake.append_versions("awin", &versions).await;
    let session = lake.session().await;
    (lake, session)
}

#[tokio::test]
async fn decimals_sum_exactly_and_stay_decimals() {
    let (_lake, session) = session().await;
    let sum = "select sum(commission_effective) as s from unified.transactions";
    assert_eq!(text(&session, sum, Format::Csv).await, "s\n-0.000001\n");
    assert_eq!(text(&session, sum, Format::Json).await, "[{\"s\":-0.000001}]\n");
    assert_eq!(
        text(&session, sum, Format::Table).await,
        "+-----------+\n| s         |\n+-----------+\n| -0.000001 |\n+-----------+\n"
    );
    let literal = "select 0.1 + 0.2 as s, cast(12345678901234.123456 as decimal(20, 6)) as big";
    assert_eq!(text(&session, literal, Format::Json).await, "[{\"s\":0.3,\"big\":12345678901234.123456}]\n");
}

#[tokio::test]
async fn json_is_an_array_with_explicit_nulls() {
    let (_lake, session) = session().await;
    let rows = "select transaction_key k, transacted_at t, transaction_day d, sale_amount a, sub_ids s \
                from unified.transactions order by k limit 2";
    assert_eq!(
        text(&session, rows, Format::Json).await,
        "[{\"k\":\"a\",\"t\":\"2026-01-01T00:00:00.000001Z\",\"d\":\"2026-01-01\",\"a\":null,\
         \"s\":{\"clickRef\":\"ref \\\"a\\\"\"}},\n\
         {\"k\":\"b\",\"t\":\"2026-01-01T00:00:00.000001Z\",\"d\":\"2026-01-01\",\"a\":null,\
         \"s\":{\"clickRef\":\"ref \\\"b\\\"\"}}]\n"
    );
}

#[tokio::test]
async fn csv_holds_maps_as_json_text() {
    let (_lake, session) = session().await;
    let rows =
        "select transaction_key k, transacted_at t, sale_amount a, sub_ids s from transactions order by k limit 1";
    assert_eq!(
        text(&session, rows, Format::Csv).await,
        "k,t,a,s\na,2026-01-01T00:00:00.000001Z,,\"{\"\"clickRef\"\":\"\"ref \\\"\"a\\\"\"\"\"}\"\n"
    );
}

#[tokio::test]
async fn no_rows_are_still_a_result() {
    let (_lake, session) = session().await;
    let none = "select transaction_key k, sub_ids s from unified.transactions where version = 9";
    assert_eq!(text(&session, none, Format::Csv).await, "k,s\n");
    assert_eq!(text(&session, none, Format::Json).await, "[]\n");
    assert_eq!(text(&session, none, Format::Table).await, "+---+---+\n| k | s |\n+---+---+\n+---+---+\n");
    let file = bytes(&session, none, Format::Parquet).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file_bytes(file)).unwrap();
    assert_eq!(reader.schema().fields().len(), 2);
}

#[tokio::test]
async fn parquet_keeps_types_and_rows() {
    let (_lake, session) = session().await;
    let rows = "select commission_effective c, transacted_at from unified.transactions order by c";
    let file = bytes(&session, rows, Format::Parquet).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file_bytes(file)).unwrap().build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let column = batches[0].column(0);
    assert_eq!(column.data_type(), &DataType::Decimal128(18, 6));
    assert_eq!(column.as_primitive::<Decimal128Type>().values(), &[-300_001, 100_000, 200_000]);
}

#[tokio::test]
async fn many_rows_stream_into_every_format() {
    let (_lake, session) = session().await;
    let many = "select value, cast(value as varchar) s from generate_series(1, 300000)";
    let json: serde_json::Value = serde_json::from_str(&text(&session, many, Format::Json).await).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 300_000);
    assert_eq!(text(&session, many, Format::Csv).await.lines().count(), 300_001);
    let table = text(&session, many, Format::Table).await;
    assert_eq!(table.lines().filter(|line| line.starts_with("| ") && !line.contains("value")).count(), 300_000);
    let file = bytes(&session, many, Format::Parquet).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file_bytes(file)).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 300_000);
    assert_eq!(reader.metadata().num_row_groups(), 3);
}

#[tokio::test]
async fn columns_of_one_name_are_numbered() {
    let (_lake, session) = session().await;
    let twice = "select a.version, b.version from transactions a join transactions b using (transaction_key) limit 1";
    assert_eq!(text(&session, twice, Format::Json).await, "[{\"version\":1,\"version_2\":1}]\n");
}

#[test]
fn formats_have_names() {
    for format in [Format::Table, Format::Csv, Format::Json, Format::Parquet] {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
    }
    let error = "xlsx".parse::<Format>().unwrap_err();
    assert!(matches!(error, Error::UnknownFormat(_)) && error.hint().is_some());
}

fn file_bytes(file: Vec<u8>) -> bytes::Bytes {
    file.into()
}
