//! What is missing, and which queries it touches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use lake::{Row, TestLake, ids, text};
use sluice_lake::{CoverageRow, Lake};
use sluice_model::{Axis, ErrorKind, Window};
use sluice_query::{Format, Session};

fn read(network: &str, window: &str, read_at: &str, complete: bool) -> CoverageRow {
    CoverageRow {
        network: network.to_owned(),
        account: "uk".to_owned(),
        stream: "transactions".to_owned(),
        axis: Axis::Transaction,
        window: window.parse::<Window>().unwrap(),
        run_id: "run".to_owned(),
        read_at: read_at.parse().unwrap(),
        requests: 1,
        records: 1,
        complete,
        error: (!complete).then(|| "status 500".to_owned()),
        error_kind: (!complete).then_some(ErrorKind::Network),
    }
}

/// A lake in which Awin has a hole and CJ a failed window.
async fn session() -> (TestLake, Session) {
    let mut lake = TestLake::new();
    let rows = ["awin", "cj", "two-tap"].map(|network| Row { key: network, network, ..Row::default() });
    lake.append_history(&rows).await;
    for schema in ["awin", "cj", "two_tap"] {
        lake.append(schema, "transactions", &[], ids(&["1"])).await;
    }
    lake.append("awin", "programmes", &[], ids(&["1"])).await;
    let store = Lake::open_writable(&lake.path().display().to_string()).await.unwrap();
    store
        .append_coverage(&[
            read("awin", "2026-01-01T00:00:00Z/2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z", true),
            read("awin", "2026-01-08T00:00:00Z/2026-01-11T00:00:00Z", "2026-01-11T00:00:00Z", true),
            read("cj", "2026-01-01T00:00:00Z/2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z", true),
            read("cj", "2026-01-04T00:00:00Z/2026-01-06T00:00:00Z", "2026-01-06T00:00:00Z", false),
            read("two-tap", "2026-01-01T00:00:00Z/2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z", false),
        ])
        .await
        .unwrap();
    let tables = store.tables().await.unwrap();
    let session = lake.session().await.with_tables(tables);
    (lake, session)
}

#[tokio::test]
async fn gaps_are_a_table() {
    let (_lake, session) = session().await;
    let gaps = "select network n, since, until, kind, failed_at, error from meta.gaps order by n";
    assert_eq!(
        text(&session, gaps, Format::Csv).await,
        "n,since,until,kind,failed_at,error\n\
         awin,2026-01-05T00:00:00Z,2026-01-08T00:00:00Z,never-read,,\n\
         cj,2026-01-04T00:00:00Z,2026-01-06T00:00:00Z,failed,2026-01-06T00:00:00Z,status 500\n\
         two-tap,2026-01-01T00:00:00Z,2026-01-05T00:00:00Z,failed,2026-01-05T00:00:00Z,status 500\n"
    );
    let days = "select sum(extract(day from until - since)) d from meta.gaps where network = 'awin'";
    assert_eq!(text(&session, days, Format::Csv).await, "d\n3\n");
    let empty = TestLake::new().session().await;
    assert_eq!(text(&empty, "select count(*) n from meta.gaps", Format::Csv).await, "n\n0\n");
    let coverage = session.coverage().await.unwrap();
    let read: Vec<_> = coverage.iter().map(|stream| (stream.of.network.as_str(), stream.read.is_some())).collect();
    assert_eq!(read, [("awin", true), ("cj", true), ("two-tap", false)]);
}

/// The networks of which a query's result may lack rows.
async fn touched(session: &Session, sql: &str) -> Vec<String> {
    let scope = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).scope().clone();
    let coverage = session.coverage().await.unwrap();
    let touched = coverage.iter().filter(|stream| !stream.gaps.is_empty() && scope.holds(&stream.of));
    touched.map(|stream| stream.of.network.clone()).collect()
}

#[tokio::test]
async fn a_query_is_touched_by_gaps_of_the_networks_that_it_may_read() {
    let (_lake, session) = session().await;
    let all = ["awin", "cj", "two-tap"];
    for (sql, expected) in [
        ("select count(*) from unified.transactions", &all[..]),
        ("select count(*) from unified.transactions where network = 'cj'", &["cj"]),
        ("select count(*) from unified.transaction_versions where network in ('cj', 'two-tap')", &["cj", "two-tap"]),
        ("select * from unified.earnings_daily where network = 'awin' and basis = 'validation'", &["awin"]),
        ("select * from unified.earnings_daily where basis = 'payment'", &all),
        ("select * from unified.unpaid where network = 'awin' or network = 'cj'", &["awin", "cj"]),
        ("select * from unified.validation_latency where 'two-tap' = network", &["two-tap"]),
        ("select * from unified.as_of('2026-02-01') where network = 'awin'", &["awin"]),
        ("select * from unified.restatements('2026-01-01', '2026-02-01') where network = 'cj'", &["cj"]),
        ("select * from unified.transactions where network like 'a%'", &all),
        ("select * from unified.transactions where network <> 'cj'", &all),
        ("select * from awin.transactions", &["awin"]),
        ("select * from awin.transactions VERSION AS OF 0", &["awin"]),
        ("select * from two_tap.transactions", &["two-tap"]),
        ("select * from awin.programmes", &[]),
        ("select * from awin.transactions a join unified.transactions t on t.network = 'cj'", &["awin", "cj"]),
        ("select 1 where exists (select 1 from unified.transactions where network = 'cj')", &["cj"]),
        ("select network from meta.coverage", &[]),
        ("select 1", &[]),
        ("show tables", &[]),
    ] {
        assert_eq!(touched(&session, sql).await, expected, "{sql}");
    }
}
