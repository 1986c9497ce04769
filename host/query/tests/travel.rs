//! Tables as they were.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use std::path::PathBuf;

use deltalake::DeltaTable;
use deltalake::protocol::SaveMode;
use lake::{TestLake, failure, ids, text};
use sluice_query::{Error, Format, Session};
use url::Url;

fn table(lake: &TestLake) -> PathBuf {
    lake.path().join("tables/awin/transactions")
}

/// When each version was committed, by its own word.
fn commits(lake: &TestLake) -> Vec<i64> {
    let mut times = Vec::new();
    while let Ok(commit) = std::fs::read_to_string(table(lake).join(format!("_delta_log/{:020}.json", times.len()))) {
        let info = commit.lines().find(|line| line.contains("commitInfo")).unwrap();
        let info: serde_json::Value = serde_json::from_str(info).unwrap();
        times.push(info["commitInfo"]["timestamp"].as_i64().unwrap());
    }
    times
}

/// Lets a commit say that it was made at another moment.
fn backdate(lake: &TestLake, version: usize, millis: i64) {
    let path = table(lake).join(format!("_delta_log/{version:020}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&commits(lake)[version].to_string(), &millis.to_string())).unwrap();
}

async fn count(session: &Session, relation: &str) -> String {
    text(session, &format!("select count(*) n from {relation}"), Format::Csv).await.replace("n\n", "").replace('\n', "")
}

const JANUARY: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;

/// Three versions: 1, 2 and 3 rows, committed on the first three days of the year.
async fn three_versions() -> TestLake {
    let mut lake = TestLake::new();
    for (version, id) in ["1", "2", "3"].into_iter().enumerate() {
        lake.append("awin", "transactions", &[], ids(&[id])).await;
        backdate(&lake, version, JANUARY + version as i64 * DAY);
    }
    lake
}

#[tokio::test]
async fn a_table_is_read_at_a_version_or_a_moment() {
    let lake = three_versions().await;
    let session = lake.session().await;
    for (clause, rows) in [
        ("", "3"),
        ("AT (VERSION => 0)", "1"),
        ("VERSION AS OF 1", "2"),
        ("AT (VERSION => 2)", "3"),
        ("AT (TIMESTAMP => '2026-01-01')", "1"),
        ("AT (TIMESTAMP => '2026-01-02T23:59:59.999Z')", "2"),
        ("FOR SYSTEM_TIME AS OF '2026-01-03'", "3"),
        ("TIMESTAMP AS OF now()", "3"),
    ] {
        assert_eq!(count(&session, &format!("awin.transactions {clause}")).await, rows, "{clause}");
    }
    let both =
        "awin.transactions now left join awin.transactions AT (VERSION => 0) was using (id) where was.id is null";
    assert_eq!(count(&session, both).await, "2");
}

#[tokio::test]
async fn a_version_that_never_was_is_refused_with_those_that_are() {
    let lake = three_versions().await;
    let session = lake.session().await;
    let there_are = "there are versions 0 to 2, from 2026-01-01T00:00:00Z to 2026-01-03T00:00:00Z";
    let error = failure(&session, "select * from awin.transactions AT (VERSION => 7)").await;
    assert_eq!(error.to_string(), "there is no `awin.transactions` at version 7");
    assert_eq!(error.hint().unwrap(), there_are);
    let error = failure(&session, "select * from awin.transactions AT (TIMESTAMP => '2025-12-31')").await;
    assert_eq!(error.to_string(), "there is no `awin.transactions` as of 2025-12-31T00:00:00Z");
    assert_eq!(error.hint().unwrap(), there_are);
}

#[tokio::test]
async fn a_version_whose_files_were_removed_is_refused_with_those_that_are_left() {
    let lake = three_versions().await;
    let url = Url::from_directory_path(table(&lake)).unwrap();
    let files = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(table(&lake)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
    };
    let old = files();
    assert_eq!(old.len(), 3);
    for rows in [ids(&["9"]), ids(&["8"])] {
        let write = DeltaTable::try_from_url(url.clone()).await.unwrap().write([rows]);
        write.with_save_mode(SaveMode::Overwrite).await.unwrap();
    }
    backdate(&lake, 3, JANUARY + 3 * DAY);
    backdate(&lake, 4, JANUARY + 4 * DAY);
    let session = lake.session().await;
    assert_eq!(count(&session, "awin.transactions AT (VERSION => 2)").await, "3", "nothing was removed yet");
    // As a vacuum does.
    old.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    for clause in ["AT (VERSION => 2)", "AT (TIMESTAMP => '2026-01-01T12:00:00Z')"] {
        let error = failure(&session, &format!("select * from awin.transactions {clause}")).await;
        assert!(error.to_string().starts_with("the files are gone of `awin.transactions` a"), "{error}");
        let left = "there are versions 3 to 4, from 2026-01-04T00:00:00Z to 2026-01-05T00:00:00Z";
        assert_eq!(error.hint().unwrap(), left);
    }
    assert_eq!(count(&session, "awin.transactions AT (VERSION => 3)").await, "1");
}

#[tokio::test]
async fn views_are_read_at_a_moment_and_have_no_versions() {
    let mut lake = TestLake::new();
    lake.append_history(&[lake::Row::default()]).await;
    let session = lake.session().await;
    for view in ["unified.transactions", "unified.earnings_daily", "meta.gaps"] {
        let relation = format!("{view} AT (TIMESTAMP => now())");
        assert_eq!(count(&session, &relation).await, count(&session, view).await, "{relation}");
        let error = failure(&session, &format!("select * from {view} AT (VERSION => 0)")).await;
        assert!(matches!(error, Error::NoVersions { .. }), "{view}: {error:?}");
    }
    let early = failure(&session, "select * from unified.earnings_daily AT (TIMESTAMP => '2001-01-01')").await;
    assert!(matches!(&early, Error::NoVersion { table, .. } if table == "unified.transaction_versions"), "{early:?}");
    assert!(early.hint().is_some_and(|hint| hint.starts_with("there are versions 0 to 0, from 20")), "{early:?}");
}

#[tokio::test]
async fn what_was_written_wrong_is_refused() {
    let lake = three_versions().await;
    let session = lake.session().await;
    for (relation, message, hint) in [
        ("awin.transactions AT (VERSION => 'x')", "'x' is no version of a table", "whole number"),
        ("awin.transactions AT (TIMESTAMP => 'x')", "'x' is no moment", "UTC"),
        ("awin.transactions AT (STATEMENT => 'x')", "cannot read a table `AT(STATEMENT => 'x')`", "AT (VERSION => 3)"),
        ("awin.transaction AT (VERSION => 1)", "no table `awin.transaction` in the lake", "awin.transactions"),
        ("unified.as_of('x')", "'x' is no moment", "INTERVAL"),
        ("unified.as_of(id)", "id is no moment", "INTERVAL"),
        ("unified.as_of()", "`unified.as_of` takes a moment", "SELECT * FROM unified.as_of("),
        ("unified.restatements('2026-01-01')", "`unified.restatements` takes a moment and a later one", "SELECT"),
        (
            "restatements('2026-02-01', '2026-01-01')",
            "`unified.restatements` goes from a moment to a later one",
            "swap the two",
        ),
        ("unified.restated('2026-02-01')", "no function `unified.restated` gives a table", "unified.restatements("),
    ] {
        let error = failure(&session, &format!("select * from {relation}")).await;
        assert_eq!(error.to_string(), message, "{relation}");
        assert!(error.hint().is_some_and(|output| output.contains(hint)), "{relation}: {:?}", error.hint());
    }
}
