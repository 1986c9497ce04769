//! The folded coverage: what it keeps, and that readers get the same with and without it.

use proptest::prelude::*;
use sluice_model::Window;

use super::*;
use crate::coverage::CoverageState;
use crate::{Coverage, CoverageFold, CoverageRow, StreamAxis, WindowRead};

/// A read of `network` that ended `at` seconds after 2026 began.
pub(super) fn row(network: &str, at: i64, since: i64, until: i64, complete: bool) -> CoverageRow {
    CoverageRow {
        network: network.to_owned(),
        account: "uk".to_owned(),
        stream: "transactions".to_owned(),
        axis: Axis::Transaction,
        window: Window { since: moment(since), until: moment(until) },
        run_id: "run".to_owned(),
        read_at: moment(at),
        requests: 1,
        records: 1,
        complete,
        error: (!complete).then(|| format!("failed at {at}")),
        error_kind: None,
    }
}

/// What a fold of all rows gives.
fn folded(rows: &[CoverageRow]) -> Vec<Coverage> {
    let mut fold = CoverageFold::default();
    for row in rows {
        let of = StreamAxis {
            network: row.network.clone(),
            account: row.account.clone(),
            stream: row.stream.clone(),
            axis: row.axis.name().to_owned(),
        };
        let (at, complete, error) = (row.read_at, row.complete, row.error.clone());
        fold.add(of, WindowRead { window: row.window, at, complete, error });
    }
    fold.coverage()
}

/// Appends rows as a process does that is killed before the state follows.
pub(super) async fn append_only(lake: &Lake, rows: &[CoverageRow]) {
    lake.append_coverage_under(rows, None).await.unwrap();
}

async fn state_files(lake: &Lake) -> Vec<String> {
    let table = Table::open(lake, "meta", "coverage_state").await.unwrap();
    let mut files: Vec<String> = table.files().iter().map(|file| file.path.to_string()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_read_rewrites_the_state_of_its_network_alone() {
    let (_folder, lake) = new_lake().await;
    let mut rows = vec![row("awin", 100, 0, 50, true), row("cj", 100, 0, 50, false)];
    lake.append_coverage(&rows).await.unwrap();
    let before = state_files(&lake).await;
    assert_eq!(before.len(), 2);
    rows.push(row("awin", 200, 60, 90, true));
    lake.append_coverage(&rows[2..]).await.unwrap();
    let after = state_files(&lake).await;
    assert_eq!(after.iter().filter(|file| before.contains(file)).count(), 1, "{before:?} {after:?}");
    assert!(after.iter().any(|file| file.starts_with("network=cj/") && before.contains(file)));
    assert_eq!(lake.coverage().await.unwrap(), folded(&rows));
    let kinds = values(&lake, "meta", "coverage_state", &["network", "kind", "error"]).await;
    assert_eq!(kinds, ["awin read -", "awin read -", "awin stream -", "cj failed failed at 100", "cj stream -"]);
}

#[tokio::test]
async fn what_the_state_has_not_absorbed_counts_too() {
    let (_folder, lake) = new_lake().await;
    assert!(lake.coverage().await.unwrap().is_empty());
    // A lake of an older release has no state.
    let mut rows = vec![row("awin", 100, 0, 50, true), row("cj", 100, 0, 50, false)];
    append_only(&lake, &rows).await;
    assert!(state_files(&lake).await.is_empty());
    assert_eq!(lake.coverage().await.unwrap(), folded(&rows));
    rows.push(row("cj", 110, 0, 60, true));
    lake.append_coverage(&rows[2..]).await.unwrap();
    assert_eq!(lake.coverage().await.unwrap(), folded(&rows), "the state took in what was there before it");
    for at in 0..3 {
        rows.push(row("awin", 200 + at, 60 + at, 70 + at, at != 1));
        append_only(&lake, &rows[rows.len() - 1..]).await;
        assert_eq!(lake.coverage().await.unwrap(), folded(&rows));
    }
    let mut state = CoverageState::open(&lake).await.unwrap();
    state.catch_up().await.unwrap();
    assert_eq!(lake.coverage().await.unwrap(), folded(&rows));
    let version = state.table().version();
    state.catch_up().await.unwrap();
    assert_eq!(Table::open(&lake, "meta", "coverage_state").await.unwrap().version(), version, "nothing is new");
    state.rebuild().await.unwrap();
    assert_eq!(lake.coverage().await.unwrap(), folded(&rows));
}

#[tokio::test]
async fn a_table_of_reads_that_was_rebuilt_is_folded_again() {
    let (_folder, lake) = new_lake().await;
    lake.append_coverage(&[row("awin", 100, 0, 50, true)]).await.unwrap();
    std::fs::remove_dir_all(lake.url().to_file_path().unwrap().join("tables/meta/coverage")).unwrap();
    let rows = [row("cj", 100, 0, 50, true)];
    append_only(&lake, &rows).await;
    assert_eq!(lake.coverage().await.unwrap(), folded(&rows));
    CoverageState::open(&lake).await.unwrap().catch_up().await.unwrap();
    assert_eq!(lake.coverage().await.unwrap(), folded(&rows));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_that_record_reads_at_once_agree() {
    let (folder, lake) = new_lake().await;
    let rows = |writer: i64| (0..4).map(move |at| row("awin", 100 + at * 4 + writer, at * 9, at * 9 + 10, at % 2 == 0));
    let tasks: Vec<_> = (0..3_i64)
        .map(|writer| {
            let place = folder.path().join("lake").display().to_string();
            tokio::spawn(async move {
                // A lake of its own is a process of its own.
                let lake = Lake::open_writable(&place).await.unwrap();
                for row in rows(writer) {
                    lake.append_coverage(&[row]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(lake.coverage().await.unwrap(), folded(&(0..3).flat_map(rows).collect::<Vec<_>>()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Reads of two networks, recorded in any order and in any commits: the state that was written and read in between
    /// is the same as if all had been folded at once.
    #[test]
    fn the_state_is_what_all_reads_fold_to(
        drawn in prop::collection::vec((any::<u32>(), 0..2_usize, 0..40_i64, 1..10_i64, prop::bool::ANY, prop::bool::ANY), 1..12),
    ) {
        let rows = (0..).zip(&drawn).map(|(at, (key, network, since, length, complete, _))| {
            (*key, row(["awin", "cj"][*network], 100 + at, *since, since + length, *complete))
        });
        let mut rows: Vec<(u32, CoverageRow)> = rows.collect();
        rows.sort_by_key(|(key, _)| *key);
        let rows: Vec<CoverageRow> = rows.into_iter().map(|(_, row)| row).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = runtime.block_on(async {
            let (_folder, lake) = new_lake().await;
            let mut commit = Vec::new();
            for (row, (.., ends)) in rows.iter().zip(&drawn) {
                commit.push(row.clone());
                if *ends {
                    lake.append_coverage(&std::mem::take(&mut commit)).await.unwrap();
                }
            }
            append_only(&lake, &commit).await;
            lake.coverage().await.unwrap()
        });
        prop_assert_eq!(read, folded(&rows));
    }
}
