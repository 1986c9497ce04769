//! Native schemas that grow: whatever a network sends has a column, and a line in `meta.columns`.

use std::collections::BTreeSet;

use super::*;

async fn add(lake: &Lake, secs: i64, batch: NativeBatch) {
    let mut ledger = lake.ledger();
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, &layout(&["id"]), &connector(), only_native(batch)).await.unwrap();
    ledger.commit().await.unwrap();
}

/// Asserts that each column of a network's is in `meta.columns` once, and gives their names.
async fn assert_noted(lake: &Lake) -> BTreeSet<String> {
    let table = Table::open(lake, "awin_test", "transactions").await.unwrap();
    let schema = table.schema().unwrap();
    let own = schema.fields().iter().map(|field| field.name().clone()).filter(|name| !name.starts_with('_'));
    let own: BTreeSet<String> = own.collect();
    let noted = values(lake, "meta", "columns", &["column"]).await;
    assert_eq!(noted.len(), own.len(), "each once");
    assert_eq!(noted.into_iter().collect::<BTreeSet<_>>(), own);
    own
}

#[tokio::test]
async fn a_new_field_is_a_new_column() {
    let (_folder, lake) = new_lake().await;
    add(&lake, 1, native(&[("id", &[Some("1")])])).await;
    add(&lake, 2, native(&[("id", &[Some("2")]), ("saleAmount.amount", &[Some("1.5")])])).await;
    let rows = values(&lake, "awin_test", "transactions", &["id", "sale_amount_amount"]).await;
    assert_eq!(rows, ["1 -", "2 1.5"]);
    assert_eq!(assert_noted(&lake).await.len(), 2);
}

#[tokio::test]
async fn a_number_that_turns_into_text_gets_a_sibling_that_is_noted() {
    let (_folder, lake) = new_lake().await;
    add(&lake, 1, native(&[("id", &[Some("1")]), ("amount", &[Some("7")])])).await;
    add(&lake, 2, native(&[("id", &[Some("2")]), ("amount", &[Some("\"n/a\"")])])).await;
    let rows = values(&lake, "awin_test", "transactions", &["id", "amount", "amount__text"]).await;
    assert_eq!(rows, ["1 7 -", "2 - n/a"]);
    assert!(assert_noted(&lake).await.contains("amount__text"));
}

#[tokio::test]
async fn a_thousand_columns_and_a_thousand_more() {
    let (_folder, lake) = new_lake().await;
    for (secs, range) in [(1, 0..1_000), (2, 500..1_999)] {
        let paths: Vec<String> = range.map(|n| format!("group{}.field{n}", n % 7)).collect();
        let id = secs.to_string();
        let mut columns = vec![native_column("id", &[Some(id.as_str())])];
        columns.extend(paths.iter().map(|path| native_column(path, &[Some("1")])));
        add(&lake, secs, NativeBatch { rows: 1, columns }).await;
    }
    let rows = values(&lake, "awin_test", "transactions", &["id", "group0_field0", "group3_field1998"]).await;
    assert_eq!(rows, ["1 1 -", "2 - 1"]);
    assert_eq!(assert_noted(&lake).await.len(), 2_000);
}

/// Names that make trouble somewhere.
const ODD_NAMES: &[&str] = &[
    // Reserved words, and what Delta or the ledger call their own.
    "select",
    "group",
    "table",
    "_month",
    "_key",
    "_change_type",
    "_metadata",
    "month",
    "NULL",
    "true",
    // Alike in snake case.
    "fooBar",
    "foo_bar",
    "foo.bar",
    "FOO-BAR",
    "foo bar",
    "foo__text",
    "foo",
    "foo_bar_2",
    // What Parquet, Delta or SQL don't like in names.
    "",
    " ",
    ".",
    "a,b;c{d}(e)\n\t=f",
    "\"quoted\"",
    "`ticked`",
    "1st",
    "%41",
    "a/b",
    "..",
    "💶",
    "ключ",
    "名前",
    "İ",
    "ß",
    "\0",
    "'; DROP TABLE x; --",
    "{\"json\": [1]}",
];

#[tokio::test]
async fn names_that_no_column_should_have() {
    let (_folder, lake) = new_lake().await;
    let deep = vec!["level"; 200].join(".");
    let long = "x".repeat(5_000);
    let longer = format!("{long}y");
    let names = [ODD_NAMES, &[deep.as_str(), long.as_str(), longer.as_str()]].concat();
    let texts: Vec<String> = (0..names.len()).map(|n| format!("\"value {n}\"")).collect();
    let row = |id: &'static str| {
        let mut columns = vec![native_column("id", &[Some(id)])];
        columns.extend(names.iter().zip(&texts).map(|(name, text)| native_column(name, &[Some(text.as_str())])));
        NativeBatch { rows: 1, columns }
    };
    add(&lake, 1, row("\"a\"")).await;
    // The other way round, another ledger finds the same columns.
    let mut again = row("\"b\"");
    again.columns.reverse();
    add(&lake, 2, again).await;
    let columns = assert_noted(&lake).await;
    assert_eq!(columns.len(), names.len() + 1);
    assert!(columns.iter().all(|name| name.chars().count() <= 110 && name.to_lowercase() == *name), "{columns:?}");
    let paths = rows(&lake, "meta", "columns").await;
    let stored = rows(&lake, "awin_test", "transactions").await;
    assert_eq!(stored.len(), 2);
    for (place, name) in names.iter().enumerate() {
        let column = &paths.iter().find(|row| row["path"] == *name).unwrap()["column"];
        for row in &stored {
            assert_eq!(row.get(column), Some(&format!("value {place}")), "{name:?} is {column}");
        }
    }
}

#[tokio::test]
async fn what_is_empty_or_mixed_is_text() {
    let (_folder, lake) = new_lake().await;
    // As the decoders give objects without members and arrays.
    add(&lake, 1, native(&[("id", &[Some("1")]), ("empty", &[Some("\"{}\"")]), ("list", &[Some("\"[]\"")])])).await;
    let mixed = "\"[1,\"a\",{\"b\":null},[2.5]]\"";
    add(&lake, 2, native(&[("id", &[Some("2")]), ("empty.now", &[Some("3")]), ("list", &[Some(mixed)])])).await;
    let rows = values(&lake, "awin_test", "transactions", &["id", "empty", "empty_now", "list"]).await;
    assert_eq!(rows, ["1 {} - []", "2 - 3 [1,\"a\",{\"b\":null},[2.5]]"]);
    assert_noted(&lake).await;
}
