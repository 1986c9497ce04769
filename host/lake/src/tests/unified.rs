use super::*;
use crate::{Causes, CommitterOptions, Counts, Prepared};

async fn commit(lake: &Lake, run: &str, responses: &[(&str, i64, Vec<Sale>)]) -> Counts {
    let mut ledger = lake.ledger();
    for (request, secs, sales) in responses {
        ledger.add(response(run, request, *secs), &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
    }
    ledger.commit().await.unwrap()
}

async fn versions(lake: &Lake) -> Vec<String> {
    let columns = ["transaction_id", "version", "commission_amount", "change", "month"];
    values(lake, "unified", "transaction_versions", &columns).await
}

#[tokio::test]
async fn the_same_again_adds_nothing() {
    let (_folder, lake) = new_lake().await;
    let sales = vec![sale("1", 0, 5_000_000), sale("2", 40, 7_000_000)];
    let first = commit(&lake, "run-1", &[("a", 10, sales.clone())]).await;
    let causes = Causes { first_seen: 2, ..Causes::default() };
    assert_eq!(
        first,
        Counts { native_rows: 2, native_written: 2, transactions: 2, new_versions: 2, causes, ..Counts::default() }
    );
    let second = commit(&lake, "run-2", &[("b", 20, sales)]).await;
    assert_eq!((second.native_written, second.new_versions), (0, 0));
    assert_eq!(versions(&lake).await, ["1 1 5.000000 first-seen 2026-01", "2 1 7.000000 first-seen 2026-02"]);
}

#[tokio::test]
async fn a_change_becomes_version_two() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, "run-1", &[("a", 10, vec![sale("1", 0, 5_000_000), sale("2", 0, 1)])]).await;
    let counts = commit(&lake, "run-2", &[("b", 20, vec![sale("1", 0, 6_000_000), sale("2", 0, 1)])]).await;
    assert_eq!((counts.native_written, counts.new_versions), (1, 1));
    assert_eq!(counts.causes, Causes { changed: 1, ..Causes::default() });
    let all = versions(&lake).await;
    assert_eq!(all[..2], ["1 1 5.000000 first-seen 2026-01", "1 2 6.000000 network-change 2026-01"]);
}

#[tokio::test]
async fn a_moved_transaction_stays_one_transaction() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, "run-1", &[("a", 10, vec![sale("1", 0, 5), sale("2", 0, 1)])]).await;
    commit(&lake, "run-2", &[("b", 20, vec![sale("1", 40, 5)])]).await;
    commit(&lake, "run-3", &[("c", 30, vec![sale("1", 0, 5)])]).await;
    commit(&lake, "run-4", &[("d", 40, vec![sale("1", 0, 5), sale("2", 0, 1)])]).await;
    let rows = values(&lake, "unified", "transaction_versions", &["transaction_id", "version", "transacted_at"]).await;
    let expected = [
        "1 1 2026-01-01T00:00:00Z",
        "1 2 2026-02-10T00:00:00Z",
        "1 3 2026-01-01T00:00:00Z",
        "2 1 2026-01-01T00:00:00Z",
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn the_order_of_arrival_does_not_matter() {
    let responses = [
        ("a", 30, vec![sale("1", 0, 3)]),
        ("b", 10, vec![sale("1", 0, 1), sale("2", 0, 1)]),
        ("c", 20, vec![sale("1", 0, 4), sale("1", 0, 4)]),
    ];
    let mut seen = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (_folder, lake) = new_lake().await;
        commit(&lake, "run", &order.map(|place: usize| responses[place].clone())).await;
        seen.push(versions(&lake).await);
    }
    assert_eq!(seen[0].len(), 4, "{:?}", seen[0]);
    assert!(seen.iter().all(|versions| *versions == seen[0]));
    assert_eq!(seen[0][1], "1 2 0.000004 network-change 2026-01", "equal rows of a response are one");
}

#[tokio::test]
async fn building_old_responses_again_adds_nothing() {
    let (_folder, lake) = new_lake().await;
    let old = ("a", 10, vec![sale("1", 0, 1)]);
    let new = ("b", 20, vec![sale("1", 0, 2)]);
    commit(&lake, "run", std::slice::from_ref(&old)).await;
    commit(&lake, "run", std::slice::from_ref(&new)).await;
    // What is older and reads otherwise isn't dropped without being counted.
    for (responses, older) in [(vec![old.clone()], 1), (vec![old, new.clone()], 1), (vec![new], 0)] {
        let counts = commit(&lake, "run", &responses).await;
        assert_eq!((counts.native_written, counts.new_versions, counts.older), (0, 0, older));
    }
}

/// A clock that was ahead once: what it observed counts as older than all that is plausible.
#[tokio::test]
async fn an_observation_of_the_future_freezes_nothing_and_is_counted_when_it_is_dropped() {
    let (_folder, lake) = new_lake().await;
    let in_twenty_years = 20 * 365 * 86_400;
    for (request, secs, commission, written, older) in
        [("a", in_twenty_years, 9, 1, 0), ("b", 20, 2, 1, 0), ("c", in_twenty_years + 1, 9, 0, 1)]
    {
        let counts = commit(&lake, "run", &[(request, secs, vec![sale("1", 0, commission)])]).await;
        assert_eq!((counts.new_versions, counts.older), (written, older), "{request}");
    }
    let versions = values(&lake, "unified", "transaction_versions", &["version", "commission_amount"]).await;
    assert_eq!(versions, ["1 0.000009", "2 0.000002"]);
}

#[tokio::test]
async fn a_crash_between_tables_is_healed_by_the_next_build() {
    let (_folder, lake) = new_lake().await;
    let sales = [sale("1", 0, 1)];
    let mut crashed = lake.ledger();
    let native_only = Mapped { transactions: None, ..mapped(&sales) };
    crashed.add(response("run", "a", 10), &layout(&["id"]), &connector(), native_only).await.unwrap();
    crashed.commit().await.unwrap();
    let counts = commit(&lake, "run", &[("a", 10, sales.to_vec())]).await;
    assert_eq!((counts.native_written, counts.new_versions), (0, 1));
}

#[tokio::test]
async fn another_mapping_of_the_same_response_is_a_mapping_change() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, "run-1", &[("a", 10, vec![sale("1", 0, 1)])]).await;
    commit(&lake, "run-2", &[("a", 10, vec![sale("1", 0, 2)])]).await;
    assert_eq!(versions(&lake).await[1], "1 2 0.000002 mapping-change 2026-01");
}

#[tokio::test]
async fn one_id_with_two_contents_in_a_response_is_two_rejects() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, "run-1", &[("a", 10, vec![sale("1", 0, 1), sale("2", 0, 7)])]).await;
    let mut ledger = lake.ledger();
    let sales = [sale("1", 0, 5), sale("2", 0, 8), sale("1", 0, 6)];
    ledger.add(response("run-2", "b", 20), &layout(&["id"]), &connector(), mapped(&sales)).await.unwrap();
    assert_eq!(ledger.commit().await.unwrap().rejects, 2);
    let known = ["1 1 0.000001 first-seen 2026-01", "2 1 0.000007 first-seen 2026-01"];
    assert_eq!(versions(&lake).await, [known[0], known[1], "2 2 0.000008 network-change 2026-01"]);
    let reason = "the response holds transaction `1` more than once, with different contents: 2 rows, commissions \
                  0.000005, 0.000006";
    let rejects = values(&lake, "meta", "rejects", &["record_index", "reason"]).await;
    assert_eq!(rejects, [format!("0 {reason}"), format!("2 {reason}")]);
}

#[tokio::test]
async fn rejects_are_kept_once() {
    let (_folder, lake) = new_lake().await;
    for _ in 0..2 {
        let mut ledger = lake.ledger();
        let rejects = vec![reject(0, "no id"), reject(1, "no id")];
        let mapped = Mapped { rejects, ..mapped(&[sale("1", 0, 1)]) };
        ledger.add(response("run-1", "a", 10), &layout(&["id"]), &connector(), mapped).await.unwrap();
        assert_eq!(ledger.commit().await.unwrap().rejects, 2);
    }
    let kept = values(&lake, "meta", "rejects", &["network", "record_index", "reason"]).await;
    assert_eq!(kept, ["awin-test 0 no id", "awin-test 1 no id"]);
}

#[tokio::test]
async fn all_columns_and_lineage_are_there() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, "run-1", &[("a", 10, vec![sale("1", 0, 1)])]).await;
    let row = rows(&lake, "unified", "transaction_versions").await.remove(0);
    assert_eq!(row["transaction_key"], sluice_model::transaction_key("awin-test", "uk", "transactions", "1"));
    let lineage = [("run_id", "run-1"), ("request_id", "a"), ("record_index", "0"), ("connector_version", "1.0.0")];
    for (name, value) in lineage {
        assert_eq!(row[name], value);
    }
    assert_eq!(row["raw_object"], response("run-1", "a", 10).body.to_hex());
    let table = Table::open(&lake, "unified", "transaction_versions").await.unwrap();
    let schema = table.schema().unwrap();
    assert_eq!(schema.field(0).name(), "transaction_key");
    assert!(is_timestamp(schema.field_with_name("transacted_at").unwrap().data_type()));
    let tables: Vec<String> =
        lake.tables().await.unwrap().iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
    assert_eq!(
        tables,
        ["awin_test.transactions", "meta.columns", "unified.transaction_versions", "unified.transactions"]
    );
}

#[tokio::test]
async fn files_can_say_that_they_lack_a_key() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, "run", &[("a", 10, vec![sale("1", 0, 1)])]).await;
    for (schema, name, key) in
        [("unified", "transaction_versions", "transaction_key"), ("awin_test", "transactions", "_key")]
    {
        let table = Table::open(&lake, schema, name).await.unwrap();
        let file = table.files().remove(0);
        let filters = crate::scan::read_filters(table.store(), &file.path, key).await.unwrap().unwrap();
        assert_eq!(filters.len(), 1, "{schema}");
        assert!(!filters[0].check(&[7_u8; 16][..]), "{schema}");
    }
}

#[tokio::test]
async fn equal_rows_without_an_id_on_two_pages_are_two_rows() {
    const BASE: &str = "d228cb696f1a8caf78912b704e4a8964";
    let (_folder, lake) = new_lake().await;
    let page = |request: &str, secs: i64, ids: &[&str]| {
        let sales: Vec<Sale> = ids.iter().map(|id| sale(id, 0, 5)).collect();
        let mut mapped = mapped(&sales);
        let basis: ArrayRef = Arc::new(StringArray::from(vec!["row-hash"; sales.len()]));
        mapped.transactions = Some(with_column(&mapped.transactions.unwrap(), "id_basis", basis));
        (response("run", request, secs), mapped)
    };
    let second = sluice_model::row_hash::with_ordinal(BASE, 1);
    let third = sluice_model::row_hash::with_ordinal(BASE, 2);
    // Read twice, the pages in another order, one of them again: the same three rows.
    let runs = [[("1", 10), ("2", 11), ("2", 11)], [("2", 20), ("1", 21), ("1", 21)]];
    for pages in runs {
        let mut ledger = lake.ledger();
        for (request, secs) in pages {
            let ids: &[&str] = if request == "1" { &[BASE, &second] } else { &[BASE] };
            let (origin, mapped) = page(request, secs, ids);
            ledger.add(origin, &layout(&[]), &connector(), mapped).await.unwrap();
        }
        ledger.commit().await.unwrap();
    }
    let mut expected = [BASE, &second, &third].map(|id| format!("{id} 1 0.000005"));
    expected.sort();
    let columns = ["transaction_id", "version", "commission_amount"];
    assert_eq!(values(&lake, "unified", "transaction_versions", &columns).await, expected);
}

#[tokio::test]
async fn a_row_without_an_id_that_comes_later_is_numbered_after_those_of_its_slice() {
    const BASE: &str = "d228cb696f1a8caf78912b704e4a8964";
    let page = |request: &str, secs: i64| {
        let mut mapped = mapped(&[sale(BASE, 0, 5)]);
        let basis: ArrayRef = Arc::new(StringArray::from(vec!["row-hash"]));
        mapped.transactions = Some(with_column(&mapped.transactions.unwrap(), "id_basis", basis));
        Prepared::of(response("run", request, secs), &layout(&[]), connector(), mapped).unwrap()
    };
    let (_folder, lake) = new_lake().await;
    let committer = lake.committer(CommitterOptions::default());
    let first = committer.run(None);
    first.add(page("1", 10), Box::new(())).await.unwrap();
    first.finish().await.unwrap();
    // What was held back is accepted: page 1 is in the tables, and its equal row is another one.
    let later = committer.run(None);
    later.number(page("1", 10), Box::new(()));
    later.add(page("2", 11), Box::new(())).await.unwrap();
    assert_eq!(later.finish().await.unwrap().new_versions, 1);
    let again = committer.run(None);
    again.number(page("1", 10), Box::new(()));
    again.add(page("2", 11), Box::new(())).await.unwrap();
    assert_eq!(again.finish().await.unwrap().new_versions, 0, "accepted twice");
    assert_eq!(values(&lake, "unified", "transactions", &["commission_amount"]).await, ["0.000005"; 2]);
}
