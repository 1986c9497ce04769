//! Payments and other facts.

use std::collections::BTreeMap;

use arrow::array::TimestampMicrosecondArray;
use chrono::{DateTime, Utc};
use sluice_lake::{FactWorth, KnownFact};
use sluice_model::{Axis, Fact, Window};

use super::*;

const DAY_MICROS: i64 = 86_400_000_000;

/// Payments of an amount in millionths, a currency and a day since 1970.
fn payments(rows: &[(i128, &str, i64)]) -> Observation {
    let amounts: Decimal128Array = rows.iter().map(|row| Some(row.0)).collect();
    let paid = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.2 * DAY_MICROS + 1));
    let columns: [(&str, ArrayRef); 3] = [
        ("amount", Arc::new(amounts.with_precision_and_scale(18, 6).unwrap())),
        ("currency", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ("paid_at", Arc::new(paid.with_timezone("UTC"))),
    ];
    let facts = BTreeMap::from([(Fact::Payments, RecordBatch::try_from_iter(columns).unwrap())]);
    Observation::of(&Mapped { transactions: None, facts, ..mapped_at(&vec![row(); rows.len()], "commission.amount") })
}

fn known(before: (i128, &str), now: (i128, &str)) -> KnownFact {
    let worth =
        |(amount, currency): (i128, &str)| FactWorth { amount: Some(amount), currency: Some(currency.to_owned()) };
    KnownFact { before: worth(before), now: worth(now) }
}

fn found(fact: Fact, rows: &[KnownFact]) -> Vec<(DoubtKind, Option<String>)> {
    let doubts = judge_known_facts(fact, &DoubtSettings::default(), rows);
    doubts.into_iter().map(|doubt| (doubt.kind, doubt.field)).collect()
}

#[test]
fn one_known_payment_in_another_unit_or_currency_is_doubted() {
    let in_cents = known((5_120_000, "EUR"), (512_000_000, "EUR"));
    let same = known((7_000_000, "EUR"), (7_000_000, "EUR"));
    assert_eq!(found(Fact::Payments, std::slice::from_ref(&in_cents)), about(DoubtKind::Unit, "payments.amount"));
    assert_eq!(found(Fact::Payments, &[in_cents, same.clone()]), about(DoubtKind::Unit, "payments.amount"));
    let corrected = known((5_120_000, "EUR"), (6_120_000, "EUR"));
    assert_eq!(found(Fact::Payments, &[corrected, same]), []);
    let moved = known((5_120_000, "EUR"), (5_120_000, "USD"));
    assert_eq!(found(Fact::Payments, &[moved]), about(DoubtKind::Currency, "payments.currency"));
}

#[test]
fn sums_of_days_grow_and_three_of_another_unit_are_doubted() {
    let grown = known((10_000, "USD"), (1_000_000, "USD"));
    assert_eq!(found(Fact::Aggregates, &[grown.clone(), grown]), [], "the first sale of the day, and a hundred");
    let in_cents: Vec<KnownFact> = (1..4).map(|n| known((n * 3_170_000, "USD"), (n * 317_000_000, "USD"))).collect();
    assert_eq!(found(Fact::Aggregates, &in_cents), about(DoubtKind::Unit, "aggregates.commission_amount"));
    let others = (1..4).map(|n| known((n * 3_170_000, "USD"), (n * 4_000_000, "USD")));
    let mixed: Vec<KnownFact> = in_cents.into_iter().chain(others).collect();
    assert_eq!(found(Fact::Aggregates, &mixed), [], "no more than half of those that change");
}

#[test]
fn payments_unlike_all_before_are_doubted_and_accepted_ones_are_usual() {
    let usual = payments(&[(5_000_000, "GBP", 20_000); 10]);
    let mut profile = Profile::default();
    profile.add(&usual);
    assert_eq!(judged(&profile, &usual), []);
    let read = Profile::from_json(&profile.to_json());
    let other = payments(&[(5_000_000, "EUR", 20_000); 10]);
    assert_eq!(judged(&read, &other), about(DoubtKind::Currency, "payments.currency"));
    let in_cents = payments(&[(500_000_000, "GBP", 20_000); 10]);
    assert_eq!(judged(&read, &in_cents), about(DoubtKind::Unit, "payments.amount"));
    profile.forget(DoubtKind::Unit, Some("payments.amount"));
    assert_eq!(judged(&profile, &in_cents), []);
}

#[test]
fn payments_are_compared_with_known_ones_and_other_facts_if_they_are_odd() {
    let profile = Profile::default();
    assert_eq!(comparable_facts(&profile, &payments(&[(1, "GBP", 20_000)])), [Fact::Payments]);
    assert_eq!(comparable_facts(&profile, &seen(&rows(5))), []);
}

#[test]
fn an_empty_answer_is_doubted_where_payments_stood() {
    let window = |text: &str| text.parse::<Window>().unwrap();
    let now: DateTime<Utc> = "2024-12-01T00:00:00Z".parse().unwrap();
    // 20,000 days after 1970 is 2024-10-04.
    let (october, autumn) =
        (window("2024-10-01T00:00:00Z/2024-11-01T00:00:00Z"), window("2024-10-02T00:00:00Z/2024-11-20T00:00:00Z"));
    let mut profile = Profile::default();
    let emptied = |profile: &Profile, window| emptied_facts(profile, Axis::Payment, window, now);
    assert_eq!(emptied(&profile, autumn), None, "nothing is known");
    let paid = payments(&[(5_000_000, "GBP", 20_000), (5_000_000, "GBP", 20_000), (5_000_000, "GBP", 19_000)]);
    profile.add(&paid);
    profile.learn_fact_days(Axis::Payment, october, &paid);
    let reason = "the answer is empty, and earlier ones had 2 records of days in its window";
    assert_eq!(emptied(&profile, autumn).as_deref(), Some(reason), "that of another year is of another date");
    assert_eq!(
        emptied(&profile, window("2024-10-04T00:00:00Z/2024-11-01T00:00:00Z")),
        None,
        "it may be of the day before"
    );
    assert_eq!(emptied_facts(&profile, Axis::Transaction, autumn, now), None, "by another date");
    profile.set_window(WindowsBy::Axis(Axis::Payment), october, 3);
    let all = window("2024-09-01T00:00:00Z/2024-11-20T00:00:00Z");
    let reason = "the answer is empty, and its window had 3 records before";
    assert_eq!(emptied(&profile, all).as_deref(), Some(reason));
    profile.learn_fact_days(Axis::Payment, autumn, &Observation::default());
    assert_eq!(emptied(&profile, autumn), None, "it was accepted");
}
