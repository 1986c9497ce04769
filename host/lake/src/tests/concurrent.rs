use std::collections::BTreeSet;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ledgers_at_once_lose_nothing_and_repeat_nothing() {
    let (_folder, lake) = new_lake().await;
    let mut tasks = Vec::new();
    for writer in 0..4_i64 {
        let lake = lake.clone();
        tasks.push(tokio::spawn(async move {
            let run = format!("run-{writer}");
            for round in 0..3_i64 {
                // Each writer has sales of its own, and some that all share, in the same content.
                let own = (0..5).map(|place| sale(&format!("{writer}-{round}-{place}"), place * 10, 1));
                let shared = (0..5).map(|place| sale(&format!("shared-{place}"), place * 10, 1));
                let sales: Vec<Sale> = own.chain(shared).collect();
                let mut ledger = lake.ledger();
                let request = format!("{writer}-{round}");
                let column = format!("only_{writer}_{round}");
                let mut mapped = mapped(&sales);
                mapped.native.columns.push(native_column(
                    &column,
                    &vec![Some("1"); 5].into_iter().chain(vec![None; 5]).collect::<Vec<_>>(),
                ));
                ledger.add(response(&run, &request, 10 + round), &layout(&["id"]), &connector(), mapped).await.unwrap();
                ledger.commit().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for (schema, name, id) in
        [("unified", "transaction_versions", "transaction_id"), ("awin_test", "transactions", "id")]
    {
        let ids = values(&lake, schema, name, &[id]).await;
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), 4 * 3 * 5 + 5, "{schema}");
        assert_eq!(ids.len(), distinct.len(), "{schema}");
    }
    let table = Table::open(&lake, "awin_test", "transactions").await.unwrap();
    let added = table.schema().unwrap().fields().iter().filter(|field| field.name().starts_with("only_")).count();
    assert_eq!(added, 12);
}

#[tokio::test]
async fn a_second_ledger_sees_what_the_first_committed_meanwhile() {
    let (_folder, lake) = new_lake().await;
    let mut one = lake.ledger();
    let mut two = lake.ledger();
    let add =
        |secs: i64, commission: i64| (response("run", &format!("r{secs}"), secs), mapped(&[sale("1", 0, commission)]));
    let (origin, rows) = add(1, 1);
    one.add(origin, &layout(&["id"]), &connector(), rows).await.unwrap();
    one.commit().await.unwrap();
    let (origin, rows) = add(2, 2);
    two.add(origin, &layout(&["id"]), &connector(), rows).await.unwrap();
    two.commit().await.unwrap();
    // The first has version 1 in memory; the table is at 2.
    let (origin, rows) = add(3, 3);
    one.add(origin, &layout(&["id"]), &connector(), rows).await.unwrap();
    one.commit().await.unwrap();
    let versions = values(&lake, "unified", "transaction_versions", &["version", "commission_amount"]).await;
    assert_eq!(versions, ["1 0.000001", "2 0.000002", "3 0.000003"]);
}
