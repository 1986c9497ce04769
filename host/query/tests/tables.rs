//! Tables and views: what a query sees.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use lake::{TestLake, failure, ids, text};
use sluice_query::{Error, Format};
use url::Url;

#[tokio::test]
async fn a_fresh_lake_has_its_fixed_tables_empty() {
    let session = TestLake::new().session().await;
    for table in [
        "unified.transactions",
        "unified.transaction_versions",
        "raw.objects",
        "meta.runs",
        "meta.usage",
        "meta.requests",
        "meta.rejects",
        "meta.columns",
        "meta.coverage",
        "meta.connectors",
    ] {
        assert_eq!(
            text(&session, &format!("select count(*) as n from {table}"), Format::Csv).await,
            "n\n0\n",
            "{table}"
        );
    }
    let sum = "select sum(commission_effective) s from unified.transactions where sub_ids['u1'] = 'x'";
    assert_eq!(text(&session, sum, Format::Csv).await, "s\n\"\"\n");
}

#[tokio::test]
async fn the_view_holds_the_latest_version_of_each_transaction() {
    let mut lake = TestLake::new();
    lake.append_versions("awin", &[("a", 1, "pending", 1_000_000), ("b", 1, "pending", 2_000_000)]).await;
    lake.append_versions("awin", &[("a", 2, "pending", 1_500_000), ("c", 1, "declined", 0)]).await;
    lake.append_versions("cj", &[("d", 1, "pending", 1), ("d", 2, "approved", 2), ("d", 3, "approved", 3)]).await;
    lake.append_versions("awin", &[("a", 3, "approved", 1_750_000)]).await;
    let session = lake.session().await;
    let all = "select transaction_key k, version v, commission_effective c from unified.transactions order by k";
    assert_eq!(
        text(&session, all, Format::Csv).await,
        "k,v,c\na,3,1.750000\nb,1,2.000000\nc,1,0.000000\nd,3,0.000003\n"
    );
    let superseded = "select transaction_key from unified.transactions where validation_status = 'pending'";
    assert_eq!(text(&session, superseded, Format::Csv).await, "transaction_key\nb\n");
    let network = "select count(*) n, sum(commission_effective) c from unified.transactions where network = 'awin'";
    assert_eq!(text(&session, network, Format::Csv).await, "n,c\n3,3.750000\n");
    assert_eq!(text(&session, "select count(*) n from unified.transaction_versions", Format::Csv).await, "n\n8\n");
    let columns = "select * from unified.transactions limit 0";
    let versions = "select * from unified.transaction_versions limit 0";
    assert_eq!(text(&session, columns, Format::Csv).await, text(&session, versions, Format::Csv).await);
}

#[tokio::test]
async fn a_filter_on_the_network_reads_no_other_networks_files() {
    let mut lake = TestLake::new();
    lake.append_versions("awin", &[("a", 1, "pending", 1), ("a", 2, "pending", 1)]).await;
    lake.append_versions("cj", &[("c", 1, "pending", 1), ("c", 2, "pending", 1)]).await;
    let session = lake.session().await;
    let plan = "explain select sum(commission_effective) from unified.transactions";
    let plan_of_all = text(&session, plan, Format::Csv).await;
    assert!(plan_of_all.contains("network=awin") && plan_of_all.contains("network=cj"), "{plan_of_all}");
    let plan_of_one = text(&session, &format!("{plan} where network = 'awin'"), Format::Csv).await;
    assert!(plan_of_one.contains("network=awin") && !plan_of_one.contains("network=cj"), "{plan_of_one}");
}

#[tokio::test]
async fn a_query_sees_what_was_committed_before_it() {
    let mut lake = TestLake::new();
    lake.append("awin", "transactions", &[], ids(&["1"])).await;
    let session = lake.session().await;
    let count = "select count(*) n from awin.transactions";
    assert_eq!(text(&session, count, Format::Csv).await, "n\n1\n");
    lake.append("awin", "transactions", &[], ids(&["2", "3"])).await;
    assert_eq!(text(&session, count, Format::Csv).await, "n\n3\n");
}

#[tokio::test]
async fn raw_objects_are_the_requests_with_a_body() {
    use arrow::array::{RecordBatch, StringArray};
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;
    let mut lake = TestLake::new();
    let fields = ["request_id", "raw_object"].map(|name| Field::new(name, DataType::Utf8, true));
    let rows = RecordBatch::try_new(
        Arc::new(Schema::new(fields.to_vec())),
        vec![Arc::new(StringArray::from(vec!["1", "2"])), Arc::new(StringArray::from(vec![Some("digest"), None]))],
    );
    lake.append("meta", "requests", &[], rows.unwrap()).await;
    let session = lake.session().await;
    assert_eq!(text(&session, "select * from raw.objects", Format::Csv).await, "request_id,raw_object\n1,digest\n");
    assert_eq!(text(&session, "select count(*) n from meta.requests", Format::Csv).await, "n\n2\n");
}

#[tokio::test]
async fn names_need_no_quotes_and_unified_is_the_default_schema() {
    let mut lake = TestLake::new();
    lake.append_versions("awin", &[("a", 1, "pending", 1)]).await;
    let session = lake.session().await;
    for name in ["transactions", "Unified.Transactions", "sluice.unified.transactions", "\"unified\".\"transactions\""]
    {
        assert_eq!(text(&session, &format!("SELECT COUNT(*) AS n FROM {name}"), Format::Csv).await, "n\n1\n", "{name}");
    }
}

#[tokio::test]
async fn columns_keep_their_types() {
    let mut lake = TestLake::new();
    lake.append_versions("awin", &[("a", 1, "pending", 1)]).await;
    let session = lake.session().await;
    for table in ["unified.transactions", "unified.transaction_versions"] {
        let schema = session.query(&format!("select * from {table}")).await.unwrap().schema();
        let kind = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
        assert_eq!(kind("commission_effective"), DataType::Decimal128(18, 6));
        assert_eq!(kind("transacted_at"), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        assert_eq!(kind("transaction_day"), DataType::Date32);
        assert_eq!(kind("version"), DataType::Int32);
        assert!(matches!(kind("sub_ids"), DataType::Map(..)));
        for partition in ["network", "month"] {
            assert_eq!(kind(partition), kind("transaction_key"), "{partition}");
        }
    }
}

#[tokio::test]
async fn only_the_tables_of_a_query_are_opened() {
    let mut lake = TestLake::new();
    lake.append("awin", "transactions", &[], ids(&["1"])).await;
    let gone = Url::from_directory_path(lake.path().join("gone")).unwrap();
    lake.locate("broken", "transactions", gone);
    let session = lake.session().await;
    assert_eq!(text(&session, "select id from awin.transactions", Format::Csv).await, "id\n1\n");
    let shown = text(&session, "show tables", Format::Csv).await;
    assert!(shown.contains("sluice,broken,transactions,BASE TABLE"), "{shown}");
    assert!(shown.contains("sluice,unified,transactions,VIEW"), "{shown}");
    let error = failure(&session, "select * from broken.transactions").await;
    assert!(matches!(&error, Error::Open { table, .. } if table == "broken.transactions"), "{error:?}");
    assert!(session.catalogue().await.is_err());
    assert!(session.tables().contains(&("broken".to_owned(), "transactions".to_owned())));
}

#[tokio::test]
async fn the_catalogue_lists_columns() {
    let mut lake = TestLake::new();
    lake.append("awin", "transactions", &[], ids(&["1"])).await;
    let session = lake.session().await;
    let catalogue = session.catalogue().await.unwrap();
    let awin = catalogue.iter().find(|table| table.schema == "awin").unwrap();
    assert_eq!((awin.name.as_str(), awin.columns.field(0).name().as_str()), ("transactions", "id"));
    let described = text(&session, "describe awin.transactions", Format::Csv).await;
    assert!(described.contains("id,Utf8"), "{described}");
}

#[tokio::test]
async fn one_engine_serves_other_tables() {
    let mut lake = TestLake::new();
    let session = lake.session().await;
    assert!(matches!(failure(&session, "select * from awin.transactions").await, Error::UnknownTable { .. }));
    lake.append("awin", "transactions", &[], ids(&["1"])).await;
    let location = sluice_lake::TableRef {
        schema: "awin".to_owned(),
        name: "transactions".to_owned(),
        // A directory without its last slash is the same directory.
        url: Url::from_file_path(lake.path().join("tables/awin/transactions")).unwrap(),
    };
    let session = session.with_tables(vec![location]);
    assert_eq!(text(&session, "select * from awin.transactions", Format::Csv).await, "id\n1\n");
}

fn column(name: &str, values: impl Into<StringArray>) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(values.into()))
}

#[tokio::test]
async fn columns_tell_when_they_last_had_a_value_and_how_often_they_have_none() {
    let mut lake = TestLake::new();
    for (hour, old, new) in [(1_i64, Some("x"), None), (2, Some("y"), Some(1_i64)), (3, None, Some(2)), (4, None, None)]
    {
        let at = TimestampMicrosecondArray::from(vec![hour * 3_600_000_000]).with_timezone("UTC");
        let rows = [
            ("_observed_at".to_owned(), Arc::new(at) as ArrayRef),
            column("old", vec![old]),
            ("new".to_owned(), Arc::new(Int64Array::from(vec![new])) as ArrayRef),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(rows.map(|(name, array)| (name, array, true))).unwrap();
        lake.append("awin", "clicks", &[], rows).await;
    }
    let kept = [
        column("network", vec!["awin", "awin", "awin", "awin", "cj"]),
        column("stream", vec!["clicks", "clicks", "clicks", "clicks", "gone"]),
        column("column", vec!["old", "old", "new", "dropped", "any"]),
        // Another writer saw the first one too, a little later.
        column("path", vec!["later", "old", "new", "dropped", "any"]),
        column("first_seen", vec!["2", "1", "1", "1", "1"]),
    ];
    lake.append("meta", "columns", &[], RecordBatch::try_from_iter(kept).unwrap()).await;
    let session = lake.session().await;
    let all = "select \"column\" c, last_seen, null_share from meta.columns order by network, \"column\"";
    let output = text(&session, all, Format::Csv).await;
    let expected =
        "c,last_seen,null_share\ndropped,,\nnew,1970-01-01T03:00:00Z,0.5\nold,1970-01-01T02:00:00Z,0.5\nany,,\n";
    assert_eq!(output, expected);
    let one = "select path from meta.columns where network = 'awin' and null_share > 0.4 and path <> 'old' limit 1";
    assert_eq!(text(&session, one, Format::Csv).await, "path\nnew\n");
    assert_eq!(text(&session, "select count(*) n from meta.columns", Format::Csv).await, "n\n4\n");
    let kept = "select \"column\" c from meta.columns where stream = 'gone'";
    assert_eq!(text(&session, kept, Format::Csv).await, "c\nany\n");
}
