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

/// Needs some 40 MB.
const SORTED: &str = "select count(*) n, max(d) d from (select value, row_number() over (order by s desc) d from \
                      (select value, md5(cast(value as varchar)) s from generate_series(1, 600000)))";

#[tokio::test]
async fn a_sort_beyond_the_memory_goes_to_disk() {
    let options = SessionOptions { memory_bytes: 24 << 20, target_partitions: Some(1), ..SessionOptions::default() };
    let session = TestLake::new().session_with(options.clone()).await;
    assert_eq!(text(&session, SORTED, Format::Csv).await, "n,d\n600000,600000\n");
    let session = TestLake::new().session_with(SessionOptions { spill_bytes: Some(1 << 20), ..options }).await;
    let error = failure(&session, SORTED).await;
    assert!(matches!(error, Error::Disk { .. }), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("query_disk_mb")));
}

#[tokio::test]
async fn what_a_function_would_make_is_computed_before_memory_is_reserved() {
    let options = SessionOptions { memory_bytes: 64 << 20, ..SessionOptions::default() };
    let session = TestLake::new().session_with(options).await;
    for value in [
        "repeat(arrow_cast('x', 'LargeUtf8'), 1000000000000000)",
        "repeat(string_agg('xyz', ''), 1000000000000000)",
        "lpad(arrow_cast('x', 'LargeUtf8'), 1000000000000000, 'y')",
        "rpad('x', 2000000000)",
        "array_repeat(1, 1000000000000000)",
        "list_repeat('x', 1000000000000000)",
        "array_resize([1], 1000000000000000, 2)",
        "sum(length(repeat(arrow_cast('x', 'LargeUtf8'), value * 1000000000)))",
    ] {
        let error = failure(&session, &format!("select {value} from generate_series(1, 9000)")).await;
        assert!(matches!(error, Error::Memory { .. }), "{value}: {error:?}");
    }
    for (value, result) in
        [("length(repeat('ab', 1000))", "2000"), ("lpad('x', 3, 'ab')", "abx"), ("repeat('x', -1)", "")]
    {
        let given = text(&session, &format!("select {value} v"), Format::Csv).await;
        assert_eq!(given.trim_end_matches('\n').strip_prefix("v\n").unwrap().trim_matches('"'), result);
    }
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

/// A chain that is planned recursively would end the process with its stack.
#[tokio::test]
async fn a_query_that_is_too_deep_is_refused_and_the_deepest_one_is_planned() {
    let session = TestLake::new().session().await;
    for (start, link) in [
        ("select 1", " + 1"),
        ("select true", " or 1 > 2"),
        ("select 1", "::bigint::text"),
        ("select 1 is null", " is null"),
        ("select [1]", "[1]"),
        ("select 1", " union all select 1"),
        ("select 1 from (values (1)) t(a)", " join (values (1)) using (column1)"),
        ("select 1 from (values (1))", ", (values (1))"),
        ("with q0 as (select 1 a)", ", q as (select * from q0)"),
    ] {
        let chain = |links: usize| match link {
            ", q as (select * from q0)" => {
                let parts = (1..links).map(|at| format!(", q{at} as (select a + 1 a from q{})", at - 1));
                format!("{start}{} select * from q{}", parts.collect::<String>(), links - 1)
            }
            _ => format!("{start}{}", link.repeat(links)),
        };
        let error = failure(&session, &chain(20_000)).await;
        assert!(matches!(error, Error::TooDeep { .. }), "{link}: {error:?}");
        // Whatever they say, they come back; the longer one is refused where a link is two.
        for links in [290, 590] {
            if let Ok(result) = session.query(&chain(links)).await {
                result.collect().await.ok();
            }
        }
    }
}
