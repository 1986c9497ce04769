//! A limit is a limit, whatever is selected.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use lake::{TestLake, ids, text};
use sluice_query::Format;

#[tokio::test]
async fn a_limit_holds_without_columns() {
    let mut lake = TestLake::new();
    for _ in 0..3 {
        lake.append("awin", "transactions", &[], ids(&["1", "2", "3", "4"])).await;
    }
    let versions = [("a", 1, "pending", 1), ("b", 1, "pending", 1), ("c", 1, "pending", 1)];
    lake.append_versions("awin", &versions).await;
    lake.append_versions("cj", &versions).await;
    let session = lake.session().await;
    for sql in [
        "select id from awin.transactions limit 2",
        "select 1 as n from awin.transactions limit 2",
        "select 1 as n from (select 1 from awin.transactions limit 2)",
        "select network from unified.transaction_versions limit 2",
        "select network from unified.transaction_versions where network = 'cj' limit 2",
    ] {
        let plan = text(&session, &format!("explain {sql}"), Format::Csv).await;
        assert_eq!(text(&session, sql, Format::Csv).await.lines().count(), 3, "{sql}: {plan}");
    }
    let count = "select count(*) n from (select id from awin.transactions limit 2)";
    assert_eq!(text(&session, count, Format::Csv).await, "n\n2\n");
    for (count, expected) in [
        ("select count(*) n from awin.transactions", "n\n12\n"),
        ("select count(*) n from unified.transaction_versions where network = 'cj'", "n\n3\n"),
        ("select count(*) n from (select 1 from awin.transactions limit 5)", "n\n5\n"),
    ] {
        assert_eq!(text(&session, count, Format::Csv).await, expected, "{count}");
    }
}
