use super::*;
use crate::{ChangeCursor, ChangeFilter, Changes, Error};

async fn commit(lake: &Lake, run: &str, secs: i64, sales: &[Sale]) {
    let mut ledger = lake.ledger();
    ledger.add(response(run, run, secs), &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
    ledger.commit().await.unwrap();
}

async fn read(
    lake: &Lake,
    after: Option<&ChangeCursor>,
    filter: &ChangeFilter,
    most: usize,
) -> Result<Option<Changes>, Error> {
    lake.change_reader().await?.read(after, filter, most).await
}

/// All of the feed from a cursor on, in pages, and where it ends.
async fn feed(lake: &Lake, mut after: Option<ChangeCursor>, filter: &ChangeFilter, most: usize) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = read(lake, after.as_ref(), filter, most).await.unwrap().unwrap();
        for batch in &page.batches {
            let column = |name: &str| {
                let column = batch.column_by_name(name).unwrap();
                let text = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
                text.as_any().downcast_ref::<StringArray>().unwrap().clone()
            };
            let [id, version, change, network] = ["transaction_id", "version", "change", "network"].map(column);
            for row in 0..batch.num_rows() {
                all.push([&id, &version, &change, &network].map(|column| column.value(row)).join(" "));
            }
        }
        if !page.has_more {
            assert_eq!(page.next.to_string().parse(), Ok(page.next.clone()), "it is kept as text");
            return all;
        }
        assert_ne!(Some(&page.next), after.as_ref(), "it goes on");
        after = Some(page.next);
    }
}

#[tokio::test]
async fn the_feed_has_each_version_once_and_in_order_whatever_the_page() {
    let (_folder, lake) = new_lake().await;
    assert!(read(&lake, None, &ChangeFilter::default(), 10).await.unwrap().is_none());
    assert_eq!(lake.change_reader().await.unwrap().end().await.unwrap(), None);
    commit(&lake, "run-1", 10, &[sale("1", 0, 5), sale("2", 40, 7), sale("3", 0, 1)]).await;
    commit(&lake, "run-2", 20, &[sale("1", 0, 6), sale("3", 0, 1)]).await;
    let end = lake.change_reader().await.unwrap().end().await.unwrap().unwrap();
    commit(&lake, "run-3", 30, &[sale("1", 0, 7), sale("4", 0, 9)]).await;
    let everything = ChangeFilter::default();
    let whole = feed(&lake, None, &everything, 100).await;
    let mut sorted = whole.clone();
    sorted.sort();
    let expected = [
        "1 1 first-seen awin-test",
        "1 2 network-change awin-test",
        "1 3 network-change awin-test",
        "2 1 first-seen awin-test",
        "3 1 first-seen awin-test",
        "4 1 first-seen awin-test",
    ];
    assert_eq!(sorted, expected);
    let of_one: Vec<_> = whole.iter().filter(|row| row.starts_with("1 ")).collect();
    assert_eq!(of_one, expected[..3].iter().collect::<Vec<_>>(), "in the order of its versions");
    for most in 1..4 {
        assert_eq!(feed(&lake, None, &everything, most).await, whole, "pages of {most}");
    }
    let mut after = feed(&lake, Some(end), &everything, 1).await;
    after.sort();
    assert_eq!(after, ["1 3 network-change awin-test", "4 1 first-seen awin-test"]);
    let changes = ChangeFilter { changes: ["network-change".to_owned()].into(), ..ChangeFilter::default() };
    assert_eq!(feed(&lake, None, &changes, 1).await, expected[1..3]);
    let other = ChangeFilter { networks: ["cj".to_owned()].into(), ..ChangeFilter::default() };
    assert!(feed(&lake, None, &other, 2).await.is_empty());
}

#[tokio::test]
async fn maintenance_is_no_change_and_a_cursor_of_another_table_is_refused() {
    let (_folder, lake) = new_lake().await;
    for run in 0..5_i64 {
        commit(&lake, &format!("run-{run}"), 10 + run, &[sale("1", 0, 5 + run), sale(&format!("x{run}"), 0, 1)]).await;
    }
    let everything = ChangeFilter::default();
    let before = feed(&lake, None, &everything, 3).await;
    let end = lake.change_reader().await.unwrap().end().await.unwrap().unwrap();
    let tables = lake.tables().await.unwrap();
    let table = tables.iter().find(|table| table.name == "transaction_versions").unwrap();
    let upkeep = crate::Upkeep { min_files: 2, ..crate::Upkeep::default() };
    assert!(lake.maintain(table, &upkeep, Utc::now()).await.unwrap().merged_files > 0);
    assert_eq!(feed(&lake, None, &everything, 3).await, before);
    assert!(feed(&lake, Some(end.clone()), &everything, 3).await.is_empty());
    let other = ChangeCursor { table: "another".to_owned(), ..end };
    assert!(matches!(read(&lake, Some(&other), &everything, 1).await, Err(Error::FeedGone { .. })));
    assert!(read(&lake, None, &everything, 1).await.is_ok());
    assert_eq!("1.2".parse::<ChangeCursor>(), Err(()));
}
