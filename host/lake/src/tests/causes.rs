use super::*;

/// One transaction with an order reference and sub-ids.
fn attributed(commission: i64, order: Option<&str>, sub_ids: &[(&str, &str)]) -> Mapped {
    let mut mapped = mapped(&[sale("1", 0, commission)]);
    let rows = mapped.transactions.unwrap();
    let rows = with_column(&rows, "order_id", Arc::new(StringArray::from(vec![order])));
    mapped.transactions = Some(with_column(&rows, "sub_ids", Arc::new(pairs(sub_ids))));
    mapped
}

async fn look(lake: &Lake, secs: i64, mapped: Mapped) {
    let mut ledger = lake.ledger();
    ledger.add(response("run", &format!("r{secs}"), secs), &layout(&["id"]), &connector(), mapped).await.unwrap();
    ledger.commit().await.unwrap();
}

async fn changes(lake: &Lake) -> Vec<String> {
    values(lake, "unified", "transaction_versions", &["version", "change", "order_id"]).await
}

#[tokio::test]
async fn attribution_that_only_arrives_is_late() {
    let (_folder, lake) = new_lake().await;
    look(&lake, 1, attributed(5, None, &[])).await;
    look(&lake, 2, attributed(5, Some("o1"), &[])).await;
    look(&lake, 3, attributed(5, Some("o1"), &[("u1", "a"), ("u2", "b")])).await;
    look(&lake, 4, attributed(5, Some("o1"), &[("u2", "b"), ("u1", "a")])).await;
    assert_eq!(changes(&lake).await, ["1 first-seen -", "2 late-attribution o1", "3 late-attribution o1"]);
}

#[tokio::test]
async fn attribution_that_goes_or_comes_with_money_is_a_change() {
    let (_folder, lake) = new_lake().await;
    look(&lake, 1, attributed(5, None, &[("u1", "a")])).await;
    look(&lake, 2, attributed(6, Some("o1"), &[("u1", "a")])).await;
    look(&lake, 3, attributed(6, Some("o2"), &[("u1", "a")])).await;
    look(&lake, 4, attributed(6, None, &[("u1", "a")])).await;
    let expected = ["1 first-seen -", "2 network-change o1", "3 network-change o2", "4 network-change -"];
    assert_eq!(changes(&lake).await, expected);
}

#[tokio::test]
async fn a_row_that_corrects_another_stays_a_row() {
    let (_folder, lake) = new_lake().await;
    let mut rows = mapped(&[sale("1", 0, 500), sale("1-correction", 0, -200)]);
    let kinds = Arc::new(StringArray::from(vec!["sale", "adjustment"]));
    rows.transactions = Some(with_column(&rows.transactions.unwrap(), "kind", kinds));
    look(&lake, 1, rows.clone()).await;
    look(&lake, 2, rows).await;
    let columns = ["transaction_id", "version", "change", "commission_effective"];
    assert_eq!(
        values(&lake, "unified", "transaction_versions", &columns).await,
        ["1 1 first-seen 0.000500", "1-correction 1 correction -0.000200"]
    );
}
