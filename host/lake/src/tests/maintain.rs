use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;
use crate::scan::read_filters;
use crate::table::DataFile;
use crate::{Maintained, TableRef, Upkeep};

const VERSIONS: (&str, &str) = ("unified", "transaction_versions");

async fn table_ref(lake: &Lake, (schema, name): (&str, &str)) -> TableRef {
    lake.tables().await.unwrap().into_iter().find(|table| table.schema == schema && table.name == name).unwrap()
}

async fn maintain(lake: &Lake, upkeep: &Upkeep, in_days: i64) -> Maintained {
    lake.maintain(&table_ref(lake, VERSIONS).await, upkeep, Utc::now() + TimeDelta::days(in_days)).await.unwrap()
}

/// One commit per round, each with sales in two months, the last of which have a second version.
async fn commits(lake: &Lake, rounds: i64) -> u64 {
    let mut new_versions = 0;
    for round in 0..rounds {
        let sales: Vec<Sale> = (0..10).map(|n| sale(&format!("{round}-{n}"), (n % 2) * 40, n)).collect();
        let mut ledger = lake.ledger();
        let origin = response("run", &format!("request-{round}"), round);
        ledger.add(origin, &layout(&["id"]), &connector(), mapped(&sales)).await.unwrap();
        new_versions += ledger.commit().await.unwrap().new_versions;
    }
    new_versions
}

async fn files(lake: &Lake) -> Vec<DataFile> {
    Table::open(lake, VERSIONS.0, VERSIONS.1).await.unwrap().files()
}

fn on_disk(lake: &Lake, path: &str) -> PathBuf {
    lake.url_of(VERSIONS.0, VERSIONS.1).unwrap().join(path).unwrap().to_file_path().unwrap()
}

fn age(file: &std::path::Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
}

#[tokio::test]
async fn merged_files_hold_the_same_rows_under_the_same_filter_and_statistics() {
    let (_folder, lake) = new_lake().await;
    commits(&lake, 6).await;
    let before = rows(&lake, VERSIONS.0, VERSIONS.1).await;
    let dry = maintain(&lake, &Upkeep { dry_run: true, ..Upkeep::default() }, 0).await;
    assert_eq!((dry.files, dry.merged_files, dry.merged_into), (12, 12, 2));
    assert_eq!(files(&lake).await.len(), 12, "a dry run changes nothing");
    let done = maintain(&lake, &Upkeep::default(), 0).await;
    assert_eq!((done.merged_files, done.merged_into), (12, 2));
    let mut after = rows(&lake, VERSIONS.0, VERSIONS.1).await;
    let mut expected = before.clone();
    for rows in [&mut after, &mut expected] {
        rows.sort();
    }
    assert_eq!(after, expected);
    let table = Table::open(&lake, VERSIONS.0, VERSIONS.1).await.unwrap();
    for file in table.files() {
        let filters = read_filters(table.store(), &file.path, "transaction_key").await.unwrap();
        assert!(filters.is_some_and(|filters| !filters.is_empty()), "a file without filter is read for every key");
        let stats = file.stats.unwrap();
        assert!(stats.contains("\"transacted_at\"") && stats.contains("\"numRecords\":30"), "{stats}");
    }
    assert_eq!(maintain(&lake, &Upkeep::default(), 0).await.merged_files, 0, "nothing is left to do");
}

#[tokio::test]
async fn what_is_read_again_after_a_merge_adds_nothing() {
    let (_folder, lake) = new_lake().await;
    assert_eq!(commits(&lake, 5).await, 50);
    maintain(&lake, &Upkeep::default(), 0).await;
    assert_eq!(commits(&lake, 5).await, 0);
    // A sale of the second month that is reported in a window of the first is found by the filter.
    let mut ledger = lake.ledger();
    let moved = [sale("0-1", 0, 99)];
    ledger.add(response("run-2", "moved", 1000), &layout(&["id"]), &connector(), mapped(&moved)).await.unwrap();
    ledger.commit().await.unwrap();
    let columns = ["transaction_id", "version", "month"];
    let found = values(&lake, VERSIONS.0, VERSIONS.1, &columns).await;
    assert!(found.contains(&"0-1 2 2026-02".to_owned()), "{found:?}");
}

#[tokio::test]
async fn columns_that_came_later_are_null_in_older_rows() {
    let (_folder, lake) = new_lake().await;
    for round in 0..4 {
        let id = format!("\"{round}\"");
        let mut columns: Vec<(&str, Vec<Option<&str>>)> = vec![("id", vec![Some(id.as_str())])];
        if round == 3 {
            columns.push(("late", vec![Some("7")]));
        }
        let columns: Vec<(&str, &[Option<&str>])> =
            columns.iter().map(|(name, cells)| (*name, cells.as_slice())).collect();
        let mut ledger = lake.ledger();
        let origin = response("run", &format!("r{round}"), round);
        ledger.add(origin, &layout(&["id"]), &connector(), only_native(native(&columns))).await.unwrap();
        ledger.commit().await.unwrap();
    }
    let table = table_ref(&lake, ("awin_test", "transactions")).await;
    let done = lake.maintain(&table, &Upkeep::default(), Utc::now()).await.unwrap();
    assert_eq!((done.merged_files, done.merged_into), (4, 1));
    assert_eq!(values(&lake, "awin_test", "transactions", &["id", "late"]).await, ["0 -", "1 -", "2 -", "3 7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn merging_beside_writers_loses_nothing_and_repeats_nothing() {
    let (_folder, lake) = new_lake().await;
    commits(&lake, 1).await;
    let writers: Vec<_> = (0..3_i64)
        .map(|writer| {
            let lake = lake.clone();
            tokio::spawn(async move {
                for round in 0..8_i64 {
                    let run = format!("run-{writer}");
                    let sales: Vec<Sale> = (0..4).map(|n| sale(&format!("{writer}/{round}/{n}"), n * 20, n)).collect();
                    let mut ledger = lake.ledger();
                    let origin = response(&run, &format!("{writer}-{round}"), round);
                    ledger.add(origin, &layout(&["id"]), &connector(), mapped(&sales)).await.unwrap();
                    ledger.commit().await.unwrap();
                }
            })
        })
        .collect();
    let upkeep = Upkeep { min_files: 2, checkpoint_commits: 3, ..Upkeep::default() };
    let mut merged = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        // Two at once: the second finds its files gone and lets go.
        let (one, two) = tokio::join!(maintain(&lake, &upkeep, 0), maintain(&lake, &upkeep, 0));
        merged += one.merged_files + two.merged_files;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(merged > 0, "nothing was merged beside the writers");
    maintain(&lake, &upkeep, 0).await;
    for (schema, name, id) in [(VERSIONS.0, VERSIONS.1, "transaction_id"), ("awin_test", "transactions", "id")] {
        let ids = values(&lake, schema, name, &[id]).await;
        let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!((ids.len(), distinct.len()), (10 + 3 * 8 * 4, 10 + 3 * 8 * 4), "{schema}");
    }
}

#[tokio::test]
async fn a_snapshot_within_the_retention_keeps_its_files_and_an_older_one_doesnt() {
    let (_folder, lake) = new_lake().await;
    commits(&lake, 4).await;
    let old = files(&lake).await;
    // Written long ago, and still part of the table until the merge.
    for file in &old {
        age(&on_disk(&lake, file.path.as_ref()), 60);
    }
    let orphan = on_disk(&lake, "network=awin-test/month=2026-01/part-crashed.parquet");
    std::fs::write(&orphan, b"never committed").unwrap();
    maintain(&lake, &Upkeep::default(), 0).await;
    assert_eq!(maintain(&lake, &Upkeep::default(), 6).await.deleted_files, 0);
    for file in &old {
        assert!(on_disk(&lake, file.path.as_ref()).exists(), "time travel needs {}", file.path);
    }
    assert!(orphan.exists(), "a writer may still be at it");
    let dry = maintain(&lake, &Upkeep { dry_run: true, ..Upkeep::default() }, 8).await;
    assert!(orphan.exists(), "a dry run deletes nothing");
    let done = maintain(&lake, &Upkeep::default(), 8).await;
    assert_eq!((done.deleted_files, dry.deleted_files), (old.len() as u64 + 1, old.len() as u64 + 1));
    assert!(!orphan.exists());
    assert_eq!(values(&lake, VERSIONS.0, VERSIONS.1, &["transaction_id"]).await.len(), 40);
    assert_eq!(commits(&lake, 4).await, 0);
}

#[tokio::test]
async fn a_table_that_lacks_a_file_is_left_alone() {
    let (_folder, lake) = new_lake().await;
    commits(&lake, 2).await;
    let orphan = on_disk(&lake, "part-crashed.parquet");
    std::fs::write(&orphan, b"never committed").unwrap();
    std::fs::remove_file(on_disk(&lake, files(&lake).await[0].path.as_ref())).unwrap();
    let table = table_ref(&lake, VERSIONS).await;
    let error = lake.maintain(&table, &Upkeep::default(), Utc::now() + TimeDelta::days(8)).await.unwrap_err();
    assert!(error.to_string().contains("nothing is deleted"), "{error}");
    assert!(orphan.exists());
}

#[tokio::test]
async fn the_log_is_summed_up_and_cut_and_holds_the_same() {
    let (_folder, lake) = new_lake().await;
    commits(&lake, 6).await;
    let upkeep = Upkeep { checkpoint_commits: 5, min_files: 100, ..Upkeep::default() };
    let entries = || std::fs::read_dir(on_disk(&lake, "_delta_log/")).unwrap().count();
    let done = maintain(&lake, &upkeep, 0).await;
    assert_eq!((done.checkpoint, done.deleted_log_files), (true, 0));
    assert!(!maintain(&lake, &upkeep, 0).await.checkpoint, "no commit came since");
    let before = entries();
    let done = maintain(&lake, &upkeep, 31).await;
    assert!(done.deleted_log_files >= 6, "{done:?}");
    assert_eq!(entries(), before - done.deleted_log_files as usize);
    assert_eq!(values(&lake, VERSIONS.0, VERSIONS.1, &["transaction_id"]).await.len(), 60);
    assert_eq!(commits(&lake, 6).await, 0);
}
