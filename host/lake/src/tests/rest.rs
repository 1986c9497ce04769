//! Fields beyond the columns that a native table may have.

use sluice_model::{Kind, Pin};

use super::*;
use crate::CommitterOptions;

/// A ledger whose native tables have at most so many columns.
async fn add(lake: &Lake, most: usize, secs: i64, layout: &Layout, batch: NativeBatch) -> crate::Counts {
    let options = CommitterOptions { columns_per_table: most, ..CommitterOptions::default() };
    let mut ledger = lake.ledger_with(options);
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, layout, &connector(), only_native(batch)).await.unwrap();
    ledger.commit().await.unwrap()
}

async fn table(lake: &Lake, columns: &[&str]) -> Vec<String> {
    values(lake, "awin_test", "transactions", columns).await
}

/// The names of the columns that fields have, in their order.
async fn columns(lake: &Lake) -> Vec<String> {
    let table = Table::open(lake, "awin_test", "transactions").await.unwrap();
    let names = table.schema().unwrap().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    names.into_iter().filter(|name| !name.starts_with('_') || name == "_rest").collect()
}

#[tokio::test]
async fn fields_beyond_the_limit_share_a_column_and_are_reported_once() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    let batch = native(&[
        ("id", &[Some("1"), Some("2")]),
        ("a", &[Some("1.5"), None]),
        ("c.d", &[Some("\"x \\\"\""), None]),
        ("b", &[Some("true"), None]),
    ]);
    assert_eq!(add(&lake, 2, 1, &key, batch).await.beyond_columns, 1);
    let second = native(&[("id", &[Some("3")]), ("e", &[Some("7")]), ("a", &[Some("2")]), ("z", &[None])]);
    assert_eq!(add(&lake, 2, 2, &key, second).await.beyond_columns, 1);
    let own = [r#"1 1.5 {"b":"true","c.d":"x \\\""}"#, "2 - -", r#"3 2.0 {"e":"7"}"#];
    assert_eq!(table(&lake, &["id", "a", "_rest"]).await, own);
    assert_eq!(columns(&lake).await, ["id", "a", "_rest"]);
    let noted = values(&lake, "meta", "columns", &["column", "path", "type", "example"]).await;
    assert_eq!(noted, [r#"_rest - text {"b":"true","c.d":"x \\\""}"#, "a a float64 1.5", "id id int64 1"]);
}

#[tokio::test]
async fn a_change_of_a_field_without_a_column_is_a_change() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    for (secs, text, written) in [(1, "1", 1), (2, "1", 0), (3, "2", 1)] {
        let batch = native(&[("id", &[Some("1")]), ("a", &[Some("1")]), ("b", &[Some(text)])]);
        assert_eq!(add(&lake, 2, secs, &key, batch).await.native_written, written, "at {secs}");
    }
    assert_eq!(table(&lake, &["_rest"]).await, [r#"{"b":"1"}"#, r#"{"b":"2"}"#]);
}

#[tokio::test]
async fn fields_keep_their_columns_and_the_first_seen_get_the_last_ones() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    add(&lake, 9, 1, &key, native(&[("id", &[Some("1")]), ("b", &[Some("1")]), ("c", &[Some("1")])])).await;
    let options = CommitterOptions { columns_per_table: 4, ..CommitterOptions::default() };
    let mut ledger = lake.ledger_with(options);
    // The later response comes first.
    for (secs, id, new) in [(3, "3", "y"), (2, "2", "x")] {
        let batch = native(&[(new, &[Some("5")]), ("id", &[Some(id)]), ("c", &[Some("6")])]);
        let origin = response("run", &format!("r{secs}"), secs);
        ledger.add(origin, &key, &connector(), only_native(batch)).await.unwrap();
    }
    assert_eq!(ledger.commit().await.unwrap().beyond_columns, 1);
    assert_eq!(columns(&lake).await, ["id", "b", "c", "x", "_rest"]);
    assert_eq!(table(&lake, &["id", "c", "x", "_rest"]).await, ["1 1 - -", "2 6 5 -", r#"3 6 - {"y":"5"}"#]);
    // A lower limit takes no column away.
    add(&lake, 1, 4, &key, native(&[("id", &[Some("4")]), ("x", &[Some("8")]), ("y", &[Some("9")])])).await;
    assert_eq!(table(&lake, &["id", "x", "_rest"]).await[3], r#"4 8 {"y":"9"}"#);
}

#[tokio::test]
async fn what_the_layout_names_has_a_column_however_many_there_are() {
    let (_folder, lake) = new_lake().await;
    let pins = vec![Pin { path: "pinned".to_owned(), kind: Kind::Text }];
    add(&lake, 2, 1, &layout(&[]), native(&[("a", &[Some("1")]), ("b", &[Some("1")])])).await;
    let named = Layout { pins, inputs: vec!["in.put".to_owned()], ..layout(&["id"]) };
    let batch =
        native(&[("c", &[Some("1")]), ("in.put", &[Some("2")]), ("pinned", &[Some("3")]), ("id", &[Some("4")])]);
    add(&lake, 2, 2, &named, batch).await;
    assert_eq!(columns(&lake).await, ["a", "b", "in_put", "pinned", "id", "_rest"]);
    let rows = table(&lake, &["in_put", "pinned", "id", "_rest"]).await;
    assert_eq!(rows, ["- - - -", r#"2 3 4 {"c":"1"}"#]);
}

#[tokio::test]
async fn what_a_column_cannot_hold_counts_as_a_column() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    add(&lake, 3, 1, &key, native(&[("id", &[Some("1")]), ("a", &[Some("1")])])).await;
    let batch = native(&[
        ("id", &[Some("2"), Some("\"three\"")]),
        ("a", &[Some("\"x\""), Some("2")]),
        ("b", &[Some("5"), None]),
    ]);
    add(&lake, 3, 2, &key, batch).await;
    assert_eq!(columns(&lake).await, ["id", "a", "id__text", "_rest"], "the layout names `id`");
    let rows = table(&lake, &["id", "id__text", "a", "_rest"]).await;
    assert_eq!(rows, ["- three 2 -", "1 - 1 -", r#"2 - - {"a":"x","b":"5"}"#]);
}

#[tokio::test]
async fn long_paths_of_many_rows_are_written_in_parts() {
    let (_folder, lake) = new_lake().await;
    let (path, ids) = ("x".repeat(600_000), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    let cells: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
    let counts = add(&lake, 1, 1, &layout(&["id"]), native(&[("id", &cells), (&path, &cells)])).await;
    assert_eq!((counts.native_written, counts.beyond_columns), (100, 100));
    let files = Table::open(&lake, "awin_test", "transactions").await.unwrap().files().len();
    assert_eq!(files, 2, "60 MB are two parts");
    let rows = rows(&lake, "awin_test", "transactions").await;
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row["_rest"] == format!("{{\"{path}\":\"{}\"}}", row["id"])));
}

#[tokio::test]
async fn a_replay_keeps_to_the_limit_and_tells_of_the_column() {
    let (_folder, lake) = new_lake().await;
    let key = layout(&["id"]);
    add(&lake, 2, 1, &key, native(&[("id", &[Some("1")]), ("a", &[Some("1")])])).await;
    let batch = native(&[("id", &[Some("1")]), ("a", &[Some("1")]), ("b", &[Some("2")]), ("c", &[Some("3")])]);
    let mut replay = lake.replay(connector(), Some("again"), None).await.unwrap().with_columns_per_table(2);
    replay.begin(0).await.unwrap();
    replay.add(response("run", "r1", 1), &key, only_native(batch)).await.unwrap();
    replay.end().await.unwrap();
    replay.finish().await.unwrap().commit().await.unwrap();
    assert_eq!(table(&lake, &["id", "a", "_rest"]).await, ["1 1 -", r#"1 1 {"b":"2","c":"3"}"#]);
    let noted = values(&lake, "meta", "columns", &["column", "example"]).await;
    assert_eq!(noted, [r#"_rest {"b":"2","c":"3"}"#, "a 1", "id 1"]);
}

#[tokio::test]
async fn new_names_on_each_page_take_time_as_they_are_many() {
    let (_folder, lake) = new_lake().await;
    let options = CommitterOptions { columns_per_table: 50, ..CommitterOptions::default() };
    let mut ledger = lake.ledger_with(options);
    for page in 0..12 {
        let id = page.to_string();
        let mut columns = vec![native_column("id", &[Some(id.as_str())])];
        columns.extend((0..9_000).map(|n| native_column(&format!("order {page}-{n}.sum"), &[Some("1")])));
        let origin = response("run", &format!("r{page}"), page);
        ledger
            .add(origin, &layout(&["id"]), &connector(), only_native(NativeBatch { rows: 1, columns }))
            .await
            .unwrap();
    }
    let counts = ledger.commit().await.unwrap();
    assert_eq!((counts.native_written, counts.beyond_columns), (12, 12));
    assert_eq!(columns(&lake).await.len(), 51);
    let mut fields = 0;
    for row in rows(&lake, "awin_test", "transactions").await {
        let rest: BTreeMap<String, String> = serde_json::from_str(&row["_rest"]).unwrap();
        fields += rest.len() + row.keys().filter(|name| name.starts_with("order")).count();
    }
    assert_eq!(fields, 12 * 9_000, "none is lost");
}
