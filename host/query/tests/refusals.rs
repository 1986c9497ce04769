//! What is refused, and the error that users see.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use lake::{TestLake, failure, ids, text};
use sluice_query::{Error, Format, SessionOptions};

#[tokio::test]
async fn nothing_but_reading_is_let_through() {
    let mut lake = TestLake::new();
    lake.append("awin", "transactions", &[], ids(&["1"])).await;
    let session = lake.session().await;
    for sql in [
        "insert into awin.transactions values ('2')",
        "explain analyze insert into awin.transactions values ('2')",
        "explain insert into awin.transactions values ('2')",
        "with a as (select 1) insert into awin.transactions select '2'",
        "select * into copied from awin.transactions",
        "delete from awin.transactions",
        "drop table awin.transactions",
        "create table x as select 1",
        "create external table x stored as csv location '/etc/passwd'",
        "copy awin.transactions to '/tmp/sluice-query-test.csv'",
        "set datafusion.execution.batch_size = 1",
    ] {
        let error = failure(&session, sql).await;
        assert!(matches!(error, Error::NotReadOnly { .. } | Error::Plan { .. }), "{sql}: {error:?}");
        assert_eq!(text(&session, "select count(*) n from awin.transactions", Format::Csv).await, "n\n1\n", "{sql}");
    }
    let error = failure(&session, "insert into awin.transactions values ('2')").await;
    assert_eq!(error.to_string(), "sluice sql only reads, and `INSERT` doesn't");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn files_are_no_tables() {
    let lake = TestLake::new();
    let file = lake.path().join("secret.csv");
    std::fs::write(&file, "a\n1\n").unwrap();
    let session = lake.session().await;
    let file = file.display();
    for sql in [
        format!("select * from '{file}'"),
        format!("select * from \"{file}\""),
        format!("select * from 'file://{file}'"),
        format!("select * from read_csv('{file}')"),
        format!("select * from read_parquet('{file}')"),
        format!("select * from parquet_metadata('{file}')"),
    ] {
        let error = failure(&session, &sql).await;
        assert!(matches!(error, Error::UnknownTable { .. } | Error::Plan { .. }), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn an_unknown_table_is_refused_with_its_neighbours() {
    let mut lake = TestLake::new();
    lake.append("awin", "transactions", &[], ids(&["1"])).await;
    let session = lake.session().await;
    let error = failure(&session, "select * from awin.transaction").await;
    assert_eq!(error.to_string(), "no table `awin.transaction` in the lake");
    assert_eq!(error.hint().unwrap(), "did you mean `awin.transactions`?");
    let error = failure(&session, "select * from awni.transactions t join meta.runs using (id)").await;
    assert_eq!(error.hint().unwrap(), "did you mean `awin.transactions`?");
    let error = failure(&session, "select * from elsewhere.things").await;
    assert_eq!(error.hint().unwrap(), "`SHOW TABLES` lists what there is");
}

#[tokio::test]
async fn an_unknown_column_is_refused_with_its_neighbours() {
    let session = TestLake::new().session().await;
    let error = failure(&session, "select comission_amount from unified.transactions").await;
    assert_eq!(error.to_string(), "no column `comission_amount`");
    assert!(error.hint().unwrap().starts_with("did you mean `commission_amount`"), "{:?}", error.hint());
    let error = failure(&session, "select count(*) from transactions t where t.netwrk = 'awin'").await;
    assert_eq!(error.to_string(), "no column `t.netwrk`");
    assert_eq!(error.hint().unwrap(), "did you mean `network`?");
}

#[tokio::test]
async fn a_function_that_does_not_exist_is_refused() {
    let session = TestLake::new().session().await;
    let error = failure(&session, "select summ(commission_amount) from transactions").await;
    assert!(matches!(&error, Error::Plan { reason, .. } if reason.contains("summ")), "{error:?}");
    assert_eq!(error.hint().as_deref(), Some("did you mean `sum`?"));
}

#[tokio::test]
async fn a_sort_beyond_the_memory_goes_to_disk() {
    let options = SessionOptions { memory_bytes: 24 << 20, target_partitions: Some(1), ..SessionOptions::default() };
    let session = TestLake::new().session_with(options).await;
    let sorted = "select count(*) n, max(d) d from (select value, row_number() over (order by s desc) d from \
                  (select value, md5(cast(value as varchar)) s from generate_series(1, 600000)))";
    assert_eq!(text(&session, sorted, Format::Csv).await, "n,d\n600000,600000\n");
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_fails_with_a_hint() {
    let options = SessionOptions { memory_bytes: 1 << 20, target_partitions: Some(1), ..SessionOptions::default() };
    let session = TestLake::new().session_with(options).await;
    let error = failure(
        &session,
        "select count(*) from (select value v from generate_series(1, 500000)) a \
         join (select value w from generate_series(1, 500000)) b on v = w",
    )
    .await;
    assert!(matches!(error, Error::Memory { limit_bytes: 1_048_576, .. }), "{error:?}");
    assert!(error.hint().is_some());
}
