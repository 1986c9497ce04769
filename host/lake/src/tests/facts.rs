//! Payments, programmes, aggregates and items: every version of each once.

use std::collections::HashMap;

use sluice_model::{Fact, transaction_keys};

use super::faulty::{Fault, faulty_lake};
use super::*;
use crate::batch::{Batch, Writers};
use crate::{CommitterOptions, Counts, Error, Fence, Prepared, Replace, Substitutes};

/// Facts of a kind as the engine gives them: the values of some columns, the others null or what is required.
pub(super) fn facts(fact: Fact, ids: &[&str], given: &[(&str, ArrayRef)]) -> RecordBatch {
    let schema = fact.mapped_schema();
    let constant = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; ids.len()])) };
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let name = field.name().as_str();
        if let Some((_, column)) = given.iter().find(|(given, _)| *given == name) {
            return arrow::compute::cast(column, field.data_type()).unwrap();
        }
        match name {
            "record_index" => Arc::new(UInt32Array::from_iter_values(0..ids.len() as u32)),
            id if id == fact.id() => Arc::new(StringArray::from(ids.to_vec())),
            "network_timezone" => constant("UTC"),
            "timezone_basis" => constant("declared"),
            "payment_status" | "validation_status" => constant("unknown"),
            _ => new_null_array(field.data_type(), ids.len()),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

/// Payments of these amounts in millionths.
pub(super) fn payments(payments: &[(&str, i64)]) -> RecordBatch {
    let ids: Vec<&str> = payments.iter().map(|(id, _)| *id).collect();
    let amounts = Decimal128Array::from_iter_values(payments.iter().map(|(_, amount)| i128::from(*amount)));
    let amounts = amounts.with_precision_and_scale(18, 6).unwrap();
    facts(Fact::Payments, &ids, &[("amount", Arc::new(amounts))])
}

/// A response that gives nothing but these facts.
pub(super) fn only(fact: Fact, rows: RecordBatch) -> Mapped {
    let numbers: Vec<String> = (0..rows.num_rows()).map(|row| row.to_string()).collect();
    let cells: Vec<Option<&str>> = numbers.iter().map(|number| Some(number.as_str())).collect();
    Mapped { facts: BTreeMap::from([(fact, rows)]), ..only_native(native(&[("n", &cells)])) }
}

async fn commit(lake: &Lake, request: &str, secs: i64, mapped: Mapped) -> Counts {
    let mut ledger = lake.ledger();
    ledger.add(response("run", request, secs), &layout(&["n"]), &connector(), mapped).await.unwrap();
    ledger.commit().await.unwrap()
}

pub(super) async fn versions(lake: &Lake) -> Vec<String> {
    let columns = ["payment_id", "version", "amount", "change", "month"];
    values(lake, "unified", "payment_versions", &columns).await
}

#[tokio::test]
async fn a_payment_is_written_once_and_again_when_it_changes() {
    let (_folder, lake) = new_lake().await;
    let read = |amount| only(Fact::Payments, payments(&[("1", amount), ("2", 7_000_000)]));
    let first = commit(&lake, "a", 10, read(5_000_000)).await;
    assert_eq!((first.facts, first.new_facts, first.transactions, first.new_versions), (2, 2, 0, 0));
    assert_eq!(commit(&lake, "b", 20, read(5_000_000)).await.new_facts, 0, "nothing changed");
    assert_eq!(commit(&lake, "c", 30, read(6_000_000)).await.new_facts, 1);
    assert_eq!(commit(&lake, "b", 20, read(5_000_000)).await.new_facts, 0, "it is older than what is there");
    let expected = ["1 1 5.000000 first-seen none", "1 2 6.000000 network-change none", "2 1 7.000000 first-seen none"];
    assert_eq!(versions(&lake).await, expected);
}

#[tokio::test]
async fn the_same_response_mapped_otherwise_is_a_mapping_change() {
    let (_folder, lake) = new_lake().await;
    commit(&lake, "a", 10, only(Fact::Payments, payments(&[("1", 5_000_000)]))).await;
    commit(&lake, "a", 10, only(Fact::Payments, payments(&[("1", 50_000)]))).await;
    assert_eq!(versions(&lake).await, ["1 1 5.000000 first-seen none", "1 2 0.050000 mapping-change none"]);
}

#[tokio::test]
async fn one_id_with_two_contents_is_rejected_and_an_equal_row_counts_once() {
    let (_folder, lake) = new_lake().await;
    let rows = payments(&[("1", 5_000_000), ("2", 1), ("1", 6_000_000), ("3", 2), ("3", 2)]);
    let counts = commit(&lake, "a", 10, only(Fact::Payments, rows)).await;
    assert_eq!((counts.facts, counts.new_facts, counts.rejects), (3, 2, 2));
    assert_eq!(versions(&lake).await, ["2 1 0.000001 first-seen none", "3 1 0.000002 first-seen none"]);
    let reasons = values(&lake, "meta", "rejects", &["record_index", "reason"]).await;
    let reason = "the response holds `1` of its payments more than once, with different contents";
    assert_eq!(reasons, [format!("0 {reason}"), format!("2 {reason}")]);
}

#[tokio::test]
async fn a_record_with_one_id_a_thousand_times_is_one_reject() {
    let (_folder, lake) = new_lake().await;
    let places = || -> ArrayRef { Arc::new(UInt32Array::from(vec![0; 1_000])) };
    let amounts: Vec<(&str, i64)> = (0..1_000).map(|amount| ("1", amount)).collect();
    let rows = with_column(&payments(&amounts), "record_index", places());
    assert_eq!(commit(&lake, "a", 10, only(Fact::Payments, rows)).await.rejects, 1);
    let sales: Vec<Sale> = (0..1_000).map(|commission| sale("1", 0, commission)).collect();
    let sold =
        Mapped { transactions: Some(with_column(&transactions(&sales), "record_index", places())), ..mapped(&sales) };
    assert_eq!(commit(&lake, "b", 20, sold).await.rejects, 1);
}

#[tokio::test]
async fn items_name_their_transaction_and_aggregates_are_parted_by_their_day() {
    let (_folder, lake) = new_lake().await;
    let texts = |texts: &[&str]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let items =
        facts(Fact::Items, &["1-a", "1-b"], &[("transaction_id", texts(&["1", "1"])), ("sku", texts(&["x", "y"]))]);
    let sold = Mapped { facts: BTreeMap::from([(Fact::Items, items)]), ..mapped(&[sale("1", 0, 1)]) };
    commit(&lake, "a", 10, sold).await;
    let day: ArrayRef = Arc::new(Date32Array::from(vec![20_454]));
    let clicks: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![7]));
    let sums = facts(Fact::Aggregates, &["2026-01-01"], &[("day", day), ("clicks", clicks)]);
    commit(&lake, "b", 20, only(Fact::Aggregates, sums)).await;
    let keys = values(&lake, "unified", "transaction_versions", &["transaction_key"]).await;
    let columns = ["transaction_key", "item_id", "sku"];
    let of_items = values(&lake, "unified", "transaction_item_versions", &columns).await;
    assert_eq!(of_items, [format!("{} 1-a x", keys[0]), format!("{} 1-b y", keys[0])]);
    let sums = values(&lake, "unified", "aggregate_versions", &["day", "clicks", "month"]).await;
    assert_eq!(sums, ["2026-01-01 7 2026-01"]);
}

#[tokio::test]
async fn items_of_a_rejected_transaction_are_rejected_with_it() {
    let (_folder, lake) = new_lake().await;
    let transactions: ArrayRef = Arc::new(StringArray::from(vec!["1", "1", "2", "1"]));
    let items = facts(Fact::Items, &["1-a", "1-b", "2-a", "1-c"], &[("transaction_id", transactions)]);
    let sales = [sale("1", 0, 1), sale("1", 0, 2), sale("2", 0, 3), sale("3", 0, 4)];
    let sold = Mapped { facts: BTreeMap::from([(Fact::Items, items)]), ..mapped(&sales) };
    let counts = commit(&lake, "a", 10, sold).await;
    assert_eq!((counts.transactions, counts.facts, counts.rejects), (2, 1, 3));
    assert_eq!(values(&lake, "unified", "transaction_item_versions", &["item_id"]).await, ["2-a"]);
    let reasons = values(&lake, "meta", "rejects", &["record_index", "reason"]).await;
    assert_eq!(reasons[2], "3 its items are a part of transaction `1`, which is rejected", "{reasons:?}");
}

#[tokio::test]
async fn items_of_equal_rows_on_two_pages_are_of_two_transactions() {
    const BASE: &str = "d228cb696f1a8caf78912b704e4a8964";
    let (_folder, lake) = new_lake().await;
    let mut ledger = lake.ledger();
    for (page, secs) in [("1", 10), ("2", 11)] {
        let basis: ArrayRef = Arc::new(StringArray::from(vec!["row-hash"]));
        let of: ArrayRef = Arc::new(StringArray::from(vec![BASE]));
        let items = facts(Fact::Items, &[&format!("{BASE}/a")], &[("transaction_id", of)]);
        let mut sold = Mapped { facts: BTreeMap::from([(Fact::Items, items)]), ..mapped(&[sale(BASE, 0, 5)]) };
        sold.transactions = sold.transactions.map(|rows| with_column(&rows, "id_basis", basis));
        ledger.add(response("run", page, secs), &layout(&[]), &connector(), sold).await.unwrap();
    }
    ledger.commit().await.unwrap();
    let second = sluice_model::row_hash::with_ordinal(BASE, 1);
    let mut expected = [BASE, &second].map(|id| format!("{id} {id}/a"));
    expected.sort();
    let columns = ["transaction_id", "item_id"];
    assert_eq!(values(&lake, "unified", "transaction_item_versions", &columns).await, expected);
    let keys = values(&lake, "unified", "transaction_versions", &["transaction_key"]).await;
    assert_eq!(values(&lake, "unified", "transaction_item_versions", &["transaction_key"]).await, keys);
}

#[tokio::test]
async fn an_erasure_changes_the_transactions_that_items_name_though_these_are_not_there() {
    let (_folder, lake) = new_lake().await;
    let transactions: ArrayRef = Arc::new(StringArray::from(vec!["order-77"]));
    let items = facts(Fact::Items, &["order-77/a"], &[("transaction_id", transactions)]);
    commit(&lake, "a", 10, only(Fact::Items, items)).await;
    let replace =
        || -> Replace { Box::new(|text: &str| text.contains("order-77").then(|| text.replace("order-77", "erased"))) };
    let mut substitutes = Substitutes {
        values: replace(),
        words: replace(),
        documents: replace(),
        names: HashMap::new(),
        salt: 1,
        native: HashMap::new(),
    };
    lake.plan_erasure(&mut substitutes).await.unwrap();
    lake.erase_tables(&substitutes, &[], || {}).await.unwrap();
    let key = |id: &str| format!("{:032x}", transaction_keys("awin-test", "uk", "transactions")(id));
    let columns = ["item_id", "transaction_id", "item_key", "transaction_key"];
    let expected = format!("erased/a erased {} {}", key("erased/a"), key("erased"));
    assert_eq!(values(&lake, "unified", "transaction_item_versions", &columns).await, [expected]);
}

#[test]
fn months_are_those_of_transactions_and_of_all_facts() {
    let months = |mapped: Mapped| {
        let prepared = Prepared::of(response("run", "a", 10), &layout(&["n"]), connector(), mapped).unwrap();
        prepared.months().len()
    };
    assert_eq!(months(only(Fact::Payments, payments(&[("1", 1), ("2", 2)]))), 0, "all of theirs are in one partition");
    let ids = ["a", "b", "c", "d"];
    let days: ArrayRef = Arc::new(Date32Array::from(vec![20_454, 20_455, 20_495, 30_000]));
    let sums = || facts(Fact::Aggregates, &ids, &[("day", days.clone())]);
    assert_eq!(months(only(Fact::Aggregates, sums())), 3);
    let sold = mapped(&[sale("1", 0, 1), sale("2", 70, 1)]);
    assert_eq!(months(Mapped { facts: BTreeMap::from([(Fact::Aggregates, sums())]), ..sold }), 4);
}

#[tokio::test]
async fn a_run_whose_lease_was_taken_over_writes_no_facts() {
    let (_folder, lake) = new_lake().await;
    let fence = |epoch| Some(Fence { resource: "process/1".to_owned(), epoch, ..Fence::default() });
    let committer = lake.committer(CommitterOptions::default());
    let read = |amount| {
        let mapped = only(Fact::Payments, payments(&[("1", amount)]));
        let origin = response("run", &format!("r{amount}"), amount);
        Prepared::of(origin, &layout(&["n"]), connector(), mapped).unwrap()
    };
    let heir = committer.run(fence(9));
    heir.add(read(5), Box::new(())).await.unwrap();
    assert_eq!(heir.finish().await.unwrap().new_facts, 1);
    let late = committer.run(fence(4));
    late.add(read(6), Box::new(())).await.unwrap();
    let refused = late.finish().await;
    assert!(matches!(refused, Err(Error::Fenced { .. } | Error::Shared(_))), "{refused:?}");
    assert_eq!(versions(&lake).await, ["1 1 0.000005 first-seen none"]);
}

#[tokio::test]
async fn a_table_of_facts_that_can_not_be_written_fails_the_runs_that_have_facts_for_it_alone() {
    let (_folder, lake, faults) = faulty_lake().await;
    let committer = lake.committer(CommitterOptions::default());
    let (bad, good) = (committer.run(None), committer.run(None));
    let prepared = |request: &str, secs, mapped| {
        Prepared::of(response("run", request, secs), &layout(&["n"]), connector(), mapped).unwrap()
    };
    let paid = || prepared("a", 1, only(Fact::Payments, payments(&[("1", 5)])));
    bad.add(paid(), Box::new(())).await.unwrap();
    good.add(prepared("b", 2, mapped(&[sale("1", 0, 1)])), Box::new(())).await.unwrap();
    *faults.lock().unwrap() = Some(Fault::Refused("unified/payment_versions"));
    let (failed, done) = futures::join!(bad.finish(), good.finish());
    let failed = failed.unwrap_err().to_string();
    assert!(failed.contains("payment_versions"), "{failed}");
    assert_eq!(done.unwrap().new_versions, 1);
    *faults.lock().unwrap() = None;
    let again = committer.run(None);
    again.add(paid(), Box::new(())).await.unwrap();
    assert_eq!(again.finish().await.unwrap().new_facts, 1);
    assert_eq!(versions(&lake).await, ["1 1 0.000005 first-seen none"]);
}

#[tokio::test]
async fn keys_of_facts_are_forgotten_as_those_of_other_tables_are() {
    let amounts: Vec<(String, i64)> = (0..10).map(|number| (number.to_string(), number)).collect();
    let amounts: Vec<(&str, i64)> = amounts.iter().map(|(id, amount)| (id.as_str(), *amount)).collect();
    let prepared = || {
        let paid = only(Fact::Payments, payments(&amounts));
        Prepared::of(response("run", "a", 1), &layout(&["n"]), connector(), paid).unwrap()
    };
    for (all_keys, kept) in [(6, 0), (12, 10), (25, 20)] {
        let (_folder, lake) = new_lake().await;
        let mut writers = Writers::new(lake, CommitterOptions { all_keys, ..CommitterOptions::default() });
        for new_facts in [10, 0] {
            let mut batch = Batch::default();
            batch.add(0, None, prepared()).unwrap();
            let flushed = writers.flush(batch).await.unwrap();
            assert_eq!(flushed.counts.get(&0).copied().unwrap_or_default().new_facts, new_facts, "{all_keys}");
            assert_eq!(writers.keys(), kept, "of ten records and ten facts, {all_keys} at most");
        }
    }
}

/// A rebuild puts the new table in the place of the old one, row for row.
#[tokio::test]
async fn a_rebuild_covers_facts() {
    let (_folder, lake) = new_lake().await;
    let read = || only(Fact::Payments, payments(&[("1", 5_000_000)]));
    commit(&lake, "a", 10, read()).await;
    let before = versions(&lake).await;
    let rebuild = lake.rebuild("r", &["awin-test".to_owned()], None).await.unwrap();
    commit(rebuild.lake(), "a", 10, read()).await;
    let rebuilt = rebuild.put_in_place().await.unwrap();
    let payments = rebuilt.iter().find(|table| table.table == "unified.payment_versions").unwrap();
    assert_eq!((payments.rows_before, payments.rows), (1, 1));
    assert_eq!(versions(&lake).await, before);
}
