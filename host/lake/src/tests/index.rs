//! The index of keys alone, over a table that others write between two attempts of a flush.

use std::collections::HashSet;

use super::*;
use crate::index::{KeyIndex, Partition};
use crate::{CommitterOptions, Ledger, month, unified};

const NETWORK: &str = "awin-test";
const JANUARY: i64 = 5;
const FEBRUARY: i64 = 40;

async fn write(lake: &Lake, secs: i64, sales: &[Sale]) {
    let mut ledger: Ledger = lake.ledger();
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
    ledger.flush().await.unwrap();
}

fn places(month: &str) -> HashSet<Partition> {
    HashSet::from([(NETWORK.to_owned(), month::code(month))])
}

async fn key_of(lake: &Lake, id: &str) -> u128 {
    let all = rows(lake, "unified", "transaction_versions").await;
    let row = all.iter().find(|row| row["transaction_id"] == id).unwrap();
    u128::from_str_radix(&row["transaction_key"], 16).unwrap()
}

async fn versions(lake: &Lake) -> Table {
    Table::open(lake, "unified", "transaction_versions").await.unwrap()
}

#[tokio::test]
async fn a_partition_that_is_evicted_between_two_attempts_is_searched_again() {
    let (_folder, lake) = new_lake().await;
    write(&lake, 1, &[sale("a", JANUARY, 1)]).await;
    let key = key_of(&lake, "a").await;
    let mut table = versions(&lake).await;
    let mut index = KeyIndex::new(unified::INDEX, 5);
    index.begin();
    index.cover(&table, &places("2026-01"), &[key]).await.unwrap();
    assert_eq!(index.get(key).unwrap().version, 1);
    // Another writer's second version; then a flush in which the sale's date is in February.
    write(&lake, 2, &[sale("a", JANUARY, 2)]).await;
    table.refresh().await.unwrap();
    index.begin();
    index.cover(&table, &places("2026-02"), &[key]).await.unwrap();
    assert_eq!(index.get(key).unwrap().version, 2);
    // Another writer is first, and what it wrote to February leaves no room for January.
    let others: Vec<Sale> = (0..5).map(|number| sale(&format!("b{number}"), FEBRUARY, 1)).collect();
    write(&lake, 3, &others).await;
    table.refresh().await.unwrap();
    index.cover(&table, &places("2026-02"), &[key]).await.unwrap();
    assert_eq!(index.get(key).unwrap().version, 2, "the next version would be 2 once more");
}

#[tokio::test]
async fn a_partition_whose_file_is_gone_between_two_attempts_is_searched_again() {
    let (_folder, lake) = new_lake().await;
    for secs in 1..3 {
        write(&lake, secs, &[sale("a", JANUARY, secs), sale(&format!("c{secs}"), JANUARY, 1)]).await;
    }
    let key = key_of(&lake, "a").await;
    let mut table = versions(&lake).await;
    let mut index = KeyIndex::new(unified::INDEX, 50);
    index.begin();
    index.cover(&table, &places("2026-01"), &[key]).await.unwrap();
    let read: HashSet<_> = table.files().into_iter().map(|file| file.path).collect();
    write(&lake, 3, &[sale("a", JANUARY, 3)]).await;
    table.refresh().await.unwrap();
    index.begin();
    index.cover(&table, &places("2026-02"), &[key]).await.unwrap();
    assert_eq!(index.get(key).unwrap().version, 3);
    // What was read is merged, what was asked stays.
    let removes = table.files().into_iter().filter(|file| read.contains(&file.path));
    let removes: Vec<_> = removes.map(|file| file.removal(false)).collect();
    let adds: Vec<_> =
        table.adds().into_iter().filter(|add| read.iter().any(|path| path.as_ref() == add.path)).collect();
    assert_eq!((removes.len(), adds.len()), (2, 2));
    let mut again = Vec::new();
    for mut add in adds {
        let from = object_store::path::Path::parse(&add.path).unwrap();
        add.path = add.path.replace("part-", "part-merged-");
        let to = object_store::path::Path::parse(&add.path).unwrap();
        object_store::ObjectStoreExt::copy(&table.store(), &from, &to).await.unwrap();
        again.push(add);
    }
    table.replace(removes, again, &[], None).await.unwrap();
    table.refresh().await.unwrap();
    index.cover(&table, &places("2026-02"), &[key]).await.unwrap();
    assert_eq!(index.get(key).unwrap().version, 3, "the next version would be 3 once more");
}

/// Removes all data files of the tables, behind their backs.
async fn remove_files(lake: &Lake) {
    for (schema, name) in [("unified", "transaction_versions"), ("awin_test", "transactions")] {
        let table = Table::open(lake, schema, name).await.unwrap();
        let files = table.files();
        assert!(!files.is_empty(), "{schema}.{name}");
        for file in files {
            object_store::ObjectStoreExt::delete(&table.store(), &file.path).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_process_wrote_itself_is_read_only_for_keys_that_are_in_it() {
    let (_folder, lake) = new_lake().await;
    // No partition of two rows stays in memory.
    let options = CommitterOptions { index_keys: 1, ..CommitterOptions::default() };
    let mut ledger = lake.ledger_with(options);
    let layout = layout(&["id"]);
    let january = [sale("a", JANUARY, 1), sale("b", JANUARY, 1)];
    ledger.add(response("run", "r1", 1), &layout, &connector(), mapped(&january)).await.unwrap();
    ledger.flush().await.unwrap();
    remove_files(&lake).await;
    // Whether January's file holds it is known without the file.
    ledger.add(response("run", "r2", 2), &layout, &connector(), mapped(&[sale("c", FEBRUARY, 1)])).await.unwrap();
    ledger.flush().await.unwrap();
    // This one is in it, and which version is its latest stands only there.
    ledger.add(response("run", "r3", 3), &layout, &connector(), mapped(&[sale("a", FEBRUARY, 2)])).await.unwrap();
    let read = ledger.flush().await;
    assert!(matches!(read, Err(crate::Error::DataFile { .. })), "{read:?}");
}
