use std::collections::HashMap;
use std::path::PathBuf;

use arrow::array::AsArray;

use super::readers::{Manner, through};
use super::*;
use crate::Error;
use crate::coverage::CoverageState;
use crate::latest::{LatestState, lay_out};

async fn commit(lake: &Lake, secs: i64, sales: &[Sale]) {
    let mut ledger = uncaught(lake, secs, sales).await;
    ledger.commit().await.unwrap();
}

/// A ledger whose versions are committed, as a crash right after leaves them.
async fn uncaught(lake: &Lake, secs: i64, sales: &[Sale]) -> crate::Ledger {
    let mut ledger = lake.ledger();
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
    ledger.flush().await.unwrap();
    ledger
}

/// Asserts that the latest state is what a query over all versions would say, and gives its rows' number.
pub(super) async fn assert_latest(lake: &Lake) -> usize {
    let mut expected: HashMap<String, Row> = HashMap::new();
    let version = |row: &Row| row["version"].parse::<u32>().unwrap();
    for row in rows(lake, "unified", "transaction_versions").await {
        let known = expected.entry(row["transaction_key"].clone()).or_insert_with(|| row.clone());
        if version(&row) > version(known) {
            *known = row;
        }
    }
    let mut expected: Vec<Row> = expected.into_values().collect();
    let mut found = rows(lake, "unified", "transactions").await;
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    found.len()
}

async fn table(lake: &Lake, name: &str) -> Table {
    Table::open(lake, "unified", name).await.unwrap()
}

fn file_of(lake: &Lake, table: &str, path: &object_store::path::Path) -> PathBuf {
    lake.url().to_file_path().unwrap().join("tables/unified").join(table).join(path.as_ref())
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_an_older_one() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, 1, &[sale("1", 0, 1), sale("2", 0, 1), sale("3", 40, 1)]).await;
    assert_eq!(assert_latest(&lake).await, 3);
    commit(&lake, 2, &[sale("1", 0, 2), sale("4", 40, 1)]).await;
    assert_eq!(assert_latest(&lake).await, 4);
    // One moves to another month, one changes twice within a commit.
    let mut ledger = uncaught(&lake, 3, &[sale("2", 50, 1), sale("3", 40, 2)]).await;
    let origin = response("run", "r4", 4);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(&[sale("3", 40, 3)])).await.unwrap();
    ledger.commit().await.unwrap();
    assert_eq!(assert_latest(&lake).await, 4);
}

#[tokio::test]
async fn files_of_first_versions_are_links_and_untouched_files_stay() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, lake) = new_lake().await;
    commit(&lake, 1, &[sale("1", 0, 1), sale("2", 40, 1)]).await;
    let versions = table(&lake, "transaction_versions").await.files();
    let first = table(&lake, "transactions").await.files();
    let inode = |path: PathBuf| std::fs::metadata(path).unwrap().ino();
    let mut theirs: Vec<u64> =
        versions.iter().map(|file| inode(file_of(&lake, "transaction_versions", &file.path))).collect();
    let mut ours: Vec<u64> = first.iter().map(|file| inode(file_of(&lake, "transactions", &file.path))).collect();
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, theirs);
    commit(&lake, 2, &[sale("1", 0, 2)]).await;
    let second = table(&lake, "transactions").await.files();
    let stays = |month: &str| {
        let file = first.iter().find(|file| file.path.as_ref().contains(month)).unwrap();
        second.iter().any(|other| other.path == file.path)
    };
    assert!(stays("2026-02"), "nothing changed there");
    assert!(!stays("2026-01"), "its only row is superseded");
    assert_eq!(assert_latest(&lake).await, 2);
}

#[tokio::test]
async fn nothing_new_is_no_commit() {
    let (_folder, lake) = new_lake().await;
    lake.ledger().commit().await.unwrap();
    assert_eq!(table(&lake, "transactions").await.version(), None, "no versions, no latest state");
    commit(&lake, 1, &[sale("1", 0, 1)]).await;
    let before = table(&lake, "transactions").await.version();
    commit(&lake, 2, &[sale("1", 0, 1)]).await;
    assert_eq!(table(&lake, "transactions").await.version(), before);
}

#[tokio::test]
async fn a_crash_between_versions_and_latest_state_is_healed() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, 1, &[sale("1", 0, 1)]).await;
    drop(uncaught(&lake, 2, &[sale("1", 0, 2), sale("2", 0, 1)]).await);
    drop(uncaught(&lake, 3, &[sale("1", 0, 3), sale("2", 0, 2)]).await);
    assert_eq!(rows(&lake, "unified", "transactions").await.len(), 1);
    lake.ledger().commit().await.unwrap();
    assert_eq!(assert_latest(&lake).await, 2);
}

#[tokio::test]
async fn versions_whose_log_is_gone_or_that_were_rebuilt_are_read_whole() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, 1, &[sale("1", 0, 1)]).await;
    for secs in 2..6 {
        drop(uncaught(&lake, secs, &[sale("1", 0, secs), sale(&format!("new-{secs}"), 40, 1)]).await);
    }
    let folder = lake.url().to_file_path().unwrap().join("tables/unified/transaction_versions");
    let log = lake.log_store(&lake.url_of("unified", "transaction_versions").unwrap()).unwrap();
    let mut whole = deltalake::DeltaTable::new(log);
    whole.load().await.unwrap();
    deltalake::checkpoints::create_checkpoint(&whole, None).await.unwrap();
    for commit in 0..=whole.version().unwrap() {
        std::fs::remove_file(folder.join(format!("_delta_log/{commit:020}.json"))).unwrap();
    }
    lake.ledger().commit().await.unwrap();
    assert_eq!(assert_latest(&lake).await, 5);
    std::fs::remove_dir_all(&folder).unwrap();
    for secs in 1..9 {
        drop(uncaught(&lake, secs, &[sale("1", 0, secs)]).await);
    }
    lake.ledger().commit().await.unwrap();
    assert_eq!(assert_latest(&lake).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_that_catch_up_at_once_agree() {
    let (_folder, lake) = new_lake().await;
    let tasks = (0..4_i64).map(|writer| {
        let lake = lake.clone();
        tokio::spawn(async move {
            for round in 0..3_i64 {
                let secs = 1 + round * 4 + writer;
                commit(&lake, secs, &[sale("shared", 0, secs), sale(&format!("{writer}-{round}"), 40, 1)]).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(assert_latest(&lake).await, 13);
    let mut state = LatestState::open(&lake).await.unwrap();
    let before = table(&lake, "transactions").await.version();
    state.catch_up().await.unwrap();
    assert_eq!(table(&lake, "transactions").await.version(), before);
}

#[tokio::test]
async fn catching_up_with_nothing_new_costs_one_look_at_the_log() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, 1, &[sale("1", 0, 1)]).await;
    lake.append_coverage(&[super::coverage::row("awin-test", 100, 0, 50, true)]).await.unwrap();
    let manner = Manner::default();
    let lake = through(&lake, &manner);
    let mut latest = LatestState::open(&lake).await.unwrap();
    let mut coverage = CoverageState::open(&lake).await.unwrap();
    latest.catch_up().await.unwrap();
    coverage.catch_up().await.unwrap();
    for _ in 0..2 {
        manner.looked();
        latest.catch_up().await.unwrap();
        let looked = manner.looked();
        assert!((1..=2).contains(&looked), "{looked} requests to see that nothing is new");
        coverage.catch_up().await.unwrap();
        assert_eq!(manner.looked(), looked);
    }
}

/// All rows of the table of versions, as they could be written again.
async fn versions(lake: &Lake) -> RecordBatch {
    let table = table(lake, "transaction_versions").await;
    let schema = table.schema().unwrap();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut rows = Vec::new();
    for file in table.files() {
        for batch in read_columns(table.store(), &file.path, &names).await.unwrap() {
            rows.push(lay_out(table.name(), &batch, &schema, &file.partitions).unwrap());
        }
    }
    arrow::compute::concat_batches(&schema, &rows).unwrap()
}

/// Appends rows to the table of versions, whatever they are.
async fn append_by_hand(lake: &Lake, rows: &RecordBatch) {
    let mut table = table(lake, "transaction_versions").await;
    let adds = table.write_files(rows, Some("transaction_key")).await.unwrap();
    assert!(matches!(table.replace(Vec::new(), adds, &[], None).await.unwrap(), crate::table::Commit::Done));
}

fn texts_of(rows: &RecordBatch, name: &str, text: &str) -> RecordBatch {
    with_column(rows, name, Arc::new(StringArray::from(vec![text; rows.num_rows()])))
}

/// Asserts that a version which comes twice is refused by its name, and that nothing of it is in the latest state.
async fn assert_refused(lake: &Lake, state: &mut LatestState, id: &str, refused: i32) {
    let before = rows(lake, "unified", "transactions").await;
    let error = state.catch_up().await.unwrap_err();
    let Error::DuplicateVersion { table, key, version, .. } = &error else { panic!("{error:?}") };
    let known = rows(lake, "unified", "transaction_versions").await;
    let of = known.iter().find(|row| row["transaction_key"] == *key).map(|row| row["transaction_id"].as_str());
    assert_eq!((of, *version), (Some(id), refused), "{error}");
    assert!(table.starts_with("unified.transaction"), "{error}");
    assert!(error.to_string().contains(key.as_str()), "{error}");
    assert!(error.hint().unwrap().contains("sluice build --from-raw"));
    assert_eq!(rows(lake, "unified", "transactions").await, before);
}

#[tokio::test]
async fn a_version_that_comes_twice_at_once_is_refused() {
    let (_folder, lake) = new_lake().await;
    drop(uncaught(&lake, 1, &[sale("1", 0, 1), sale("2", 0, 1), sale("3", 40, 1)]).await);
    let first = versions(&lake).await;
    let again = first.slice(1, 1);
    append_by_hand(&lake, &again).await;
    let id = again.column_by_name("transaction_id").unwrap().as_string::<i32>().value(0).to_owned();
    let mut state = LatestState::open(&lake).await.unwrap();
    assert_refused(&lake, &mut state, &id, 1).await;
    assert!(state.rebuild().await.is_err(), "from the snapshot neither");
    let (_folder, lake) = new_lake().await;
    drop(uncaught(&lake, 1, &[sale("1", 0, 1)]).await);
    append_by_hand(&lake, &texts_of(&versions(&lake).await, "month", "2026-05")).await;
    let mut state = LatestState::open(&lake).await.unwrap();
    assert_refused(&lake, &mut state, "1", 1).await;
}

#[tokio::test]
async fn a_version_that_is_not_newer_than_the_known_one_is_refused() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, 1, &[sale("1", 0, 1), sale("2", 0, 1)]).await;
    let first = versions(&lake).await;
    commit(&lake, 2, &[sale("1", 0, 2)]).await;
    assert_eq!(assert_latest(&lake).await, 2);
    let known = rows(&lake, "unified", "transactions").await;
    // Of the one, the version that it has; of the other, an older one than it has.
    for (row, id) in [(0, "1"), (1, "2")] {
        append_by_hand(&lake, &first.slice(row, 1)).await;
        let mut state = LatestState::open(&lake).await.unwrap();
        if row == 0 {
            assert_refused(&lake, &mut state, id, 1).await;
        } else {
            assert!(state.catch_up().await.is_err());
        }
    }
    assert_eq!(rows(&lake, "unified", "transactions").await, known);
}

#[tokio::test]
async fn a_key_that_another_writer_put_into_another_month_is_refused() {
    let (_folder, lake) = new_lake().await;
    let mut state = LatestState::open(&lake).await.unwrap();
    commit(&lake, 1, &[sale("1", 0, 1)]).await;
    append_by_hand(&lake, &texts_of(&versions(&lake).await, "month", "2026-05")).await;
    assert_refused(&lake, &mut state, "1", 1).await;
}
