use sluice_model::{Kind, Pin};

use super::*;

async fn add(lake: &Lake, secs: i64, layout: &Layout, batch: NativeBatch) -> u64 {
    let mut ledger = lake.ledger();
    let request = format!("r{secs}");
    ledger.add(response("run", &request, secs), layout, &connector(), only_native(batch)).await.unwrap();
    ledger.commit().await.unwrap().native_written
}

async fn table(lake: &Lake, columns: &[&str]) -> Vec<String> {
    values(lake, "awin_test", "transactions", columns).await
}

async fn types(lake: &Lake) -> Vec<String> {
    let table = Table::open(lake, "awin_test", "transactions").await.unwrap();
    let schema = table.schema().unwrap();
    let own = schema.fields().iter().filter(|field| !field.name().starts_with('_'));
    own.map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}

#[tokio::test]
async fn drift_goes_to_siblings_and_nothing_is_lost() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    let batch = native(&[
        ("id", &[Some("1")]),
        ("n", &[Some("7")]),
        ("f", &[Some("1.5")]),
        ("b", &[Some("true")]),
        ("t", &[Some("\"x\"")]),
    ]);
    add(&lake, 1, &key, batch).await;
    let batch = native(&[
        ("id", &[Some("2"), Some("3"), Some("\"4\"")]),
        ("n", &[Some("2.75"), Some("\"n/a\""), Some("8")]),
        ("f", &[Some("2"), Some("9007199254740993"), Some("\"\"")]),
        ("b", &[Some("1"), Some("false"), None]),
        ("t", &[Some("1.50"), Some("true"), None]),
    ]);
    add(&lake, 2, &key, batch).await;
    assert_eq!(
        table(&lake, &["id", "n", "n__text", "f", "f__text", "b", "b__text", "t"]).await,
        [
            "1 7 - 1.5 - true - x",
            "2 - 2.75 2.0 - - 1 1.50",
            "3 - n/a - 9007199254740993 false - true",
            "4 8 - - - - - -"
        ]
    );
    assert_eq!(
        types(&lake).await,
        ["id Int64", "n Int64", "f Float64", "b Boolean", "t Utf8", "n__text Utf8", "f__text Utf8", "b__text Utf8"]
    );
}

#[tokio::test]
async fn pins_decide_types_and_exist_from_the_first_row() {
    let (_folder, lake) = new_lake().await;
    let pin = |path: &str, kind| Pin { path: path.to_owned(), kind };
    let pins = vec![pin("amount", Kind::Decimal), pin("at", Kind::Timestamp), pin("later", Kind::Boolean)];
    let pinned = Layout { pins, ..layout(&["id"]) };
    let amounts = [Some("\"12.50\""), Some("\"12.5000000000001\"")];
    let times = [Some("\"2026-01-01T01:00:00+01:00\""), Some("\"01.02.2026\"")];
    let batch = native(&[("id", &[Some("1"), Some("2")]), ("amount", &amounts), ("at", &times)]);
    add(&lake, 1, &pinned, batch).await;
    assert_eq!(
        table(&lake, &["id", "amount", "amount__text", "at", "at__text", "later"]).await,
        ["1 12.500000000000 - 2026-01-01T00:00:00Z - -", "2 - 12.5000000000001 - 01.02.2026 -"]
    );
}

#[tokio::test]
async fn colliding_names_stay_apart_for_good() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    add(&lake, 1, &key, native(&[("id", &[Some("1")]), ("a.b", &[Some("1")]), ("a_b", &[Some("2")])])).await;
    add(
        &lake,
        2,
        &key,
        native(&[("aB", &[Some("5")]), ("a_b", &[Some("4")]), ("a.b", &[Some("3")]), ("id", &[Some("2")])]),
    )
    .await;
    assert_eq!(table(&lake, &["id", "a_b", "a_b_2", "a_b_3"]).await, ["1 1 2 -", "2 3 4 5"]);
    let described = values(&lake, "meta", "columns", &["network", "stream", "column", "path", "type", "example"]).await;
    assert_eq!(described[0], "awin_test transactions a_b a.b int64 1");
    assert_eq!(described.len(), 4);
}

#[tokio::test]
async fn an_empty_column_waits_for_its_type() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    assert_eq!(add(&lake, 1, &key, native(&[("id", &[Some("1")]), ("x", &[None])])).await, 1);
    assert_eq!(add(&lake, 2, &key, native(&[("id", &[Some("1")]), ("x", &[None]), ("y", &[None])])).await, 0);
    assert_eq!(add(&lake, 3, &key, native(&[("id", &[Some("1")]), ("x", &[Some("1.5")])])).await, 1);
    assert_eq!(table(&lake, &["id", "x"]).await, ["1 -", "1 1.5"]);
}

#[tokio::test]
async fn records_without_a_key_are_their_content() {
    let (_folder, lake) = new_lake().await;
    let none = layout(&[]);
    assert_eq!(add(&lake, 1, &none, native(&[("v", &[Some("1"), Some("2"), Some("1")])])).await, 2);
    assert_eq!(add(&lake, 2, &none, native(&[("v", &[Some("2"), Some("3")])])).await, 1);
}

#[tokio::test]
async fn a_key_that_is_none_loses_no_record_and_repeats_none() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    let batch = || native(&[("id", &[Some("1"), Some("1")]), ("v", &[Some("1"), Some("2")])]);
    assert_eq!(add(&lake, 1, &key, batch()).await, 2);
    assert_eq!(add(&lake, 2, &key, batch()).await, 0);
}

#[tokio::test]
async fn lineage_names_where_a_row_came_from() {
    let (_folder, lake) = new_lake().await;
    add(&lake, 1, &layout(&["id"]), native(&[("id", &[Some("1")])])).await;
    let row = rows(&lake, "awin_test", "transactions").await.remove(0);
    for (name, value) in
        [("_account", "uk"), ("_run_id", "run"), ("_request_id", "r1"), ("_record_index", "0"), ("_month", "none")]
    {
        assert_eq!(row[name], value);
    }
    assert_eq!(row["_observed_at"], "2026-01-01T00:00:01Z");
    assert_eq!(row["_connector_digest"], Digest::of(b"connector").to_hex());
}

#[tokio::test]
async fn meta_rows_land_in_their_tables() {
    let (_folder, lake) = new_lake().await;
    let run = crate::RunRow {
        run_id: "run".to_owned(),
        network: "awin".to_owned(),
        command: "run".to_owned(),
        started_at: moment(0),
        finished_at: moment(9),
        outcome: "done".to_owned(),
        error: None,
        error_kind: None,
        connector_version: Some("1.0.0".to_owned()),
        connector_digest: None,
        slices: 1,
        slices_failed: 0,
        requests: 2,
        bytes: 3,
        guest_cpu_ms: None,
        counts: crate::Counts::default(),
        usage: [("uk".to_owned(), crate::AccountUsage { requests: 2, stored_bytes: 9, ..Default::default() })].into(),
    };
    lake.append_runs(std::slice::from_ref(&run), None).await.unwrap();
    lake.append_runs(&[run], None).await.unwrap();
    assert_eq!(values(&lake, "meta", "runs", &["run_id", "requests", "error"]).await, ["run 2 -", "run 2 -"]);
    assert_eq!(values(&lake, "meta", "runs", &["usage"]).await[0], "uk\t2\t0\t0\t0\t0\t9");
    let other = RecordBatch::try_from_iter([("added", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap();
    lake.append_rows("meta", "runs", other).await.unwrap();
    assert_eq!(values(&lake, "meta", "runs", &["run_id", "added"]).await, ["- x", "run -", "run -"]);
    let wrong = RecordBatch::try_from_iter([("requests", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap();
    assert!(matches!(lake.append_rows("meta", "runs", wrong).await, Err(crate::Error::Column { .. })));
}

#[tokio::test]
async fn a_record_that_is_read_otherwise_is_written_once_more_and_not_at_every_build() {
    let (_folder, lake) = new_lake().await;
    let first = native(&[("id", &[Some("\"1\"")]), ("name", &[Some("\"a\"")])]);
    let otherwise = native(&[("id", &[Some("\"1\"")]), ("name", &[Some("\"a\"")]), ("size", &[Some("7")])]);
    for (build, batch) in [&first, &otherwise, &otherwise, &otherwise].into_iter().enumerate() {
        let mut ledger = lake.ledger();
        let origin = response("run", "r1", 1);
        ledger.add(origin, &layout(&["id"]), &connector(), only_native(batch.clone())).await.unwrap();
        ledger.commit().await.unwrap();
        let rows = values(&lake, "awin_test", "transactions", &["id", "name"]).await.len();
        assert_eq!(rows, if build == 0 { 1 } else { 2 }, "after build {build}");
    }
}
